//! The list of reason codes that SUBACK and UNSUBACK answer with, one per topic filter and in the filters' order
//! ([MQTT-3.9.3-1], [MQTT-3.11.3-1]).

use std::fmt;

use crate::ReasonCode;

/// Reason codes, borrowed either from a decoded packet or from a slice of codes.
#[derive(Clone, Copy)]
pub struct ReasonCodes<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    /// Bytes that decoding has checked.
    Bytes(&'a [u8]),
    Codes(&'a [ReasonCode]),
}

impl<'a> ReasonCodes<'a> {
    /// No codes: the UNSUBACK of 3.1.1.
    pub const EMPTY: Self = Self(Source::Codes(&[]));

    /// From the payload of a packet, each byte of which is one of `allowed`; gives back the first byte that is not.
    pub(crate) fn from_payload(payload: &'a [u8], allowed: &[ReasonCode]) -> Result<Self, u8> {
        match payload.iter().find(|byte| !allowed.iter().any(|code| code.byte() == **byte)) {
            Some(byte) => Err(*byte),
            None => Ok(Self(Source::Bytes(payload))),
        }
    }

    /// Each code, in order.
    pub fn iter(&self) -> impl Iterator<Item = ReasonCode> + use<'a> {
        let (bytes, codes) = match self.0 {
            Source::Bytes(bytes) => (bytes, &[][..]),
            Source::Codes(codes) => (&[][..], codes),
        };
        bytes.iter().filter_map(|byte| ReasonCode::from_byte(*byte)).chain(codes.iter().copied())
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self.0 {
            Source::Bytes(bytes) => bytes.len(),
            Source::Codes(codes) => codes.len(),
        }
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a> From<&'a [ReasonCode]> for ReasonCodes<'a> {
    fn from(codes: &'a [ReasonCode]) -> Self {
        Self(Source::Codes(codes))
    }
}

impl Default for ReasonCodes<'_> {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl PartialEq for ReasonCodes<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for ReasonCodes<'_> {}

impl fmt::Debug for ReasonCodes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_allowed_bytes_become_codes() {
        let allowed = [ReasonCode::Success, ReasonCode::QuotaExceeded];
        let codes = ReasonCodes::from_payload(&[0x97, 0x00], &allowed).expect("allowed");
        assert_eq!(codes, ReasonCodes::from(&[ReasonCode::QuotaExceeded, ReasonCode::Success][..]));
        assert_eq!(codes.len(), 2);
        assert_eq!(ReasonCodes::from_payload(&[0x00, 0x80], &allowed), Err(0x80));
        assert!(ReasonCodes::EMPTY.is_empty());
    }
}
