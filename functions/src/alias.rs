//! Which version a message goes to: an alias names versions with weights, and keeps what belongs together on one version.
//!
//! Pure: the random number is an argument. Invariants: an alias has a version and every weight is at least 1; the same number
//! gives the same version as long as the alias is the same; where only the greatest version's weight grows at the cost of the
//! others in the same sum, what already went there goes on going there.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::version::{VersionNumber, VersionNumberError};

/// Versions that one alias can share its messages out to.
pub const ALIAS_VERSIONS_MAX: usize = 8;
/// Greatest weight of one version.
pub const WEIGHT_MAX: u32 = 1000;
/// Weight of a version that is given without one.
const WEIGHT_DEFAULT: u32 = 100;

/// What stays with one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sticky {
    /// All messages of one topic.
    Topic,
    /// All messages of one client.
    Client,
    /// All messages with the same value of the user property `key`.
    Key,
}

/// One version's part of an alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The version.
    pub version: VersionNumber,
    /// Its weight, relative to the others'.
    pub weight: u32,
}

/// Versions with weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Alias {
    /// By version, ascending; at least one.
    shares: Vec<Share>,
    /// What stays with one version; `None`: each message is on its own.
    sticky: Option<Sticky>,
}

/// As it is written.
#[derive(Deserialize)]
struct Unchecked {
    shares: Vec<Share>,
    sticky: Option<Sticky>,
}

impl TryFrom<Unchecked> for Alias {
    type Error = AliasError;

    fn try_from(unchecked: Unchecked) -> Result<Self, AliasError> {
        Self::new(unchecked.shares, unchecked.sticky)
    }
}

/// An alias is not one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AliasError {
    /// No version.
    #[error("an alias needs a version, such as v3=90 v4=10")]
    Empty,
    /// More versions than an alias can have.
    #[error("{0} versions, an alias has at most {ALIAS_VERSIONS_MAX}")]
    TooMany(usize),
    /// The same version again.
    #[error("{0} is named twice")]
    Twice(VersionNumber),
    /// A weight out of range.
    #[error("weight {1:?} of {0}: allowed are 1 to {WEIGHT_MAX}")]
    Weight(VersionNumber, String),
    /// A version out of form.
    #[error(transparent)]
    Version(#[from] VersionNumberError),
    /// Nothing known to stick to.
    #[error("{0:?} is nothing to stick to: allowed are topic, client and key")]
    Sticky(String),
}

/// What is known of a message when its version is chosen.
#[derive(Clone, Copy, Debug)]
pub struct Lot<'a> {
    /// The function: two functions do not try out new versions on the same clients.
    pub function: &'a str,
    /// The message's topic.
    pub topic: &'a str,
    /// Who published it.
    pub client: Option<&'a str>,
    /// The value of its user property `key`.
    pub key: Option<&'a str>,
    /// For messages that stick to nothing: any number, the same for all attempts of one message.
    pub random: u64,
}

impl Alias {
    /// Checks the parts of an alias.
    ///
    /// # Errors
    /// No version, too many, one twice, or a weight out of range.
    pub fn new(mut shares: Vec<Share>, sticky: Option<Sticky>) -> Result<Self, AliasError> {
        match shares.len() {
            0 => return Err(AliasError::Empty),
            1..=ALIAS_VERSIONS_MAX => {}
            many => return Err(AliasError::TooMany(many)),
        }
        shares.sort_by_key(|share| share.version);
        for (before, share) in shares.iter().zip(shares.iter().skip(1)) {
            if before.version == share.version {
                return Err(AliasError::Twice(share.version));
            }
        }
        match shares.iter().find(|share| !(1..=WEIGHT_MAX).contains(&share.weight)) {
            Some(share) => Err(AliasError::Weight(share.version, share.weight.to_string())),
            None => Ok(Self { shares, sticky }),
        }
    }

    /// Everything to one version.
    pub fn only(version: VersionNumber) -> Self {
        Self { shares: vec![Share { version, weight: WEIGHT_DEFAULT }], sticky: None }
    }

    /// The versions and their weights, by version.
    pub fn shares(&self) -> &[Share] {
        &self.shares
    }

    /// What stays with one version.
    pub fn sticky(&self) -> Option<Sticky> {
        self.sticky
    }

    /// The version with the greatest weight, the newer one of two.
    pub fn heaviest(&self) -> VersionNumber {
        let heaviest = self.shares.iter().max_by_key(|share| (share.weight, share.version));
        heaviest.map_or(VersionNumber::FIRST, |share| share.version)
    }

    /// The version for a message, among those that `takes` says yes to; if there are none, among all.
    pub fn choose(&self, lot: &Lot<'_>, takes: impl Fn(VersionNumber) -> bool) -> VersionNumber {
        let number = self.number(lot);
        let among = |takes: &dyn Fn(VersionNumber) -> bool| {
            let fitting = || self.shares.iter().filter(|share| takes(share.version));
            let sum: u64 = fitting().map(|share| u64::from(share.weight)).sum();
            // In 0..sum: the high part of a product cannot pass the factor.
            let mut point = (u128::from(number) * u128::from(sum)) >> 64;
            for share in fitting() {
                let weight = u128::from(share.weight);
                if point < weight {
                    return Some(share.version);
                }
                point -= weight;
            }
            None
        };
        among(&takes).or_else(|| among(&|_| true)).unwrap_or_else(|| self.heaviest())
    }

    fn number(&self, lot: &Lot<'_>) -> u64 {
        let stuck_to = match self.sticky {
            None => None,
            Some(Sticky::Topic) => Some(lot.topic),
            Some(Sticky::Client) => lot.client,
            Some(Sticky::Key) => lot.key,
        };
        match stuck_to {
            Some(text) => scatter(digest_of(&[lot.function, text])),
            None => scatter(lot.random),
        }
    }
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo; offset basis).
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// A step for the bytes and one for their end, so that two texts in a row do not run into one.
fn fnv1a(hash: u64, bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    step(bytes.iter().fold(hash, |hash, &byte| step(hash, byte)), 0xff)
}

/// A number for texts in a row, the same everywhere and for ever.
pub(crate) fn digest_of(texts: &[&str]) -> u64 {
    texts.iter().fold(FNV_OFFSET, |hash, text| fnv1a(hash, text.as_bytes()))
}

/// The finishing steps of SplitMix64 (Steele, Lea, Flood 2014): numbers in a row come out all over the range.
pub(crate) fn scatter(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

impl FromStr for Sticky {
    type Err = AliasError;

    fn from_str(text: &str) -> Result<Self, AliasError> {
        match text {
            "topic" => Ok(Self::Topic),
            "client" => Ok(Self::Client),
            "key" => Ok(Self::Key),
            other => Err(AliasError::Sticky(crate::log_ring::cut(other, 40).to_owned())),
        }
    }
}

impl fmt::Display for Sticky {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Topic => "topic",
            Self::Client => "client",
            Self::Key => "key",
        })
    }
}

impl FromStr for Share {
    type Err = AliasError;

    /// `v3=90`, or `v3`.
    fn from_str(text: &str) -> Result<Self, AliasError> {
        let (version, weight) = text.split_once('=').map_or((text, None), |(version, weight)| (version, Some(weight)));
        let version = version.parse()?;
        let Some(weight) = weight else { return Ok(Self { version, weight: WEIGHT_DEFAULT }) };
        match weight.parse() {
            Ok(weight) if (1..=WEIGHT_MAX).contains(&weight) => Ok(Self { version, weight }),
            _ => Err(AliasError::Weight(version, crate::log_ring::cut(weight, 40).to_owned())),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}={}", self.version, self.weight)
    }
}

impl fmt::Display for Alias {
    /// `v3=90 v4=10, sticky by client`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, share) in self.shares.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(formatter, "{space}{share}")?;
        }
        self.sticky.map_or(Ok(()), |sticky| write!(formatter, ", sticky by {sticky}"))
    }
}

#[cfg(test)]
mod tests;
