//! `slots/X/image`: what the program in a slot has to be. Written once the program is whole and durable, and never again; a slot
//! without it holds nothing.
//!
//! ```text
//! selvedge-image 1
//! version TEXT
//! length DECIMAL
//! sha256 64HEX
//! data-format DECIMAL       ; newest format of the data directory that this program reads and writes
//! security-floor DECIMAL    ; programs with a lower one are not run again once this one is confirmed
//! crc32 8HEX
//! ```

use thiserror::Error;

use crate::sealed_text::{SealError, seal, unseal};
use crate::stream_hash::Digest;

const KIND: &str = "selvedge-image";
const FORMAT: u32 = 1;
/// Longest version, bytes.
pub(crate) const VERSION_BYTES_MAX: usize = 128;
/// Longest file, bytes.
pub(crate) const BYTES_MAX: u64 = 4096;

/// A program in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// As it calls itself, at most 128 bytes.
    pub version: String,
    /// What it has to be.
    pub digest: Digest,
    /// Newest format of the data directory that it reads and writes.
    pub data_format: u32,
    /// Once it is confirmed, programs with a lower one are not run again.
    pub security_floor: u64,
}

/// Why `image` says nothing about a slot.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ImageError {
    /// Not as it was written.
    #[error("{0}")]
    Seal(String),
    /// Whole, but without sense.
    #[error("its line {0:?} is missing or makes no sense")]
    Line(&'static str),
}

impl From<SealError> for ImageError {
    fn from(error: SealError) -> Self {
        Self::Seal(error.to_string())
    }
}

impl Image {
    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        seal(
            KIND,
            FORMAT,
            &[
                ("version", self.version.clone()),
                ("length", self.digest.length.to_string()),
                ("sha256", self.digest.hex()),
                ("data-format", self.data_format.to_string()),
                ("security-floor", self.security_floor.to_string()),
            ],
        )
    }

    /// Reads the file.
    ///
    /// # Errors
    /// It is not what [`Image::to_bytes`] writes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ImageError> {
        let lines = unseal(KIND, FORMAT, bytes)?;
        let value = |index: usize, name: &'static str| match lines.get(index) {
            Some((key, value)) if key == name => Ok(value.as_str()),
            _ => Err(ImageError::Line(name)),
        };
        let version = value(0, "version")?;
        if version.is_empty() || version.len() > VERSION_BYTES_MAX {
            return Err(ImageError::Line("version"));
        }
        let length = value(1, "length")?.parse().map_err(|_| ImageError::Line("length"))?;
        let digest = Digest::from_hex(length, value(2, "sha256")?).ok_or(ImageError::Line("sha256"))?;
        let data_format = value(3, "data-format")?.parse().map_err(|_| ImageError::Line("data-format"))?;
        let security_floor = value(4, "security-floor")?.parse().map_err(|_| ImageError::Line("security-floor"))?;
        if lines.len() != 5 {
            return Err(ImageError::Line("crc32"));
        }
        Ok(Self { version: version.to_owned(), digest, data_format, security_floor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        Image { version: "1.2.3".into(), digest: Digest::of(b"program"), data_format: 2, security_floor: 3 }
    }

    #[test]
    fn an_image_comes_back() {
        assert_eq!(Image::from_bytes(&image().to_bytes()), Ok(image()));
    }

    #[test]
    fn an_image_without_sense_is_refused() {
        for (version, length) in [("", "7"), (&"v".repeat(129)[..], "7"), ("1", "-7"), ("1", "")] {
            let lines = [
                ("version", version.to_owned()),
                ("length", length.to_owned()),
                ("sha256", image().digest.hex()),
                ("data-format", "1".into()),
                ("security-floor", "0".into()),
            ];
            assert!(Image::from_bytes(&seal(KIND, FORMAT, &lines)).is_err(), "{version:?} {length:?}");
        }
        let longest = Image { version: "v".repeat(128), ..image() };
        assert_eq!(Image::from_bytes(&longest.to_bytes()), Ok(longest));
        let mut upper = image().to_bytes();
        upper.make_ascii_uppercase();
        assert!(Image::from_bytes(&upper).is_err());
    }
}
