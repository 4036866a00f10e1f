//! What signed metadata says of a payload, compared with what the payload says of itself.

use std::fmt;

use thiserror::Error;

use super::{Header, Kind};
use crate::digest::{Digest, Hexadecimal};

/// What signed metadata says of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// What the stream is.
    pub kind: Kind,
    /// What a patch is applied to; `None` for [`Kind::Full`].
    pub base: Option<Digest>,
    /// What comes out.
    pub result: Digest,
}

/// A field that header and signed metadata both have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// Full or patch.
    Kind,
    /// Length of the base.
    BaseLength,
    /// Hash of the base.
    BaseHash,
    /// Length of the result.
    ResultLength,
    /// Hash of the result.
    ResultHash,
}

impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Kind => "kind",
            Self::BaseLength => "length of the base",
            Self::BaseHash => "hash of the base",
            Self::ResultLength => "length of the result",
            Self::ResultHash => "hash of the result",
        })
    }
}

/// The first field in which a header is not what was signed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the payload is not the one that was signed: its {field} is {found}, signed is {signed}")]
pub struct Mismatch {
    /// Which.
    pub field: Field,
    /// What the header says.
    pub found: String,
    /// What the metadata says.
    pub signed: String,
}

impl Expected {
    /// What `header` says, for a caller whose metadata is made from payloads.
    pub fn of(header: &Header) -> Self {
        Self { kind: header.kind, base: header.base, result: header.result }
    }

    /// Compares every field that both have.
    ///
    /// # Errors
    /// The first that differs. A base that only one of the two has differs in its length or hash.
    pub fn compare(&self, header: &Header) -> Result<(), Mismatch> {
        same(Field::Kind, &header.kind, &self.kind)?;
        let [found, signed] = [header.base, self.base].map(|base| base.unwrap_or(Digest::ABSENT));
        same(Field::BaseLength, &found.length, &signed.length)?;
        same_hash(Field::BaseHash, &found, &signed)?;
        same(Field::ResultLength, &header.result.length, &self.result.length)?;
        same_hash(Field::ResultHash, &header.result, &self.result)
    }
}

fn same<T: PartialEq + fmt::Display>(field: Field, found: &T, signed: &T) -> Result<(), Mismatch> {
    if found == signed {
        return Ok(());
    }
    Err(Mismatch { field, found: found.to_string(), signed: signed.to_string() })
}

fn same_hash(field: Field, found: &Digest, signed: &Digest) -> Result<(), Mismatch> {
    if found.sha256 == signed.sha256 {
        return Ok(());
    }
    let [found, signed] = [found, signed].map(|digest| Hexadecimal(&digest.sha256).to_string());
    Err(Mismatch { field, found, signed })
}
