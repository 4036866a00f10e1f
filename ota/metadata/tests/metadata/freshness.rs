//! Freeze attacks, and boxes that do not know what time it is.

use crate::repository::{DAY, NOW, Repository, delegated, delegation, key, path, targets};
use selvedge_ota_metadata::{Clock, Limits, Role};

#[test]
fn each_file_that_has_expired_is_refused() {
    let repository = Repository::new();
    let trust = repository.pinned();
    let at = |seconds: i64| repository.refresh_at(&trust, Clock::trusted(seconds)).unwrap_err().to_string();
    assert_eq!(
        at(NOW + DAY),
        "timestamp.json is refused: it expired at 2027-01-16T08:00:00Z, and it is 2027-01-16T08:00:00Z or later"
    );
    assert!(repository.refresh_at(&trust, Clock::trusted(NOW + DAY - 1)).is_ok());
    assert_eq!(
        at(NOW + 365 * DAY),
        "1.root.json is refused: it expired at 2028-01-15T08:00:00Z, and it is 2028-01-15T08:00:00Z or later"
    );

    let mut repository = Repository::new();
    repository.publish_timestamp(|timestamp| timestamp.expires_unix_s = NOW + 300 * DAY);
    let at = |seconds: i64| repository.refresh_at(&trust, Clock::trusted(seconds)).unwrap_err().to_string();
    assert!(at(NOW + 7 * DAY).starts_with("1.snapshot.json is refused: it expired at 2027-01-22T08:00:00Z"));

    let mut repository = Repository::new();
    repository.snapshot.expires_unix_s = NOW + 300 * DAY;
    repository.timestamp.expires_unix_s = NOW + 300 * DAY;
    repository.publish();
    let at = |seconds: i64| repository.refresh_at(&trust, Clock::trusted(seconds)).unwrap_err().to_string();
    assert!(at(NOW + 90 * DAY).starts_with("2.targets.json is refused: it expired at 2027-04-15T08:00:00Z"));
}

#[test]
fn what_was_fresh_when_it_was_stored_is_judged_again() {
    let mut repository = Repository::new();
    let trust = repository.refreshed();
    let later = Clock::trusted(NOW + 8 * DAY);
    assert!(
        repository
            .refresh_at(&trust, later)
            .unwrap_err()
            .to_string()
            .starts_with("timestamp.json is refused: it expired")
    );
    repository.publish_timestamp(|timestamp| timestamp.expires_unix_s = NOW + 300 * DAY);
    assert!(
        repository
            .refresh_at(&trust, later)
            .unwrap_err()
            .to_string()
            .starts_with("1.snapshot.json is refused: it expired")
    );
    repository.snapshot.expires_unix_s = NOW + 300 * DAY;
    repository.publish_snapshot(|_| {});
    assert!(repository.refresh_at(&trust, later).is_ok());
    let later = Clock::trusted(NOW + 91 * DAY);
    assert!(
        repository
            .refresh_at(&trust, later)
            .unwrap_err()
            .to_string()
            .starts_with("1.targets.json is refused: it expired")
    );
}

#[test]
fn a_delegated_role_that_has_expired_stops_nobody_else() {
    let mut repository = Repository::new();
    repository.targets.delegations =
        vec![delegation("old", &[&key(10)], &["old/*"]), delegation("new", &[&key(11)], &["new/*"])];
    repository.roles.insert("old", (targets(0, &[("old/1", 1)]), key(10)));
    repository.roles.insert("new", (targets(0, &[("new/1", 1)]), key(11)));
    repository.roles.get_mut("old").unwrap().0.expires_unix_s = NOW + DAY / 2;
    repository.publish();
    let trust = repository.refreshed();
    assert!(trust.find(&path("old/1")).unwrap().is_some());

    // Both when it was there before and when it is fetched.
    for before in [trust, repository.pinned()] {
        let refreshed = repository.refresh_at(&before, Clock::trusted(NOW + DAY / 2)).unwrap();
        let [problem] = &refreshed.problems[..] else { panic!("{:?}", refreshed.problems) };
        assert_eq!(problem.role, delegated("old"));
        assert_eq!(
            problem.to_string(),
            "1.old.json is refused: it expired at 2027-01-15T20:00:00Z, and it is 2027-01-15T20:00:00Z or later"
        );
        assert!(refreshed.trust.find(&path("new/1")).unwrap().is_some());
        assert!(refreshed.trust.find(&path("daemon/selvedge")).unwrap().is_some());
        assert_eq!(
            refreshed.trust.find(&path("old/1")).unwrap_err().to_string(),
            "what old/1 is to be is not known: the role \"old\" has a say in it, and there is no valid file of it"
        );
    }
}

#[test]
fn a_clock_that_was_set_back_does_not_make_old_metadata_fresh() {
    let mut repository = Repository::new();
    let frozen = repository.clone();
    repository.publish_timestamp(|timestamp| timestamp.expires_unix_s = NOW + 3 * DAY);
    let trust = repository.refresh_at(&repository.pinned(), Clock::trusted(NOW + 2 * DAY)).unwrap().trust;
    assert_eq!(trust.latest_seen_unix_s(), NOW + 2 * DAY);
    for clock in [Clock::trusted(0), Clock::trusted(NOW), Clock::trusted(-1), Clock::unknown()] {
        let mut shown = frozen.clone();
        // Newer than what the device has seen, but expired since.
        shown.timestamp.version = 5;
        shown.publish_timestamp(|_| {});
        assert_eq!(
            shown.refresh_at(&trust, clock).unwrap_err().to_string(),
            "timestamp.json is refused: it expired at 2027-01-16T08:00:00Z, and it is 2027-01-17T08:00:00Z or later"
        );
        let refreshed = repository.refresh_at(&trust, clock).unwrap().trust;
        assert_eq!(refreshed.latest_seen_unix_s(), NOW + 2 * DAY);
    }
}

#[test]
fn a_new_box_without_a_clock_can_only_be_frozen_back_to_when_its_program_was_built() {
    let mut repository = Repository::new();
    repository.publish_timestamp(|timestamp| timestamp.expires_unix_s = NOW - DAY);
    let trust = repository.pinned();
    // Nothing at all is known about the time: this is the window in which a freeze is possible.
    assert!(repository.refresh_at(&trust, Clock::unknown()).is_ok());
    assert_eq!(
        repository.refresh_at(&trust, Clock::unknown().built_at(NOW)).unwrap_err().to_string(),
        "timestamp.json is refused: it expired at 2027-01-14T08:00:00Z, and it is 2027-01-15T08:00:00Z or later"
    );
    let refreshed = repository.refresh_at(&trust, Clock::unknown().built_at(NOW - 2 * DAY)).unwrap().trust;
    assert_eq!(refreshed.latest_seen_unix_s(), 0);
}

#[test]
fn a_clock_far_ahead_cannot_lock_a_box_out() {
    let mut repository = Repository::new();
    let trust = repository.refreshed();
    let attempt = repository.attempt(&trust, Clock::trusted(NOW + 50 * 365 * DAY), Limits::default());
    assert!(attempt.outcome.is_err());
    assert_eq!(attempt.so_far.latest_seen_unix_s(), NOW);
    // The furthest that a wrong clock gets is the last second of the timestamp.
    let furthest = repository.refresh_at(&trust, Clock::trusted(NOW + DAY - 1)).unwrap().trust;
    assert_eq!(furthest.latest_seen_unix_s(), NOW + DAY - 1);
    // The next timestamp lives longer, as timestamps do, and is taken with the right clock.
    repository.publish_timestamp(|timestamp| timestamp.expires_unix_s = NOW + DAY + 3_600);
    assert!(repository.refresh_at(&furthest, Clock::trusted(NOW + 3_600)).is_ok());
}

#[test]
fn a_refresh_that_was_refused_leaves_no_trace_of_the_clock() {
    let mut repository = Repository::new();
    let trust = repository.refreshed();
    repository.publish();
    repository.files.remove("2.targets.json");
    let attempt = repository.attempt(&trust, Clock::trusted(NOW + 60), Limits::default());
    assert_eq!(attempt.outcome.unwrap_err().role, Role::Targets);
    assert_eq!(attempt.so_far.latest_seen_unix_s(), NOW);
}
