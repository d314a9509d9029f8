//! One exchange from its admission to its one ending.

use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::base::{Tick, Trace, ascii};
use crate::chat::{Event, FinishReason};
use crate::config::Upstream;
use crate::journal::{Api, Entry};
use crate::obs::{Settled, Tokens, UpstreamFailure};
use crate::policy::{Fault, KeyId};
use crate::rt::{Mutant, Runtime};
use crate::shard::{Landing, Lead, Permit, Reserved, Shard};

use super::charge::{Account, Charge, Got};
use super::lane::Lane;
use super::limits;
use super::marks::Marks;
use super::reply::{Envelope, Phases};
use super::source::{self, Source};
use super::stay::Stay;

/// The vendor's own field of that kind.
const TOOK: &[u8] = b"openai-processing-ms:";

/// Fields of our own seldom have more bytes.
const OWN_BYTES: usize = 256;

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The client has its answer.
    Answered,
    /// The client has an error with this status and this code.
    Failed(u16, &'static str),
    /// A stream that had begun with 200 ended with an error event.
    Broken(&'static str),
    /// The client left before its answer was complete.
    ClientLeft,
    /// We forgot to end it, or panicked.
    Bug,
}

/// How the choices of an answer have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Finish {
    /// None has said so.
    #[default]
    Unsaid,
    /// As a second answer to the same would, too.
    Usual,
    /// One was withheld, paused or refused.
    Odd,
}

impl Finish {
    /// One more has ended.
    fn then(self, reason: FinishReason) -> Self {
        let usual =
            matches!(reason, FinishReason::Stop | FinishReason::Length | FinishReason::ToolCalls);
        if usual && self != Self::Odd { Self::Usual } else { Self::Odd }
    }
}

/// What happens to the client's connection after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// The next request may come.
    KeepAlive,
    /// Everything was said; the connection closes.
    Close,
    /// The client is gone.
    Gone,
}

/// One exchange. It goes from hand to hand, so it is a pointer to what is known of it.
pub(super) struct Exchange<'s, R: Runtime>(Box<Known<'s, R>>);

/// What is known of one exchange.
pub(super) struct Known<'s, R: Runtime> {
    pub(super) shard: &'s Shard<R>,
    pub(super) envelope: Envelope,
    /// Who asks.
    pub(super) key: KeyId,
    /// What was asked for.
    pub(super) api: Api,
    /// Tokens that were reserved for the key.
    pub(super) reserved: Option<u64>,
    /// Money that was reserved for the key.
    pub(super) money: Option<Reserved>,
    /// What goes on beside the place in the trace.
    pub(super) trace_state: Option<Box<str>>,
    pub(super) phases: Phases,
    /// When its first byte was there.
    pub(super) started: Tick,
    /// Index of the metrics' target.
    pub(super) target: Option<usize>,
    /// When the attempt that is under way must have begun to speak.
    speak_by: Option<Tick>,
    /// When the first byte of a stream went out.
    pub(super) first_token: Option<Duration>,
    /// All time spent waiting for the upstream.
    pub(super) waited: Duration,
    /// Within this time each candidate must have begun to speak.
    pub(super) speak_within: Option<Duration>,
    pub(super) attempts: u64,
    pub(super) reused: bool,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    /// Why the last attempt that failed did so.
    pub(super) reason: Option<UpstreamFailure>,
    /// Fields of the vendor's head that cross to the client, ready to be written.
    pub(super) crossing: Vec<u8>,
    /// What is used of upstreams.
    pub(super) account: Account<'s>,
    /// How the answer came about.
    pub(super) source: Source,
    /// All who ask the same are told by this one.
    pub(super) lead: Option<Rc<Lead>>,
    finish: Finish,
    marks: Marks,
    permit: Option<Permit>,
    /// The upstream that is asked now.
    stay: Option<Stay>,
    /// Another candidate is asked at the same time.
    pub(super) lane: Option<Lane>,
    /// Where its admission stands in the journal.
    pub(super) entry: Option<Entry>,
    /// The upstream that was asked last.
    pub(super) asked: Option<usize>,
    /// The model that was asked of it.
    model: SmallVec<[u8; 64]>,
    settled: bool,
}

impl<R: Runtime> Known<'_, R> {
    /// The model that was asked last.
    pub(super) fn model(&self) -> &str {
        std::str::from_utf8(&self.model).unwrap_or_default()
    }
}

impl<'s, R: Runtime> Exchange<'s, R> {
    /// Begins; dropping it without [`Exchange::settle`] is counted as a bug.
    pub(super) fn new(
        shard: &'s Shard<R>,
        (envelope, key): (Envelope, KeyId),
        started: Tick,
        permit: Option<Permit>,
    ) -> Self {
        shard.began();
        Self::open(shard, (envelope, key), started, permit)
    }

    /// The same exchange at another candidate, asked at the same time.
    pub(super) fn rival(&self, lane: Lane) -> Self {
        let mut rival = Self::open(self.shard, (self.envelope, self.key), self.started, None);
        rival.api = self.api;
        rival.reserved = self.reserved;
        rival.money = self.money;
        rival.trace_state.clone_from(&self.trace_state);
        rival.phases = self.phases;
        rival.target = self.target;
        rival.waited = self.waited;
        rival.speak_within = self.speak_within;
        rival.bytes_in = self.bytes_in;
        rival.entry = self.entry;
        rival.account.body_bytes = self.account.body_bytes;
        rival.source = self.source;
        rival.lead = self.lead.clone();
        rival.lane = Some(lane);
        rival
    }

    /// Nothing has been done yet.
    fn open(
        shard: &'s Shard<R>,
        (envelope, key): (Envelope, KeyId),
        started: Tick,
        permit: Option<Permit>,
    ) -> Self {
        Self(Box::new(Known {
            shard,
            envelope,
            key,
            api: Api::default(),
            reserved: None,
            money: None,
            trace_state: None,
            phases: Phases::default(),
            started,
            target: None,
            speak_by: None,
            first_token: None,
            waited: Duration::ZERO,
            speak_within: None,
            attempts: 0,
            reused: false,
            bytes_in: 0,
            bytes_out: 0,
            reason: None,
            crossing: Vec::new(),
            account: Account::default(),
            source: Source::default(),
            lead: None,
            finish: Finish::default(),
            marks: Marks::default(),
            permit,
            stay: None,
            lane: None,
            entry: None,
            asked: None,
            model: SmallVec::new(),
            settled: false,
        }))
    }

    /// Takes the permit, to keep it longer than the exchange.
    pub(super) fn take_permit(&mut self) -> Option<Permit> {
        self.permit.take()
    }

    /// Takes a permit back.
    pub(super) fn give_permit(&mut self, permit: Option<Permit>) {
        self.permit = permit;
    }

    /// Notes what the accounting and the next turn need of an event.
    pub(super) fn on_event(&mut self, event: &Event<'_>) {
        let (shard, stay) = (self.shard, self.stay.as_ref().map(|stay| stay.upstream));
        self.account.on_event(event, |model| {
            shard.prices.find(stay.unwrap_or(usize::MAX), model, shard.rt.unix_millis())
        });
        match event {
            Event::Finish { reason, .. } => self.finish = self.finish.then(*reason),
            Event::Call { .. } | Event::Thought { .. } | Event::Redacted { .. } => {
                let now = shard.rt.now();
                self.marks.on_event(event, &shard.signatures, now);
            }
            _ => {}
        }
    }

    /// Appends the fields that tell what is left of the client's limits and how long it took: the
    /// API's own, unless the vendor's crossed, and `server-timing`, unless the operator wants none
    /// of ours. `out` is all others.
    pub(super) fn push_own(&self, out: &mut Vec<u8>) {
        // Once, for all that follows.
        out.reserve(OWN_BYTES);
        limits::push_fields(self.shard, self.key, out);
        if let Some(name) = self.envelope.dialect.head().took_field
            && !out.windows(TOOK.len()).any(|text| text == TOOK)
        {
            let took = u64::try_from(self.shard.rt.lately().since(self.started).as_millis());
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            ascii::push_u64(out, took.unwrap_or(u64::MAX));
            out.extend_from_slice(b"\r\n");
        }
        let own = self.shard.config.server.own_headers;
        self.source.push_fields(own, out);
        if own {
            self.phases.push_field(self.age(), self.waited, out);
        }
    }

    /// Appends the fields that tell an upstream its place in the trace, if it is to know.
    pub(super) fn push_trace(&self, upstream: &Upstream, out: &mut Vec<u8>) {
        if upstream.trace_context {
            let trace = self.envelope.trace;
            let span = Trace::phase(trace.span, Trace::UPSTREAM);
            trace.push_fields(span, self.trace_state.as_deref(), out);
        }
    }

    /// An attempt at an upstream begins, which is asked for `model`.
    pub(super) fn enter(&mut self, stay: Stay, model: &str) {
        let shard = self.shard;
        self.account.ask(shard.prices.find(stay.upstream, model, shard.rt.unix_millis()));
        self.asked = Some(stay.upstream);
        self.stay = Some(stay);
        self.model = SmallVec::from_slice(model.as_bytes());
        self.crossing.clear();
        self.speak_by = self.speak_within.map(|limit| self.shard.rt.lately().after(limit));
    }

    /// An attempt has failed, and the client knows nothing of it.
    pub(super) fn leave(
        &mut self,
        reason: Option<UpstreamFailure>,
        fault: Fault,
        wait: Option<Duration>,
    ) {
        if let Some(reason) = reason {
            self.on_failure(reason);
        }
        // Of a stream that had begun the client has got something.
        if self.first_token.is_none() || !self.account.has_answer() {
            self.account.forget();
        }
        if let Some(stay) = self.stay.take() {
            self.shard.on_fault(stay.upstream, fault, wait);
        }
    }

    /// The upstream's part is over.
    fn part(&mut self, ending: Ending) {
        let Some(stay) = self.stay.take() else { return };
        match ending {
            Ending::Answered => self.shard.on_answer(stay.upstream, self.phases.upstream),
            Ending::Broken(_) => self.shard.on_fault(stay.upstream, Fault::Broken, None),
            Ending::Failed(..) | Ending::ClientLeft | Ending::Bug => {}
        }
    }

    /// An attempt failed.
    pub(super) fn on_failure(&mut self, reason: UpstreamFailure) {
        self.shard.cells.on_failure(reason);
        self.reason = Some(reason);
    }

    /// Time since `began` was spent waiting for an upstream: how much.
    pub(super) fn wait_since(&mut self, began: Tick) -> Duration {
        let spent = self.shard.rt.now().since(began);
        self.waited += spent;
        spent
    }

    /// Ends because the client has left.
    pub(super) fn client_left(self) -> After {
        self.settle(Ending::ClientLeft);
        After::Gone
    }

    /// How long it has run.
    pub(super) fn age(&self) -> Duration {
        self.shard.rt.now().since(self.started)
    }

    /// When a phase of `limit` that begins now must be over, within the limit of the whole.
    pub(super) fn until(&self, limit: Duration) -> Tick {
        let end = self.shard.rt.lately().after(limit);
        match self.shard.config.timeouts.total {
            Some(total) => end.min(self.started.after(total)),
            None => end,
        }
    }

    /// Does a stream to this client stand in chunks?
    pub(super) fn frames(&self) -> bool {
        !self.envelope.http10 && self.lead.is_none()
    }

    /// Tells all who ask the same that this was it, and keeps what is worth it.
    pub(super) fn land(&mut self, ending: Ending) {
        let Some(lead) = self.lead.take() else { return };
        let landing = match ending {
            Ending::Answered => Landing::Whole,
            Ending::Failed(_, cause) | Ending::Broken(cause) => Landing::Failed(cause),
            Ending::ClientLeft | Ending::Bug => Landing::Lost,
        };
        let good = ending == Ending::Answered && self.finish != Finish::Odd;
        source::land(self.shard, &lead, landing, good);
    }

    /// Could another candidate speak instead of one that has only opened its answer?
    pub(super) fn waits_for_word(&self) -> bool {
        self.lane.is_some() || self.speak_by.is_some()
    }

    /// The same until the upstream has begun to speak.
    pub(super) fn until_it_speaks(&self, limit: Duration) -> Tick {
        let until = self.until(limit);
        self.speak_by.map_or(until, |speak_by| until.min(speak_by))
    }

    /// Ends the exchange: counts it, logs it if wanted, gives the permit back.
    pub(super) fn settle(mut self, ending: Ending) {
        self.end(ending);
    }

    /// What it costs, as far as that is known, if it ends so.
    pub(super) fn charge(&self, ending: Ending) -> Charge {
        self.account.charge(match ending {
            Ending::Answered => Got::Whole,
            Ending::Broken(_) => Got::Part,
            Ending::ClientLeft | Ending::Bug => Got::Left,
            Ending::Failed(..) => Got::Nothing,
        })
    }

    /// Appends the field that tells what a whole answer costs, unless the operator wants none of
    /// ours.
    pub(super) fn push_cost(&self, out: &mut Vec<u8>) {
        if self.shard.config.server.own_headers {
            self.charge(Ending::Answered).push_field(out);
        }
    }

    fn end(&mut self, ending: Ending) {
        debug_assert!(!self.settled, "an exchange is settled once");
        self.settled = true;
        self.permit = None;
        if self.lane.as_ref().is_some_and(Lane::is_silent) {
            self.stay = None;
            return;
        }
        self.part(ending);
        let charge = self.charge(ending);
        let usage = charge.usage;
        self.land(ending);
        if let Some(reserved) = self.reserved.take() {
            let used = usage.prompt.saturating_add(usage.completion);
            // What the vendor did not count stays as it was estimated.
            let used = if used == 0 && !self.source.is_shared() { reserved } else { used };
            self.shard.access.rates().correct(self.key, self.shard.rt.now(), reserved, used);
        }
        if let Some(money) = self.money {
            // What nobody knows the price of does not count, here as in the ledger.
            let cost = charge.nanos.unwrap_or(0);
            self.shard.access.rates().settle(self.key, money, cost);
        }
        let duration = self.age();
        let (status, failed) = match ending {
            Ending::Answered => (200, false),
            Ending::Failed(status, _) => (status, true),
            Ending::Broken(_) => (200, true),
            Ending::ClientLeft => (499, false),
            Ending::Bug => (500, true),
        };
        let settled = Settled {
            target: self.target,
            status,
            failed,
            duration,
            first_token: self.first_token,
            overhead: duration.saturating_sub(self.waited),
            tokens: Tokens {
                prompt: usage.prompt,
                completion: usage.completion,
                cached: usage.cached,
                cache_write: usage.cache_write,
                reasoning: usage.reasoning,
                prompt_audio: usage.prompt_audio,
                completion_audio: usage.completion_audio,
            },
            cost_nanos: charge.nanos,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
        };
        let times = match () {
            () if Mutant::DroppedSettle.active() => 0,
            () if Mutant::DoubleSettle.active() => 2,
            () => 1,
        };
        (0..times).for_each(|_| self.shard.settled(&settled));
        self.record_end(ending, &settled, &charge, cause(ending));
    }
}

impl<'s, R: Runtime> Deref for Exchange<'s, R> {
    type Target = Known<'s, R>;

    fn deref(&self) -> &Known<'s, R> {
        &self.0
    }
}

impl<'s, R: Runtime> DerefMut for Exchange<'s, R> {
    fn deref_mut(&mut self) -> &mut Known<'s, R> {
        &mut self.0
    }
}

impl<R: Runtime> Drop for Exchange<'_, R> {
    fn drop(&mut self) {
        if !self.settled {
            let silent = self.lane.as_ref().is_some_and(Lane::is_silent);
            self.shard.cells.bugs.add(u64::from(!silent));
            self.end(Ending::Bug);
        }
    }
}

/// The cause of an ending in one word.
const fn cause(ending: Ending) -> &'static str {
    match ending {
        Ending::Answered => "",
        Ending::ClientLeft => "client_cancelled",
        Ending::Failed(_, code) | Ending::Broken(code) => code,
        Ending::Bug => "internal_error",
    }
}
