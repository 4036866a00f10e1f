//! Revocation lists (RFC 5280, 5), for the sessions that are open already. New connections are TLS's business, which checks the
//! signature of a list as well; a list that is read here is trusted as the file it comes from.

use std::collections::HashSet;

use thiserror::Error;
use x509_parser::{
    pem::Pem,
    prelude::{CertificateRevocationList, FromDer},
};

use super::CertificateId;

/// Largest file with lists, in bytes.
pub const REVOKED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Most certificates in all lists of a file.
pub const REVOKED_MAX: usize = 200_000;

/// Withdrawn certificates.
#[derive(Clone, Debug, Default)]
pub struct Revoked {
    ids: HashSet<CertificateId, foldhash::fast::RandomState>,
}

/// Why a file is no revocation list.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum RevokedError {
    /// Zero bytes, or nothing but white space.
    #[error("the file is empty")]
    Empty,
    /// More than [`REVOKED_BYTES_MAX`].
    #[error("the file has {0} bytes, and {REVOKED_BYTES_MAX} are the most")]
    TooLarge(usize),
    /// Neither PEM blocks `X509 CRL` nor one list in DER.
    #[error("list {0} is no certificate revocation list in PEM or DER")]
    Malformed(usize),
    /// More than [`REVOKED_MAX`].
    #[error("the lists have more than {REVOKED_MAX} certificates")]
    TooMany,
}

impl Revoked {
    /// Reads one list in DER, or any number in PEM.
    ///
    /// # Errors
    /// If something in it is no such list, or there is none.
    pub fn parse(content: &[u8]) -> Result<Self, RevokedError> {
        if content.trim_ascii().is_empty() {
            return Err(RevokedError::Empty);
        }
        if content.len() > REVOKED_BYTES_MAX {
            return Err(RevokedError::TooLarge(content.len()));
        }
        let mut revoked = Self::default();
        if content.first() == Some(&0x30) {
            revoked.add(content, 1)?;
            return Ok(revoked);
        }
        let mut number = 0;
        for block in Pem::iter_from_buffer(content) {
            number += 1;
            let block = block.map_err(|_| RevokedError::Malformed(number))?;
            if block.label != "X509 CRL" {
                return Err(RevokedError::Malformed(number));
            }
            revoked.add(&block.contents, number)?;
        }
        if number == 0 { Err(RevokedError::Malformed(1)) } else { Ok(revoked) }
    }

    /// Whether the certificate was withdrawn.
    pub fn contains(&self, certificate: CertificateId) -> bool {
        self.ids.contains(&certificate)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    fn add(&mut self, der: &[u8], number: usize) -> Result<(), RevokedError> {
        let malformed = RevokedError::Malformed(number);
        let (rest, list) = CertificateRevocationList::from_der(der).map_err(|_| malformed.clone())?;
        if !rest.is_empty() {
            return Err(malformed);
        }
        for certificate in list.iter_revoked_certificates() {
            if self.ids.len() == REVOKED_MAX {
                return Err(RevokedError::TooMany);
            }
            self.ids.insert(CertificateId::new(list.issuer().as_raw(), certificate.raw_serial()));
        }
        Ok(())
    }
}
