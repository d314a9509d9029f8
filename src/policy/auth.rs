//! Who asks: the check of a client's key.
//!
//! Keys are kept as SHA-256 digests. Where there are many they lie in compartments, which a number
//! that nobody else knows decides on; in a compartment every one of them is compared, all of its
//! bytes, whatever the first ones say. So the time of an answer tells nothing about how near a
//! guess was.

use crate::base::Rng;
use crate::config::{Auth, DEVELOPMENT_KEY, Secret, covers};

use super::digest::{Digest, equal, sha256};
use super::holder::Holder;
use super::reject::Reject;

/// So many digests are compared for one request, about.
const COMPARTMENT: usize = 32;

/// Who was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyId {
    /// No key was sent and none is needed.
    Nobody,
    /// The development key, while there is no other.
    Development,
    /// Place among the holders. It means the same key as long as the process lives.
    Configured(usize),
}

/// A secret that opens.
#[derive(Clone, Copy, Debug)]
struct Known {
    digest: Digest,
    /// The holder's place.
    place: usize,
    /// From then on it is refused.
    until_ms: u64,
}

/// The keys that are let in.
#[derive(Clone, Debug)]
pub struct Keyring {
    /// Ordered by compartment.
    known: Vec<Known>,
    /// Where each compartment begins in `known`, and at last where the last one ends.
    starts: Vec<usize>,
    /// Decides on the compartment of a digest.
    salt: u64,
    holders: Vec<Holder>,
    admin: Option<Digest>,
    required: bool,
}

impl Keyring {
    /// Who is let in: the holders, or with the development key if there is none. `salt` is a random
    /// number.
    pub fn new(holders: Vec<Holder>, auth: &Auth, salt: u64) -> Self {
        let of = |(place, holder): (usize, &Holder)| {
            let secrets = holder.secrets.clone().into_iter();
            secrets.map(move |(digest, until_ms)| Known { digest, place, until_ms })
        };
        let mut known: Vec<Known> = holders.iter().enumerate().flat_map(of).collect();
        if holders.is_empty() {
            let digest = sha256(DEVELOPMENT_KEY.as_bytes());
            known.push(Known { digest, place: 0, until_ms: u64::MAX });
        }
        let count = (known.len() / COMPARTMENT).max(1);
        known.sort_by_key(|known| compartment(&known.digest, salt, count));
        let start = |at| known.partition_point(|of| compartment(&of.digest, salt, count) < at);
        let starts = (0..=count).map(start).collect();
        let admin = auth.admin.as_ref().map(|key: &Secret| sha256(key.expose().as_bytes()));
        let required = auth.required && !holders.is_empty();
        Self { known, starts, salt, holders, admin, required }
    }

    /// Decides whether the value of the `authorization` field is the admin key, and names it by
    /// its fingerprint, eight hexadecimal digits of its SHA-256.
    ///
    /// Without an admin key the development key stands for it as long as no client's key is
    /// configured either, which only a loopback address allows. It is known to everybody, so the
    /// request must be meant for this machine: `host` is its `host` field. A web page whose name
    /// was bent to this address is meant for another one.
    ///
    /// # Errors
    /// [`Reject::NoKey`], [`Reject::WrongKey`], or [`Reject::NoAdminKey`] when there is none.
    pub fn check_admin(
        &self,
        authorization: Option<&[u8]>,
        host: Option<&[u8]>,
    ) -> Result<String, Reject> {
        let development = self.holders.is_empty().then(|| sha256(DEVELOPMENT_KEY.as_bytes()));
        let known = self.admin.or(development).ok_or(Reject::NoAdminKey)?;
        let value = authorization.ok_or(Reject::NoKey)?;
        let sent = sha256(bearer(value).ok_or(Reject::WrongKey)?);
        let meant = self.admin.is_some() || host.is_some_and(is_this_machine);
        if !equal(&sent, &known) || !meant {
            return Err(Reject::WrongKey);
        }
        let hex = known.iter().take(4).map(|byte| format!("{byte:02x}"));
        Ok(hex.collect())
    }

    /// Decides on the value of the `authorization` field, if there is one. `now_ms`, in
    /// milliseconds since 1970, is only asked for a key that ends.
    ///
    /// # Errors
    /// [`Reject::NoKey`] when one is needed, [`Reject::WrongKey`] for anything but `Bearer` and a
    /// known key: a key that is sent is checked also where none is needed.
    pub fn check(
        &self,
        authorization: Option<&[u8]>,
        now_ms: impl FnOnce() -> u64,
    ) -> Result<KeyId, Reject> {
        let Some(value) = authorization else {
            return if self.required { Err(Reject::NoKey) } else { Ok(KeyId::Nobody) };
        };
        self.check_token(bearer(value).ok_or(Reject::WrongKey)?, now_ms)
    }

    /// Decides on a key that stands alone, as in `x-api-key`.
    ///
    /// # Errors
    /// [`Reject::WrongKey`].
    pub fn check_token(&self, token: &[u8], now_ms: impl FnOnce() -> u64) -> Result<KeyId, Reject> {
        let sent = sha256(token);
        let at = compartment(&sent, self.salt, self.starts.len().saturating_sub(1));
        let bounds = self.starts.get(at).zip(self.starts.get(at + 1));
        let (start, end) = bounds.ok_or(Reject::WrongKey)?;
        let within = self.known.get(*start..*end).unwrap_or_default();
        let mut found = 0;
        for (index, known) in within.iter().enumerate() {
            // All ones or all zeros: choosing must not branch on a secret either.
            let mask = usize::from(equal(&sent, &known.digest)).wrapping_neg();
            found |= mask & (index + 1);
        }
        let known = found.checked_sub(1).and_then(|index| within.get(index));
        let known = known.ok_or(Reject::WrongKey)?;
        if known.until_ms < u64::MAX && now_ms() >= known.until_ms {
            return Err(Reject::WrongKey);
        }
        let development = self.holders.is_empty();
        Ok(if development { KeyId::Development } else { KeyId::Configured(known.place) })
    }

    /// Is this anybody's secret, the admin's too? For whoever is to hide it.
    pub fn knows(&self, word: &[u8]) -> bool {
        let sent = sha256(word);
        let clients = self.known.iter().map(|known| known.digest);
        clients.chain(self.admin).any(|digest| equal(&sent, &digest))
    }

    /// All keys, by their places.
    pub fn holders(&self) -> &[Holder] {
        &self.holders
    }

    /// Whose key it is; none for nobody's and the development key.
    pub fn holder(&self, key: KeyId) -> Option<&Holder> {
        let KeyId::Configured(place) = key else { return None };
        self.holders.get(place)
    }

    /// The key's name; empty for nobody's.
    pub fn name(&self, key: KeyId) -> &str {
        match key {
            KeyId::Nobody => "",
            KeyId::Development => "development",
            KeyId::Configured(_) => self.holder(key).map_or("", |holder| &holder.name),
        }
    }

    /// Decides whether `key` may use `model`, by the name that the client sent.
    ///
    /// # Errors
    /// [`Reject::ModelNotAllowed`].
    pub fn check_model(&self, key: KeyId, model: &str) -> Result<(), Reject> {
        let allowed = self.holder(key).is_none_or(|holder| covers(&holder.models, model));
        if allowed { Ok(()) } else { Err(Reject::ModelNotAllowed) }
    }

    /// Decides whether `key` may use the route with this pattern.
    ///
    /// # Errors
    /// [`Reject::RouteNotAllowed`].
    pub fn check_route(&self, key: KeyId, pattern: &str) -> Result<(), Reject> {
        let allowed = self.holder(key).is_none_or(|holder| covers(&holder.routes, pattern));
        if allowed { Ok(()) } else { Err(Reject::RouteNotAllowed) }
    }
}

/// The compartment of a digest among `count`.
fn compartment(digest: &Digest, salt: u64, count: usize) -> usize {
    let word = digest.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
    let count = u64::try_from(count).unwrap_or(1);
    usize::try_from(Rng::new(word ^ salt).below(count)).unwrap_or(0)
}

/// Refuses requests that carry a key in a wrong way, before any key is looked at.
///
/// `authorizations` counts the fields of that name, `query` is that of the request target.
///
/// # Errors
/// [`Reject::DuplicateKey`] or [`Reject::KeyInQuery`].
pub fn screen(authorizations: usize, query: Option<&str>) -> Result<(), Reject> {
    const NAMES: [&str; 5] = ["key", "api_key", "api-key", "apikey", "access_token"];
    if authorizations > 1 {
        return Err(Reject::DuplicateKey);
    }
    let Some(query) = query else { return Ok(()) };
    let mut names = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(n, _)| n));
    if names.any(|name| NAMES.iter().any(|key| name.eq_ignore_ascii_case(key))) {
        return Err(Reject::KeyInQuery);
    }
    Ok(())
}

/// The token after the scheme, which has no case (RFC 9110 section 11.1). One space is between
/// them: a key with another in front of it is another key.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(7)?;
    let token = rest.trim_ascii_end();
    let spaced = token.first().is_some_and(u8::is_ascii_whitespace);
    let is_key = scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty() && !spaced;
    is_key.then_some(token)
}

/// Does a `host` field name the loopback, with any port?
fn is_this_machine(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let end = host.rfind(']').map_or_else(|| host.find(':'), |end| Some(end + 1));
    let name = end.and_then(|end| host.get(..end)).unwrap_or(host);
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Auth, ClientKey, Secret};

    const NOW: u64 = 1_800_000_000_000;

    fn auth(keys: &[&str], required: bool) -> Auth {
        let key = |(index, secret): (usize, &&str)| ClientKey {
            models: if index == 1 { vec!["gemini-*".to_owned()] } else { Vec::new() },
            routes: if index == 0 { vec!["gemini-*".to_owned()] } else { Vec::new() },
            ..ClientKey::plain(&format!("key-{index}"), Secret::new((*secret).to_owned()))
        };
        let keys = keys.iter().enumerate().map(key).collect();
        Auth { keys, required, admin: None, unless_stored: None }
    }

    fn ring(keys: &[&str], required: bool) -> Keyring {
        let auth = auth(keys, required);
        Keyring::new(Holder::of(&auth.keys), &auth, 7)
    }

    #[test]
    fn the_admin_key_is_one_of_its_own() {
        let admin = Some(Secret::new("admin-0123456789ab".to_owned()));
        let clients = ring(&["first-0123456789ab"], true);
        let (good, client) = (b"Bearer admin-0123456789ab", b"Bearer first-0123456789ab");
        let host = Some(&b"gateway.example"[..]);
        assert_eq!(clients.check_admin(Some(client), host), Err(Reject::NoAdminKey));
        let auth = Auth { admin, ..auth(&["first-0123456789ab"], true) };
        let with_admin = Keyring::new(Holder::of(&auth.keys), &auth, 7);
        assert_eq!(with_admin.check_admin(None, host), Err(Reject::NoKey));
        assert_eq!(with_admin.check_admin(Some(client), host), Err(Reject::WrongKey));
        let who = with_admin.check_admin(Some(good), host).expect("it is let in");
        assert!(who.len() == 8 && who.bytes().all(|byte| byte.is_ascii_hexdigit()), "{who}");
        assert_eq!(
            with_admin.check(Some(good), || NOW),
            Err(Reject::WrongKey),
            "it is no client's"
        );
    }

    #[test]
    fn in_development_only_this_machine_may_administrate() {
        let ring = ring(&[], false);
        let key = Some(&b"Bearer sk-vertex-bridge-dev"[..]);
        for host in ["localhost", "LOCALHOST:4000", "127.0.0.1:4000", "[::1]:4000", "[::1]"] {
            assert!(ring.check_admin(key, Some(host.as_bytes())).is_ok(), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "10.0.0.1:4000", "", "[::1"] {
            let refused = ring.check_admin(key, Some(host.as_bytes()));
            assert_eq!(refused, Err(Reject::WrongKey), "{host}");
        }
        assert_eq!(ring.check_admin(None, Some(b"localhost")), Err(Reject::NoKey));
    }

    #[test]
    fn development_lets_in_its_key_or_none_and_nothing_else() {
        let ring = ring(&[], false);
        let cases: [(Option<&[u8]>, _); 7] = [
            (None, Ok(KeyId::Nobody)),
            (Some(b"Bearer sk-vertex-bridge-dev"), Ok(KeyId::Development)),
            (Some(b"bearer sk-vertex-bridge-dev "), Ok(KeyId::Development)),
            (Some(b"Bearer sk-vertex-bridge-de"), Err(Reject::WrongKey)),
            (Some(b"Bearer sk-other"), Err(Reject::WrongKey)),
            (Some(b""), Err(Reject::WrongKey)),
            (Some(b"Basic c2s6"), Err(Reject::WrongKey)),
        ];
        for (sent, want) in cases {
            assert_eq!(ring.check(sent, || NOW), want, "{:?}", sent.map(String::from_utf8_lossy));
        }
        assert_eq!(ring.check_model(KeyId::Nobody, "any"), Ok(()));
    }

    #[test]
    fn configured_keys_are_found_wherever_they_stand() {
        let keys = ["first-0123456789ab", "second-0123456789", "third-0123456789ab"];
        let ring = ring(&keys, true);
        for (index, key) in keys.iter().enumerate() {
            let sent = format!("Bearer {key}");
            assert_eq!(ring.check(Some(sent.as_bytes()), || NOW), Ok(KeyId::Configured(index)));
        }
        let wrong: [&[u8]; 11] = [
            b"Bearer  first-0123456789ab",
            b"Bearer",
            b"Bearer ",
            b"Bearer  ",
            b"Bearerfirst-0123456789ab",
            b"Bearer first-0123456789abc",
            b"Bearer first-0123456789a",
            b"Bearer \"first-0123456789ab\"",
            b"Bearer \xff",
            b"first-0123456789ab",
            b"Bearer sk-vertex-bridge-dev",
        ];
        for sent in wrong {
            assert_eq!(ring.check(Some(sent), || NOW), Err(Reject::WrongKey), "{sent:?}");
        }
        assert_eq!(ring.check(None, || NOW), Err(Reject::NoKey));
    }

    #[test]
    fn a_key_that_is_sent_is_checked_also_where_none_is_needed() {
        let ring = ring(&["first-0123456789ab"], false);
        assert_eq!(ring.check(None, || NOW), Ok(KeyId::Nobody));
        assert_eq!(ring.check(Some(b"Bearer wrong"), || NOW), Err(Reject::WrongKey));
        assert_eq!(
            ring.check(Some(b"Bearer first-0123456789ab"), || NOW),
            Ok(KeyId::Configured(0))
        );
    }

    #[test]
    fn models_of_a_key() {
        let ring = ring(&["first-0123456789ab", "second-0123456789"], true);
        assert_eq!(ring.check_model(KeyId::Configured(0), "gpt-5"), Ok(()));
        assert_eq!(ring.check_model(KeyId::Configured(1), "gemini-3"), Ok(()));
        let refused = ring.check_model(KeyId::Configured(1), "gpt-5");
        assert_eq!(refused, Err(Reject::ModelNotAllowed));
    }

    #[test]
    fn keys_in_wrong_places() {
        for (count, query, want) in [
            (0, None, Ok(())),
            (1, Some("keyword=key&x"), Ok(())),
            (2, None, Err(Reject::DuplicateKey)),
            (0, Some("key=x"), Err(Reject::KeyInQuery)),
            (1, Some("a=b&API_KEY=x"), Err(Reject::KeyInQuery)),
            (1, Some("access_token"), Err(Reject::KeyInQuery)),
        ] {
            assert_eq!(screen(count, query), want, "{query:?}");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let shown = format!("{:?}", ring(&["canary-0123456789"], true));
        assert!(!shown.contains("canary"), "{shown}");
    }

    #[test]
    fn routes_of_a_key() {
        let ring = ring(&["first-0123456789ab", "second-0123456789"], true);
        assert_eq!(ring.check_route(KeyId::Configured(0), "gemini-*"), Ok(()));
        assert_eq!(ring.check_route(KeyId::Configured(1), "*"), Ok(()));
        let refused = ring.check_route(KeyId::Configured(0), "*");
        assert_eq!(refused, Err(Reject::RouteNotAllowed));
    }

    #[test]
    fn a_key_ends_when_it_says_and_two_secrets_may_open_the_same() {
        let auth = auth(&["first-0123456789ab"], true);
        let mut holders = Holder::of(&auth.keys);
        holders[0].secrets = vec![(sha256(b"old"), NOW), (sha256(b"new"), u64::MAX)];
        let ring = Keyring::new(holders, &auth, 7);
        assert_eq!(ring.check_token(b"old", || NOW - 1), Ok(KeyId::Configured(0)));
        assert_eq!(ring.check_token(b"old", || NOW), Err(Reject::WrongKey));
        let never = || panic!("it never ends");
        assert_eq!(ring.check_token(b"new", never), Ok(KeyId::Configured(0)));
        assert_eq!((ring.name(KeyId::Configured(0)), ring.name(KeyId::Nobody)), ("key-0", ""));
    }

    #[test]
    fn where_all_keys_are_revoked_nobody_comes_in_instead() {
        let auth = auth(&["first-0123456789ab"], true);
        let mut holders = Holder::of(&auth.keys);
        holders[0].secrets.clear();
        let ring = Keyring::new(holders, &auth, 7);
        for sent in ["first-0123456789ab", DEVELOPMENT_KEY] {
            assert_eq!(ring.check_token(sent.as_bytes(), || NOW), Err(Reject::WrongKey));
        }
        assert_eq!(ring.check(None, || NOW), Err(Reject::NoKey));
    }

    #[test]
    fn among_many_each_is_found_and_no_other() {
        let secrets: Vec<String> = (0..1000).map(|n| format!("secret-number-{n:08}")).collect();
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let ring = ring(&secrets, true);
        for (place, secret) in secrets.iter().enumerate() {
            let found = ring.check_token(secret.as_bytes(), || NOW);
            assert_eq!(found, Ok(KeyId::Configured(place)));
            let wrong = format!("{secret}x");
            assert_eq!(ring.check_token(wrong.as_bytes(), || NOW), Err(Reject::WrongKey));
        }
        assert!(ring.starts.windows(2).all(|pair| pair[1] - pair[0] < 3 * COMPARTMENT));
    }
}
