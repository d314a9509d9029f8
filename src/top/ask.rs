//! Asking a gateway's admin API.

use std::cmp::Reverse;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::config::Config;
use ureq::{Agent, Error};

use crate::config::Secret;
use crate::web::{self, Trust};

use super::figures::Figures;

/// How long an answer may take. One that needs longer is of no use any more.
const TIMEOUT: Duration = Duration::from_secs(5);

/// So much of an answer is read; a page of the longest lists has less.
const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// A gateway and the key to its administration.
#[derive(Debug)]
pub struct Gateway {
    agent: Agent,
    /// Without a slash at its end.
    url: String,
    key: Secret,
}

/// Everything that is shown at one moment.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) state: State,
    pub(super) figures: Figures,
    pub(super) upstreams: Vec<Upstream>,
    pub(super) running: Vec<Running>,
    pub(super) ended: Vec<Ended>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct State {
    pub(super) version: String,
    pub(super) uptime_seconds: u64,
    pub(super) ready: bool,
    pub(super) draining: bool,
    pub(super) shards: usize,
    pub(super) listening: usize,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Upstream {
    pub(super) name: String,
    pub(super) status: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Running {
    pub(super) id: String,
    pub(super) age_ms: u64,
    pub(super) key: String,
    pub(super) model: String,
    pub(super) route: String,
    pub(super) upstream: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Ended {
    pub(super) id: String,
    pub(super) started_ms: u64,
    pub(super) key: String,
    pub(super) model: String,
    pub(super) route: String,
    pub(super) upstream: String,
    pub(super) status: u16,
    pub(super) ending: String,
    pub(super) cause: String,
    pub(super) tokens: Tokens,
    /// In dollars, as text; none without a price.
    pub(super) cost_usd: Option<String>,
    pub(super) phases_us: Phases,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Tokens {
    pub(super) prompt: u64,
    pub(super) completion: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Phases {
    pub(super) queue: u64,
    pub(super) upstream: u64,
    pub(super) first_token: u64,
    pub(super) total: u64,
}

#[derive(Deserialize)]
struct List<T> {
    data: Vec<T>,
}

#[derive(Deserialize)]
struct Refusal {
    error: Why,
}

#[derive(Deserialize)]
struct Why {
    message: String,
}

impl Gateway {
    /// The gateway at `url`, such as `http://127.0.0.1:4000`.
    pub fn new(url: &str, key: Secret, trust: &Trust) -> Self {
        let config: Config = Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .build();
        let url = url.trim_end_matches('/').to_owned();
        Self { agent: web::agent(config, trust), url, key }
    }

    /// Where it is.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Asks for everything.
    ///
    /// # Errors
    /// Why there is no answer, in one line.
    pub(super) fn look(&self) -> Result<Asked, String> {
        let seen = self.look_at().map_err(|why| format!("{}: {why}", self.url));
        seen.map_err(|why| why.replace(char::is_control, " "))
    }

    fn look_at(&self) -> Result<Asked, String> {
        let upstreams: List<Upstream> = self.ask("upstreams")?;
        let mut running: List<Running> = self.ask("exchanges")?;
        let ended: List<Ended> = self.ask("recent?limit=100")?;
        running.data.sort_by_key(|one| Reverse(one.age_ms));
        Ok(Asked {
            state: self.ask("state")?,
            figures: self.ask("figures")?,
            upstreams: upstreams.data,
            running: running.data,
            ended: ended.data,
        })
    }

    fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, String> {
        let url = format!("{}/admin/v1/{path}", self.url);
        let bearer = format!("Bearer {}", self.key.expose());
        let asked = self.agent.get(&url).header("authorization", &bearer).call();
        let mut answer = asked.map_err(|error| unreachable(&error))?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(BYTES_MAX).read_to_vec();
        let body = body.map_err(|error| unreachable(&error))?;
        if status != 200 {
            return Err(refused(status, &body));
        }
        serde_json::from_slice(&body)
            .map_err(|error| format!("/admin/v1/{path} is not what vertex-bridge says: {error}"))
    }
}

/// Why there was no answer.
fn unreachable(error: &Error) -> String {
    match error {
        Error::Io(error) => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or_default().to_owned()
        }
        Error::Timeout(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
        Error::HostNotFound => "no host has this name".to_owned(),
        other => other.to_string(),
    }
}

/// Why there was another answer than the one that was asked for.
fn refused(status: u16, body: &[u8]) -> String {
    let said = serde_json::from_slice::<Refusal>(body).map(|refusal| refusal.error.message);
    match (status, said) {
        (401, Ok(_)) => {
            "the gateway refuses the key; --key tells where the admin key is".to_owned()
        }
        (404, Ok(_)) => "the admin API is not here; `admin.listen` gives it an address".to_owned(),
        (_, Ok(said)) => said,
        (_, Err(_)) => format!("status {status}, which is not vertex-bridge's answer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_tell_what_to_do() {
        let body = |message: &str| format!("{{\"error\":{{\"message\":\"{message}\"}}}}");
        assert!(refused(401, body("wrong").as_bytes()).contains("--key"));
        assert!(refused(404, body("wrong").as_bytes()).contains("admin.listen"));
        assert_eq!(refused(403, body("no admin key").as_bytes()), "no admin key");
        assert_eq!(refused(502, b"<html>"), "status 502, which is not vertex-bridge's answer");
    }
}
