//! Certificates made on the spot, and the settings of TLS for both sides.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};

pub const BOTH: &[&SupportedProtocolVersion] = &[&TLS12, &TLS13];

/// A certificate with its key.
pub struct Holder {
    pub certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Clone for Holder {
    fn clone(&self) -> Self {
        Self { certificate: self.certificate.clone(), key: self.key.clone_key() }
    }
}

/// Somebody who issues certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).expect("a certificate").der().clone();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    fn issue(&self, serial: u64, usage: ExtendedKeyUsagePurpose) -> Holder {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        params.serial_number = Some(SerialNumber::from(serial));
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").der().clone();
        Holder { certificate, key: PrivatePkcs8KeyDer::from(key.serialize_der()).into() }
    }

    pub fn server(&self, serial: u64) -> Holder {
        self.issue(serial, ExtendedKeyUsagePurpose::ServerAuth)
    }

    pub fn client(&self, serial: u64) -> Holder {
        self.issue(serial, ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A list that revokes the certificate `serial`.
    pub fn revocation(&self, serial: u64) -> CertificateRevocationListDer<'static> {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2099, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect("a list").der().clone()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("an authority");
        roots
    }

    /// Asks clients for certificates of this authority.
    pub fn verifier(
        &self,
        required: bool,
        revoked: Vec<CertificateRevocationListDer<'static>>,
    ) -> Arc<dyn ClientCertVerifier> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), provider).with_crls(revoked);
        let builder = if required { builder } else { builder.allow_unauthenticated() };
        builder.build().expect("a verifier")
    }

    /// The settings of clients that trust this authority.
    pub fn trusting(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        identity: Option<&Holder>,
    ) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(self.roots());
        Arc::new(match identity {
            None => builder.with_no_client_auth(),
            Some(holder) => builder
                .with_client_auth_cert(vec![holder.certificate.clone()], holder.key.clone_key())
                .expect("a certificate and its key"),
        })
    }
}

/// The settings of a server, that verifies its clients with `verifier`.
pub fn serving(holder: &Holder, verifier: Option<Arc<dyn ClientCertVerifier>>) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(BOTH)
        .expect("versions");
    let builder = match verifier {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    let chain = vec![holder.certificate.clone()];
    Arc::new(builder.with_single_cert(chain, holder.key.clone_key()).expect("a certificate and its key"))
}
