//! How processes share one amount of money in one period: each holds a lease of it.
//!
//! The pool is what all of them know together: what each has used, and what it may use. A process
//! asks for more before it needs it, gives back what it does not need, and never waits for the
//! pool. What all may use together is never more than there is, unless what is used already is.
//!
//! ```text
//! ceiling  |--- used by A ---|-- A may --|---- used by B ----|-- B may --|--- nobody's yet ---|
//! ```
//!
//! A lease ends, and a process that cannot renew it stops using it. Nobody else knows how much of
//! it was used by then, so all of it counts as used until that process tells, or for [`DOUBT`]
//! times as long as it was good: then it is taken for dead, and what it has not told is free again.
//!
//! A pool may forget: its store was emptied, or another took over that had not heard all of it yet.
//! A process says what the pool must know of it, so the pool notices, and gives nothing new until
//! all leases that it may have forgotten were told or have ended. What processes had spent that are
//! gone by then is lost with it.
//!
//! [`Pool`] is the model of what the shared store does in a script of its own
//! (`shared/exchange.lua`); simulations run on it, and a test holds the two to each other.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::Tick;
use crate::config::WhenAway;

/// Of what is nobody's, a process takes at most one part of so many, unless a request needs more.
const PART: u64 = 2;

/// So many times as long as it was good a lease that has ended counts as used.
const DOUBT: u32 = 60;

/// A request that was refused for want of a lease is likely to come again within this time.
const HUNGER: Duration = Duration::from_secs(2);

/// What a process tells and asks about one pool. Amounts are in nano-dollars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What it has used, with what is reserved.
    pub used: u64,
    /// What it may use in all until it hears otherwise; not less than `used`.
    pub claim: u64,
    /// What it would like to hold beyond `used`.
    pub target: u64,
    /// What a request that was refused lacked.
    pub short: u64,
    /// What the pool knows that it may use, at least; none before it has answered.
    pub known: Option<u64>,
}

/// What a process is told of one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// What it may use in all.
    pub may: u64,
    /// What a process would hold beyond what it has used, if all held the same.
    pub fair: u64,
    /// What all have used, with what is reserved.
    pub used: u64,
    /// Processes that hold leases.
    pub holders: u64,
}

/// One amount in one period.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    /// What all may use, and what those that are gone have used.
    total: u64,
    /// What all have used.
    used: u64,
    members: BTreeMap<u64, Member>,
    /// Nothing new is given until then: leases may be good that were forgotten.
    quiet_until: Tick,
    /// Until then a request waits that needs more than is nobody's: all give back what they hold.
    hungry_until: Tick,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    used: u64,
    may: u64,
    /// Its lease is good until then.
    until: Tick,
    /// It is taken for dead then; no more once it was.
    dead: Option<Tick>,
}

impl Pool {
    /// One process tells what it has used and gets a lease for `lifetime`. Without one it leaves:
    /// what it does not use is free again.
    pub fn exchange(
        &mut self,
        member: u64,
        ask: Ask,
        (ceiling, now): (u64, Tick),
        lifetime: Option<Duration>,
    ) -> Grant {
        for gone in self.members.values_mut().filter(|m| m.dead.is_some_and(|end| end <= now)) {
            self.total = self.total - gone.may + gone.used;
            gone.may = gone.used;
            gone.dead = None;
        }
        let known = self.members.get(&member).copied();
        let (used_before, may_before) = known.map_or((0, 0), |known| (known.used, known.may));
        let forgot = |told| known.is_none_or(|known| known.dead.is_some() && known.may < told);
        if let (true, Some(lifetime)) = (ask.known.is_some_and(forgot), lifetime) {
            self.quiet_until = now.after(lifetime);
        }
        let others = self.total - may_before;
        self.used = self.used - used_before + ask.used;
        let room = ceiling.saturating_sub(others.saturating_add(ask.used));
        // A part of what a request needs would help nobody: the others are to give back what they
        // hold, so that it is there when it is asked for again.
        let short = if ask.short <= room { ask.short } else { 0 };
        if short < ask.short && lifetime.is_some() {
            self.hungry_until = now.after(HUNGER);
        }
        let is_quiet = self.quiet_until > now;
        let hold = if is_quiet { 0 } else { ask.target.min(room / PART).max(short) };
        let may = match lifetime {
            None => {
                self.members.remove(&member);
                ask.used
            }
            Some(lifetime) => {
                let may = ask.claim.max(ask.used + hold);
                let (until, dead) = (now.after(lifetime), Some(now.after(lifetime * DOUBT)));
                self.members.insert(member, Member { used: ask.used, may, until, dead });
                may
            }
        };
        self.total = others + may;
        let holders = self.members.values().filter(|member| member.until > now).count();
        let holders = u64::try_from(holders).unwrap_or(u64::MAX);
        let fair = match self.hungry_until > now {
            true => 0,
            false => ceiling.saturating_sub(self.used) / (PART * holders.max(1)),
        };
        Grant { may, fair, used: self.used, holders }
    }
}

/// How often a process tells what it has used, if there is nothing else to tell.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// One process's side of one pool.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    ceiling: u64,
    /// What it may use in all.
    may: u64,
    /// Its lease is good until then.
    until: Option<Tick>,
    /// When the pool was last asked.
    asked: Option<Tick>,
    /// What was used then.
    used_then: u64,
    /// What is likely to be used soon.
    soon: u64,
    /// What the pool knows that may be used, at least, whether it has heard what was last asked or
    /// not.
    known: Option<u64>,
    /// What is held for a request that was refused, and until when it may come again.
    wanted: (u64, Tick),
    last: Grant,
}

impl Lease {
    /// Nothing may be used yet.
    pub const fn new(ceiling: u64) -> Self {
        let last = Grant { may: 0, fair: 0, used: 0, holders: 0 };
        let (until, asked, known, wanted) = (None, None, None, (0, Tick(0)));
        Self { ceiling, may: 0, until, asked, used_then: 0, soon: 0, known, wanted, last }
    }

    /// What of the whole this process may not use.
    pub const fn elsewhere(&self) -> u64 {
        self.ceiling.saturating_sub(self.may)
    }

    /// Of that, what nobody has used, as far as is known.
    pub const fn unused_elsewhere(&self, used: u64) -> u64 {
        self.elsewhere().saturating_sub(self.last.used.saturating_sub(used))
    }

    /// What to ask the pool when `used` is used and a request that was refused lacked `short`;
    /// none when there is nothing to say. No more than its claim may be used from now on: the
    /// caller sees to that before it asks.
    pub fn ask(&mut self, used: u64, short: u64, now: Tick, lifetime: Duration) -> Option<Ask> {
        let lately = used.saturating_sub(self.used_then);
        let soon = (self.soon - self.soon / 8).max(lately.saturating_mul(4));
        let (wanted, until) = self.wanted;
        let target = self.last.fair.max(soon).max(if now < until { wanted } else { 0 });
        let ago = self.asked.map(|asked| now.since(asked));
        let more = used.saturating_add(target / 2) > self.may && self.may < self.ceiling;
        let less = self.may > used.saturating_add(target.saturating_mul(2));
        // As far as is known there is something to be had.
        let helps = self.last.used.saturating_add(short) <= self.ceiling;
        let news = more || less || (short > 0 && helps);
        let tells = used != self.used_then || short > 0;
        let due = match ago {
            None => true,
            Some(ago) => news || ago >= lifetime / 4 || tells && ago >= TELL_EVERY,
        };
        due.then(|| {
            self.soon = soon;
            // What a request that was refused could not use is of more use to others.
            let keeps = if short > 0 { 0 } else { target };
            self.may = used.max(self.may.min(used.saturating_add(keeps)));
            let known = self.known;
            self.known = known.map(|known| known.min(self.may));
            Ask { used, claim: self.may, target, short, known }
        })
    }

    /// So much was used already when the caller had seen to it that no more is than was claimed.
    #[must_use]
    pub fn claimed(&mut self, ask: Ask, used: u64) -> Ask {
        self.may = self.may.max(used);
        Ask { used, claim: self.may, ..ask }
    }

    /// The pool was asked at `asked`, and has answered.
    pub fn on_grant(&mut self, ask: Ask, asked: Tick, grant: Grant, lifetime: Duration) {
        self.used_then = ask.used;
        self.may = grant.may;
        if ask.short > 0 && grant.may >= ask.used.saturating_add(ask.short) {
            self.wanted = (ask.short, asked.after(HUNGER));
        }
        self.known = Some(grant.may);
        self.last = grant;
        self.asked = Some(asked);
        // It stops before others begin, also where clocks differ a little.
        self.until = Some(asked.after(lifetime / 10 * 9));
    }

    /// Has the lease ended, or was there never one? Then what may be used is by the rule.
    pub fn has_ended(&mut self, used: u64, now: Tick, away: WhenAway) -> bool {
        let ended = self.until.is_none_or(|until| until <= now);
        if ended {
            self.may = match away {
                WhenAway::Serve => self.ceiling.max(used),
                WhenAway::Refuse => used,
            };
        }
        ended
    }
}
