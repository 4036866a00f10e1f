//! The memory of logins as a whole; its parts have tests of their own.

use super::*;

const NOW: Now = Now { wall_ms: None, monotonic_ms: 1_000 };

fn origin(name: Option<&str>) -> Origin {
    Origin { address: IpAddr::from([10, 0, 0, 1]), name: name.map(Into::into) }
}

#[test]
fn failures_and_refusals_are_counted() {
    let mut logins = Logins::new(LoginLimits { failures_max: 2, ..LoginLimits::default() }, [1; 32]);
    logins.failed(&origin(Some("a")), NOW);
    assert_eq!(logins.admit(&origin(None), NOW), Ok(()));
    logins.failed(&origin(Some("b")), NOW);
    assert_eq!(logins.admit(&origin(None), NOW), Err(Refusal::Throttled { retry_in_ms: 60_000 }));
    logins.succeeded(&origin(Some("c")));
    let tag = logins.tag("c", b"password", &[0; 32]);
    logins.remember("c", tag);
    assert!(logins.remembers("c", b"password", &[0; 32]) && !logins.remembers("c", b"other", &[0; 32]));
    let expected =
        LoginStatistics { accepted: 1, failed: 2, throttled: 1, remembered: 1, ..LoginStatistics::default() };
    assert_eq!(logins.statistics(), expected);
}

#[test]
fn nothing_secret_shows_in_debug_output() {
    let mut logins = Logins::new(LoginLimits::default(), [0xab; 32]);
    let tag = logins.tag("c", b"hunter2", &[0; 32]);
    logins.remember("c", tag);
    let shown = format!("{logins:?}");
    assert!(!shown.contains("171, 171") && !shown.contains("hunter2"), "{shown}");
}
