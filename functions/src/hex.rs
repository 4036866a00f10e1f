//! Bytes as text where they are written down: hexadecimal, or as they are where they are UTF-8.

use std::fmt::Write;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Hexadecimal of either case, two digits a byte.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let byte = |start: usize| u8::from_str_radix(text.get(start..start + 2)?, 16).ok();
    (0..digits.len()).step_by(2).map(byte).collect()
}

/// For `serialize_with`.
pub(crate) fn to_hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex(bytes))
}

/// For `deserialize_with`.
pub(crate) fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    unhex(&text).ok_or_else(|| D::Error::custom("expected hexadecimal digits, two for each byte"))
}

/// Readable bytes: text where they are UTF-8, else `{"hex": "…"}`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Readable<T> {
    Text(T),
    Hex { hex: String },
}

/// For `serialize_with`: text, or `{"hex": "…"}`.
pub(crate) fn to_readable<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Readable::Text(text).serialize(serializer),
        Err(_) => Readable::<&str>::Hex { hex: hex(bytes) }.serialize(serializer),
    }
}

/// For `deserialize_with`: what [`to_readable`] wrote.
pub(crate) fn from_readable<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    match Readable::<String>::deserialize(deserializer)? {
        Readable::Text(text) => Ok(text.into_bytes()),
        Readable::Hex { hex } => {
            unhex(&hex).ok_or_else(|| D::Error::custom("expected hexadecimal digits, two for each byte"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_goes_there_and_back_and_nothing_else_is_taken_for_it() {
        assert_eq!(hex(&[0, 15, 255]), "000fff");
        assert_eq!(unhex("000fFF"), Some(vec![0, 15, 255]));
        assert_eq!(unhex(""), Some(Vec::new()));
        for wrong in ["0", "0g", "+1", "é1", "00 "] {
            assert_eq!(unhex(wrong), None, "{wrong}");
        }
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Both {
        #[serde(serialize_with = "to_readable", deserialize_with = "from_readable")]
        bytes: Vec<u8>,
    }

    #[test]
    fn readable_bytes_go_there_and_back() {
        for bytes in [b"21.5".to_vec(), vec![0xff, 0], Vec::new(), br#"{"hex":"00"}"#.to_vec()] {
            let text = serde_json::to_string(&Both { bytes: bytes.clone() }).unwrap();
            assert_eq!(serde_json::from_str::<Both>(&text).unwrap(), Both { bytes }, "{text}");
        }
        assert!(serde_json::from_str::<Both>(r#"{"bytes":{"hex":"0"}}"#).is_err());
    }
}
