//! Certificates and keys, from the files that the configuration names to what shards are given.

use std::io;

use crate::config::{Config, ConfigError, Place, Roots, TlsFile, TlsPair};
use crate::credential;
use crate::net::{Connector, Identity, PemProblem, Security, Trust};

use super::env;

/// What the files hold, understood.
#[derive(Debug)]
pub struct Material {
    trust: Trust,
    /// Who we are to upstreams that ask.
    identity: Option<Identity>,
}

impl Material {
    /// Reads and checks every file.
    ///
    /// # Errors
    /// Every mistake that can be found.
    pub fn load(config: &Config) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let trust = roots(&config.tls.roots);
        let mut trust = trust.unwrap_or_else(|error| {
            errors.push(error);
            Trust::nobody()
        });
        if let Some(file) = &config.tls.extra_ca {
            errors.extend(add(&mut trust, file).err());
        }
        let identity = config.tls.client.as_ref().map(identity);
        let identity = identity.transpose().map_err(|error| errors.push(error)).ok().flatten();
        if errors.is_empty() { Ok(Self { trust, identity }) } else { Err(errors) }
    }

    /// What one shard is given.
    ///
    /// # Errors
    /// The library's cryptography does not work here.
    pub fn security(&self) -> io::Result<Security> {
        Ok(Security { connector: Some(self.connector()?), acceptor: None })
    }

    /// The same for token endpoints, which are asked off the cores.
    ///
    /// # Errors
    /// The library's cryptography does not work here.
    pub fn trust(&self) -> io::Result<credential::Trust> {
        Ok(credential::Trust::new(self.connector()?.config()))
    }

    fn connector(&self) -> io::Result<Connector> {
        Connector::new(&self.trust, self.identity.as_ref()).map_err(io::Error::other)
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

fn add(trust: &mut Trust, file: &TlsFile) -> Result<(), ConfigError> {
    trust.add(&read(file)?).map_err(|problem| unusable(file, problem))
}

fn identity(pair: &TlsPair) -> Result<Identity, ConfigError> {
    let (cert, key) = (read(&pair.cert)?, read(&pair.key)?);
    Identity::new(&cert, &key).map_err(|problem| {
        unusable(if problem.is_of_key() { &pair.key } else { &pair.cert }, problem)
    })
}

fn read(file: &TlsFile) -> Result<Vec<u8>, ConfigError> {
    env::read_text(&file.path).map(String::into_bytes).map_err(|error| {
        let found = format!("{:?}, which cannot be read: {}", file.path, env::reason(&error));
        wrong(file.key, &file.place, found, "the path of a readable PEM file")
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
        assert!(security.connector.is_some());
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
