//! What identifies an image: its length and its SHA-256.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// Length and SHA-256 of a whole image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest {
    /// Bytes.
    pub length: u64,
    /// SHA-256 of all of them.
    pub sha256: [u8; 32],
}

impl Digest {
    /// What stands in a header where there is no image. Not the digest of an empty image.
    pub const ABSENT: Self = Self { length: 0, sha256: [0; 32] };

    /// Of `image`.
    pub fn of(image: &[u8]) -> Self {
        let mut sum = RunningDigest::default();
        sum.add(image);
        sum.finish()
    }
}

/// Length and hash, as tools that print hashes write them.
impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes, sha256 {}", self.length, Hexadecimal(&self.sha256))
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(crate) struct Hexadecimal<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hexadecimal<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// A digest of bytes that come in pieces.
#[derive(Default)]
pub(crate) struct RunningDigest {
    length: u64,
    sha256: Sha256,
}

impl RunningDigest {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.length = self.length.saturating_add(bytes.len() as u64);
        self.sha256.update(bytes);
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn finish(self) -> Digest {
        Digest { length: self.length, sha256: self.sha256.finalize().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_pieces_is_that_of_the_whole() {
        let mut sum = RunningDigest::default();
        sum.add(b"a");
        sum.add(b"");
        sum.add(b"bc");
        assert_eq!(sum.finish(), Digest::of(b"abc"));
        // FIPS 180-2, appendix B.1.
        let text = Digest::of(b"abc").to_string();
        assert_eq!(text, "3 bytes, sha256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn an_empty_image_is_not_an_absent_one() {
        assert_ne!(Digest::of(b""), Digest::ABSENT);
    }
}
