use proptest::prelude::*;

use super::*;

/// Central Europe from a rule, so that no test depends on files of the machine.
fn berlin() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

fn ms(time: &str) -> i64 {
    time.parse::<Timestamp>().unwrap().as_millisecond()
}

/// The next `count` times after `after`, in UTC.
fn times(schedule: &str, zone: &TimeZone, after: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(schedule).unwrap();
    let next = |&after: &i64| schedule.next_after(after, zone);
    std::iter::successors(schedule.next_after(ms(after), zone), next)
        .take(count)
        .map(|due| Timestamp::from_millisecond(due).unwrap().to_string())
        .collect()
}

#[test]
fn fields_mean_what_cron_means_by_them() {
    let after = "2026-01-31T23:59:58Z";
    for (schedule, expected) in [
        ("* * * * * *", "2026-01-31T23:59:59Z"),
        ("*/15 * * * * *", "2026-02-01T00:00:00Z"),
        ("7/20 * * * * *", "2026-02-01T00:00:07Z"),
        ("30 5 * * *", "2026-02-01T05:30:00Z"),
        ("0 0 6-8,20 * * *", "2026-02-01T06:00:00Z"),
        ("0 0 0 29 feb *", "2028-02-29T00:00:00Z"),
        ("0 0 12 * * MON-fri", "2026-02-02T12:00:00Z"),
        ("0 0 12 * * 7", "2026-02-01T12:00:00Z"),
        ("0 0 0 13 * fri", "2026-02-06T00:00:00Z"),
        ("@hourly", "2026-02-01T00:00:00Z"),
        ("@monthly", "2026-02-01T00:00:00Z"),
        ("@yearly", "2027-01-01T00:00:00Z"),
        ("@weekly", "2026-02-01T00:00:00Z"),
    ] {
        assert_eq!(times(schedule, &TimeZone::UTC, after, 1), [expected], "{schedule}");
    }
}

#[test]
fn a_time_that_is_due_now_comes_next_only_the_next_time() {
    assert_eq!(times("0 0 6 * * *", &TimeZone::UTC, "2026-05-01T06:00:00Z", 1), ["2026-05-02T06:00:00Z"]);
    assert_eq!(times("0 0 6 * * *", &TimeZone::UTC, "2026-05-01T05:59:59.999Z", 1), ["2026-05-01T06:00:00Z"]);
}

#[test]
fn a_time_that_the_clocks_skip_comes_at_the_change() {
    // 2026-03-29 02:00 → 03:00 in Berlin, 01:00 UTC.
    let expected = ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"];
    assert_eq!(times("0 30 2 * * *", &berlin(), "2026-03-27T12:00:00Z", 3), expected);
    let expected = ["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z", "2026-03-29T02:30:00Z"];
    assert_eq!(times("0 30 * * * *", &berlin(), "2026-03-29T00:00:00Z", 3), expected, "every hour, none twice");
}

#[test]
fn a_time_that_comes_twice_runs_once_and_what_runs_every_hour_runs_in_both() {
    // 2026-10-25 03:00 → 02:00 in Berlin, 01:00 UTC.
    let expected = ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"];
    assert_eq!(times("0 30 2 * * *", &berlin(), "2026-10-24T12:00:00Z", 2), expected);
    let expected = ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"];
    assert_eq!(times("0 30 * * * *", &berlin(), "2026-10-25T00:00:00Z", 3), expected);
    assert_eq!(times("0 0 3 * * *", &berlin(), "2026-10-25T00:10:00Z", 1), ["2026-10-25T02:00:00Z"]);
}

#[test]
fn wrong_schedules_say_what_is_allowed() {
    let words = |text: &str| Schedule::parse(text).unwrap_err().to_string();
    assert!(words("* * *").contains("3 fields: a schedule has six"));
    assert!(words("60 * * * * *").contains("second \"60\": allowed are 0 to 59"));
    assert!(words("0 0 24 * * *").contains("hour"));
    assert!(words("0 0 0 0 * *").contains("day of month \"0\": allowed are 1 to 31"));
    for text in
        ["0 0 0 * 13 *", "0 0 0 * * 8", "5-1 * * * * *", "*/0 * * * * *", "1, * * * * *", "x * * * * *", "+1 * * * * *"]
    {
        assert!(matches!(Schedule::parse(text), Err(ScheduleError::Field { .. })), "{text}");
    }
    assert_eq!(Schedule::parse("0 0 0 30 feb *"), Err(ScheduleError::Never));
    assert!(Schedule::parse("").is_err() && Schedule::parse(&"* ".repeat(1000)).is_err());
}

proptest! {
    #[test]
    fn the_next_time_is_later_and_nothing_is_left_out(
        second in 0u32..60, minute in 0u32..60, step in 1u32..24, after in 1_700_000_000_000_i64..2_000_000_000_000,
    ) {
        let schedule = Schedule::parse(&format!("{second} {minute} */{step} * * *")).unwrap();
        for zone in [TimeZone::UTC, berlin()] {
            let next = schedule.next_after(after, &zone).unwrap();
            prop_assert!(next > after && next - after <= 86_400_000 + 3_600_000);
            prop_assert_eq!(schedule.next_after(next - 1, &zone), Some(next), "from just before it");
            prop_assert_eq!(schedule.next_after((after + next) / 2, &zone), Some(next), "from half way");
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,40}", after: i64) {
        if let Ok(schedule) = Schedule::parse(&text) {
            let _ = schedule.next_after(after, &berlin());
        }
    }
}
