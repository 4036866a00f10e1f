//! What a twin was, and why it is what it is.

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::super::{Answer, MaybeReader, NodeState};
use crate::http::answer::{ApiError, json_response};
use crate::http::login;
use crate::http::node::TwinMoment;

/// Changes in one answer, unless the request says otherwise.
const CHANGES: usize = 100;
const CHANGES_MAX: usize = 1000;

/// Which state is wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct At {
    at: Option<String>,
}

impl At {
    /// What it says; the present if it says nothing.
    pub fn parse(&self) -> Result<Option<TwinMoment>, ApiError> {
        let Some(text) = &self.at else { return Ok(None) };
        let moment = match text.parse() {
            Ok(revision) => Some(TwinMoment::Revision(revision)),
            Err(_) => unix_ms(text).map(TwinMoment::Time),
        };
        moment.map(Some).ok_or_else(|| {
            ApiError::invalid("at is neither a revision such as 7 nor a time such as 2026-11-29T12:00:00Z")
        })
    }
}

/// Which changes are wanted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

pub async fn history(
    State(node): NodeState,
    reader: MaybeReader,
    Path(thing): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Answer {
    login::check_twin(reader.as_deref(), &thing)?;
    let limit = wanted.limit.unwrap_or(CHANGES).clamp(1, CHANGES_MAX);
    Ok(json_response(StatusCode::OK, &node.twin_history(&thing, wanted.after, limit)?))
}

pub async fn explain(State(node): NodeState, reader: MaybeReader, Path(thing): Path<String>) -> Answer {
    login::check_twin(reader.as_deref(), &thing)?;
    Ok(json_response(StatusCode::OK, &node.explain_twin(&thing)?))
}

/// Milliseconds since 1970 of a time of RFC 3339, from 1970 on; none if it is none.
fn unix_ms(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let zone_at = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at_checked(zone_at)?;
    let (clock, fraction) = clock.split_once('.').map_or((clock, ""), |(clock, fraction)| (clock, fraction));
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let in_range = (1..=12).contains(&month) && (1..=month_days(year, month)).contains(&day);
    // 60 is a leap second.
    if !in_range || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let is_bad_fraction = |text: &str| text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit());
    if time.contains('.') && is_bad_fraction(fraction) {
        return None;
    }
    let ms: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let offset_minutes = match zone.strip_prefix(['Z', 'z']) {
        Some("") => 0,
        Some(_) => return None,
        None => {
            let [hours, minutes] = numbers(zone.get(1..)?, ':', [2, 2])?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if zone.starts_with('-') { -1 } else { 1 }
        }
    };
    let minutes = (days_since_1970(year, month, day) * 24 + hour) * 60 + minute - offset_minutes;
    u64::try_from((minutes * 60 + second) * 1000 + ms).ok()
}

/// Numbers of fixed widths between separators.
fn numbers<const N: usize>(text: &str, separator: char, widths: [usize; N]) -> Option<[i64; N]> {
    let mut found = [0; N];
    let mut parts = text.split(separator);
    for (number, width) in found.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(found)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn month_days(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let before = year - 1;
    let days_to_year = before * 365 + before / 4 - before / 100 + before / 400;
    let days_to_month: i64 = (1..month).map(|month| month_days(year, month)).sum();
    days_to_year + days_to_month + day - 1 - 719_162
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_read_right() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T00:00:00Z", Some(951_782_400_000)),
            ("2024-03-01T00:00:00.25Z", Some(1_709_251_200_250)),
            ("2024-03-01t01:30:00.123456+01:30", Some(1_709_251_200_123)),
            ("2024-02-29 23:00:00-01:00", Some(1_709_251_200_000)),
            ("2100-03-01T00:00:00Z", Some(4_107_542_400_000)),
            ("1969-12-31T23:59:59Z", None),
            ("2023-02-29T00:00:00Z", None),
            ("2024-13-01T00:00:00Z", None),
            ("2024-03-01T24:00:00Z", None),
            ("2024-03-01T00:00:00", None),
            ("2024-03-01T00:00:00.Z", None),
            ("2024-03-01T00:00:00Zx", None),
            ("2024-03-01T00:00:00+1:00", None),
            ("2024-03-01", None),
            ("", None),
            ("ä", None),
        ] {
            assert_eq!(unix_ms(text), expected, "{text}");
        }
    }

    #[test]
    fn digits_are_a_revision_and_the_rest_a_time() {
        let parse = |text: &str| At { at: Some(text.to_owned()) }.parse();
        assert_eq!(parse("17"), Ok(Some(TwinMoment::Revision(17))));
        assert_eq!(parse("1970-01-01T00:00:01Z"), Ok(Some(TwinMoment::Time(1000))));
        assert_eq!(At { at: None }.parse(), Ok(None));
        assert_eq!((parse("-1").unwrap_err().status, parse("18446744073709551616").unwrap_err().status), (400, 400));
    }
}
