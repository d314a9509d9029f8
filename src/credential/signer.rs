//! The signed assertion that a token endpoint takes for proof (RFC 7523, RS256 of RFC 7518).
//!
//! Claims: <https://developers.google.com/identity/protocols/oauth2/service-account#httprest>

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;

use crate::config::{Secret, ServiceAccount};

/// What a token is asked for. Vertex AI has no narrower scope.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// How long an assertion is good for: the most that Google takes.
const LIFETIME_S: u64 = 3600;

/// Signs for one service account.
pub struct Signer {
    key: RsaKeyPair,
    random: SystemRandom,
    /// The assertion's first part, with its dot: it never changes.
    header: String,
    email: String,
    audience: String,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.email)
    }
}

impl Signer {
    /// Takes the key of `account`.
    ///
    /// # Errors
    /// What is wrong with the key, without repeating any of it.
    pub fn new(account: &ServiceAccount) -> Result<Self, &'static str> {
        let key = PrivateKeyDer::from_pem_slice(account.private_key.expose().as_bytes())
            .map_err(|_unread| "text that is no private key in PEM")?;
        let key = match &key {
            PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
            PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
            _ => return Err("a private key that is not RSA"),
        };
        let key = key.map_err(|_why| "a private key that is not RSA with 2048 bits or more")?;
        let kid = account.private_key_id.as_deref();
        let header = encode(&Header { alg: "RS256", typ: "JWT", kid })? + ".";
        Ok(Self {
            key,
            random: SystemRandom::new(),
            header,
            email: account.client_email.clone(),
            audience: account.token_uri.clone(),
        })
    }

    /// An assertion that begins now; `None` when the system has no randomness to sign with.
    pub fn assertion(&self, unix_seconds: u64) -> Option<Secret> {
        let claims = Claims {
            iss: &self.email,
            scope: SCOPE,
            aud: &self.audience,
            iat: unix_seconds,
            exp: unix_seconds.saturating_add(LIFETIME_S),
        };
        let mut text = self.header.clone() + &encode(&claims).ok()?;
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key.sign(&RSA_PKCS1_SHA256, &self.random, text.as_bytes(), &mut signature).ok()?;
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(&signature, &mut text);
        Some(Secret::new(text))
    }
}

fn encode(part: &impl Serialize) -> Result<String, &'static str> {
    let json = serde_json::to_vec(part).map_err(|_why| "a text that JSON cannot hold")?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}
