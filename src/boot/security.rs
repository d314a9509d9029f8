//! Certificates and keys, from the files that the configuration names to what shards are given.
//! The files are looked at again and again: a certificate is renewed without a restart, and what
//! cannot be used never replaces what can.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::thread;
use std::time::Duration;

use crate::config::{Config, ConfigError, Place, Roots, ServerTls, TlsFile, TlsPair};
use crate::net::{Acceptor, Connector, Identity, PemProblem, Security, Tickets, Trust};
use crate::obs::log::Level;
use crate::rt::{Accepted, Mailbox};
use crate::shard::Letter;
use crate::web;

use super::control::say;
use super::{env, report};

/// How often the files are looked at. What is seen twice in a row is taken for finished: a
/// certificate and its key are rarely written at the same moment.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the files hold, understood.
#[derive(Debug)]
pub struct Material {
    trust: Trust,
    /// Who we are to upstreams that ask.
    identity: Option<Identity>,
    clients: Option<Clients>,
    /// Of the files. Their contents are secrets, so they are not kept for comparison.
    digest: u64,
    digests: RandomState,
}

/// TLS towards clients.
#[derive(Debug)]
struct Clients {
    acceptor: Acceptor,
    tickets: Tickets,
    /// The authorities of clients that `tickets` were given out under, as text.
    authorities: Option<String>,
}

/// The content of every file, or why it cannot be read.
struct Files(BTreeMap<String, Result<String, String>>);

impl Files {
    fn read(config: &Config) -> Self {
        let named = config.tls.files().chain(config.server.tls.iter().flat_map(ServerTls::files));
        let read = |file: &TlsFile| {
            let text = env::read_text(&file.path).map_err(|error| env::reason(&error));
            (file.path.clone(), text)
        };
        Self(named.map(read).collect())
    }

    fn digest(&self, digests: &RandomState) -> u64 {
        digests.hash_one(&self.0)
    }

    fn text(&self, file: &TlsFile) -> Result<&str, ConfigError> {
        let why = match self.0.get(&file.path) {
            Some(Ok(text)) => return Ok(text),
            Some(Err(why)) => why,
            None => "nobody tried",
        };
        let found = format!("{:?}, which cannot be read: {why}", file.path);
        Err(wrong(file.key, &file.place, found, "the path of a readable PEM file"))
    }
}

impl Material {
    /// Reads and checks every file.
    ///
    /// # Errors
    /// Every mistake that can be found.
    pub fn load(config: &Config) -> Result<Self, Vec<ConfigError>> {
        Self::understand(config, &Files::read(config), None)
    }

    /// Checks what was read. Tickets that clients hold stay good, if they may.
    fn understand(
        config: &Config,
        files: &Files,
        before: Option<&Self>,
    ) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let trust = roots(&config.tls.roots);
        let mut trust = trust.unwrap_or_else(|error| {
            errors.push(error);
            Trust::nobody()
        });
        if let Some(file) = &config.tls.extra_ca {
            errors.extend(add(&mut trust, file, files).err());
        }
        let mut kept = |error| errors.push(error);
        let identity = config.tls.client.as_ref().map(|pair| identity(pair, files));
        let identity = identity.transpose().map_err(&mut kept).ok().flatten();
        let digests = before.map_or_else(RandomState::new, |before| before.digests.clone());
        let digest = files.digest(&digests);
        let before = before.and_then(|before| before.clients.as_ref());
        let clients = config.server.tls.as_ref().map(|tls| Clients::new(tls, files, before));
        let clients = clients.transpose().map_err(&mut kept).ok().flatten();
        let material = Self { trust, identity, clients, digest, digests };
        if errors.is_empty() { Ok(material) } else { Err(errors) }
    }

    /// What one shard is given.
    ///
    /// # Errors
    /// The library's cryptography does not work here.
    pub fn security(&self) -> io::Result<Security> {
        let acceptor = self.clients.as_ref().map(|clients| clients.acceptor.clone());
        Ok(Security { connector: Some(self.connector()?), acceptor })
    }

    /// The same for token endpoints, which are asked off the cores.
    ///
    /// # Errors
    /// The library's cryptography does not work here.
    pub fn trust(&self) -> io::Result<web::Trust> {
        Ok(web::Trust::new(self.connector()?.config()))
    }

    fn connector(&self) -> io::Result<Connector> {
        Connector::new(&self.trust, self.identity.as_ref()).map_err(io::Error::other)
    }
}

impl Clients {
    fn new(tls: &ServerTls, files: &Files, before: Option<&Self>) -> Result<Self, ConfigError> {
        let identity = identity(&tls.pair, files)?;
        let mut trust = Trust::nobody();
        let mut authorities = None;
        if let Some(file) = &tls.client_ca {
            add(&mut trust, file, files)?;
            authorities = Some(files.text(file)?.to_owned());
        }
        // A ticket stands for a certificate that was checked when it was given out: under new
        // authorities it must be checked again.
        let before = before.filter(|before| before.authorities == authorities);
        let tickets = before.map_or_else(Tickets::new, |before| Ok(before.tickets.clone()));
        let asked = authorities.is_some().then_some(&trust);
        let acceptor =
            tickets.and_then(|tickets| Ok((Acceptor::new(&identity, asked, &tickets)?, tickets)));
        let (acceptor, tickets) = acceptor.map_err(|error| {
            let file = &tls.pair.cert;
            wrong(file.key, &file.place, format!("{error}"), "a certificate that TLS can use")
        })?;
        Ok(Self { acceptor, tickets, authorities })
    }
}

/// Keeps looking at the files and tells the shards of what is new. The thread that does it can be
/// woken to look at once; there is none when there are no files.
pub(super) fn keep(
    config: &Config,
    material: Material,
    shards: Vec<Mailbox<Letter<Accepted>>>,
) -> io::Result<()> {
    if Files::read(config).0.is_empty() {
        return Ok(());
    }
    let tried = material.digest;
    let mut watch = Watch { config: config.clone(), material, shards, tried };
    let watching = move || {
        let mut seen = tried;
        loop {
            thread::park_timeout(LOOK_EVERY);
            seen = watch.look(seen);
        }
    };
    thread::Builder::new().name("vb-certificates".to_owned()).spawn(watching).map(drop)
}

/// What the watching thread knows.
struct Watch {
    config: Config,
    /// What is in force.
    material: Material,
    shards: Vec<Mailbox<Letter<Accepted>>>,
    /// Digest of what was last put in force, or found to be unusable.
    tried: u64,
}

impl Watch {
    /// Looks once; `before` and the result are digests of what was seen.
    fn look(&mut self, before: u64) -> u64 {
        let files = Files::read(&self.config);
        let seen = files.digest(&self.material.digests);
        if seen == before && seen != self.tried {
            self.tried = seen;
            self.renew(&files);
        }
        seen
    }

    fn renew(&mut self, files: &Files) {
        match Material::understand(&self.config, files, Some(&self.material)) {
            Ok(material) => match self.tell(&material) {
                Ok(()) => {
                    self.material = material;
                    say(Level::Info, "new certificates are in force");
                }
                Err(error) => say(Level::Warn, &format!("certificates stay as they are: {error}")),
            },
            Err(errors) => {
                let errors = report::errors_text(&errors);
                let errors = errors.trim_end().replace('\n', "; ");
                say(Level::Warn, &format!("certificates stay as they are: {errors}"));
            }
        }
    }

    /// All shards or none.
    fn tell(&self, material: &Material) -> io::Result<()> {
        let made: io::Result<Vec<Security>> =
            self.shards.iter().map(|_| material.security()).collect();
        for (shard, security) in self.shards.iter().zip(made?) {
            shard.send(Letter::Security(security));
        }
        Ok(())
    }
}

fn roots(roots: &Roots) -> Result<Trust, ConfigError> {
    let Roots::System(place) = roots else { return Ok(Trust::bundled()) };
    let (trust, count) = Trust::system();
    if count > 0 {
        return Ok(trust);
    }
    let found = "\"system\", though the system's store has no certificate";
    let expected = "\"bundled\", or a system with its package ca-certificates";
    Err(wrong("tls.roots", place, found.to_owned(), expected))
}

fn add(trust: &mut Trust, file: &TlsFile, files: &Files) -> Result<(), ConfigError> {
    let added = trust.add(files.text(file)?.as_bytes());
    added.map_err(|problem| unusable(file, problem))
}

fn identity(pair: &TlsPair, files: &Files) -> Result<Identity, ConfigError> {
    let (cert, key) = (files.text(&pair.cert)?, files.text(&pair.key)?);
    Identity::new(cert.as_bytes(), key.as_bytes()).map_err(|problem| {
        unusable(if problem.is_of_key() { &pair.key } else { &pair.cert }, problem)
    })
}

fn unusable(file: &TlsFile, problem: PemProblem) -> ConfigError {
    let found = format!("{} in {:?}", problem.found(), file.path);
    wrong(file.key, &file.place, found, problem.expected())
}

fn wrong(key: &str, place: &Place, found: String, expected: &str) -> ConfigError {
    let (key, place) = (key.to_owned(), place.clone());
    ConfigError { key, place, found, expected: expected.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::config::Sources;

    /// A folder of one test, removed with the value.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("vertex-bridge-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn put(&self, name: &str, text: &str) -> String {
            let path = self.0.join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn load(text: &str) -> Result<Material, Vec<String>> {
        let read_file = |_: &str| Err("no files here".to_owned());
        let file = Some(("vb.toml", text));
        let sources = Sources { file, flags: &[], variables: &[], read_file: &read_file };
        let config = Config::load(&sources).unwrap();
        Material::load(&config).map_err(|all| all.iter().map(ToString::to_string).collect())
    }

    fn made() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn files_that_fit_make_what_a_shard_needs() {
        let folder = Folder::new("fit");
        let (cert, key) = made();
        let (cert, key) = (folder.put("cert", &cert), folder.put("key", &key));
        let text =
            format!("[tls]\nextra_ca = {cert:?}\nclient_cert = {cert:?}\nclient_key = {key:?}\n");
        let security = load(&text).unwrap().security().unwrap();
        assert!(security.connector.is_some() && security.acceptor.is_none());
        let text =
            format!("[server]\ntls_cert = {cert:?}\ntls_key = {key:?}\ntls_client_ca = {cert:?}\n");
        assert!(load(&text).unwrap().security().unwrap().acceptor.is_some());
        assert!(load("").unwrap().security().is_ok(), "without any file");
    }

    #[test]
    fn every_mistake_names_file_key_found_and_expected() {
        let folder = Folder::new("mistakes");
        let ((cert, key), (_, other)) = (made(), made());
        let (cert, key) = (folder.put("cert", &cert), folder.put("key", &key));
        let (other, empty) = (folder.put("other", &other), folder.put("empty", "nothing\n"));
        let missing = folder.0.join("missing").display().to_string();
        let pair = |cert: &str, key: &str| {
            format!("[tls]\nclient_cert = {cert:?}\nclient_key = {key:?}\n")
        };
        for (text, want) in [
            (
                format!("[server]\ntls_cert = {cert:?}\ntls_key = {other:?}\n"),
                format!(
                    "vb.toml:3: server.tls_key: found a private key that does not match the \
                     certificate in {other:?}, expected the key of the first certificate in the \
                     certificate file"
                ),
            ),
            (
                format!("tls.extra_ca = {missing:?}"),
                format!(
                    "vb.toml:1: tls.extra_ca: found {missing:?}, which cannot be read: No such \
                     file or directory, expected the path of a readable PEM file"
                ),
            ),
            (
                format!("tls.extra_ca = {key:?}"),
                format!(
                    "vb.toml:1: tls.extra_ca: found no certificate in {key:?}, expected PEM text \
                     with -----BEGIN CERTIFICATE-----"
                ),
            ),
            (
                pair(&empty, &key),
                format!(
                    "vb.toml:2: tls.client_cert: found no certificate in {empty:?}, expected PEM \
                     text with -----BEGIN CERTIFICATE-----"
                ),
            ),
            (
                pair(&cert, &cert),
                format!(
                    "vb.toml:3: tls.client_key: found no private key in {cert:?}, expected PEM \
                     text with an RSA, ECDSA or Ed25519 private key"
                ),
            ),
            (
                pair(&cert, &other),
                format!(
                    "vb.toml:3: tls.client_key: found a private key that does not match the \
                     certificate in {other:?}, expected the key of the first certificate in the \
                     certificate file"
                ),
            ),
        ] {
            assert_eq!(load(&text).unwrap_err(), [want]);
        }
        let both = format!("{}extra_ca = {missing:?}\n", pair(&missing, &key));
        assert_eq!(load(&both).unwrap_err().len(), 2, "all at once");
    }

    #[test]
    fn the_systems_store_is_used_when_there_is_one() {
        let loaded = load("tls.roots = \"system\"");
        if Path::new("/etc/ssl/certs/ca-certificates.crt").exists() {
            assert!(loaded.is_ok(), "{loaded:?}");
        } else {
            let errors = loaded.unwrap_err();
            assert!(errors[0].contains("ca-certificates"), "{errors:?}");
        }
    }
}
