//! What stands in a certificate, for people and for the rules. Bytes come from files and from clients: nothing here panics on
//! them. Not a verification: that is done in the handshake.

use rustls::pki_types::pem::{PemObject, SectionKind};
use serde::Serialize;
use sha2::{Digest, Sha256};
use thiserror::Error;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use super::hex;

/// A file with more certificates is none of ours.
const CERTIFICATES_MAX: usize = 1000;

/// Why nothing could be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ReadError {
    /// Nothing that is known is in it.
    #[error("there is no certificate and no revocation list in it (expected PEM)")]
    Empty,
    /// A section is damaged.
    #[error("section {number} is damaged: {cause}")]
    Damaged {
        /// From 1.
        number: usize,
        /// The reader's words.
        cause: String,
    },
}

/// What something is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Signs others.
    Authority,
    /// A server's.
    Server,
    /// A client's.
    Client,
    /// Says nothing of its purpose, or several.
    Other,
    /// A list of withdrawn certificates.
    RevocationList,
}

/// What stands in one certificate or list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// What it is for.
    pub kind: Kind,
    /// Its common name.
    pub common_name: Option<String>,
    /// Alternative names: DNS, addresses, e-mail, URIs.
    pub names: Vec<String>,
    /// Who signed it.
    pub issuer: String,
    /// Serial number.
    #[serde(serialize_with = "as_hex")]
    pub serial: Vec<u8>,
    /// Seconds since 1970 from which it counts.
    pub not_before_s: u64,
    /// Seconds since 1970 up to which it counts.
    pub not_after_s: u64,
    /// SHA-256 of all of it.
    #[serde(serialize_with = "as_hex")]
    pub fingerprint: Vec<u8>,
    /// Certificates that a list withdraws.
    pub withdrawn: usize,
}

fn as_hex<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex(bytes))
}

/// Everything in a PEM file, in its order. Private keys in it are passed over.
///
/// # Errors
/// A section is damaged, or there is nothing.
pub fn read(pem: &[u8]) -> Result<Vec<Facts>, ReadError> {
    let mut all = Vec::new();
    for (index, section) in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem).take(CERTIFICATES_MAX).enumerate() {
        let damaged = |cause: String| ReadError::Damaged { number: index + 1, cause };
        let (kind, der) = section.map_err(|error| damaged(error.to_string()))?;
        match kind {
            SectionKind::Certificate => all.push(of_certificate(&der).map_err(damaged)?),
            SectionKind::Crl => all.push(of_list(&der).map_err(damaged)?),
            _ => {}
        }
    }
    if all.is_empty() { Err(ReadError::Empty) } else { Ok(all) }
}

fn of_certificate(der: &[u8]) -> Result<Facts, String> {
    let certificate = parsed(der)?;
    let names = alternative_names(&certificate).iter().filter_map(name_text).collect();
    Ok(Facts {
        kind: kind(&certificate),
        common_name: common_name(&certificate),
        names,
        issuer: certificate.issuer().to_string(),
        serial: positive(certificate.raw_serial()),
        not_before_s: seconds(certificate.validity().not_before.timestamp()),
        not_after_s: seconds(certificate.validity().not_after.timestamp()),
        fingerprint: Sha256::digest(der).to_vec(),
        withdrawn: 0,
    })
}

fn of_list(der: &[u8]) -> Result<Facts, String> {
    let (_, list) = CertificateRevocationList::from_der(der).map_err(|error| error.to_string())?;
    Ok(Facts {
        kind: Kind::RevocationList,
        common_name: None,
        names: Vec::new(),
        issuer: list.issuer().to_string(),
        serial: list.crl_number().map(|number| number.to_bytes_be()).unwrap_or_default(),
        not_before_s: seconds(list.last_update().timestamp()),
        not_after_s: list.next_update().map_or(u64::MAX, |next| seconds(next.timestamp())),
        fingerprint: Sha256::digest(der).to_vec(),
        withdrawn: list.iter_revoked_certificates().count(),
    })
}

/// When a certificate (DER) ends, seconds since 1970.
pub fn ends_s(der: &[u8]) -> Option<u64> {
    parsed(der).ok().map(|certificate| seconds(certificate.validity().not_after.timestamp()))
}

/// Common name of the first certificate in a PEM text.
pub fn first_name(pem: &str) -> Option<String> {
    common_name(&parsed(&first_der(pem)?).ok()?)
}

/// Public key of the first certificate in a PEM text, as its algorithm writes it.
pub fn public_key(pem: &str) -> Option<Vec<u8>> {
    let der = first_der(pem)?;
    parsed(&der).ok().map(|certificate| certificate.public_key().subject_public_key.data.to_vec())
}

fn first_der(pem: &str) -> Option<Vec<u8>> {
    rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).ok().map(|der| der.as_ref().to_vec())
}

fn parsed(der: &[u8]) -> Result<X509Certificate<'_>, String> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err("bytes follow the certificate".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn kind(certificate: &X509Certificate<'_>) -> Kind {
    if certificate.is_ca() {
        return Kind::Authority;
    }
    match certificate.extended_key_usage() {
        Ok(Some(usage)) if usage.value.server_auth && !usage.value.client_auth => Kind::Server,
        Ok(Some(usage)) if usage.value.client_auth && !usage.value.server_auth => Kind::Client,
        _ => Kind::Other,
    }
}

fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).map(str::to_owned)
}

fn alternative_names<'a>(certificate: &'a X509Certificate<'_>) -> &'a [GeneralName<'a>] {
    match certificate.subject_alternative_name() {
        Ok(Some(extension)) => &extension.value.general_names,
        _ => &[],
    }
}

fn name_text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => Some((*text).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|octets| std::net::Ipv4Addr::from(octets).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|octets| std::net::Ipv6Addr::from(octets).to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// Without the zero byte that only says that the number is positive.
pub(super) fn positive(serial: &[u8]) -> Vec<u8> {
    let start = serial.iter().position(|byte| *byte != 0).unwrap_or(serial.len());
    serial.get(start..).unwrap_or_default().to_vec()
}

fn seconds(timestamp: i64) -> u64 {
    u64::try_from(timestamp).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_certificate_is_said_to_be_none() {
        assert_eq!(read(b""), Err(ReadError::Empty));
        assert_eq!(read(b"hello"), Err(ReadError::Empty));
        let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(read(damaged.as_bytes()), Err(ReadError::Damaged { number: 1, .. })));
    }

    #[test]
    fn serial_numbers_are_compared_without_leading_zeros() {
        assert_eq!(positive(&[0, 0x80, 1]), [0x80, 1]);
        assert_eq!(positive(&[0, 0]), Vec::<u8>::new());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = read(&bytes);
            let _ = ends_s(&bytes);
        }
    }
}
