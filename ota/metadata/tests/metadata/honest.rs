//! A device and an honest repository.

use crate::repository::{DAY, NOW, Repository, delegated, delegation, key, path, targets};
use selvedge_ota_metadata::{Clock, FinishError, Limits, Role, Want};

#[test]
fn a_new_device_learns_what_is_to_run() {
    let trust = Repository::new().refreshed();
    let (role, target) = trust.find(&path("daemon/selvedge")).unwrap().unwrap();
    assert_eq!((role, target.length), (&Role::Targets, 1));
    assert_eq!(trust.find(&path("daemon/other")), Ok(None));
    assert_eq!(trust.latest_seen_unix_s(), NOW);
}

#[test]
fn files_are_asked_for_in_the_order_of_the_standard_and_by_version() {
    let mut repository = Repository::new();
    repository.next_root(|_| {});
    repository.publish();
    let attempt = repository.attempt(&repository.pinned(), Clock::trusted(NOW), Limits::default());
    assert_eq!(attempt.fetched, ["2.root.json", "3.root.json", "timestamp.json", "2.snapshot.json", "2.targets.json"]);
}

#[test]
fn without_consistent_snapshots_files_have_no_version_in_their_names() {
    let mut repository = Repository::new();
    repository.next_root(|root| root.consistent_snapshot = false);
    for (plain, versioned) in [("snapshot.json", "1.snapshot.json"), ("targets.json", "1.targets.json")] {
        let file = repository.files.remove(versioned).unwrap();
        repository.files.insert(plain.to_owned(), file);
    }
    let trust = repository.refreshed();
    let (path, target) = trust.targets().next().unwrap();
    assert_eq!(trust.content_path(path, target), "daemon/selvedge");
    let hashed = format!("daemon/{}.selvedge", "01".repeat(32));
    assert_eq!(repository.pinned().content_path(path, target), hashed);
}

#[test]
fn what_has_not_changed_is_not_fetched_again() {
    let mut repository = Repository::new();
    repository.targets.delegations =
        vec![delegation("a", &[&key(10)], &["a/*"]), delegation("b", &[&key(11)], &["b/*"])];
    repository.roles.insert("a", (targets(0, &[("a/1", 1)]), key(10)));
    repository.roles.insert("b", (targets(0, &[("b/1", 1)]), key(11)));
    repository.publish();
    let trust = repository.refreshed();
    let fetched = |repository: &Repository| repository.attempt(&trust, Clock::trusted(NOW), Limits::default()).fetched;
    assert_eq!(fetched(&repository), ["2.root.json", "timestamp.json"]);

    repository.roles.get_mut("b").unwrap().0.version = 2;
    repository.publish_as_is();
    repository.publish_snapshot(|_| {});
    assert_eq!(fetched(&repository), ["2.root.json", "timestamp.json", "3.snapshot.json", "2.b.json"]);
    let refreshed = repository.refresh(&trust).unwrap();
    assert_eq!(refreshed.trust.targets().count(), 3);
    assert_eq!(refreshed.problems, []);
}

#[test]
fn a_refresh_that_is_cut_off_goes_on_from_what_was_stored() {
    let mut repository = Repository::new();
    repository.next_root(|_| {});
    let mut refresh = repository.pinned().begin(Clock::trusted(NOW), Limits::default());
    refresh.give(&repository.files["2.root.json"]).unwrap();
    let stored = refresh.trust_so_far().clone();
    assert_eq!(refresh.finish(), Err(FinishError::Unfinished("3.root.json".to_owned())));
    assert_eq!(stored.root().version, 2);
    let attempt = repository.attempt(&stored, Clock::trusted(NOW), Limits::default());
    assert_eq!(attempt.fetched[0], "3.root.json");
    assert!(attempt.outcome.is_ok());
}

#[test]
fn what_is_wanted_says_how_much_and_whether_it_must_be() {
    let repository = Repository::new();
    let mut refresh = repository.pinned().begin(Clock::trusted(NOW), Limits::default());
    let want = |path: &str, bytes_max: u64, role: Role| Want::File {
        path: path.to_owned(),
        bytes_max,
        optional: role == Role::Root,
        role,
    };
    assert_eq!(refresh.wants(), want("2.root.json", 262_144, Role::Root));
    refresh.absent().unwrap();
    assert_eq!(refresh.wants(), want("timestamp.json", 16_384, Role::Timestamp));
    refresh.give(&repository.files["timestamp.json"]).unwrap();
    let snapshot = &repository.files["1.snapshot.json"];
    // The listed length, where there is one.
    assert_eq!(refresh.wants(), want("1.snapshot.json", snapshot.len() as u64, Role::Snapshot));
    refresh.give(snapshot).unwrap();
    refresh.give(&repository.files["1.targets.json"]).unwrap();
    assert_eq!(refresh.wants(), Want::Done);
    assert!(refresh.finish().is_ok());
}

#[test]
fn a_person_can_see_how_every_role_stands() {
    let mut repository = Repository::new();
    repository.targets.delegations = vec![delegation("a", &[&key(10)], &["a/*"])];
    repository.roles.insert("a", (targets(0, &[]), key(10)));
    repository.publish();
    let standings = repository.refreshed().standings();
    let seen: Vec<_> = standings.iter().map(|standing| (standing.role.to_string(), standing.version)).collect();
    let expected = [("root", 1), ("timestamp", 2), ("snapshot", 2), ("targets", 2), ("the role \"a\"", 1)];
    assert_eq!(seen, expected.map(|(role, version)| (role.to_owned(), version)));
    assert_eq!(standings[1].expires_unix_s, NOW + DAY);
    assert_eq!(standings[4].keys, [key(10).public().id().clone()]);
    assert_eq!(standings[4].role, delegated("a"));
}
