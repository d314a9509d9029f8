//! Who may call and how much: what a shard looks at for every request. It is replaced as a whole
//! when the store's keys change.

use std::cell::{Ref, RefCell};
use std::sync::Arc;

use crate::config::Config;
use crate::policy::{Holder, Keyring};

use super::rates::Rates;

/// The keys and their meters, which belong together.
#[derive(Clone, Debug)]
pub struct Access {
    /// Who may call.
    pub keys: Arc<Keyring>,
    /// How much clients have asked, of all shards.
    pub rates: Rates,
}

impl Access {
    /// For a process that begins. `salt` is a random number.
    pub fn new(config: &Config, holders: &[Holder], now_ms: u64, salt: u64) -> Self {
        Self {
            keys: Arc::new(Keyring::new(holders.to_vec(), &config.auth, salt)),
            rates: Rates::new(config, holders, now_ms),
        }
    }

    /// With the same keys and others behind them. Who was known keeps its meter; so many
    /// `processes` share the limits.
    #[must_use]
    pub fn next(
        &self,
        config: &Config,
        holders: &[Holder],
        (now_ms, salt): (u64, u64),
        processes: u64,
    ) -> Self {
        Self {
            keys: Arc::new(Keyring::new(holders.to_vec(), &config.auth, salt)),
            rates: self.rates.next(config, holders, now_ms, processes),
        }
    }
}

/// A shard's access as it is now.
#[derive(Debug)]
pub struct AccessCell(RefCell<Access>);

impl AccessCell {
    /// The access that a shard begins with.
    pub const fn new(access: Access) -> Self {
        Self(RefCell::new(access))
    }

    /// Who may call.
    pub fn keys(&self) -> Ref<'_, Keyring> {
        Ref::map(self.0.borrow(), |access| &*access.keys)
    }

    /// Who may call, to be kept beside later changes.
    pub fn ring(&self) -> Arc<Keyring> {
        Arc::clone(&self.0.borrow().keys)
    }

    /// How much clients have asked.
    pub fn rates(&self) -> Ref<'_, Rates> {
        Ref::map(self.0.borrow(), |access| &access.rates)
    }

    /// Other keys. What runs goes on: a key's place means the same key.
    pub fn replace(&self, access: Access) {
        *self.0.borrow_mut() = access;
    }
}
