//! From a request to its answer.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use crate::chat::{ApiError, Dialect, Row};
use crate::config::Secret;
use crate::control::Pages;
use crate::obs::log::{self, Level};
use crate::shard::{Errand, Reply};
use crate::store::audit::{self, Deed};
use crate::store::{Db, StoreError};

use super::captures::Captures;
use super::change::{self, Change, Hands, Refusal, refusal};
use super::page::Dashboard;
use super::query::Query;
use super::recent::{Filter, Recent};
use super::table::{self, Endpoint, NoEndpoint};
use super::{figures, see};

/// So many entries of the audit log are given at most.
const AUDIT_MAX: u64 = 1000;

/// Nothing of an answer is kept by anybody.
const FIELDS: &[u8] = b"cache-control: no-store\r\nx-content-type-options: nosniff\r\n";

/// Makes the folder of the store where there is none, and tells where the store is.
pub type FindStore = Box<dyn Fn() -> Result<PathBuf, String> + Send>;

/// The admin API.
pub struct Api<H> {
    hands: H,
    /// What is in force, without secrets.
    config: Value,
    /// Makes the store's folder, and tells where the store is, or why there is none.
    store: FindStore,
    db: Option<Db>,
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
    /// An API that reaches the process through `hands`. `config` holds none of the secrets,
    /// which are never to be shown.
    pub fn new(
        hands: H,
        (config, secrets): (Value, Vec<Secret>),
        store: FindStore,
        recent: Arc<Mutex<Recent>>,
    ) -> Self {
        let (captures, dashboard) = (Captures::new(secrets), Dashboard::new());
        Self { hands, config, store, db: None, recent, captures, dashboard }
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
            (endpoint, part) => match self.see(endpoint, errand, standing) {
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
    fn see(&mut self, endpoint: Endpoint, errand: &Errand, standing: &Standing) -> Option<Answer> {
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
            "config": self.config,
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
        let entries =
            self.db().and_then(|db| audit::list(db, most).map_err(|e| unavailable(&e)))?;
        Ok(json!({"data": entries.iter().map(see::audited).collect::<Vec<_>>()}))
    }

    /// Changes something, and writes that down.
    fn change(
        &mut self,
        endpoint: Endpoint,
        part: &str,
        who: &str,
        (errand, standing): (&Errand, &Standing),
    ) -> Answer {
        // What cannot be written down is not done.
        self.db()?;
        let registry = &standing.pages.registry;
        let hands: &mut dyn Hands = &mut self.hands;
        let mut moved = None;
        let change = match endpoint {
            Endpoint::Cancel => change::cancel(hands, part),
            Endpoint::SetBreaker => {
                let names = &registry.shape().upstreams;
                let (change, index) = change::breaker(hands, names, part, &errand.body)?;
                moved = index;
                change
            }
            Endpoint::Captures => self.captures.look(standing.now_ms),
            Endpoint::StartCapture => self.captures.start(hands, &errand.body, standing.now_ms)?,
            Endpoint::StopCapture => self.captures.stop(hands),
            Endpoint::Drain => change::drain(hands),
            Endpoint::Reload => change::reload(hands),
            Endpoint::SetLogLevel => change::set_log_level(&errand.body)?,
            _ => return Err(refusal(Row::INTERNAL, "this endpoint changes nothing")),
        };
        let Change { action, subject, done } = change;
        let result = match &done {
            Ok(_) => "done".to_owned(),
            Err(error) => format!("refused: {}", error.message),
        };
        let from = errand.peer.map(|peer| peer.ip().to_string()).unwrap_or_default();
        let at_ms = standing.now_ms;
        let deed = Deed { at_ms, who: who.to_owned(), from, action, subject, result };
        self.write_down(&deed)?;
        match moved {
            Some(index) => {
                let name = registry.shape().upstreams.get(index).map_or("", String::as_str);
                Ok(see::breaker(registry, index, name))
            }
            None => done,
        }
    }

    fn write_down(&mut self, deed: &Deed) -> Result<(), Refusal> {
        let written = self.db().and_then(|db| audit::append(db, deed).map_err(|e| unavailable(&e)));
        if let Err(error) = &written {
            let Deed { at_ms, who, action, subject, .. } = deed;
            let told = format!("{who} did {action} {subject}, unaudited: {}", error.message);
            log::write(Level::Error, *at_ms, &told);
        }
        written
    }

    /// The store, opened when it is first needed.
    fn db(&mut self) -> Result<&mut Db, Refusal> {
        match &mut self.db {
            Some(db) => Ok(db),
            empty => {
                let path = (self.store)().map_err(|why| {
                    refusal(Row::STORE_UNAVAILABLE, format!("there is no audit log: {why}"))
                })?;
                Ok(empty.insert(Db::open(&path).map_err(|error| unavailable(&error))?))
            }
        }
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

fn unavailable(error: &StoreError) -> Refusal {
    refusal(Row::STORE_UNAVAILABLE, format!("the store cannot be used: {}", error.what))
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
