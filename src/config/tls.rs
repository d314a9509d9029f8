//! Which files TLS works with. What is in them is found out where they are used, at the start and
//! again whenever one changes; so each keeps the place where it was named.

use super::error::Place;

/// A file, and where it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFile {
    /// The key, as `tls.extra_ca`.
    pub key: &'static str,
    /// As it was given.
    pub path: String,
    /// Where the key was set.
    pub place: Place,
}

/// A certificate with its chain, and the private key that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPair {
    /// The certificate first, then what stands behind it.
    pub cert: TlsFile,
    /// May be the same file.
    pub key: TlsFile,
}

/// Who vouches for upstreams before `tls.extra_ca` does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// The authorities that browsers trust, built in.
    Bundled,
    /// Those of the operating system, asked for at this place.
    System(Place),
}

/// TLS towards upstreams.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Where trust begins.
    pub roots: Roots,
    /// Names may stand for link-local addresses.
    pub allow_link_local: bool,
    /// Authorities that are trusted beside those.
    pub extra_ca: Option<TlsFile>,
    /// Who we are to upstreams that ask.
    pub client: Option<TlsPair>,
}

/// TLS towards clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerTls {
    /// What clients are shown.
    pub pair: TlsPair,
    /// Authorities that must stand behind the certificate that each client shows; without it
    /// clients are not asked for one.
    pub client_ca: Option<TlsFile>,
}

impl TlsPair {
    fn files(&self) -> [&TlsFile; 2] {
        [&self.cert, &self.key]
    }
}

impl Tls {
    /// Every file that is named.
    pub fn files(&self) -> impl Iterator<Item = &TlsFile> {
        self.extra_ca.iter().chain(self.client.iter().flat_map(TlsPair::files))
    }
}

impl ServerTls {
    /// Every file that is named.
    pub fn files(&self) -> impl Iterator<Item = &TlsFile> {
        self.pair.files().into_iter().chain(&self.client_ca)
    }
}
