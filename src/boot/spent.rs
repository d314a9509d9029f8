//! What keys have spent in other processes: before this one, beside it during a hand-over, and in
//! one that has died and whose exchanges were found afterwards. Budgets are told of it.
//!
//! The ledger knows what all have spent together. What this process has put into it is summed up
//! here, so the rest is the others'. Both are read on the one thread that writes the ledger, at a
//! moment when every record is in both or in none.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::base::date::DAY_MS;
use crate::config::Budget;
use crate::journal::Record;
use crate::journal::record::key_as_kept;
use crate::policy::KeyId;
use crate::shard::Access;
use crate::store::{Ledger, StoreError};

use super::keys::Latest;

/// What is known of the spend of others.
#[derive(Debug)]
pub(super) struct Spent {
    /// The keys as they are now.
    access: Latest,
    /// The state of the store when it was last read.
    seen: Option<i64>,
    /// What this process has spent, by key and by the day on which the exchange began.
    own: BTreeMap<(String, u64), u64>,
    /// What others have spent, as the budgets were told: by key and period, since when, how much.
    told: BTreeMap<(String, u8), (u64, u64)>,
    /// Budgets are shared, and what anybody spends is known from there.
    shared: bool,
}

impl Spent {
    /// Nothing is known yet.
    pub(super) const fn new(access: Latest, shared: bool) -> Self {
        Self { access, seen: None, own: BTreeMap::new(), told: BTreeMap::new(), shared }
    }

    /// Tells the budgets what others have spent, if anybody else has written since this was last
    /// called. What a process has left that died is written by this one: then `adopted`.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub(super) fn look(
        &mut self,
        ledger: &Ledger,
        adopted: bool,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        if self.shared {
            return Ok(());
        }
        let state = Some(ledger.others()?);
        if adopted || self.seen != state {
            let access = self.access.read();
            self.tell(ledger, &access, now_ms)?;
        }
        self.seen = state;
        Ok(())
    }

    /// This process has put a record into the ledger.
    pub(super) fn on_record(&mut self, record: &Record<'_>) {
        if record.priced && record.cost_nanos > 0 && !record.key.is_empty() {
            let day = record.started_ms / DAY_MS;
            let sum = self.own.entry((record.key.to_owned(), day)).or_default();
            *sum = sum.saturating_add(record.cost_nanos);
        }
    }

    /// Tells the budgets of all keys what others have spent by now.
    ///
    /// # Errors
    /// The ledger cannot be read.
    fn tell(&mut self, ledger: &Ledger, access: &Access, now_ms: u64) -> Result<(), StoreError> {
        let mut totals: BTreeMap<u64, BTreeMap<String, u64>> = BTreeMap::new();
        for (place, holder) in access.keys.holders().iter().enumerate() {
            let key = KeyId::Configured(place);
            let name = key_as_kept(&holder.name);
            for (budget, _, since_ms) in access.rates.spent(key, now_ms) {
                let all = match totals.entry(since_ms) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(place) => {
                        let all = ledger.spent_by_key(since_ms, u64::MAX)?;
                        place.insert(all.into_iter().collect())
                    }
                };
                let all = all.get(name).copied().unwrap_or(0);
                let others = all.saturating_sub(self.own_since(name, since_ms));
                let (more, less) = self.news(name, budget, since_ms, others);
                if more > 0 || less > 0 {
                    access.rates.correct_spent(key, budget, now_ms, (more, less));
                }
            }
        }
        Ok(())
    }

    fn own_since(&self, name: &str, since_ms: u64) -> u64 {
        let from = (name.to_owned(), since_ms / DAY_MS);
        let to = (name.to_owned(), u64::MAX);
        self.own.range(from..=to).fold(0, |sum, (_, nanos)| sum.saturating_add(*nanos))
    }

    /// By how much what others have spent is more or less than the budget was told.
    fn news(&mut self, name: &str, budget: Budget, since_ms: u64, others: u64) -> (u64, u64) {
        let told = self.told.entry((name.to_owned(), budget.per as u8)).or_default();
        // In a new period nothing was told yet.
        let before = if told.0 == since_ms { told.1 } else { 0 };
        *told = (since_ms, others);
        (others.saturating_sub(before), before.saturating_sub(others))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::config::{Config, Sources};
    use crate::policy::Holder;

    /// 2026-11-30T12:00:00Z.
    const NOON: u64 = 1_796_040_000_000;
    const USD: u64 = 1_000_000_000;
    const KEY: KeyId = KeyId::Configured(0);

    struct Store(PathBuf);

    impl Store {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("vb-spent-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&dir).unwrap();
            Self(dir)
        }

        fn ledger(&self) -> Ledger {
            Ledger::open(&self.0.join("vertex-bridge.db")).unwrap()
        }
    }

    impl Drop for Store {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    fn access() -> Access {
        let file = "[[key]]\nname = \"a\"\nsecret = \"0123456789abcdef\"\n\
                    budget = [{ usd = \"10\", per = \"day\" }, { usd = \"99\", per = \"total\" }]\n";
        let none = |_: &str| Err(String::new());
        let sources =
            Sources { file: Some(("f", file)), flags: &[], variables: &[], read_file: &none };
        let config = Config::load(&sources).expect("a configuration");
        Access::new(&config, &Holder::of(&config.auth.keys), NOON, 0)
    }

    fn record(started_ms: u64, usd: u64) -> Record<'static> {
        Record {
            started_ms,
            cost_nanos: usd * USD,
            priced: true,
            ending: crate::journal::Ending::Answered,
            id: "req",
            key: "a",
            ..Record::default()
        }
    }

    fn used(access: &Access, now_ms: u64) -> Vec<u64> {
        access.rates.spent(KEY, now_ms).iter().map(|(_, used, _)| used / USD).collect()
    }

    #[test]
    fn what_was_spent_before_counts_and_what_this_process_spends_counts_once() {
        let store = Store::new("before");
        let (mut ledger, access) = (store.ledger(), access());
        let before = [(1, record(NOON, 2)), (2, record(NOON - DAY_MS, 3))];
        ledger.append(7, &before).unwrap();
        let mut spent = Spent::new(Latest::of(access.clone()), false);
        spent.look(&ledger, true, NOON).unwrap();
        assert_eq!(used(&access, NOON), [2, 5]);
        let reserved = access.rates.spend(KEY, NOON, 4 * USD).unwrap();
        access.rates.settle(KEY, reserved, USD);
        ledger.append(8, &[(1, record(NOON, 1))]).unwrap();
        spent.on_record(&record(NOON, 1));
        spent.look(&ledger, true, NOON).unwrap();
        spent.look(&ledger, true, NOON).unwrap();
        assert_eq!(used(&access, NOON), [3, 6]);
    }

    #[test]
    fn what_another_process_spends_meanwhile_is_learnt_and_taken_back_when_it_is_corrected() {
        let store = Store::new("beside");
        let (ledger, mut other, access) = (store.ledger(), store.ledger(), access());
        let mut spent = Spent::new(Latest::of(access.clone()), false);
        spent.look(&ledger, false, NOON).unwrap();
        assert_eq!(used(&access, NOON), [0, 0]);
        other.append(7, &[(1, record(NOON, 2))]).unwrap();
        spent.look(&ledger, false, NOON).unwrap();
        assert_eq!(used(&access, NOON), [2, 2]);
        other.append(7, &[(2, record(NOON, 5))]).unwrap();
        spent.look(&ledger, false, NOON).unwrap();
        spent.look(&ledger, false, NOON).unwrap();
        assert_eq!(used(&access, NOON), [7, 7]);
        // A day later the day's budget is free, and what others spend then counts.
        other.append(7, &[(3, record(NOON + DAY_MS, 1))]).unwrap();
        let latest = access.clone();
        spent.tell(&ledger, &latest, NOON + DAY_MS).unwrap();
        assert_eq!(used(&access, NOON + DAY_MS), [1, 8]);
    }
}
