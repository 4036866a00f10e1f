//! Revocation lists: which certificates were withdrawn. A list counts only with the signature of an authority that is trusted;
//! one past its time still counts, for what was withdrawn stays so.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use thiserror::Error;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use super::facts::positive;

/// Why a file of lists does not count.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum RevocationError {
    /// It holds none.
    #[error("there is no revocation list in it (expected PEM)")]
    Empty,
    /// One is damaged.
    #[error("list {number} is damaged: {cause}")]
    Damaged {
        /// From 1.
        number: usize,
        /// The reader's words.
        cause: String,
    },
    /// One is not signed by an authority that is trusted.
    #[error("list {number} is not signed by an authority in the file of authorities")]
    Foreign {
        /// From 1.
        number: usize,
    },
}

/// One withdrawn certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// Serial number, without leading zeros.
    pub serial: Vec<u8>,
    /// Seconds since 1970.
    pub at_s: u64,
}

/// What all lists of a file say.
#[derive(Debug, Default)]
pub struct Revocations {
    /// The lists, for the handshake.
    pub lists: Vec<CertificateRevocationListDer<'static>>,
    /// Entries of the first list, for writing it again.
    pub own: Vec<Withdrawn>,
    /// Number of the first list.
    pub number: u64,
}

/// Reads all lists in `pem`, each signed by one of the `authorities` (PEM).
///
/// # Errors
/// There is none, or one is damaged or foreign.
pub fn read(pem: &[u8], authorities: &[u8]) -> Result<Revocations, RevocationError> {
    let mut all = Revocations::default();
    let authorities: Vec<_> = CertificateDer::pem_slice_iter(authorities).flatten().collect();
    for (index, list) in CertificateRevocationListDer::pem_slice_iter(pem).enumerate() {
        let number = index + 1;
        let damaged = |cause: String| RevocationError::Damaged { number, cause };
        let der = list.map_err(|error| damaged(error.to_string()))?;
        let copy = CertificateRevocationListDer::from(der.as_ref().to_vec());
        let (_, list) = CertificateRevocationList::from_der(&der).map_err(|error| damaged(error.to_string()))?;
        if !authorities.iter().any(|authority| is_signed_by(&list, authority)) {
            return Err(RevocationError::Foreign { number });
        }
        if index == 0 {
            all.own = list
                .iter_revoked_certificates()
                .map(|entry| Withdrawn {
                    serial: positive(entry.raw_serial()),
                    at_s: u64::try_from(entry.revocation_date.timestamp()).unwrap_or(0),
                })
                .collect();
            let digits = list.crl_number().map(|number| number.to_u64_digits()).unwrap_or_default();
            all.number = digits.first().copied().unwrap_or(0);
        }
        all.lists.push(copy);
    }
    if all.lists.is_empty() { Err(RevocationError::Empty) } else { Ok(all) }
}

fn is_signed_by(list: &CertificateRevocationList<'_>, authority: &[u8]) -> bool {
    let Ok((_, authority)) = X509Certificate::from_der(authority) else { return false };
    authority.subject().as_raw() == list.issuer().as_raw() && list.verify_signature(authority.public_key()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn an_empty_and_a_damaged_file_are_refused() {
        assert_eq!(read(b"", b"").unwrap_err(), RevocationError::Empty);
        let damaged = b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
        assert!(matches!(read(damaged, b""), Err(RevocationError::Damaged { number: 1, .. })));
    }
}
