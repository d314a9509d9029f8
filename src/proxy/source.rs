//! How an answer came about, and what of it is kept for others.

use std::time::Duration;

use crate::base::ascii;
use crate::rt::Runtime;
use crate::shard::{Change, Landing, Lead, Shard};
use crate::wire::find::lines;

/// How an answer came about, for `x-vertex-bridge-cache`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Source {
    /// There is no cache.
    #[default]
    Upstream,
    /// The request is none for the cache.
    Bypass,
    /// It was not in the cache.
    Miss,
    /// It was on its way to somebody else.
    Coalesced,
    /// It was in the cache for so long.
    Hit(Duration),
}

impl Source {
    /// Did somebody else pay for it?
    pub(super) const fn is_shared(self) -> bool {
        matches!(self, Self::Coalesced | Self::Hit(_))
    }

    /// Appends the fields that tell; `own` are those of our own.
    pub(super) fn push_fields(self, own: bool, out: &mut Vec<u8>) {
        let word = match self {
            Self::Upstream => return,
            Self::Bypass => "bypass",
            Self::Miss => "miss",
            Self::Coalesced => "coalesced",
            Self::Hit(_) => "hit",
        };
        if let Self::Hit(age) = self {
            out.extend_from_slice(b"age: ");
            ascii::push_u64(out, age.as_secs());
            out.extend_from_slice(b"\r\n");
        }
        if own {
            out.extend_from_slice(b"x-vertex-bridge-cache: ");
            out.extend_from_slice(word.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Lines of a head that belong to the answer, not to the one who asked for it.
const SHARED: [&[u8]; 4] =
    [b"x-vertex-bridge-dropped:", b"retry-after:", b"retry-after-ms:", b"x-should-retry:"];

/// Those of these lines that are everybody's.
pub(super) fn shared(fields: &[u8]) -> Vec<u8> {
    lines_where(fields, |line| SHARED.iter().any(|name| line.starts_with(name)))
}

/// Those of these lines that are wanted.
pub(super) fn lines_where(fields: &[u8], wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut found = Vec::new();
    for line in lines(fields).filter(|line| wanted(line)) {
        found.extend_from_slice(line);
    }
    found
}

/// Ends what an exchange led. `good`: its answer is whole and ended as it should.
pub(super) fn land<R: Runtime>(shard: &Shard<R>, lead: &Lead, landing: Landing, good: bool) {
    let ttl = shard.config.cache.as_ref().map_or(Duration::ZERO, |cache| cache.ttl);
    let Change { stored, freed, evicted } = lead.end(landing, good, (shard.rt.now(), ttl));
    let cells = &shard.cells;
    cells.cache_stored[0].add(stored.0);
    cells.cache_stored[1].add(stored.1);
    cells.cache_freed[0].add(freed.0);
    cells.cache_freed[1].add(freed.1);
    cells.cache_evicted.add(evicted);
}
