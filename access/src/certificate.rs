//! What a client's certificate says: the name of its user, and which certificate it is, for withdrawal.
//!
//! Chain, dates and the proof of possession are TLS's business and were checked before; nothing here trusts bytes further than
//! that. A certificate must hold exactly one name of the wanted kind, so that nobody has to guess which one counts.

use ring::digest;
use thiserror::Error;
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

use crate::name::{NameProblem, check_outside_name};

mod revoked;

pub use revoked::{REVOKED_BYTES_MAX, REVOKED_MAX, Revoked, RevokedError};

/// Longest certificate, in bytes.
pub const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;

/// Which name of a certificate is the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameFrom {
    /// Common name of the subject.
    CommonName,
    /// DNS name among the subject's alternative names, in lower case.
    Dns,
    /// E-mail address among them.
    Email,
    /// URI among them.
    Uri,
}

/// Tells a certificate from every other: its issuer and serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CertificateId([u8; 32]);

/// What is read from a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The one name of the wanted kind.
    pub user: String,
    /// Which certificate it is.
    pub id: CertificateId,
}

/// Why a certificate names no user.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CertificateError {
    /// More than [`CERTIFICATE_BYTES_MAX`].
    #[error("the certificate is longer than {CERTIFICATE_BYTES_MAX} bytes")]
    TooLong,
    /// Not X.509.
    #[error("the certificate cannot be read")]
    Malformed,
    /// No name of the wanted kind.
    #[error("the certificate has no {0}")]
    NoName(NameFrom),
    /// More than one name of the wanted kind.
    #[error("the certificate has more than one {0}")]
    SeveralNames(NameFrom),
    /// One that cannot be a user.
    #[error("the {from} of the certificate cannot be a user: {problem}")]
    Name {
        /// Which.
        from: NameFrom,
        /// Why not.
        problem: NameProblem,
    },
}

impl ClientCertificate {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// If it is no certificate or does not hold exactly one usable name of the kind.
    pub fn read(der: &[u8], from: NameFrom) -> Result<Self, CertificateError> {
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(CertificateError::TooLong);
        }
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateError::Malformed);
        }
        let user = match from {
            NameFrom::CommonName => common_name(&certificate)?,
            NameFrom::Dns | NameFrom::Email | NameFrom::Uri => alternative_name(&certificate, from)?,
        };
        check_outside_name(&user).map_err(|problem| CertificateError::Name { from, problem })?;
        Ok(Self { user, id: CertificateId::new(certificate.issuer().as_raw(), certificate.raw_serial()) })
    }
}

impl CertificateId {
    /// `issuer` is the DER of the name; `serial` the content of the integer.
    fn new(issuer: &[u8], serial: &[u8]) -> Self {
        let zeros = serial.iter().take_while(|&&byte| byte == 0).count();
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&issuer.len().to_le_bytes());
        context.update(issuer);
        context.update(serial.get(zeros..).unwrap_or_default());
        let mut id = [0; 32];
        id.copy_from_slice(context.finish().as_ref());
        Self(id)
    }
}

impl std::fmt::Display for NameFrom {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::CommonName => "common name",
            Self::Dns => "DNS name",
            Self::Email => "e-mail address",
            Self::Uri => "URI",
        })
    }
}

fn common_name(certificate: &X509Certificate<'_>) -> Result<String, CertificateError> {
    let names = certificate.subject().iter_common_name();
    let name = only(names, NameFrom::CommonName)?.as_str().map_err(|_| CertificateError::Malformed)?;
    Ok(name.to_owned())
}

fn alternative_name(certificate: &X509Certificate<'_>, from: NameFrom) -> Result<String, CertificateError> {
    let extension = certificate.subject_alternative_name().map_err(|_| CertificateError::Malformed)?;
    let extension = extension.ok_or(CertificateError::NoName(from))?;
    let names = extension.value.general_names.iter().filter_map(|name| match (from, name) {
        (NameFrom::Dns, GeneralName::DNSName(name)) => Some(name.to_ascii_lowercase()),
        (NameFrom::Email, GeneralName::RFC822Name(name)) | (NameFrom::Uri, GeneralName::URI(name)) => {
            Some((*name).to_owned())
        }
        _ => None,
    });
    only(names, from)
}

fn only<T>(mut names: impl Iterator<Item = T>, from: NameFrom) -> Result<T, CertificateError> {
    match (names.next(), names.next()) {
        (Some(name), None) => Ok(name),
        (None, _) => Err(CertificateError::NoName(from)),
        (Some(_), Some(_)) => Err(CertificateError::SeveralNames(from)),
    }
}

#[cfg(test)]
pub(crate) mod tests;
