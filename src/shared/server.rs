//! The store itself: one connection to the primary of the servers that are configured.

use std::convert::Infallible;
use std::fmt;
use std::time::Duration;

use redis::{Client, Connection, ConnectionLike, Pipeline, Value};

use crate::config::{Secret, Shared};
use crate::policy::lease::Grant;

use super::budgets::Question;
use super::parcels::{self, Parcel, Received};

/// How long a connection may take, and an answer.
const PATIENCE: Duration = Duration::from_secs(1);

const EXCHANGE: &str = include_str!("exchange.lua");
const MEMBERS: &str = include_str!("members.lua");

/// The store cannot be asked. Neither addresses nor passwords are in it.
#[derive(Debug)]
pub struct ServerError(String);

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ServerError {}

impl From<redis::RedisError> for ServerError {
    fn from(error: redis::RedisError) -> Self {
        // What a server or the system says may name addresses; the kind says enough.
        let code = error.code().map(|code| format!(" ({code})")).unwrap_or_default();
        Self(format!("{}{code}", error.category()))
    }
}

/// What is asked at once.
#[derive(Debug, Default)]
pub struct Asked<'q> {
    /// How long this process counts among all, in milliseconds; 0: it leaves.
    pub member_ms: u64,
    /// How long leases are good, in milliseconds; 0: they are given back.
    pub lease_ms: u64,
    /// Questions to pools.
    pub questions: &'q [Question],
}

/// What the store says.
#[derive(Debug, Default)]
pub struct Told {
    /// How many processes there are.
    pub processes: u64,
    /// How often the keys were changed.
    pub changes: u64,
    /// The pools' answers, in the order of the questions.
    pub answers: Vec<Grant>,
}

/// The way to the store.
pub struct Store {
    servers: Vec<Secret>,
    prefix: String,
    /// This process, unlike any other.
    member: String,
    open: Option<Open>,
}

struct Open {
    connection: Connection,
    exchange: String,
    members: String,
}

/// Without what may hold a password.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Store {
    /// The store of this configuration. `member` is a random number.
    pub fn new(shared: &Shared, member: u64) -> Self {
        Self {
            servers: shared.servers.clone(),
            prefix: shared.prefix.clone(),
            member: format!("{member:016x}"),
            open: None,
        }
    }

    /// A name in the store.
    fn name(&self, kind: &str) -> String {
        format!("{}:{kind}", self.prefix)
    }

    /// Asks all of this in one round trip.
    ///
    /// # Errors
    /// The store does not answer, or not as it should; it is connected to anew next time.
    pub fn ask(&mut self, asked: &Asked<'_>) -> Result<Told, ServerError> {
        let (members, changes) = (self.name("members"), self.name("keys:changes"));
        let told = self.with(|open, store| {
            let mut pipe = redis::pipe();
            pipe.cmd("EVALSHA").arg(&open.members).arg(1).arg(&members);
            pipe.arg(&store.member).arg(asked.member_ms);
            pipe.cmd("GET").arg(&changes);
            for question in asked.questions {
                store.push(&mut pipe, &open.exchange, question, asked.lease_ms);
            }
            let said = answers_of(&mut open.connection, &pipe, asked.questions.len() + 2)?;
            told(&said).ok_or_else(|| ServerError("an answer that makes no sense".to_owned()))
        })?;
        if told.answers.len() == asked.questions.len() {
            Ok(told)
        } else {
            self.open = None;
            Err(ServerError("fewer answers than questions".to_owned()))
        }
    }

    fn push(&self, pipe: &mut Pipeline, script: &str, question: &Question, lease_ms: u64) {
        // The braces keep both on one node where there are several.
        let pool = format!("{}:budget:{{{}}}", self.prefix, question.pool);
        pipe.cmd("EVALSHA").arg(script).arg(2).arg(&pool).arg(format!("{pool}:leases"));
        let ask = question.ask;
        pipe.arg(&self.member).arg(ask.used).arg(ask.claim).arg(ask.target).arg(ask.short);
        pipe.arg(question.ceiling).arg(lease_ms).arg(question.keep_ms);
        match ask.known {
            Some(known) => pipe.arg(known),
            None => pipe.arg(-1),
        };
    }

    /// All shared keys: names, and what is known of each.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn keys(&mut self) -> Result<Vec<(String, String)>, ServerError> {
        let name = self.name("keys");
        self.with(|open, _| Ok(redis::cmd("HGETALL").arg(&name).query(&mut open.connection)?))
    }

    /// Keys that have changed here.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn put_keys(&mut self, keys: &[(String, String)]) -> Result<(), ServerError> {
        let (name, changes) = (self.name("keys"), self.name("keys:changes"));
        self.with(|open, _| {
            let mut pipe = redis::pipe();
            pipe.atomic();
            for (key, text) in keys {
                pipe.cmd("HSET").arg(&name).arg(key).arg(text).ignore();
            }
            pipe.cmd("INCR").arg(&changes).ignore();
            Ok(pipe.query(&mut open.connection)?)
        })
    }

    /// Sends these parcels to all others.
    ///
    /// # Errors
    /// The store does not answer.
    pub(super) fn publish(&mut self, parcels: &[Parcel]) -> Result<(), ServerError> {
        let name = self.name("parcels");
        self.with(|open, store| {
            let mut pipe = redis::pipe();
            for parcel in parcels {
                let bytes = parcels::write(&store.member, parcel);
                pipe.cmd("PUBLISH").arg(&name).arg(bytes).ignore();
            }
            Ok(pipe.query(&mut open.connection)?)
        })
    }

    /// Hears what others send, until the store is gone, which is the error.
    ///
    /// # Errors
    /// The store cannot be asked any more.
    pub fn listen(&self, mut hear: impl FnMut(Received)) -> Result<Infallible, ServerError> {
        let mut open = self.connect()?;
        let mut heard = open.connection.as_pubsub();
        heard.subscribe(self.name("parcels"))?;
        loop {
            match heard.get_message() {
                Ok(message) => {
                    let received = parcels::read(&self.member, message.get_payload_bytes());
                    received.into_iter().for_each(&mut hear);
                }
                // Nobody has sent anything for a while.
                Err(error) if error.is_timeout() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Another way to the same store, for the same process.
    #[must_use]
    pub fn another(&self) -> Self {
        let (servers, prefix) = (self.servers.clone(), self.prefix.clone());
        Self { servers, prefix, member: self.member.clone(), open: None }
    }

    /// Does something with an open connection, and closes it when that fails.
    fn with<T>(
        &mut self,
        act: impl FnOnce(&mut Open, &Self) -> Result<T, ServerError>,
    ) -> Result<T, ServerError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.connect()?,
        };
        let done = act(&mut open, self)?;
        if open.connection.is_open() {
            self.open = Some(open);
        }
        Ok(done)
    }

    /// Connects to the server that is the primary now.
    fn connect(&self) -> Result<Open, ServerError> {
        let mut last = ServerError("no server".to_owned());
        for server in &self.servers {
            match open(server) {
                Ok(Some(open)) => return Ok(open),
                Ok(None) => last = ServerError("no server is the primary".to_owned()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// A connection to this server, if it is the primary.
fn open(server: &Secret) -> Result<Option<Open>, ServerError> {
    let client = Client::open(server.expose())?;
    let mut connection = client.get_connection_with_timeout(PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let role: Vec<Value> = redis::cmd("ROLE").query(&mut connection)?;
    let role = role.first().and_then(|role| redis::from_redis_value_ref::<String>(role).ok());
    if !role.is_some_and(|role| role == "master" || role == "primary") {
        return Ok(None);
    }
    let mut load = |script: &str| -> Result<String, ServerError> {
        Ok(redis::cmd("SCRIPT").arg("LOAD").arg(script).query(&mut connection)?)
    };
    let (exchange, members) = (load(EXCHANGE)?, load(MEMBERS)?);
    Ok(Some(Open { connection, exchange, members }))
}

/// Sends all of it, and reads so many answers. The library's own way waits for each of them, also
/// when the first one has not come in time.
fn answers_of(
    connection: &mut Connection,
    pipe: &Pipeline,
    count: usize,
) -> Result<Vec<Value>, ServerError> {
    connection.send_packed_command(&pipe.get_packed_pipeline())?;
    (0..count).map(|_| Ok(connection.recv_response()?)).collect()
}

fn told(said: &[Value]) -> Option<Told> {
    let [processes, changes, answers @ ..] = said else { return None };
    let number = |value: &Value| redis::from_redis_value_ref::<Option<u64>>(value).ok();
    let grant = |value: &Value| {
        let Value::Array(parts) = value else { return None };
        let [may, fair, used, holders] = &parts[..] else { return None };
        let number = |value: &Value| redis::from_redis_value_ref::<u64>(value).ok();
        Some(Grant {
            may: number(may)?,
            fair: number(fair)?,
            used: number(used)?,
            holders: number(holders)?,
        })
    };
    Some(Told {
        processes: number(processes)?.unwrap_or(0),
        changes: number(changes)?.unwrap_or(0),
        answers: answers.iter().map(grant).collect::<Option<_>>()?,
    })
}
