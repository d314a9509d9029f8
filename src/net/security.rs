//! What one shard knows of TLS: how it connects to upstreams, and how it accepts clients.
//!
//! Each shard has a connector of its own, because the store of sessions to be resumed has a lock.
//! All shards share one acceptor: its tickets carry the sessions, so that whichever shard accepts
//! the next connection of a client can open them. Their lock is taken once per handshake.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring::Ticketer;
use rustls::pki_types::ServerName;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection, Error, ServerConfig, ServerConnection};

use crate::rt::RawConn;

use super::certificate::{Identity, Trust, provider};
use super::error::{NetError, NetErrorKind, NetOp, TlsFault};
use super::tls::{self, Shake, Tls};

/// How many sessions one shard remembers. An upstream's name takes one place for each of its
/// kinds of sessions.
const SESSIONS_MAX: usize = 256;

/// The one protocol that is spoken inside of TLS.
const ALPN: &[u8] = b"http/1.1";

/// The name that an upstream's certificate must be for.
#[derive(Clone, Debug)]
pub struct PeerName(ServerName<'static>);

impl PeerName {
    /// The name or the address of `host`; none when no certificate could be for it.
    pub fn new(host: &str) -> Option<Self> {
        let bare = host.strip_suffix('.').unwrap_or(host);
        ServerName::try_from(bare.to_owned()).ok().map(Self)
    }
}

/// TLS towards upstreams. Clones share the sessions.
#[derive(Clone, Debug)]
pub struct Connector(Arc<ClientConfig>);

impl Connector {
    /// Trusts `trust`, and shows `identity` to upstreams that ask who we are.
    ///
    /// # Errors
    /// rustls' reason: its cryptography cannot do what TLS asks for.
    pub fn new(trust: &Trust, identity: Option<&Identity>) -> Result<Self, Error> {
        let builder = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(Arc::clone(&trust.0));
        let shown = identity.map(|identity| SingleCertAndKey::from(Arc::clone(&identity.0)));
        let mut config = match shown {
            Some(shown) => builder.with_client_cert_resolver(Arc::new(shown)),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
        Ok(Self(Arc::new(config)))
    }

    /// For those who do their own IO.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }

    /// Shakes hands with the upstream `name` at the other end of `conn`. It is awaited to its
    /// end; aborting `conn` ends it early.
    ///
    /// # Errors
    /// What broke: the network, or the upstream's TLS.
    pub async fn connect<C: RawConn>(
        &self,
        conn: C,
        name: &PeerName,
    ) -> Result<(Tls<C>, Shake), NetError> {
        let session = ClientConnection::new(Arc::clone(&self.0), name.0.clone());
        tls::handshake(conn, session.map_err(unusable)?.into()).await
    }
}

/// rustls makes no session of its own configuration; that cannot happen with the ones made here.
fn unusable(_reason: Error) -> NetError {
    NetError { op: NetOp::Handshake, kind: NetErrorKind::Tls(TlsFault::Protocol) }
}

/// The keys of the tickets that clients resume their sessions with.
#[derive(Clone)]
pub struct Tickets(Arc<dyn ProducesTickets>);

impl std::fmt::Debug for Tickets {
    /// The keys are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tickets")
    }
}

impl Tickets {
    /// New keys; they change by themselves every six hours.
    ///
    /// # Errors
    /// rustls' reason: the machine gives no random numbers.
    pub fn new() -> Result<Self, Error> {
        Ticketer::new().map(Self)
    }
}

/// TLS towards clients. Clones share it.
#[derive(Clone, Debug)]
pub struct Acceptor(Arc<ServerConfig>);

impl Acceptor {
    /// Shows `identity` to clients. With `authorities`, each client must show a certificate that
    /// one of them stands behind.
    ///
    /// # Errors
    /// rustls' reason: no authority is given, or its cryptography cannot do what TLS asks for.
    pub fn new(
        identity: &Identity,
        authorities: Option<&Trust>,
        tickets: &Tickets,
    ) -> Result<Self, Error> {
        let provider = Arc::new(provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match authorities {
            None => builder.with_no_client_auth(),
            Some(trust) => {
                let roots = Arc::clone(&trust.0);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let verifier = verifier.build().map_err(|error| Error::General(error.to_string()));
                builder.with_client_cert_verifier(verifier?)
            }
        };
        let shown = SingleCertAndKey::from(Arc::clone(&identity.0));
        let mut config = builder.with_cert_resolver(Arc::new(shown));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.ticketer = Arc::clone(&tickets.0);
        // Tickets carry the sessions: nothing is kept here.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self(Arc::new(config)))
    }

    /// Shakes hands with the client at the other end of `conn`. It is awaited to its end;
    /// aborting `conn` ends it early.
    ///
    /// # Errors
    /// What broke: the network, or the client's TLS.
    pub async fn accept<C: RawConn>(&self, conn: C) -> Result<(Tls<C>, Shake), NetError> {
        let session = ServerConnection::new(Arc::clone(&self.0));
        tls::handshake(conn, session.map_err(unusable)?.into()).await
    }
}

/// What one shard is given.
#[derive(Clone, Debug, Default)]
pub struct Security {
    /// For upstreams with an `https` address; without it they fail.
    pub connector: Option<Connector>,
    /// Without it clients speak plain HTTP.
    pub acceptor: Option<Acceptor>,
}
