//! From a request to its answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::chat::{ApiError, Dialect, Row};
use crate::config::Secret;
use crate::control::Pages;
use crate::obs::log::{self, Level};
use crate::shard::{Errand, Reply};
use crate::store::audit::{self, Deed};

use super::captures::Captures;
use super::change::{self, Change, Hands, Refusal, refusal};
use super::page::Dashboard;
use super::query::Query;
use super::recent::{Filter, Recent};
use super::store::{Store, unavailable};
use super::table::{self, Endpoint, NoEndpoint};
use super::usage::Wish;
use super::{figures, keys, see};

/// So many entries of the audit log are given at most.
const AUDIT_MAX: u64 = 1000;

/// Nothing of an answer is kept by anybody.
const FIELDS: &[u8] = b"cache-control: no-store\r\nx-content-type-options: nosniff\r\n";

/// So many characters of what came of a change are kept.
const RESULT_MAX: usize = 500;

/// What the process was started with.
#[derive(Clone, Debug)]
pub struct Known {
    /// What is in force, without secrets.
    pub config: Value,
    /// What is never to be shown.
    pub secrets: Vec<Secret>,
    /// The names of keys that the configuration has given away.
    pub names: Vec<String>,
    /// Is what is used written to the ledger?
    pub recording: bool,
}

/// The admin API.
pub struct Api<H> {
    hands: H,
    known: Known,
    store: Store,
    recent: Arc<Mutex<Recent>>,
    captures: Captures,
    dashboard: Dashboard,
}

/// How the process stands when it is asked.
#[derive(Clone, Debug)]
pub struct Standing {
    /// What pages are made from.
    pub pages: Pages,
    /// How long it has run.
    pub uptime: Duration,
    /// What time it is, in milliseconds since 1970.
    pub now_ms: u64,
    /// The number of the process.
    pub process: u32,
    /// Time that each shard has spent on its core, in microseconds, where that is known.
    pub busy: Vec<Option<u64>>,
}

/// An answer's status and body.
type Answer = Result<Value, Refusal>;

impl<H> std::fmt::Debug for Api<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Api")
    }
}

impl<H: Hands> Api<H> {
    /// An API that reaches the process through `hands`.
    pub fn new(hands: H, known: Known, store: Store, recent: Arc<Mutex<Recent>>) -> Self {
        let (captures, dashboard) = (Captures::new(known.secrets.clone()), Dashboard::new());
        Self { hands, known, store, recent, captures, dashboard }
    }

    /// Answers a request.
    pub fn answer(&mut self, errand: &Errand, standing: &Standing) -> Reply {
        let Some(who) = &errand.who else { return self.dashboard.reply() };
        let found = match table::find(errand.method, &errand.path) {
            Ok(found) => found,
            Err(NoEndpoint::Path) => {
                let error = ApiError::new(Row::UNKNOWN_URL, "no endpoint has this path");
                return refuse(&error, errand);
            }
            Err(NoEndpoint::Method(allow)) => {
                let message = "this endpoint takes another method; see `Allow`";
                let error = ApiError::new(Row::METHOD_NOT_ALLOWED, message);
                let mut reply = refuse(&error, errand);
                reply.fields.extend_from_slice(format!("allow: {allow}\r\n").as_bytes());
                return reply;
            }
        };
        let answer = match found {
            (Endpoint::OpenApi, _) => {
                return ok(include_str!("../../docs/openapi-admin.json").into());
            }
            (endpoint, part) => match self.see(endpoint, part, errand, standing) {
                Some(answer) => answer,
                None => self.change(endpoint, part, who, (errand, standing)),
            },
        };
        match answer {
            Ok(value) => ok(value.to_string().into_bytes()),
            Err(error) => refuse(&error, errand),
        }
    }

    /// What changes nothing; none when the endpoint does.
    fn see(
        &mut self,
        endpoint: Endpoint,
        part: &str,
        errand: &Errand,
        standing: &Standing,
    ) -> Option<Answer> {
        let Pages { registry, readiness, tokens, .. } = &standing.pages;
        let query = Query::parse(&errand.query);
        Some(match endpoint {
            Endpoint::State => Ok(self.state(standing)),
            Endpoint::Figures => {
                let mut all = figures::render(registry, &standing.busy);
                all.insert("at_ms".to_owned(), json!(standing.now_ms));
                all.insert("uptime_seconds".to_owned(), json!(standing.uptime.as_secs_f64()));
                Ok(Value::Object(all))
            }
            Endpoint::Shards => {
                let snapshot = registry.snapshot();
                Ok(json!({"data": figures::shards(&snapshot.shards, &standing.busy)}))
            }
            Endpoint::Upstreams => Ok(json!({"data": see::upstreams(registry, readiness, tokens)})),
            Endpoint::Breakers => Ok(json!({"data": see::breakers(registry)})),
            Endpoint::Pools => Ok(pools(standing)),
            Endpoint::Live => Ok(self.live(standing.now_ms)),
            Endpoint::Recent => self.recent(&query),
            Endpoint::Audit => self.audit(&query),
            Endpoint::Keys => self.store.look().and_then(|db| keys::list(db, standing.now_ms)),
            Endpoint::Key => self.store.look().and_then(|db| keys::one(db, part, standing.now_ms)),
            Endpoint::Usage => self.usage(&query),
            Endpoint::LogLevel => Ok(change::log_level()),
            _ => return None,
        })
    }

    fn state(&self, standing: &Standing) -> Value {
        let Pages { registry, readiness, tokens, .. } = &standing.pages;
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "process": standing.process,
            "now_ms": standing.now_ms,
            "uptime_seconds": standing.uptime.as_secs(),
            "ready": readiness.is_ready(tokens, |upstream| registry.circuit(upstream)),
            "draining": readiness.draining,
            "shards": readiness.shards,
            "listening": readiness.listening,
            "log_level": log::level().name(),
            "config": self.known.config,
        })
    }

    fn live(&self, now_ms: u64) -> Value {
        let mut running = Vec::new();
        self.hands.each_live(&mut |record| running.push(see::live(record, now_ms)));
        json!({"data": running})
    }

    fn recent(&self, query: &Query) -> Answer {
        let filter = Filter::of(query).map_err(no_number)?;
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        recent.find(&filter, |number, record| found.push(see::ended(number, record)));
        Ok(json!({"data": found, "last": recent.last()}))
    }

    fn audit(&mut self, query: &Query) -> Answer {
        let most = query.number("limit", AUDIT_MAX).map_err(no_number)?.unwrap_or(100);
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let db = self.store.look()?;
        let entries = db.map_or(Ok(Vec::new()), |db| audit::list(db, most));
        let entries = entries.map_err(|error| unavailable(&error))?;
        Ok(json!({"data": entries.iter().map(see::audited).collect::<Vec<_>>()}))
    }

    fn usage(&mut self, query: &Query) -> Answer {
        let wish = Wish::of(query)?;
        let mut told = wish.answer(self.store.ledger()?)?;
        told.insert("recording".to_owned(), json!(self.known.recording));
        Ok(Value::Object(told))
    }

    /// Changes something, and writes that down, also when nothing has come of it.
    fn change(
        &mut self,
        endpoint: Endpoint,
        part: &str,
        who: &str,
        (errand, standing): (&Errand, &Standing),
    ) -> Answer {
        // What cannot be written down is not done.
        let db = self.store.open()?;
        let (registry, now_ms) = (&standing.pages.registry, standing.now_ms);
        let (hands, body): (&mut dyn Hands, _) = (&mut self.hands, &errand.body);
        let change = match endpoint {
            Endpoint::Cancel => change::cancel(hands, part),
            Endpoint::SetBreaker => change::breaker(hands, registry, part, body),
            Endpoint::Captures => self.captures.look(now_ms),
            Endpoint::StartCapture => self.captures.start(hands, body, now_ms),
            Endpoint::StopCapture => self.captures.stop(hands),
            Endpoint::Drain => change::drain(hands),
            Endpoint::Reload => change::reload(hands),
            Endpoint::SetLogLevel => change::set_log_level(body),
            Endpoint::CreateKey => keys::create(db, &self.known.names, body, now_ms),
            Endpoint::RotateKey => keys::rotate(db, part, body, now_ms),
            Endpoint::RevokeKey => keys::revoke(db, part, now_ms),
            _ => return Err(refusal(Row::INTERNAL, "this endpoint changes nothing")),
        };
        let Change { action, subject, done } = change;
        let result = match &done {
            Ok(_) => "done".to_owned(),
            Err(error) => format!("refused: {}", error.message),
        };
        let result = result.chars().take(RESULT_MAX).collect();
        let from = errand.from.map(|from| from.to_string()).unwrap_or_default();
        let deed = Deed { at_ms: now_ms, who: who.to_owned(), from, action, subject, result };
        self.write_down(&deed)?;
        done
    }

    fn write_down(&mut self, deed: &Deed) -> Result<(), Refusal> {
        let db = self.store.open();
        let written = db.and_then(|db| audit::append(db, deed).map_err(|e| unavailable(&e)));
        if let Err(error) = &written {
            let Deed { at_ms, who, action, subject, .. } = deed;
            let told = format!("{who} did {action} {subject}, unaudited: {}", error.message);
            log::write(Level::Error, *at_ms, &told);
        }
        written
    }
}

/// Links to upstreams: how many wait on each shard, and how they came about.
fn pools(standing: &Standing) -> Value {
    let snapshot = standing.pages.registry.snapshot();
    let count = |name: &str| {
        let found = snapshot.counts.iter().find(|(known, _)| *known == name);
        found.map_or(0, |(_, count)| *count)
    };
    let idle = snapshot.shards.iter().enumerate();
    let idle = idle.map(|(shard, figures)| json!({"shard": shard, "idle": figures.idle}));
    json!({
        "opened": count("upstream_connections_opened"),
        "reused": count("upstream_connections_reused"),
        "stale": count("upstream_connections_stale"),
        "idle": count("upstream_connections_idle"),
        "shards": idle.collect::<Vec<_>>(),
    })
}

fn no_number(name: &'static str) -> Refusal {
    change::wrong(name, &format!("`{name}` is no number, or too large"))
}

fn ok(body: Vec<u8>) -> Reply {
    Reply { status: 200, content_type: "application/json", fields: FIELDS.to_vec(), body }
}

fn refuse(error: &ApiError, errand: &Errand) -> Reply {
    let mut body = Vec::with_capacity(256);
    error.render(Dialect::OpenAi, &errand.id, &mut body);
    let status = error.status(Dialect::OpenAi);
    Reply { status, content_type: "application/json", fields: FIELDS.to_vec(), body }
}
