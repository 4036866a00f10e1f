//! Time zones by name, from the machine's database. UTC needs none.

use jiff::tz::TimeZone;
use thiserror::Error;

/// The machine does not know a time zone.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "this machine knows no time zone {0:?}: a name such as \"Europe/Berlin\" is expected, and the package tzdata has to be there"
)]
pub struct ZoneError(String);

/// The zone of that name.
///
/// # Errors
/// The database has none, or is not there.
pub fn find_zone(name: &str) -> Result<TimeZone, ZoneError> {
    if name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).map_err(|_| ZoneError(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utc_is_always_there_and_what_is_not_there_is_named() {
        assert_eq!(find_zone("UTC"), Ok(TimeZone::UTC));
        let words = find_zone("Middle/Earth").unwrap_err().to_string();
        assert!(words.contains("\"Middle/Earth\"") && words.contains("tzdata"), "{words}");
    }
}
