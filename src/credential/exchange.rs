//! From an assertion to an access token: one POST to the token endpoint (RFC 7523 section 2.1,
//! RFC 6749 section 5).

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use ureq::Agent;
use ureq::config::Config;

use crate::config::limits::{SECRET_CHARS_MAX, TOKEN_ANSWER_BYTES, TOKEN_EXCHANGE};
use crate::config::{Secret, ServiceAccount, Tunnel};
use crate::web::{self, Trust};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A token without a lifetime lives as long as Google's do.
const LIFETIME_S: u64 = 3600;

/// The errors that the RFCs and Google's pages name. Nothing else of an answer is ever repeated.
const KNOWN_ERRORS: [&str; 8] = [
    "access_denied",
    "admin_policy_enforced",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "unauthorized_client",
    "unsupported_grant_type",
];

/// A token endpoint and the way to it.
#[derive(Debug)]
pub struct Endpoint {
    agent: Agent,
    uri: String,
}

/// A fresh token.
#[derive(Debug)]
pub struct Granted {
    /// What stands in `authorization`: `Bearer` and the token.
    pub bearer: Secret,
    /// How long it is good for, from the time at which it was asked for.
    pub lifetime: Duration,
}

/// Why there is no token. Holds nothing of what the endpoint said but words that we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// The system had no randomness to sign with.
    Unsigned,
    /// The endpoint's name has no address, or it cannot be connected to.
    Connection,
    /// Its certificate or its TLS is not to be trusted.
    Tls,
    /// It did not answer in time.
    Timeout,
    /// It refused, with this status and this error of the RFC.
    Refused(u16, Option<&'static str>),
    /// Its answer holds no token that could be sent.
    Invalid,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: Option<u64>,
    token_type: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl Endpoint {
    /// The endpoint of `account`. `trust` decides whether it is believed; it is reached through
    /// `tunnel`, if that serves it.
    pub fn new(account: &ServiceAccount, trust: &Trust, tunnel: Option<&Tunnel>) -> Self {
        let config = Config::builder()
            .timeout_global(Some(TOKEN_EXCHANGE))
            .http_status_as_error(false)
            // An assertion goes where the key file says and nowhere else.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(web::proxy(tunnel, &account.token_uri))
            // The next exchange is an hour away.
            .max_idle_connections(0)
            .user_agent(concat!("vertex-bridge/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: web::agent(config, trust), uri: account.token_uri.clone() }
    }

    /// Exchanges `assertion` for a token. Blocks, at most [`TOKEN_EXCHANGE`].
    ///
    /// # Errors
    /// [`TokenError`], which can be shown.
    pub fn exchange(&self, assertion: &Secret) -> Result<Granted, TokenError> {
        let form = [("grant_type", GRANT), ("assertion", assertion.expose())];
        let mut response = self.agent.post(&self.uri).send_form(form).map_err(|e| failed(&e))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(TOKEN_ANSWER_BYTES).read_to_string();
        match (status, body.map(Secret::new)) {
            (200, Ok(text)) => granted(&text).ok_or(TokenError::Invalid),
            (200, Err(error)) => Err(failed(&error)),
            (_, text) => {
                Err(TokenError::Refused(status, text.ok().and_then(|text| refusal(&text))))
            }
        }
    }
}

fn granted(text: &Secret) -> Option<Granted> {
    let answer: Answer = serde_json::from_str(text.expose()).ok()?;
    let token = Secret::new(answer.access_token);
    let is_bearer = answer.token_type.is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
    let content = token.expose();
    // It becomes part of a head.
    let is_clean = content.bytes().all(|byte| byte.is_ascii_graphic());
    let fits = (1..=SECRET_CHARS_MAX).contains(&content.len());
    (is_bearer && is_clean && fits).then(|| Granted {
        bearer: Secret::new(format!("Bearer {content}")),
        lifetime: Duration::from_secs(answer.expires_in.unwrap_or(LIFETIME_S)),
    })
}

fn refusal(text: &Secret) -> Option<&'static str> {
    let refusal: Refusal = serde_json::from_str(text.expose()).ok()?;
    KNOWN_ERRORS.into_iter().find(|known| *known == refusal.error)
}

fn failed(error: &ureq::Error) -> TokenError {
    match error {
        ureq::Error::Timeout(_) => TokenError::Timeout,
        ureq::Error::Io(error) if web::is_tls(error) => TokenError::Tls,
        ureq::Error::Io(_) | ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => {
            TokenError::Connection
        }
        _ => TokenError::Invalid,
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsigned => f.write_str("the system has no randomness to sign with"),
            Self::Connection => f.write_str("the token endpoint cannot be reached"),
            Self::Tls => f.write_str("the token endpoint's certificate or TLS is not trusted"),
            Self::Timeout => f.write_str("the token endpoint did not answer in time"),
            Self::Refused(status, None) => write!(f, "the token endpoint answered {status}"),
            Self::Refused(status, Some(error)) => {
                write!(f, "the token endpoint answered {status} {error}")
            }
            Self::Invalid => f.write_str("the token endpoint's answer holds no usable token"),
        }
    }
}

impl std::error::Error for TokenError {}
