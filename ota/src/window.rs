//! Maintenance windows: when an update may be put in place by itself. Times are UTC, because a gateway often knows no other.
//!
//! ```text
//! window = [days SP] HH:MM "-" HH:MM      ; to the next day where the end is not after the beginning; 24:00 is the end of a day
//! days   = day *("," day) | day "-" day  ; Mon Tue Wed Thu Fri Sat Sun, of the beginning; none: every day
//! ```

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const DAY_S: u64 = 24 * 3600;
/// 1 January 1970 was a Thursday.
const FIRST_DAY: u64 = 3;

/// A part of the week, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    text: String,
    /// By day of the beginning, Monday first.
    days: [bool; 7],
    /// Seconds of the day.
    from_s: u64,
    /// Longest a day.
    length_s: u64,
}

/// Why a text is no window.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is no window; write \"02:00-04:00\" or \"Sat,Sun 22:00-06:00\" or \"Mon-Fri 01:00-05:00\" (UTC)")]
pub struct WindowError {
    text: String,
}

impl Window {
    /// Whether it is open at `now_unix_s`.
    pub fn is_open(&self, now_unix_s: u64) -> bool {
        let (day, second) = (now_unix_s / DAY_S, now_unix_s % DAY_S);
        let today = self.opens_on(day) && second >= self.from_s && second - self.from_s < self.length_s;
        let since_yesterday = second + DAY_S - self.from_s;
        let yesterday = day > 0 && self.opens_on(day - 1) && since_yesterday < self.length_s;
        today || yesterday
    }

    /// When it opens next: `now_unix_s` if it is open.
    pub fn next_open(&self, now_unix_s: u64) -> u64 {
        if self.is_open(now_unix_s) {
            return now_unix_s;
        }
        let today = now_unix_s / DAY_S;
        (today..=today + 7)
            .filter(|day| self.opens_on(*day))
            .map(|day| day * DAY_S + self.from_s)
            .find(|opens| *opens > now_unix_s)
            .unwrap_or(now_unix_s)
    }

    fn opens_on(&self, day: u64) -> bool {
        usize::try_from((day + FIRST_DAY) % 7).ok().and_then(|day| self.days.get(day)).copied().unwrap_or(false)
    }
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        parse(text).ok_or_else(|| WindowError { text: text.to_owned() })
    }
}

impl fmt::Display for Window {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

fn parse(text: &str) -> Option<Window> {
    let (days, times) = match text.rsplit_once(' ') {
        Some((days, times)) => (parse_days(days)?, times),
        None => ([true; 7], text),
    };
    let (from, to) = times.split_once('-')?;
    let (from_s, to_s) = (parse_time(from)?, parse_time(to)?);
    if from_s == DAY_S {
        return None;
    }
    let length_s = if to_s > from_s { to_s - from_s } else { to_s + DAY_S - from_s };
    Some(Window { text: text.to_owned(), days, from_s, length_s })
}

fn parse_days(text: &str) -> Option<[bool; 7]> {
    let place = |name: &str| DAYS.iter().position(|day| *day == name);
    let mut days = [false; 7];
    if let Some((first, last)) = text.split_once('-') {
        let (first, last) = (place(first)?, place(last)?);
        for step in 0..7 {
            let day = (first + step) % 7;
            *days.get_mut(day)? = true;
            if day == last {
                break;
            }
        }
    } else {
        for name in text.split(',') {
            *days.get_mut(place(name)?)? = true;
        }
    }
    Some(days)
}

fn parse_time(text: &str) -> Option<u64> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |digits: &str| -> Option<u64> {
        if digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit()) { digits.parse().ok() } else { None }
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    let second = hours * 3600 + minutes * 60;
    (minutes < 60 && second <= DAY_S).then_some(second)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Monday, 5 January 1970.
    const MONDAY: u64 = 4 * DAY_S;
    const HOUR: u64 = 3600;

    fn window(text: &str) -> Window {
        text.parse().expect("a window")
    }

    #[test]
    fn a_window_is_open_from_its_first_to_before_its_last_second() {
        let night = window("02:00-04:00");
        for (second, open) in [(2 * HOUR - 1, false), (2 * HOUR, true), (4 * HOUR - 1, true), (4 * HOUR, false)] {
            assert_eq!(night.is_open(MONDAY + second), open, "{second}");
            assert_eq!(night.is_open(second), open, "the first day of all: {second}");
        }
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_of_its_beginning() {
        let weekend = window("Sat,Sun 22:00-06:00");
        let hours = |day: u64, hour: u64| MONDAY + day * DAY_S + hour * HOUR;
        for (day, hour, open) in
            [(5, 21, false), (5, 22, true), (6, 5, true), (6, 6, false), (7, 5, true), (7, 22, false)]
        {
            assert_eq!(weekend.is_open(hours(day, hour)), open, "day {day} hour {hour}");
        }
        assert_eq!(weekend.next_open(hours(0, 7)), hours(5, 22));
        assert_eq!(weekend.next_open(hours(6, 3)), hours(6, 3));
    }

    #[test]
    fn days_can_be_a_range_over_the_end_of_the_week() {
        let window = window("Fri-Mon 00:00-24:00");
        let open: Vec<u64> = (0..7).filter(|day| window.is_open(MONDAY + day * DAY_S + HOUR)).collect();
        assert_eq!(open, [0, 4, 5, 6]);
    }

    #[test]
    fn what_is_no_window_is_said_with_examples() {
        for text in [
            "",
            "2:00-4:00",
            "02:00",
            "02:60-03:00",
            "25:00-26:00",
            "24:00-01:00",
            "Son 02:00-03:00",
            "02:00-03:00 Mon",
        ] {
            let error = text.parse::<Window>().expect_err(text).to_string();
            assert!(error.starts_with(&format!("{text:?} is no window; write ")), "{error}");
        }
    }

    proptest! {
        #[test]
        fn it_opens_within_eight_days_and_not_before_it_says(now in 0_u64..4_000_000_000, day in 0_usize..7, from in 0_u64..24, to in 0_u64..=24) {
            let window = window(&format!("{} {from:02}:00-{to:02}:00", DAYS[day]));
            let next = window.next_open(now);
            prop_assert!(window.is_open(next) && next >= now && next - now <= 8 * DAY_S);
            prop_assert!(next == now || !window.is_open(next - 1));
        }
    }
}
