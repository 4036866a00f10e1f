//! Cron schedules with seconds, in a time zone. Pure: text and time in, the next time out; the zone is an argument.
//!
//! Six fields (second, minute, hour, day of month, month, day of week) or the classic five without seconds, with lists, ranges,
//! steps and names; `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. Where day of month and day of week are both restricted,
//! either will do, as in Vixie's cron.
//!
//! Changes of the clock: a time that is skipped happens at the moment of the change; a time that comes twice happens the first time
//! only, unless the schedule runs in every hour.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use thiserror::Error;

/// Days that are looked at for a match: the 29th of February on a given weekday comes at least every 40 years.
const DAYS_MAX: usize = 366 * 41;

/// When something is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    seconds: u64,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Either of days and weekdays will do.
    either_day: bool,
}

/// A text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScheduleError {
    /// Not so many fields.
    #[error(
        "{0} fields: a schedule has six (second minute hour day month weekday) or five (without seconds), or is @hourly, @daily, @weekly, @monthly or @yearly"
    )]
    Fields(usize),
    /// A field has something else.
    #[error("{field} {text:?}: allowed are {min} to {max}, * , lists (1,2), ranges (1-5) and steps (*/10)")]
    Field {
        /// Which field.
        field: &'static str,
        /// What it says.
        text: String,
        /// Smallest value.
        min: u32,
        /// Greatest value.
        max: u32,
    },
    /// It never comes.
    #[error("there is no such day: it would never run")]
    Never,
}

struct Field {
    name: &'static str,
    min: u32,
    max: u32,
    /// Names of values from `min` on.
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const SECOND: Field = Field { name: "second", min: 0, max: 59, names: &[] };
const MINUTE: Field = Field { name: "minute", min: 0, max: 59, names: &[] };
const HOUR: Field = Field { name: "hour", min: 0, max: 23, names: &[] };
const DAY: Field = Field { name: "day of month", min: 1, max: 31, names: &[] };
const MONTH: Field = Field { name: "month", min: 1, max: 12, names: &MONTHS };
/// 7 is Sunday, too.
const WEEKDAY: Field = Field { name: "day of week", min: 0, max: 7, names: &WEEKDAYS };

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    /// Wrong fields, or a day that never comes.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let text = match text.trim() {
            "@hourly" => "0 0 * * * *",
            "@daily" | "@midnight" => "0 0 0 * * *",
            "@weekly" => "0 0 0 * * 0",
            "@monthly" => "0 0 0 1 * *",
            "@yearly" | "@annually" => "0 0 0 1 1 *",
            other => other,
        };
        let mut fields: Vec<&str> = text.split_whitespace().collect();
        if fields.len() == 5 {
            fields.insert(0, "0");
        }
        let [seconds, minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return Err(ScheduleError::Fields(fields.len()));
        };
        let mut weekday_bits = WEEKDAY.parse(weekdays)?;
        if weekday_bits & (1 << 7) != 0 {
            weekday_bits |= 1;
        }
        let is_open = |field: &str| field.starts_with(['*', '?']);
        let schedule = Self {
            seconds: SECOND.parse(seconds)?,
            minutes: MINUTE.parse(minutes)?,
            hours: HOUR.parse(hours)?,
            days: DAY.parse(days)?,
            months: MONTH.parse(months)?,
            weekdays: weekday_bits,
            either_day: !is_open(days) && !is_open(weekdays),
        };
        let somewhere = DateTime::constant(2000, 1, 1, 0, 0, 0, 0);
        schedule.next_civil(somewhere).map(|_| schedule.clone()).ok_or(ScheduleError::Never)
    }

    /// The first time after `after_ms` (milliseconds since 1970) that it is due; `None` past the end of the calendar.
    pub fn next_after(&self, after_ms: i64, zone: &TimeZone) -> Option<i64> {
        let after = Timestamp::from_millisecond(after_ms).ok()?;
        let mut offset = zone.to_offset(after);
        let mut from = offset.to_datetime(after);
        let mut transitions = zone.following(after);
        loop {
            let candidate = self.next_civil(from)?;
            let due = offset.to_timestamp(candidate).ok()?;
            let Some(change) = transitions.next().filter(|change| change.timestamp() <= due) else {
                return Some(due.as_millisecond());
            };
            let at = change.timestamp();
            let (before, now) = (offset.to_datetime(at), change.offset().to_datetime(at));
            // A time between `before` and `now` is skipped by the clocks.
            if !self.is_hourly() && before <= candidate && candidate < now {
                return Some(at.as_millisecond());
            }
            offset = change.offset();
            // What comes twice was looked for already; a match at the very moment counts.
            let again = if self.is_hourly() { now } else { now.max(before) };
            from = again.checked_sub(jiff::Span::new().seconds(1)).ok()?;
        }
    }

    fn is_hourly(&self) -> bool {
        self.hours == bits(HOUR.min, HOUR.max)
    }

    /// The first matching time after `from`, by a clock that never changes.
    fn next_civil(&self, from: DateTime) -> Option<DateTime> {
        let start = from.checked_add(jiff::Span::new().seconds(1)).ok()?.with().subsec_nanosecond(0).build().ok()?;
        let mut date = start.date();
        let mut earliest = start.time();
        for _ in 0..DAYS_MAX {
            if self.has_day(date)
                && let Some(time) = self.next_time(earliest)
            {
                return Some(date.to_datetime(time));
            }
            date = date.tomorrow().ok()?;
            earliest = Time::midnight();
        }
        None
    }

    fn has_day(&self, date: Date) -> bool {
        let has = |set: u64, value: i8| u32::try_from(value).is_ok_and(|value| set & (1 << value) != 0);
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        has(self.months, date.month()) && if self.either_day { day || weekday } else { day && weekday }
    }

    /// The first matching time of a day from `earliest` on.
    fn next_time(&self, earliest: Time) -> Option<Time> {
        let at_least = |set: u64, value: i8| {
            let left = set & u64::MAX.checked_shl(u32::try_from(value).ok()?).unwrap_or(0);
            (left != 0).then(|| left.trailing_zeros() as i8)
        };
        let hour = at_least(self.hours, earliest.hour())?;
        if hour > earliest.hour() {
            return Time::new(hour, at_least(self.minutes, 0)?, at_least(self.seconds, 0)?, 0).ok();
        }
        if let Some(minute) = at_least(self.minutes, earliest.minute()) {
            if minute > earliest.minute() {
                return Time::new(hour, minute, at_least(self.seconds, 0)?, 0).ok();
            }
            if let Some(second) = at_least(self.seconds, earliest.second()) {
                return Time::new(hour, minute, second, 0).ok();
            }
            if let Some(minute) = at_least(self.minutes, earliest.minute() + 1) {
                return Time::new(hour, minute, at_least(self.seconds, 0)?, 0).ok();
            }
        }
        let hour = at_least(self.hours, earliest.hour() + 1)?;
        Time::new(hour, at_least(self.minutes, 0)?, at_least(self.seconds, 0)?, 0).ok()
    }
}

/// The bits from one to another.
fn bits(from: u32, to: u32) -> u64 {
    (from..=to).fold(0, |set, value| set | 1 << value)
}

impl Field {
    fn parse(&self, text: &str) -> Result<u64, ScheduleError> {
        text.split(',').try_fold(0, |set, part| Some(set | self.part(part)?)).ok_or_else(|| ScheduleError::Field {
            field: self.name,
            text: crate::log_ring::cut(text, 40).to_owned(),
            min: self.min,
            max: self.max,
        })
    }

    /// `*`, `5`, `1-5`, each with `/2`.
    fn part(&self, text: &str) -> Option<u64> {
        let (range, step) = text.split_once('/').map_or((text, None), |(range, step)| (range, Some(step)));
        let (from, to) = match range.split_once('-') {
            _ if matches!(range, "*" | "?") => (self.min, self.max),
            Some((from, to)) => (self.value(from)?, self.value(to)?),
            // With a step, from there to the end.
            None if step.is_some() => (self.value(range)?, self.max),
            None => (self.value(range)?, self.value(range)?),
        };
        let step = step.map_or(Some(1), |step| step.parse::<u32>().ok())?;
        if from > to || step == 0 || step > self.max {
            return None;
        }
        Some((from..=to).step_by(step as usize).fold(0, |set, value| set | 1 << value))
    }

    fn value(&self, text: &str) -> Option<u32> {
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let value = match named {
            Some(index) => self.min + u32::try_from(index).ok()?,
            None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok()?,
            None => return None,
        };
        (self.min..=self.max).contains(&value).then_some(value)
    }
}

#[cfg(test)]
mod tests;
