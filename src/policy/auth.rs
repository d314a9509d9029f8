//! Who asks: the check of a client's key.
//!
//! Keys are kept as SHA-256 digests, and every one of them is compared, all of its bytes, whatever
//! the first ones say: the time of an answer tells nothing about how near a guess was.

use std::hint::black_box;

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use crate::config::{Auth, DEVELOPMENT_KEY, covers};

use super::reject::Reject;

type Digest = [u8; SHA256_OUTPUT_LEN];

/// Who was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyId {
    /// No key was sent and none is needed.
    Nobody,
    /// The development key, while no key is configured.
    Development,
    /// Index into `config::Auth::keys`.
    Configured(usize),
}

/// The keys that are let in.
#[derive(Clone, Debug)]
pub struct Keyring {
    /// One for each configured key, in their order; else the development key's alone.
    digests: Vec<Digest>,
    /// For each configured key, the models it may use; empty in development.
    models: Vec<Vec<String>>,
    required: bool,
}

impl Keyring {
    /// Keeps digests only; the secrets themselves stay with the configuration.
    pub fn new(auth: &Auth) -> Self {
        debug_assert!(!(auth.required && auth.keys.is_empty()), "nobody could get in");
        let mut digests: Vec<Digest> =
            auth.keys.iter().map(|key| sha256(key.secret.expose().as_bytes())).collect();
        if digests.is_empty() {
            digests.push(sha256(DEVELOPMENT_KEY.as_bytes()));
        }
        let models = auth.keys.iter().map(|key| key.models.clone()).collect();
        Self { digests, models, required: auth.required }
    }

    /// Decides on the value of the `authorization` field, if there is one.
    ///
    /// # Errors
    /// [`Reject::NoKey`] when one is needed, [`Reject::WrongKey`] for anything but `Bearer` and a
    /// known key: a key that is sent is checked also where none is needed.
    pub fn check(&self, authorization: Option<&[u8]>) -> Result<KeyId, Reject> {
        let Some(value) = authorization else {
            return if self.required { Err(Reject::NoKey) } else { Ok(KeyId::Nobody) };
        };
        self.check_token(bearer(value).ok_or(Reject::WrongKey)?)
    }

    /// Decides on a key that stands alone, as in `x-api-key`.
    ///
    /// # Errors
    /// [`Reject::WrongKey`].
    pub fn check_token(&self, token: &[u8]) -> Result<KeyId, Reject> {
        let sent = sha256(token);
        let mut place = 0;
        for (index, known) in self.digests.iter().enumerate() {
            // All ones or all zeros: choosing must not branch on a secret either.
            let mask = usize::from(equal(&sent, known)).wrapping_neg();
            place |= mask & (index + 1);
        }
        let index = place.checked_sub(1).ok_or(Reject::WrongKey)?;
        Ok(if self.models.is_empty() { KeyId::Development } else { KeyId::Configured(index) })
    }

    /// Decides whether `key` may use `model`, by the name that the client sent.
    ///
    /// # Errors
    /// [`Reject::ModelNotAllowed`].
    pub fn check_model(&self, key: KeyId, model: &str) -> Result<(), Reject> {
        let KeyId::Configured(index) = key else { return Ok(()) };
        let allowed = self.models.get(index).is_some_and(|models| covers(models, model));
        if allowed { Ok(()) } else { Err(Reject::ModelNotAllowed) }
    }
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

fn sha256(bytes: &[u8]) -> Digest {
    let mut out = [0; SHA256_OUTPUT_LEN];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

/// Looks at every byte; the optimizer is kept from stopping at the first difference.
fn equal(a: &Digest, b: &Digest) -> bool {
    let difference = a.iter().zip(b).fold(0, |sum, (x, y)| black_box(sum | (x ^ y)));
    black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClientKey, Secret};

    fn ring(keys: &[&str], required: bool) -> Keyring {
        let key = |(index, secret): (usize, &&str)| ClientKey {
            name: format!("key-{index}"),
            secret: Secret::new((*secret).to_owned()),
            models: if index == 1 { vec!["gemini-*".to_owned()] } else { Vec::new() },
            requests_per_minute: None,
            trusted: false,
            concurrency: None,
            tokens_per_minute: None,
        };
        Keyring::new(&Auth { keys: keys.iter().enumerate().map(key).collect(), required })
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
            assert_eq!(ring.check(sent), want, "{:?}", sent.map(String::from_utf8_lossy));
        }
        assert_eq!(ring.check_model(KeyId::Nobody, "any"), Ok(()));
    }

    #[test]
    fn configured_keys_are_found_wherever_they_stand() {
        let keys = ["first-0123456789ab", "second-0123456789", "third-0123456789ab"];
        let ring = ring(&keys, true);
        for (index, key) in keys.iter().enumerate() {
            let sent = format!("Bearer {key}");
            assert_eq!(ring.check(Some(sent.as_bytes())), Ok(KeyId::Configured(index)));
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
            assert_eq!(ring.check(Some(sent)), Err(Reject::WrongKey), "{sent:?}");
        }
        assert_eq!(ring.check(None), Err(Reject::NoKey));
    }

    #[test]
    fn a_key_that_is_sent_is_checked_also_where_none_is_needed() {
        let ring = ring(&["first-0123456789ab"], false);
        assert_eq!(ring.check(None), Ok(KeyId::Nobody));
        assert_eq!(ring.check(Some(b"Bearer wrong")), Err(Reject::WrongKey));
        assert_eq!(ring.check(Some(b"Bearer first-0123456789ab")), Ok(KeyId::Configured(0)));
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
}
