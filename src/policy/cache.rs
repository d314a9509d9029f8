//! What may be answered from the response cache, and what may be put into it.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use super::digest::{Digest, hex, sha256, unhex};

/// What a request is found by: the digest of all that shapes its answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CacheKey(Digest);

/// A digest is spread already: part of it will do, behind what [`CacheKey::place`] takes.
impl Hash for CacheKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let part = self.0.last_chunk().map_or(0, |part| u64::from_le_bytes(*part));
        state.write_u64(part);
    }
}

/// For tables that are searched by a [`CacheKey`].
#[derive(Debug, Default)]
pub struct CacheHasher(u64);

impl Hasher for CacheHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, part: u64) {
        self.0 = part;
    }

    /// No key comes this way; what else does is spread, too.
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
}

impl std::fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CacheKey")
    }
}

impl CacheKey {
    /// The key of a text and these parts; `text` is longer behind this. Two have one key only when
    /// all their parts are the same: how long each is and how many there are stands behind them,
    /// and nobody can find two texts with one digest.
    pub fn of(text: &mut Vec<u8>, parts: &[&[u8]]) -> Self {
        let length = |length: usize| u64::try_from(length).unwrap_or(u64::MAX).to_le_bytes();
        let own = length(text.len());
        parts.iter().for_each(|part| text.extend_from_slice(part));
        parts.iter().for_each(|part| text.extend_from_slice(&length(part.len())));
        text.extend_from_slice(&own);
        text.extend_from_slice(&length(parts.len()));
        Self(sha256(text))
    }

    /// As it is told to other gateways.
    pub fn to_hex(&self) -> String {
        hex(&self.0)
    }

    /// Reads [`CacheKey::to_hex`].
    pub fn from_hex(text: &str) -> Option<Self> {
        unhex(text).map(Self)
    }

    /// A number below `below`, evenly spread over all keys.
    pub fn place(&self, below: usize) -> usize {
        let [a, b, c, d, ..] = self.0;
        let number = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(0);
        number.checked_rem(below).unwrap_or(0)
    }
}

/// What a request's head says about the cache (RFC 9111 section 5.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one directive")]
pub struct CacheWish {
    /// `x-vertex-bridge-cache`: the answer may come from the cache whatever the request is, or may
    /// not.
    pub own: Option<bool>,
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache`, or `max-age=0`.
    pub no_cache: bool,
    /// `only-if-cached`.
    pub only_if_cached: bool,
    /// `max-age`: an older answer will not do.
    pub max_age: Option<Duration>,
    /// `min-fresh`: an answer must stay fresh for so long.
    pub min_fresh: Option<Duration>,
}

/// `x-vertex-bridge-cache` says neither `on` nor `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchWish;

impl CacheWish {
    /// What most requests say.
    pub const NONE: Self = Self {
        own: None,
        no_store: false,
        no_cache: false,
        only_if_cached: false,
        max_age: None,
        min_fresh: None,
    };

    /// Reads the value of `x-vertex-bridge-cache` and those of all `cache-control` fields. A
    /// directive that is not known, or makes no sense, says nothing, as RFC 9111 wants it; but an
    /// age that cannot be read asks for a fresh answer.
    ///
    /// # Errors
    /// The field of our own makes no sense.
    pub fn read<V: AsRef<[u8]>>(
        own: Option<&[u8]>,
        controls: impl Iterator<Item = V>,
    ) -> Result<Self, NoSuchWish> {
        let own = match own {
            None => None,
            Some(word) if word.eq_ignore_ascii_case(b"on") => Some(true),
            Some(word) if word.eq_ignore_ascii_case(b"off") => Some(false),
            Some(_) => return Err(NoSuchWish),
        };
        let mut wish = Self { own, ..Self::default() };
        for value in controls {
            value.as_ref().split(|byte| *byte == b',').for_each(|one| wish.note(one));
        }
        Ok(wish)
    }

    fn note(&mut self, directive: &[u8]) {
        let mark = directive.iter().position(|byte| *byte == b'=').unwrap_or(directive.len());
        let (name, value) = directive.split_at(mark);
        let name = name.trim_ascii();
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        match () {
            () if is("no-store") => self.no_store = true,
            () if is("no-cache") => self.no_cache = true,
            () if is("only-if-cached") => self.only_if_cached = true,
            () if is("max-age") => match seconds(value) {
                Some(Duration::ZERO) | None => self.no_cache = true,
                age => self.max_age = self.max_age.min(age).or(age),
            },
            () if is("min-fresh") => match seconds(value) {
                Some(fresh) => self.min_fresh = self.min_fresh.max(Some(fresh)),
                None => self.no_cache = true,
            },
            () => {}
        }
    }

    /// May this request be answered from the cache, and its answer be put there? `same` tells
    /// whether two answers to it are the same answer; `route` is what the operator decided for all
    /// of its route, if that.
    pub fn admits(&self, same: bool, route: Option<bool>) -> bool {
        if self.no_store || self.own == Some(false) || route == Some(false) {
            return false;
        }
        same || self.own == Some(true) || route == Some(true)
    }

    /// Will an answer of this age do, which is fresh for so long still?
    pub fn takes(&self, age: Duration, left: Duration) -> bool {
        let young = self.max_age.is_none_or(|most| age <= most);
        let fresh = self.min_fresh.is_none_or(|least| left >= least);
        !self.no_cache && !left.is_zero() && young && fresh
    }
}

/// The seconds behind `=`, with quotes or without. More than a number can hold is for ever.
fn seconds(value: &[u8]) -> Option<Duration> {
    let value = value.strip_prefix(b"=")?.trim_ascii();
    let quoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let digits = quoted.unwrap_or(value);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |sum: u64, digit: &u8| {
        sum.saturating_mul(10).saturating_add(u64::from(digit.saturating_sub(b'0')))
    };
    Some(Duration::from_secs(digits.iter().fold(0, add)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(control: &str) -> CacheWish {
        CacheWish::read(None, std::iter::once(control)).expect("a wish")
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn parts_cannot_be_mistaken_for_others() {
        let key = |text: &[u8], parts: &[&[u8]]| CacheKey::of(&mut text.to_vec(), parts);
        let keys = [
            key(b"a", &[b"bc"]),
            key(b"ab", &[b"c"]),
            key(b"abc", &[]),
            key(b"abc", &[b""]),
            key(b"", &[b"abc"]),
            key(b"", &[b"ab", b"c"]),
            key(b"", &[b"a", b"bc"]),
        ];
        for (place, one) in keys.iter().enumerate() {
            assert!(keys[..place].iter().all(|other| other != one));
        }
        assert!(key(b"a", &[b"bc"]) == keys[0]);
        let mut counts = [0; 16];
        for number in 0..16_000_u32 {
            counts[key(&number.to_le_bytes(), &[]).place(16)] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }

    #[test]
    fn directives_are_read_as_http_means_them() {
        let none = CacheWish::default();
        assert_eq!(wish(""), none);
        assert_eq!(wish("no-transform, max-stale=5, x=\"y"), none);
        assert!(wish("No-Store").no_store && wish("max-age=3 , no-store").no_store);
        assert!(wish("no-cache").no_cache && wish("max-age=0").no_cache);
        assert!(wish("max-age").no_cache && wish("max-age=-1").no_cache);
        assert!(wish("min-fresh=x").no_cache && wish("only-if-cached").only_if_cached);
        assert_eq!(wish("max-age=60, max-age=30").max_age, Some(secs(30)));
        assert_eq!(wish("max-age=\"60\"").max_age, Some(secs(60)));
        assert_eq!(wish("max-age=99999999999999999999").max_age, Some(secs(u64::MAX)));
        let both = CacheWish::read(None, ["max-age=9", "min-fresh=4"].into_iter());
        let expected = CacheWish { max_age: Some(secs(9)), min_fresh: Some(secs(4)), ..none };
        assert_eq!(both, Ok(expected));
        let own = |word: &str| CacheWish::read(Some(word.as_bytes()), std::iter::empty::<&str>());
        assert_eq!(own("ON"), Ok(CacheWish { own: Some(true), ..none }));
        assert_eq!(own("off"), Ok(CacheWish { own: Some(false), ..none }));
        assert_eq!(own("maybe"), Err(NoSuchWish));
    }

    #[test]
    fn only_what_is_the_same_every_time_or_wished_for_is_cached() {
        let on = CacheWish { own: Some(true), ..CacheWish::default() };
        let off = CacheWish { own: Some(false), ..CacheWish::default() };
        let none = CacheWish::default();
        for (wish, same, route, admitted) in [
            (none, true, None, true),
            (none, false, None, false),
            (none, false, Some(true), true),
            (none, true, Some(false), false),
            (on, false, None, true),
            (on, false, Some(false), false),
            (off, true, Some(true), false),
            (wish("no-store"), true, Some(true), false),
            (wish("no-cache"), true, None, true),
        ] {
            assert_eq!(wish.admits(same, route), admitted, "{wish:?} {same} {route:?}");
        }
    }

    #[test]
    fn an_answer_must_be_fresh_enough() {
        for (control, age, left, will_do) in [
            ("", 0, 1, true),
            ("", 3600, 1, true),
            ("", 3600, 0, false),
            ("no-cache", 0, 60, false),
            ("max-age=10", 10, 60, true),
            ("max-age=10", 11, 60, false),
            ("min-fresh=10", 0, 10, true),
            ("min-fresh=10", 0, 9, false),
            ("max-stale=100", 61, 0, false),
        ] {
            assert_eq!(wish(control).takes(secs(age), secs(left)), will_do, "{control} {age}");
        }
    }
}
