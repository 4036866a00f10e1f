//! Values of a manifest that may be written in more than one way: bytes with a unit, and texts for `[config]`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};

/// A number of bytes, as an integer or as text with a unit; what was written when it is neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bytes {
    Number(u64),
    Wrong(String),
}

impl fmt::Display for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Wrong(text) => write!(formatter, "{text:?}"),
        }
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BytesVisitor)
    }
}

struct BytesVisitor;

impl Visitor<'_> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a number of bytes, or text with a unit such as \"64MiB\"")
    }

    fn visit_i64<E>(self, number: i64) -> Result<Bytes, E> {
        Ok(u64::try_from(number).map_or_else(|_| Bytes::Wrong(number.to_string()), Bytes::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Bytes, E> {
        Ok(with_unit(text).map_or_else(|| Bytes::Wrong(text.to_owned()), Bytes::Number))
    }
}

/// `64MiB`, `64 MiB`, `512KiB`, `1GiB`, `100B`, `100`.
fn with_unit(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|character: char| character.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim() {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// A value of `[config]`, which guests see as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor).map(Text)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("text, a number or a boolean")
    }

    fn visit_bool<E>(self, value: bool) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_i64<E>(self, value: i64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_f64<E>(self, value: f64) -> Result<String, E> {
        Ok(value.to_string())
    }

    fn visit_str<E>(self, value: &str) -> Result<String, E> {
        Ok(value.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_1024() {
        for (text, expected) in [
            ("64MiB", Some(64 << 20)),
            ("64 MiB", Some(64 << 20)),
            ("1GiB", Some(1 << 30)),
            ("7KiB", Some(7 << 10)),
            ("100", Some(100)),
            ("100B", Some(100)),
            ("64MB", None),
            ("MiB", None),
            ("", None),
            ("-1", None),
            ("18446744073709551615GiB", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(with_unit(text), expected, "{text:?}");
        }
    }
}
