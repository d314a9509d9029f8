//! A stream that broke off goes on at another candidate: with what it has said as the beginning of
//! the answer where the candidate takes that and the client set no limit to the answer's tokens,
//! else by saying all of it again, and what was sent already is compared and not sent twice. What
//! was said has used up some of a limit, and nobody knows how much.

use crate::chat::{ApiError, Content, Door, Outline, Request, Role, Turn};
use crate::config::Target;
use crate::obs::UpstreamFailure;
use crate::policy::Fault;
use crate::provider::decode::AnswerLimits;
use crate::provider::{Dropped, Expected};
use crate::rt::{Lent, Runtime};
use crate::wire::json::{JsonText, push_string};

use super::attempt::{self, NoAnswer, Outgoing, Plan};
use super::body::Answer;
use super::candidate::Asker;
use super::client::Client;
use super::entry::{Shut, enter};
use super::exact::Errand;
use super::exchange::{After, Ending};
use super::failure::Failure;
use super::outcome::Outcome;
use super::remains::{Remains, Tale, Told};
use super::side::{Cut, Side};
use super::translate::Translation;
use super::{choice, marks, stream, unary};

/// The end of OpenAI's streams.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// A stream that waits for the rest of its answer.
type Waiting<'s, R> = Side<'s, R, Tale>;

/// What became of an attempt to go on.
#[expect(clippy::large_enum_variant, reason = "it lives for a moment, mostly as the large one")]
enum Went<'s, R: Runtime> {
    /// The exchange has ended.
    Ended(After),
    /// The candidate does not go on, or not to the end.
    Back(Waiting<'s, R>, Option<UpstreamFailure>, Fault),
}

/// Goes on with a stream that broke off. `plan` is that of the candidate which failed, `rest` are
/// those behind it.
pub(super) async fn run<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut cut: Cut<'_, R>,
    (plan, rest): (&Plan<'_>, &[&Target]),
    asker: &Asker,
    outline: &Outline<'_>,
) -> After
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let failure = &cut.failure;
    let error = failure.told(plan.upstream);
    cut.side.exchange.leave(Some(failure.reason()), failure.fault(), None);
    let Errand::Talk(door) = asker.errand else {
        return cut.side.fail_with(client, &error, Remains::error).await;
    };
    let mut side = match wait(client, cut, &error, (plan, door, asker), outline).await {
        Ok(side) => side,
        Err(after) => return after,
    };
    let shard = side.exchange.shard;
    let request = door.read(outline, &asker.beside);
    let limited = request.is_ok_and(|request| request.options.max_tokens().is_some());
    for (step, target) in rest.iter().enumerate() {
        let Some(mut plan) = choice::plan(&shard.config, target, &outline.model) else { continue };
        plan.keeps = step + 1 < rest.len();
        let takes = plan.upstream.prefill && !limited;
        let mut given = takes && !side.pipe.only_text().is_empty();
        let mut first = true;
        loop {
            match enter(client, &mut side.exchange, &plan, false).await {
                Ok(()) => {}
                Err(Shut::Gone) => {
                    return side.exchange.client_left();
                }
                Err(_) => break,
            }
            if first {
                shard.on_first(plan.index);
            }
            let fault = match go_on(client, side, &plan, given, (door, asker, outline)).await {
                Went::Ended(after) => return after,
                Went::Back(back, reason, fault) => {
                    side = back;
                    side.exchange.leave(reason, fault, None);
                    fault
                }
            };
            // It may only be the unfinished answer that it does not take.
            first = false;
            let again = std::mem::take(&mut given) && fault == Fault::Request;
            let upstream = shard.upstreams.get(plan.index);
            if !again || !upstream.is_some_and(|upstream| upstream.health.may_repeat()) {
                break;
            }
        }
    }
    side.fail_with(client, &error, Tale::error).await
}

/// Sends what was said before the stream broke off. Ends the exchange where nothing but the end is
/// missing, and where no other answer can take over.
async fn wait<'s, R, F, M>(
    client: &Client<'_, R, F, M>,
    cut: Cut<'s, R>,
    error: &ApiError,
    (plan, door, asker): (&Plan<'_>, Door, &Asker),
    outline: &Outline<'_>,
) -> Result<Waiting<'s, R>, After>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let (remains, mut side) = cut.side.split();
    let limits = AnswerLimits::of(&side.exchange.shard.config.limits);
    let tale = match remains {
        Remains::Exact(mut passed) => {
            match passed.read(&plan.order, limits, (door, outline, &asker.beside)) {
                Some(Told::Part(mut tale)) => {
                    tale.own_error = passed.stream.take_error_event();
                    *tale
                }
                Some(Told::All) => {
                    side.say(|(), _, out| out.extend_from_slice(DONE));
                    return Err(side.finish(client).await);
                }
                None => {
                    let side = side.with(Remains::Exact(passed));
                    return Err(side.fail_with(client, error, Remains::error).await);
                }
            }
        }
        Remains::Translated(mut translated) => {
            let mut ended = false;
            side.say(|(), exchange, out| {
                ended = translated.conclude(&mut |event| exchange.on_event(event), out);
            });
            if ended {
                return Err(side.finish(client).await);
            }
            translated.tale
        }
    };
    let mut side = side.with(tale);
    if !side.out.is_empty() && side.flush(client).await.is_err() {
        return Err(side.exchange.client_left());
    }
    Ok(side)
}

/// Asks one candidate to go on; `given`: with the text so far as the beginning of its answer.
async fn go_on<'s, R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut side: Waiting<'s, R>,
    plan: &Plan<'_>,
    given: bool,
    (door, asker, outline): (Door, &Asker, &Outline<'_>),
) -> Went<'s, R>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = side.exchange.shard;
    let text = if given { side.pipe.only_text().to_owned() } else { String::new() };
    // Some vendors refuse space at the end; then it is what the answer must begin with.
    let text = text.trim_end();
    let mut spelling = Vec::with_capacity(text.len() + 2);
    push_string(&mut spelling, text);
    let spelling = String::from_utf8(spelling).unwrap_or_default();
    let Ok(mut request) = door.read(outline, &asker.beside) else {
        return Went::Back(side, None, Fault::Unasked);
    };
    choice::prepare(&shard.config, plan, &mut request);
    marks::recall(&mut request, plan.order.vendor, &shard.signatures, shard.rt.now());
    if given {
        let inside = 1..spelling.len().saturating_sub(1);
        let spelling = spelling.get(inside).unwrap_or_default();
        let said = Content::Text(JsonText::spelt(spelling));
        request.turns.push(Turn::new(Role::Assistant, said));
    }
    let answer = match begin(client, &mut side, plan, &request).await {
        Ok(answer) => answer,
        Err(NoAnswer::ClientLeft) => return Went::left(side),
        Err(NoAnswer::Request(_)) => return Went::Back(side, None, Fault::Unasked),
        Err(NoAnswer::Failed(failure)) => return Went::back(side, &failure),
    };
    let expected = Expected::of(&plan.order, &request, shard.random());
    let limits = AnswerLimits::of(&shard.config.limits);
    let mut side = side.map(|mut tale| {
        tale.take_over(text.len());
        Translation::new(expected, limits, tale)
    });
    side.renew_ping();
    shard.cells.streams_resumed.add(1);
    match stream::go_on(client, side, plan, answer).await {
        Outcome::Ended(after) => Went::Ended(after),
        Outcome::Cut(cut) => {
            let Cut { side, failure } = *cut;
            let (remains, side) = side.split();
            let Remains::Translated(translated) = remains else {
                return Went::left(side);
            };
            let tale = translated.tale;
            if tale.differs {
                return Went::Back(side.with(tale), None, Fault::Request);
            }
            Went::back(side.with(tale), &failure)
        }
        // The client has got the beginning, so this is not how it can end.
        Outcome::Failed(exchange, _) => {
            exchange.settle(Ending::Broken("upstream_truncated"));
            Went::Ended(After::Close)
        }
    }
}

/// Sends a request and gives the stream that answers it.
async fn begin<R, F, M>(
    client: &mut Client<'_, R, F, M>,
    side: &mut Waiting<'_, R>,
    plan: &Plan<'_>,
    request: &Request<'_>,
) -> Result<Answer<R>, NoAnswer>
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let exchange = &mut side.exchange;
    let (outgoing, mut dropped) = (Outgoing::Translated(request), Dropped::default());
    let (head, answer) = attempt::attempt(client, exchange, plan, outgoing, &mut dropped).await?;
    if head.status != 200 {
        let failure = unary::read_failure(client, exchange, plan, head, answer).await?;
        return Err(NoAnswer::Failed(failure));
    }
    match head.unfit(true) {
        None => Ok(answer),
        Some(unfit) => {
            answer.discard(exchange, plan.index);
            Err(NoAnswer::Failed(unfit))
        }
    }
}

impl<'s, R: Runtime> Went<'s, R> {
    fn back(side: Waiting<'s, R>, failure: &Failure) -> Self {
        Self::Back(side, Some(failure.reason()), failure.fault())
    }

    fn left<P>(side: Side<'s, R, P>) -> Self {
        Self::Ended(side.exchange.client_left())
    }
}
