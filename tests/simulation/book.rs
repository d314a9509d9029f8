//! What everybody in a world writes down: questions, attempts at them, and what is wrong.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use vertex_bridge::base::Tick;
use vertex_bridge::rt::Runtime;
use vertex_bridge::rt::virt::{Virt, VirtConn, VirtPeer};
use vertex_bridge::shard::Shard;

use super::plan::Plan;
use super::upstream::Behaviour;

/// So much that is wrong is told; the rest follows from it.
const WRONG_MAX: usize = 10;

/// A packet travels for less than this.
pub(super) const PACKET: Duration = Duration::from_millis(10);

/// From a place at an upstream to the request there: an old link that turns out to be closed costs
/// two ways, a new one two more, and the request one.
pub(super) const CROSSING: Duration = Duration::from_millis(50);

/// What a request is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Good,
    WrongKey,
    /// The key may not use the model.
    NotAllowed,
    NoModel,
}

/// What became of a request, as its client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Nothing yet.
    Open,
    /// The whole answer.
    Answered,
    /// A part of an answer, and an error.
    Broken,
    /// An error with this status and code.
    Failed(u16, &'static str),
    /// The rate was too high.
    Limited,
    /// The client left, or was too slow to be served.
    Left,
}

/// A request.
pub(super) struct Question {
    pub(super) kind: Kind,
    pub(super) key: usize,
    pub(super) route: usize,
    /// Who serves it, if the client has asked.
    pub(super) shard: Option<usize>,
    /// It stood behind no other and came in one piece: its time of arrival is known.
    pub(super) alone: bool,
    /// The gateway must notice when its client leaves.
    pub(super) watched: bool,
    /// When its first byte was sent, and its last.
    pub(super) began: Tick,
    pub(super) sent: Tick,
    /// Tokens that its body counts for.
    pub(super) estimate: u64,
    /// The attempts at it, in their order.
    pub(super) attempts: Vec<usize>,
    pub(super) fate: Fate,
    pub(super) ended: Tick,
}

/// A request as an upstream got it.
pub(super) struct Attempt {
    pub(super) question: usize,
    pub(super) upstream: usize,
    pub(super) behaviour: Behaviour,
    pub(super) at: Tick,
    /// All that is said, and how much of it has been.
    pub(super) text: String,
    pub(super) said: usize,
    /// The last byte has been sent.
    pub(super) finished: bool,
    /// Stray bytes were on their way: nobody can tell which answer is whose.
    pub(super) crossed: bool,
}

/// A request that an upstream answers at this moment.
struct Busy {
    attempt: usize,
    peer: VirtPeer,
    /// Every shard had left the upstream alone when it came.
    probe: bool,
}

/// One world.
pub(super) struct World {
    pub(super) rt: Virt,
    pub(super) plan: Plan,
    pub(super) shards: Vec<Rc<Shard<Virt>>>,
    pub(super) questions: RefCell<Vec<Question>>,
    pub(super) attempts: RefCell<Vec<Attempt>>,
    busy: RefCell<Vec<Vec<Busy>>>,
    /// Since when no shard has had a closed circuit, by upstream.
    guarded: RefCell<Vec<Option<Tick>>>,
    pub(super) counts: RefCell<BTreeMap<&'static str, u64>>,
    pub(super) wrong: RefCell<Vec<String>>,
    /// Exchanges that may still begin.
    pub(super) quota: Cell<u64>,
    pub(super) clients_done: Cell<u64>,
    pub(super) shards_done: Cell<usize>,
    pub(super) drained: Cell<Option<Tick>>,
    pub(super) lent_max: Cell<usize>,
}

impl World {
    pub(super) fn new(rt: Virt, plan: Plan, shards: Vec<Rc<Shard<Virt>>>) -> Self {
        let upstreams = plan.vendors.len();
        Self {
            rt,
            quota: Cell::new(plan.exchanges),
            plan,
            shards,
            questions: RefCell::default(),
            attempts: RefCell::default(),
            busy: RefCell::new((0..upstreams).map(|_| Vec::new()).collect()),
            guarded: RefCell::new(vec![None; upstreams]),
            counts: RefCell::default(),
            wrong: RefCell::default(),
            clients_done: Cell::new(0),
            shards_done: Cell::new(0),
            drained: Cell::new(None),
            lent_max: Cell::new(0),
        }
    }

    pub(super) fn wrong(&self, what: impl Into<String>) {
        let mut wrong = self.wrong.borrow_mut();
        if wrong.len() < WRONG_MAX {
            wrong.push(format!("at {:.6} s: {}", seconds(self.rt.now()), what.into()));
        }
    }

    /// What is known of a question, in words.
    pub(super) fn told(&self, question: usize) -> String {
        let (questions, attempts) = (self.questions.borrow(), self.attempts.borrow());
        let Question { kind, key, route, shard, alone, began, sent, fate, .. } =
            &questions[question];
        let of = questions[question].attempts.iter().map(|attempt| {
            let Attempt { upstream, behaviour, at, said, finished, crossed, .. } =
                &attempts[*attempt];
            let (at, behaviour) = (seconds(*at), behaviour.name());
            let flags = [(*finished, "finished"), (*crossed, "crossed")];
            let flags = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| *flag);
            let flags: Vec<&str> = flags.collect();
            format!("\n  attempt {attempt} at u{upstream}, {at:.6} s: {behaviour}, {said} said {flags:?}")
        });
        let of: String = of.collect();
        let (began, sent) = (seconds(*began), seconds(*sent));
        let drained = self.drained.get().map(seconds);
        format!(
            "q-{question} is {kind:?}, {fate:?}, of key {key} for route {route}, shard {shard:?}, \
             alone {alone}, sent from {began:.6} to {sent:.6} s, drained {drained:?}{of}"
        )
    }

    pub(super) fn count(&self, what: &'static str) {
        self.count_more(what, 1);
    }

    pub(super) fn count_more(&self, what: &'static str, more: u64) {
        *self.counts.borrow_mut().entry(what).or_insert(0) += more;
    }

    /// A question of an attempt that exists, and the attempt.
    pub(super) fn last_attempt(&self, question: usize) -> Option<usize> {
        self.questions.borrow()[question].attempts.last().copied()
    }

    /// An upstream has read a whole request; gives the attempt's number.
    pub(super) fn on_attempt(
        &self,
        (question, upstream): (usize, usize),
        behaviour: Behaviour,
        text: impl FnOnce(usize) -> String,
        conn: &VirtConn,
    ) -> usize {
        let now = self.rt.now();
        let attempt = self.attempts.borrow().len();
        let text = text(attempt);
        self.attempts.borrow_mut().push(Attempt {
            question,
            upstream,
            behaviour,
            at: now,
            text,
            said: 0,
            finished: false,
            crossed: false,
        });
        self.check_asked(question, upstream);
        self.questions.borrow_mut()[question].attempts.push(attempt);
        self.check_busy(upstream, Busy { attempt, peer: conn.peer(), probe: self.left(upstream) });
        attempt
    }

    /// The upstream is done with it: all was sent, or the connection ends.
    pub(super) fn on_attempt_end(&self, attempt: usize) {
        let upstream = self.attempts.borrow()[attempt].upstream;
        self.busy.borrow_mut()[upstream].retain(|busy| busy.attempt != attempt);
    }

    /// Is the upstream at it, and does the gateway still want to know?
    pub(super) fn is_busy(&self, attempt: usize) -> bool {
        let busy = self.busy.borrow();
        let mut all = busy.iter().flatten();
        all.any(|busy| busy.attempt == attempt && !busy.peer.has_left())
    }

    /// May this question be asked here?
    fn check_asked(&self, question: usize, upstream: usize) {
        let questions = self.questions.borrow();
        let asked = &questions[question];
        if asked.kind != Kind::Good || !self.plan.serves(asked.route, upstream) {
            self.wrong(format!("q-{question} ({:?}) was asked at u{upstream}", asked.kind));
        }
        let before = self.attempts_at(asked, upstream);
        if before > 0 {
            self.count("repeated at the same upstream");
        } else if !asked.attempts.is_empty() {
            self.count("asked at another candidate");
        }
        // A faulty network may eat the answer on a used link: then it is sent once more.
        if self.plan.strict && before > self.plan.attempts {
            self.wrong(format!("q-{question} was asked {} times at u{upstream}", before + 1));
        }
    }

    pub(super) fn attempts_at(&self, asked: &Question, upstream: usize) -> u64 {
        let attempts = self.attempts.borrow();
        let here = |attempt: &&usize| attempts[**attempt].upstream == upstream;
        asked.attempts.iter().filter(here).count() as u64
    }

    /// No upstream is asked by more than the limit, and no more than one probes it.
    fn check_busy(&self, upstream: usize, new: Busy) {
        let mut busy = self.busy.borrow_mut();
        busy[upstream].push(new);
        let here = || busy[upstream].iter().filter(|busy| !busy.peer.has_left());
        let (all, probes) = (here().count(), here().filter(|busy| busy.probe).count());
        if all > self.plan.places {
            self.wrong(format!("u{upstream} has {all} of {} at a time", self.plan.places));
        }
        if all == self.plan.places {
            self.count("upstream at its limit");
        }
        if probes > 0 {
            self.count("probe");
        }
        if self.plan.strict && probes > 1 {
            self.wrong(format!("{probes} probe u{upstream} at a time"));
        }
    }

    /// Have all shards left this upstream alone for long enough that what comes now is a probe?
    fn left(&self, upstream: usize) -> bool {
        // The largest request takes twice as long as most.
        let long = |since: Tick| self.rt.now().since(since) > 2 * CROSSING;
        self.guarded.borrow()[upstream].is_some_and(long)
    }

    /// Notes whether any shard has a closed circuit.
    pub(super) fn guard(&self, upstream: usize, closed: bool) {
        let mut guarded = self.guarded.borrow_mut();
        let since = &mut guarded[upstream];
        if closed {
            *since = None;
        } else if since.is_none() {
            *since = Some(self.rt.now());
            self.count("upstream left alone by all shards");
        }
    }

    /// An upstream may not be kept busy for a client that has left.
    pub(super) fn check_left(&self) {
        let (questions, attempts) = (self.questions.borrow(), self.attempts.borrow());
        let busy = self.busy.borrow();
        for busy in busy.iter().flatten().filter(|busy| !busy.peer.has_left()) {
            let question = attempts[busy.attempt].question;
            let asked = &questions[question];
            let left = asked.fate == Fate::Left && asked.watched;
            if left && self.rt.now().since(asked.ended) > CROSSING {
                self.wrong(format!("q-{question} is still asked though its client has left"));
            }
        }
    }

    /// Nothing may be asked any more when all clients have gone.
    pub(super) fn check_idle(&self) {
        for (upstream, busy) in self.busy.borrow().iter().enumerate() {
            let left = busy.iter().filter(|busy| !busy.peer.has_left()).count();
            if left > 0 {
                self.wrong(format!("u{upstream} still answers {left} that nobody waits for"));
            }
        }
    }
}

pub(super) fn seconds(at: Tick) -> f64 {
    Duration::from_nanos(at.0).as_secs_f64()
}
