//! Times of expiry as TUF writes them: `2030-01-31T12:00:00Z`, always 20 characters.

use time::{Date, Month, OffsetDateTime, Time};

/// The time in seconds since 1970, if the text is one; years 0 to 9999.
pub fn parse_time(text: &str) -> Option<i64> {
    let bytes: &[u8; 20] = text.as_bytes().try_into().ok()?;
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':'), (19, b'Z')];
    if marks.iter().any(|&(at, mark)| bytes.get(at) != Some(&mark)) {
        return None;
    }
    let number = |from: usize, to: usize| {
        bytes
            .get(from..to)?
            .iter()
            .try_fold(0_u16, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u16::from(byte - b'0')))
    };
    let small = |from: usize| u8::try_from(number(from, from + 2)?).ok();
    let month = Month::try_from(small(5)?).ok()?;
    let date = Date::from_calendar_date(i32::from(number(0, 4)?), month, small(8)?).ok()?;
    let time = Time::from_hms(small(11)?, small(14)?, small(17)?).ok()?;
    Some(OffsetDateTime::new_utc(date, time).unix_timestamp())
}

/// The text for a time in seconds since 1970. None outside of the years 0 to 9999.
pub fn format_time(unix_s: i64) -> Option<String> {
    let at = OffsetDateTime::from_unix_timestamp(unix_s).ok().filter(|at| (0..=9999).contains(&at.year()))?;
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    Some(format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", at.hour(), at.minute(), at.second()))
}

/// A time for a person: as TUF writes it, or the seconds where there is no such form.
pub(crate) fn show(unix_s: i64) -> String {
    format_time(unix_s).unwrap_or_else(|| format!("second {unix_s} since 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_read_strictly() {
        assert_eq!(parse_time("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse_time("2030-01-31T12:00:59Z"), Some(1_896_091_259));
        assert_eq!(parse_time("2024-02-29T00:00:00Z"), Some(1_709_164_800));
        for wrong in [
            "2023-02-29T00:00:00Z",
            "2030-13-01T00:00:00Z",
            "2030-01-01T24:00:00Z",
            "2030-01-01T00:00:60Z",
            "2030-01-01T00:00:00",
            "2030-01-01 00:00:00Z",
            "2030-01-01T00:00:00+",
            "+030-01-01T00:00:00Z",
            "2030-1-01T00:00:000Z",
            "",
            "2030-01-01T00:00:00éZ",
        ] {
            assert_eq!(parse_time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_time_beyond_the_calendar_has_no_text() {
        assert_eq!(format_time(253_402_300_799).as_deref(), Some("9999-12-31T23:59:59Z"));
        assert_eq!(format_time(253_402_300_800), None);
        assert_eq!(show(i64::MAX), "second 9223372036854775807 since 1970");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(unix_s in -62_167_219_200_i64..=253_402_300_799) {
            prop_assert_eq!(parse_time(&format_time(unix_s).unwrap()), Some(unix_s));
        }
    }
}
