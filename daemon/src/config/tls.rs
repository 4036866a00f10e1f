//! Certificates of the node, and what is asked of those of clients.

use serde::{Deserialize, Serialize};

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertificates {
    /// They are not asked.
    Off,
    /// They are asked; who has none logs in otherwise.
    Optional,
    /// Who has none cannot connect.
    Required,
}

/// Which name in a client's certificate is its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserFrom {
    /// Common name of the subject.
    CommonName,
    /// First DNS name of the subject's alternative names.
    Dns,
    /// First e-mail address of them.
    Email,
    /// First URI of them.
    Uri,
}

/// TLS of `[mqtts]` and `[secure_websocket]`. Files are PEM; relative names begin at the working directory of the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// The node's certificate and those between it and the authority. Empty: `tls/server.pem` in the data directory.
    pub certificate: String,
    /// Its private key. Empty: `tls/server.key` in the data directory.
    pub key: String,
    /// Authorities of client certificates. Empty: `tls/ca.pem` in the data directory.
    pub client_ca: String,
    /// Whether clients show a certificate.
    pub client_certificates: ClientCertificates,
    /// Withdrawn certificates. Empty: `tls/crl.pem` in the data directory, once it was there.
    pub crl: String,
    /// Which name in a client's certificate is its user.
    pub user_from: UserFrom,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            certificate: String::new(),
            key: String::new(),
            client_ca: String::new(),
            client_certificates: ClientCertificates::Off,
            crl: String::new(),
            user_from: UserFrom::CommonName,
        }
    }
}
