//! The response cache: whole answers, and those that are on their way.
//!
//! All shards share it, behind a few short locks, and only requests that may be cached touch it:
//! docs/architecture.md says why. What it holds is bounded in bytes, with all that is around an
//! answer counted; what has not been asked for again since its turn came last makes room first.

use std::cell::Cell;
use std::collections::VecDeque;
use std::collections::hash_map::{self, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::base::Tick;
use crate::config::Cache as Wanted;
use crate::policy::{CacheHasher, CacheKey, CacheWish};

use super::flight::{Flight, Head, Kept, Landing, Seat};
use super::outbox::Outbox;

/// Locks at most, so that cores rarely meet.
const SLOTS_MAX: usize = 64;

/// A slot has room for so many of the largest answers at least.
const LARGEST_PER_SLOT: usize = 4;

/// What an answer takes besides its own bytes: its key twice, the tables around it with their spare
/// places, its head, the allocator's share.
const OVERHEAD: usize = 512;

/// An answer that was just kept, for so long.
pub type Fresh = (CacheKey, Arc<Kept>, Duration);

#[derive(Debug)]
struct Entry {
    kept: Arc<Kept>,
    since: Tick,
    until: Tick,
    /// It was asked for since its turn came last.
    used: bool,
}

type Table<V> = HashMap<CacheKey, V, BuildHasherDefault<CacheHasher>>;

#[derive(Debug, Default)]
struct Slot {
    entries: Table<Entry>,
    /// Whose turn it is to make room; each entry stands here once.
    order: VecDeque<CacheKey>,
    flights: Table<Arc<Flight>>,
    bytes: usize,
}

#[derive(Debug)]
struct Inner {
    slots: Box<[Mutex<Slot>]>,
    slot_bytes_max: usize,
    wanted: Wanted,
    /// For gateways that share this.
    outbox: Outbox<Fresh>,
}

/// The answers that all shards know.
#[derive(Clone, Debug)]
pub struct Cache(Arc<Inner>);

/// What the cache has for a request.
#[derive(Debug)]
pub enum Found {
    /// An answer, and its age.
    Hit(Arc<Kept>, Duration),
    /// An identical request is on its way: a seat to read its answer from.
    Follow(Seat),
    /// Nothing: whoever asked leads, and reads from this seat.
    Lead(Lead, Seat),
}

/// What a change did to the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Answers and bytes that came in.
    pub stored: (u64, u64),
    /// Answers and bytes that went.
    pub freed: (u64, u64),
    /// Of those, the answers that went to make room.
    pub evicted: u64,
}

/// The one that asks the upstream for all.
#[derive(Debug)]
pub struct Lead {
    cache: Cache,
    key: CacheKey,
    flight: Arc<Flight>,
    has_ended: Cell<bool>,
}

impl Cache {
    /// Holds as much as the operator wants.
    pub fn new(wanted: Wanted) -> Self {
        Self::with(wanted, Outbox::default())
    }

    /// The same, and others are told of each answer.
    pub fn with(wanted: Wanted, outbox: Outbox<Fresh>) -> Self {
        let largest = wanted.entry_bytes_max.max(1).saturating_mul(LARGEST_PER_SLOT);
        let slots = (wanted.bytes_max / largest).clamp(1, SLOTS_MAX);
        let slot_bytes_max = wanted.bytes_max / slots;
        let slots = (0..slots).map(|_| Mutex::default()).collect();
        Self(Arc::new(Inner { slots, slot_bytes_max, wanted, outbox }))
    }

    /// What there is for a request that says `wish`. Whoever joins what is on its way, or leads it,
    /// is known as that when this returns: of all that ask the same at one time one leads.
    pub fn find(&self, key: CacheKey, wish: &CacheWish, now: Tick) -> Found {
        let mut slot = self.slot(&key);
        if let Some(entry) = slot.entries.get_mut(&key) {
            let (age, left) = entry.times(now);
            if wish.takes(age, left) {
                entry.used = true;
                return Found::Hit(Arc::clone(&entry.kept), age);
            }
        }
        // Whoever wants nothing that was kept wants nothing that was asked before, either.
        let shares = self.0.wanted.single_flight && !wish.no_cache;
        if let Some(seat) = slot.flights.get(&key).filter(|_| shares).and_then(Flight::join) {
            return Found::Follow(seat);
        }
        let (flight, seat) = Flight::start(self.0.wanted.entry_bytes_max);
        if shares {
            slot.flights.insert(key, Arc::clone(&flight));
        }
        drop(slot);
        let has_ended = Cell::new(false);
        Found::Lead(Lead { cache: self.clone(), key, flight, has_ended }, seat)
    }

    /// Is there an answer that will do? Nobody leads because of the question.
    pub fn peek(
        &self,
        key: CacheKey,
        wish: &CacheWish,
        now: Tick,
    ) -> Option<(Arc<Kept>, Duration)> {
        let mut slot = self.slot(&key);
        let entry = slot.entries.get_mut(&key)?;
        let (age, left) = entry.times(now);
        wish.takes(age, left).then(|| {
            entry.used = true;
            (Arc::clone(&entry.kept), age)
        })
    }

    /// Keeps an answer that another gateway has got.
    pub fn take(&self, key: CacheKey, kept: Kept, (now, ttl): (Tick, Duration)) -> Change {
        if kept.body.len() > self.0.wanted.entry_bytes_max {
            return Change::default();
        }
        let entry = Entry::new(Arc::new(kept), now, ttl);
        self.slot(&key).keep(key, entry, self.0.slot_bytes_max)
    }

    fn slot(&self, key: &CacheKey) -> MutexGuard<'_, Slot> {
        let slots = &self.0.slots;
        // Every change of a slot is whole before anything in it could panic.
        slots[key.place(slots.len())].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Keeps an answer; what is over `bytes_max` then goes.
    fn keep(&mut self, key: CacheKey, entry: Entry, bytes_max: usize) -> Change {
        let mut change = Change::default();
        let size = entry.size();
        if size > bytes_max {
            return change;
        }
        match self.entries.insert(key, entry) {
            Some(old) => self.freed(&old, &mut change),
            None => self.order.push_back(key),
        }
        self.bytes += size;
        change.stored = (1, wide(size));
        while self.bytes > bytes_max {
            let Some(turn) = self.order.pop_front() else { break };
            let recent = turn == key || self.entries.get(&turn).is_some_and(|entry| entry.used);
            if recent {
                // It gets another turn, unless nobody asks for it meanwhile.
                self.entries.get_mut(&turn).into_iter().for_each(|entry| entry.used = false);
                self.order.push_back(turn);
            } else if let Some(old) = self.entries.remove(&turn) {
                self.freed(&old, &mut change);
                change.evicted += 1;
            }
        }
        change
    }

    fn freed(&mut self, old: &Entry, change: &mut Change) {
        let size = old.size();
        self.bytes -= size;
        change.freed.0 += 1;
        change.freed.1 += wide(size);
    }
}

impl Entry {
    /// An answer from now on for so long.
    fn new(kept: Arc<Kept>, now: Tick, ttl: Duration) -> Self {
        Self { kept, since: now, until: now.after(ttl), used: false }
    }

    /// Its age, and for how long it is fresh still.
    fn times(&self, now: Tick) -> (Duration, Duration) {
        (now.since(self.since), self.until.since(now))
    }

    /// Bytes that it takes.
    fn size(&self) -> usize {
        let Head { id, content_type, fields, own_fields, .. } = &self.kept.head;
        let head = id.capacity() + content_type.capacity() + fields.capacity();
        self.kept.body.capacity() + head + own_fields.capacity() + OVERHEAD
    }
}

impl Lead {
    /// The answer is in one piece; it is told when the exchange has ended.
    pub fn put_all(&self, kept: Kept) {
        self.flight.put_all(kept);
    }

    /// The head of a stream.
    pub fn put_head(&self, head: Head) {
        self.flight.put_head(head);
    }

    /// More of a stream.
    pub fn put(&self, bytes: &[u8]) {
        self.flight.put(bytes);
    }

    /// Ready when more may come: nobody who reads is far behind.
    pub fn poll_room(&self, context: &Context<'_>) -> Poll<()> {
        self.flight.poll_room(context)
    }

    /// The leader's exchange has ended. An answer that is `good` is kept from `now` on for `ttl`.
    pub fn end(&self, landing: Landing, good: bool, (now, ttl): (Tick, Duration)) -> Change {
        if self.has_ended.replace(true) {
            return Change::default();
        }
        let whole = if good { self.flight.whole() } else { None };
        let Inner { slot_bytes_max, wanted, outbox, .. } = &*self.cache.0;
        let kept = whole.filter(|kept| kept.body.len() <= wanted.entry_bytes_max);
        let mut slot = self.cache.slot(&self.key);
        // In one step: whoever asks now finds one of both.
        if let hash_map::Entry::Occupied(known) = slot.flights.entry(self.key)
            && Arc::ptr_eq(known.get(), &self.flight)
        {
            known.remove();
        }
        let change = kept
            .clone()
            .map(|kept| slot.keep(self.key, Entry::new(kept, now, ttl), *slot_bytes_max));
        drop(slot);
        if let Some(kept) = kept {
            outbox.put(|| (self.key, kept, ttl));
        }
        self.flight.land(landing);
        change.unwrap_or_default()
    }

    /// Changes whenever the leader's exchange or its client may go on because of the other.
    pub fn mark(&self) -> (usize, usize, bool) {
        self.flight.mark()
    }

    /// Ready when nobody waits for the answer any more.
    pub fn poll_deserted(&self, context: &Context<'_>) -> Poll<()> {
        self.flight.poll_deserted(context)
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        // The exchange ends it, whatever happens, unless that was never begun.
        self.end(Landing::Lost, false, (Tick::default(), Duration::ZERO));
    }
}

fn wide(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    fn cache(bytes_max: usize, entry_bytes_max: usize) -> Cache {
        Cache::new(Wanted {
            ttl: TTL,
            bytes_max,
            entry_bytes_max,
            shared: false,
            single_flight: true,
        })
    }

    fn key(number: u64) -> CacheKey {
        CacheKey::of(&mut number.to_le_bytes().to_vec(), &[])
    }

    fn answer(bytes: usize) -> Kept {
        Kept { head: Head { status: 200, ..Head::default() }, body: vec![b'x'; bytes] }
    }

    fn find(cache: &Cache, number: u64, now: Tick) -> Found {
        cache.find(key(number), &CacheWish::default(), now)
    }

    /// Asks, and keeps an answer of so many bytes unless there is one.
    fn ask(cache: &Cache, number: u64, bytes: usize, now: Tick) -> Option<Change> {
        match find(cache, number, now) {
            Found::Hit(..) => None,
            Found::Follow(_) => panic!("nobody else asks"),
            Found::Lead(lead, _seat) => {
                lead.put_all(answer(bytes));
                Some(lead.end(Landing::Whole, true, (now, TTL)))
            }
        }
    }

    fn bytes(cache: &Cache) -> usize {
        cache.0.slots.iter().map(|slot| slot.lock().unwrap().bytes).sum()
    }

    #[test]
    fn an_answer_is_given_again_while_it_is_fresh() {
        let cache = cache(1 << 20, 1 << 16);
        let at = |seconds| Tick(0).after(Duration::from_secs(seconds));
        assert!(ask(&cache, 1, 100, at(5)).is_some());
        let Found::Hit(kept, age) = find(&cache, 1, at(64)) else { panic!("a hit") };
        assert_eq!((kept.body.len(), age.as_secs()), (100, 59));
        assert!(matches!(find(&cache, 1, at(65)), Found::Lead(..)), "it is old");
        let wish = CacheWish { no_cache: true, ..CacheWish::default() };
        assert!(matches!(cache.find(key(1), &wish, at(6)), Found::Lead(..)));
        assert!(cache.peek(key(1), &wish, at(6)).is_none());
        assert!(cache.peek(key(1), &CacheWish::default(), at(6)).is_some());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "an upstream takes its time")]
    #[expect(clippy::needless_collect, reason = "all must run before one is waited for")]
    fn of_all_that_ask_the_same_one_leads_and_the_next_after_it_hits() {
        let cache = cache(1 << 20, 1 << 16);
        let (leads, follows, hits) = std::thread::scope(|scope| {
            let ask = || match find(&cache, 7, Tick(0)) {
                Found::Lead(lead, seat) => {
                    std::thread::sleep(Duration::from_millis(20));
                    lead.put_all(answer(2));
                    lead.end(Landing::Whole, true, (Tick(0), TTL));
                    drop(seat);
                    (1, 0, 0)
                }
                Found::Follow(_) => (0, 1, 0),
                Found::Hit(..) => (0, 0, 1),
            };
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(move || (0..500).map(|_| ask()).collect::<Vec<_>>()))
                .collect();
            let all = threads.into_iter().flat_map(|thread| thread.join().unwrap());
            all.fold((0, 0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2))
        });
        assert_eq!(leads, 1);
        assert_eq!(follows + hits, 8 * 500 - 1);
    }

    #[test]
    fn who_leads_and_goes_without_an_answer_leaves_room_for_the_next() {
        let cache = cache(1 << 20, 1 << 16);
        let Found::Lead(lead, seat) = find(&cache, 1, Tick(0)) else { panic!("it leads") };
        assert!(matches!(find(&cache, 1, Tick(0)), Found::Follow(_)));
        drop(seat);
        // Being let go: the next one does not wait for that.
        let Found::Lead(second, _seat) = find(&cache, 1, Tick(0)) else { panic!("it leads") };
        drop(lead);
        assert!(matches!(find(&cache, 1, Tick(0)), Found::Follow(_)), "of the second");
        drop(second);
        assert!(matches!(find(&cache, 1, Tick(0)), Found::Lead(..)));
    }

    #[test]
    fn only_good_answers_of_a_fit_length_are_kept() {
        let cache = cache(1 << 20, 1000);
        for (bytes, good, kept) in [(1000, true, true), (1001, true, false), (10, false, false)] {
            let number = u64::try_from(bytes).unwrap();
            let Found::Lead(lead, _seat) = find(&cache, number, Tick(0)) else {
                panic!("it leads")
            };
            lead.put_all(answer(bytes));
            let change = lead.end(Landing::Whole, good, (Tick(0), TTL));
            assert_eq!(change.stored.0 == 1, kept, "{bytes}");
            let found = find(&cache, number, Tick(0));
            assert_eq!(matches!(found, Found::Hit(..)), kept, "{bytes}");
        }
    }

    #[test]
    fn a_million_distinct_requests_stay_within_the_bound() {
        let most = 1 << 20;
        let cache = cache(most, 1 << 14);
        let (mut stored, mut freed, mut rng) = (0, 0, crate::base::Rng::new(5));
        for number in 0..1_000_000 {
            let size = usize::try_from(rng.below(4000)).unwrap();
            let change = ask(&cache, number, size, Tick(0)).expect("it is new");
            stored += change.stored.1;
            freed += change.freed.1;
            if number % 1000 == 0 {
                assert!(bytes(&cache) <= most, "{number}: {}", bytes(&cache));
            }
        }
        assert!(bytes(&cache) <= most && bytes(&cache) > most / 2);
        assert_eq!(stored - freed, u64::try_from(bytes(&cache)).unwrap());
        for slot in &cache.0.slots {
            let slot = slot.lock().unwrap();
            assert_eq!(slot.entries.len(), slot.order.len());
            assert!(slot.flights.is_empty());
            // The tables around them are paid for.
            let tables = slot.entries.capacity() * 64 + slot.order.capacity() * 32;
            assert!(tables < slot.entries.len() * OVERHEAD, "{tables}");
        }
    }

    #[test]
    fn what_is_asked_for_again_stays_and_what_passes_by_goes() {
        let cache = cache(1 << 20, 1 << 14);
        for number in 0..20 {
            ask(&cache, number, 1000, Tick(0));
        }
        for number in 1000..20_000 {
            ask(&cache, number, 1000, Tick(0));
            if number % 50 == 0 {
                let known =
                    (0..20).filter(|again| matches!(find(&cache, *again, Tick(0)), Found::Hit(..)));
                assert_eq!(known.count(), 20, "{number}");
            }
        }
        assert!(ask(&cache, 1000, 1000, Tick(0)).is_some(), "it was asked for once");
        let again = ask(&cache, 1000, 1000, Tick(0).after(TTL)).expect("it is old");
        assert_eq!((again.stored, again.freed), ((1, 1512), (1, 1512)), "it takes its own place");
    }
}
