//! Durations and sizes as the configuration writes them: a whole number with its unit in one string, `"10s"`, `"64MiB"`.
//! Not arithmetic: parts take `Duration` and `u64`. What is printed parses back to the same value.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

/// Largest first, so that printing finds the largest unit that fits exactly. The number is milliseconds.
const PERIOD_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Largest first. The number is bytes.
const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Said on a command line.
const PERIOD_ALLOWED: &str = "a duration with its unit: 500ms, 10s, 5m, 2h or 7d";
const SIZE_ALLOWED: &str = "a size with its unit: 512B, 64KiB, 16MiB or 1GiB";
/// Said of a file.
const PERIOD_EXPECTED: &str = "a duration with its unit in quotes: \"500ms\", \"10s\", \"5m\", \"2h\" or \"7d\"";
const SIZE_EXPECTED: &str = "a size with its unit in quotes: \"512B\", \"64KiB\", \"16MiB\" or \"1GiB\"";

/// A duration with millisecond resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Why a text is no quantity; the text says what is allowed.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("expected {allowed}")]
pub struct QuantityError {
    allowed: &'static str,
}

impl Period {
    /// `seconds` seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// `milliseconds` milliseconds.
    pub const fn milliseconds(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }

    fn as_milliseconds(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl ByteSize {
    /// `count` KiB.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// `count` MiB.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// As a length in memory; saturates where `usize` is smaller.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Period {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        scaled(text, &PERIOD_UNITS)
            .map(|milliseconds| Self(Duration::from_millis(milliseconds)))
            .ok_or(QuantityError { allowed: PERIOD_ALLOWED })
    }
}

impl FromStr for ByteSize {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        scaled(text, &SIZE_UNITS).map(Self).ok_or(QuantityError { allowed: SIZE_ALLOWED })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = exact(self.as_milliseconds(), &PERIOD_UNITS, "s");
        write!(f, "{number}{unit}")
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, unit) = exact(self.0, &SIZE_UNITS, "B");
        write!(f, "{number}{unit}")
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Period;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(PERIOD_EXPECTED)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Period, E> {
                text.parse().map_err(|_| E::custom(format_args!("expected {PERIOD_EXPECTED}")))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = ByteSize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(SIZE_EXPECTED)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(|_| E::custom(format_args!("expected {SIZE_EXPECTED}")))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// `<digits><unit>` with an optional space between, in the smallest unit of `units`.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text.get(..digits)?.parse().ok()?;
    let unit = text.get(digits..)?.trim_start();
    let factor = units.iter().find(|(name, _)| *name == unit)?.1;
    number.checked_mul(factor)
}

/// The value in the largest unit that divides it; zero in `zero_unit`.
fn exact(value: u64, units: &[(&'static str, u64)], zero_unit: &'static str) -> (u64, &'static str) {
    if value == 0 {
        return (0, zero_unit);
    }
    units
        .iter()
        .find(|(_, factor)| value.is_multiple_of(*factor))
        .map_or((value, zero_unit), |(unit, factor)| (value / factor, unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_unit_is_read() {
        assert_eq!("500ms".parse(), Ok(Period::milliseconds(500)));
        assert_eq!("10s".parse(), Ok(Period::seconds(10)));
        assert_eq!("5m".parse(), Ok(Period::seconds(300)));
        assert_eq!("2 h".parse(), Ok(Period::seconds(7200)));
        assert_eq!("7d".parse(), Ok(Period::seconds(604_800)));
        assert_eq!("512B".parse(), Ok(ByteSize(512)));
        assert_eq!("64KiB".parse(), Ok(ByteSize::kib(64)));
        assert_eq!("16MiB".parse(), Ok(ByteSize::mib(16)));
        assert_eq!("2GiB".parse(), Ok(ByteSize(2 << 30)));
    }

    #[test]
    fn a_number_without_its_unit_or_with_a_wrong_one_is_refused() {
        for text in
            ["", "10", "s", "-1s", "1.5s", "10 sec", "10S", "1h30m", "18446744073709551616s", "18446744073709551615d"]
        {
            assert!(text.parse::<Period>().is_err(), "{text:?}");
        }
        for text in ["", "10", "MiB", "10MB", "10kb", "-1B", "18446744073709551615GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_back(value in any::<u64>()) {
            let period = Period::milliseconds(value);
            prop_assert_eq!(period.to_string().parse(), Ok(period));
            let size = ByteSize(value);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }
    }
}
