//! Certificates for the tests, good ones and bad ones, made on the spot.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

/// An authority that signs certificates.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
    store: RootCertStore,
}

/// A certificate and its key, PEM.
#[derive(Clone)]
pub(super) struct Signed {
    pub(super) cert: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let cert = params.self_signed(&key).expect("a certificate");
        let mut store = RootCertStore::empty();
        store.add(cert.der().clone()).expect("an authority");
        Self { issuer: Issuer::new(params, key), pem: cert.pem(), store }
    }

    /// A certificate for this name or address, changed as `change` says.
    pub(super) fn sign_with(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Signed {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        // Strict clients follow it to the authority.
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        Signed { cert: cert.pem(), key: key.serialize_pem() }
    }

    pub(super) fn sign(&self, name: &str) -> Signed {
        self.sign_with(name, |_| {})
    }

    pub(super) fn sign_expired(&self, name: &str) -> Signed {
        self.sign_with(name, |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1))
    }

    /// Those who trust this authority and nobody else.
    pub(super) fn store(&self) -> RootCertStore {
        self.store.clone()
    }
}

/// A certificate that nobody but itself vouches for.
pub(super) fn self_signed(name: &str) -> Signed {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
    Signed { cert: made.cert.pem(), key: made.signing_key.serialize_pem() }
}

impl Signed {
    /// A TLS server with this certificate; `authority` vouches for its clients, if given.
    pub(super) fn server(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        authority: Option<&Authority>,
    ) -> ServerConfig {
        let provider = Arc::new(default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .expect("versions");
        let builder = match authority {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let roots = Arc::new(authority.store());
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                builder.with_client_cert_verifier(verifier.build().expect("an authority"))
            }
        };
        let chain = rustls::pki_types::CertificateDer::pem_slice_iter(self.cert.as_bytes());
        let chain = chain.collect::<Result<_, _>>().expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key");
        builder.with_single_cert(chain, key).expect("a pair")
    }
}
