//! When a candidate has not begun to speak after a while the next one is asked, too. Whoever speaks
//! first answers; the other is cancelled at once.

use std::cell::Cell;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::chat::Outline;
use crate::rt::{Lent, Runtime};
use crate::shard::Shard;

use super::attempt::Plan;
use super::candidate::{Asker, candidate};
use super::client::Client;
use super::entry;
use super::exchange::{After, Exchange};
use super::lane::Lane;
use super::outcome::Outcome;
use super::telling::Telling;

/// Asks `plans[0]`, and after a while `plans[1]`, too. Tells whether that came about.
pub(super) async fn run<'s, R, F, M>(
    client: &mut Client<'_, R, F, M>,
    mut exchange: Exchange<'s, R>,
    plans: [&Plan<'_>; 2],
    after: Duration,
    (asker, outline): (&Asker, &Outline<'_>),
) -> (Outcome<'s, R>, bool)
where
    R: Runtime,
    F: Future<Output = Lent<usize>>,
    M: Fn(Vec<u8>) -> F,
{
    let shard = exchange.shard;
    let [first, rival] = Lane::pair();
    let permit = exchange.take_permit();
    let mut second = exchange.rival(rival.clone());
    exchange.lane = Some(first.clone());
    let deadlines = [0, 1].map(|_| shard.deadlines.register(client.conn.clone()));
    let (slots, rival_asked) = ((pin!(None), pin!(None)), Cell::new(false));
    let mut own = client.racer(first.clone(), &deadlines[0], slots.0);
    let mut other = client.racer(rival.clone(), &deadlines[1], slots.1);
    let lent = || client.telling.as_ref().map(|telling| Telling::Lent(telling.teller()));
    (own.telling, other.telling) = (lent(), lent());
    let one = candidate(&mut own, exchange, plans[0], asker, outline);
    let two = async {
        shard.rt.sleep(after).await;
        if rival.is_over() || !entry::enter_at_once(&mut second, plans[1]) {
            return None;
        }
        shard.cells.hedges.add(1);
        rival_asked.set(true);
        Some(candidate(&mut other, second, plans[1], asker, outline).await)
    };
    let (mut one, mut two) = (pin!(one), pin!(two));
    let (mut ended, mut rivals) = (None, None);
    client.posted.post(|| shard.buffers.take_small());
    let posted = &mut client.posted;
    std::future::poll_fn(|context| {
        if !first.state().1 && posted.poll_gone(context).is_ready() {
            first.leave();
        }
        loop {
            // What one of them decides ends the other, which must hear of it.
            let before = first.state();
            if ended.is_none()
                && let Poll::Ready(outcome) = one.as_mut().poll(context)
            {
                ended = Some(outcome);
            }
            if rivals.is_none()
                && let Poll::Ready(outcome) = two.as_mut().poll(context)
            {
                rivals = Some(outcome);
            }
            if first.state() == before {
                break;
            }
        }
        let over = ended.is_some() && (rivals.is_some() || !rival_asked.get());
        if over { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    let asked = rival_asked.get();
    let outcome = decided(shard, rival.has_won(), ended, rivals.flatten());
    (outcome.with_permit(permit), asked)
}

/// What the race came to. What went wrong with the one that did not answer is known all the same.
fn decided<'s, R: Runtime>(
    shard: &Shard<R>,
    rival_won: bool,
    first: Option<Outcome<'s, R>>,
    second: Option<Outcome<'s, R>>,
) -> Outcome<'s, R> {
    shard.cells.hedges_won.add(u64::from(rival_won));
    let (answers, other) = if rival_won { (second, first) } else { (first, second) };
    if let Some(Outcome::Failed(mut exchange, failed)) = other {
        failed.leave(&mut exchange);
    }
    // Whoever is waited for has an outcome.
    answers.unwrap_or(Outcome::Ended(After::Gone))
}
