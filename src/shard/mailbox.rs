//! The only ways into and out of a shard: letters to it, and questions it asks the control thread.

use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::Sender;

use crate::net::Security;
use crate::rt::Mailbox;

use super::access::Access;
use super::capture::Watch;
use super::health::Switch;
use super::token::News;

/// What the control thread or another shard tells a shard.
#[derive(Debug)]
pub enum Letter<A> {
    /// A connection that another shard accepted; the board already counts it here.
    Connection(A),
    /// The addresses of an upstream have changed.
    Addresses {
        /// Its index in the configuration.
        upstream: usize,
        /// All of them, in the resolver's order.
        addresses: Vec<SocketAddr>,
    },
    /// News of the token of a service account.
    Token {
        /// Its index in the configuration.
        account: usize,
        /// What is new.
        news: News,
    },
    /// The keys have changed.
    Keys(Access),
    /// Certificates have changed.
    Security(Security),
    /// An operator wants something done.
    Order(Order),
    /// Finish what runs, take no more.
    Drain,
    /// Another process has taken over: take no new connection, serve those that are there once
    /// more and close them.
    Retire,
    /// End now.
    Stop,
}

/// What an operator wants done on every shard.
#[derive(Clone, Debug)]
pub struct Order {
    /// What.
    pub what: Deed,
    /// Hears once from each shard how many things were changed.
    pub done: Sender<usize>,
}

/// What can be done on a shard.
#[derive(Clone, Debug)]
pub enum Deed {
    /// End the exchanges with this tag ([`crate::base::Rng::digest`] of their id).
    Cancel(u64),
    /// Move the circuit of the upstream with this index.
    Circuit(usize, Switch),
    /// Keep what the clients of a key send and get, or keep nothing more.
    Capture(Option<Watch>),
    /// Tell which upstream each exchange is with: its tag, and the upstream's index.
    Asking(Sender<(u64, usize)>),
    /// Nothing: only say that the shard lives.
    Answer,
}

/// A request to the admin API, which a thread of its own answers.
#[derive(Debug)]
pub struct Errand {
    /// `GET`, `POST`, `PUT`, `DELETE`, or something else.
    pub method: &'static str,
    /// The path of the request's target.
    pub path: String,
    /// What stands behind its question mark.
    pub query: String,
    /// The body.
    pub body: Vec<u8>,
    /// Who asks: the fingerprint of the admin key; nobody for the page that everybody may load.
    pub who: Option<String>,
    /// From where; none when the connection cannot tell any more.
    pub from: Option<IpAddr>,
    /// The request's id.
    pub id: String,
    /// Where the answer goes.
    pub reply: Mailbox<Reply>,
}

/// The answer to an errand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// What the body is.
    pub content_type: &'static str,
    /// Ready field lines.
    pub fields: Vec<u8>,
    /// The body.
    pub body: Vec<u8>,
}

/// A page that the control thread renders, because rendering would hold up a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// `/metrics`: JSON.
    Metrics,
    /// `/metrics/prometheus`: text.
    Prometheus,
    /// The same in the newer form, with exemplars.
    OpenMetrics,
    /// `/health/ready`.
    Ready,
}

/// A question to the control thread.
#[derive(Debug)]
pub struct Ask {
    /// What is wanted.
    pub page: Page,
    /// Where the status and the body go.
    pub reply: Mailbox<(u16, Vec<u8>)>,
}

/// What the control thread hears.
#[derive(Debug)]
pub enum Report {
    /// A shard wants a page.
    Ask(Ask),
    /// Somebody asks the admin API.
    Errand(Box<Errand>),
    /// An operator wants the process to finish what runs and end.
    Drain,
    /// An operator wants the configuration read again.
    Reload,
    /// A shard accepts connections; the text names its driver.
    Started {
        /// Which shard.
        shard: usize,
        /// Its driver.
        driver: &'static str,
        /// Why it is not a better one.
        instead_of: Option<String>,
    },
    /// A shard has ended, by itself or because it could not start.
    Ended {
        /// Which shard.
        shard: usize,
        /// Why, if it was not told to.
        error: Option<String>,
    },
    /// Somebody wants to hear that the control thread lives.
    Alive(Sender<usize>),
    /// The process got this signal.
    Signal(i32),
    /// A successor serves, with this process number; or it has not come to serve.
    Successor(Option<u32>),
    /// A successor that had taken over has ended.
    SuccessorEnded,
    /// An upstream has refused a token.
    TokenRefused {
        /// Index of the service account.
        account: usize,
        /// The token's serial number.
        serial: u64,
    },
    /// A token was fetched, or was not, or has ended.
    Token {
        /// Index of the service account.
        account: usize,
        /// What happened.
        what: TokenReport,
    },
}

/// What happened to the token of a service account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenReport {
    /// A fresh one is out, which ends at this time, in milliseconds since 1970.
    Fetched(u64),
    /// A try to get one has failed.
    Failed,
    /// The last one has ended.
    Ended,
}
