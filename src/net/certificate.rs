//! Certificates and keys as operators have them: PEM text in, what rustls wants out.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, RootCertStore};

/// Why the text of a file cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PemProblem {
    /// No certificate is in it.
    NoCertificate,
    /// A certificate in it cannot be read.
    BadCertificate,
    /// No private key is in it.
    NoKey,
    /// The private key asks for a password.
    EncryptedKey,
    /// The private key cannot be read, or is of a kind that TLS does not use.
    BadKey,
    /// The private key belongs to another certificate.
    OtherKey,
}

impl PemProblem {
    /// What the file holds instead.
    pub fn found(self) -> &'static str {
        match self {
            Self::NoCertificate => "no certificate",
            Self::BadCertificate => "a broken certificate",
            Self::NoKey => "no private key",
            Self::EncryptedKey => "a private key with a password",
            Self::BadKey => "a broken private key",
            Self::OtherKey => "a private key that does not match the certificate",
        }
    }

    /// What would be right.
    pub fn expected(self) -> &'static str {
        match self {
            Self::NoCertificate | Self::BadCertificate => {
                "PEM text with -----BEGIN CERTIFICATE-----"
            }
            Self::NoKey | Self::BadKey => "PEM text with an RSA, ECDSA or Ed25519 private key",
            Self::EncryptedKey => "a private key without one (openssl pkey -in FILE)",
            Self::OtherKey => "the key of the first certificate in the certificate file",
        }
    }

    /// Is the file with the key at fault, rather than the one with the certificate?
    pub fn is_of_key(self) -> bool {
        !matches!(self, Self::NoCertificate | Self::BadCertificate)
    }
}

/// The authorities whose word counts.
#[derive(Clone, Debug)]
pub struct Trust(pub(super) Arc<RootCertStore>);

impl Trust {
    /// Nobody yet.
    pub fn nobody() -> Self {
        Self(Arc::new(RootCertStore::empty()))
    }

    /// Those that browsers trust, as they were when this program was built.
    pub fn bundled() -> Self {
        Self(Arc::new(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }))
    }

    /// Those of the operating system's store. Blocks. One that cannot be read is left out, as
    /// every program does; the second value says how many there were.
    pub fn system() -> (Self, usize) {
        let mut store = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        let (added, _unreadable) = store.add_parsable_certificates(found.certs);
        (Self(Arc::new(store)), added)
    }

    /// Adds every certificate of this PEM text.
    ///
    /// # Errors
    /// When there is none, or one that cannot be read.
    pub fn add(&mut self, pem: &[u8]) -> Result<(), PemProblem> {
        let store = Arc::make_mut(&mut self.0);
        for authority in certificates(pem)? {
            store.add(authority).map_err(|_unreadable| PemProblem::BadCertificate)?;
        }
        Ok(())
    }
}

/// A certificate with what stands behind it, and its private key.
#[derive(Clone)]
pub struct Identity(pub(super) Arc<CertifiedKey>);

impl std::fmt::Debug for Identity {
    /// The key is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

impl Identity {
    /// Reads the certificate, its chain and its key; both texts may be the same.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub fn new(chain: &[u8], key: &[u8]) -> Result<Self, PemProblem> {
        let chain = certificates(chain)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_none| match () {
            () if contains(key, b"ENCRYPTED") => PemProblem::EncryptedKey,
            () if contains(key, b"PRIVATE KEY") => PemProblem::BadKey,
            () => PemProblem::NoKey,
        })?;
        match CertifiedKey::from_der(chain, key, &provider()) {
            Ok(pair) => Ok(Self(Arc::new(pair))),
            Err(Error::InconsistentKeys(_)) => Err(PemProblem::OtherKey),
            Err(Error::InvalidCertificate(_)) => Err(PemProblem::BadCertificate),
            Err(_) => Err(PemProblem::BadKey),
        }
    }
}

/// The cryptography behind all TLS here.
pub(super) fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemProblem> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|_broken| PemProblem::BadCertificate)?;
    if found.is_empty() { Err(PemProblem::NoCertificate) } else { Ok(found) }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(name: &str) -> (String, String) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_certificate_and_its_key_make_an_identity() {
        let (chain, key) = made("a.test");
        assert!(Identity::new(chain.as_bytes(), key.as_bytes()).is_ok());
        let both = format!("{key}{chain}");
        assert!(Identity::new(both.as_bytes(), both.as_bytes()).is_ok(), "one file for both");
        let shown = format!("{:?}", Identity::new(chain.as_bytes(), key.as_bytes()));
        assert_eq!(shown, "Ok(Identity)");
    }

    #[test]
    fn what_is_wrong_with_a_pair_is_named() {
        let ((chain, key), (_, other)) = (made("a.test"), made("b.test"));
        let broken_chain = chain.replace("MII", "MIX");
        let broken_key = key.replacen("MI", "AA", 1);
        let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE \
                      KEY-----\n";
        for (chain, key, want) in [
            ("", &*key, PemProblem::NoCertificate),
            (&*key, &*key, PemProblem::NoCertificate),
            (&*broken_chain, &*key, PemProblem::BadCertificate),
            (&*chain, "", PemProblem::NoKey),
            (&*chain, &*chain, PemProblem::NoKey),
            (&*chain, locked, PemProblem::EncryptedKey),
            (&*chain, &*broken_key, PemProblem::BadKey),
            (&*chain, &*other, PemProblem::OtherKey),
        ] {
            let found = Identity::new(chain.as_bytes(), key.as_bytes()).err();
            assert_eq!(found, Some(want), "{chain}{}", want.found());
            let of_key = !matches!(want, PemProblem::NoCertificate | PemProblem::BadCertificate);
            assert_eq!(want.is_of_key(), of_key);
        }
    }

    #[test]
    fn authorities_add_up() {
        let mut trust = Trust::bundled();
        let before = trust.0.roots.len();
        assert!(before > 50, "{before}");
        let two = format!("{}{}", made("a.test").0, made("b.test").0);
        assert_eq!(trust.add(two.as_bytes()), Ok(()));
        assert_eq!(trust.0.roots.len(), before + 2);
        assert_eq!(trust.add(b"nothing"), Err(PemProblem::NoCertificate));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(trust.add(broken.as_bytes()), Err(PemProblem::BadCertificate));
    }
}
