//! Files that are each genuine, but do not belong together.

use crate::repository::{NOW, Repository, delegated, delegation, key, path, targets};
use selvedge_ota_metadata::{Clock, Limits, MetaFile, Role};

#[test]
fn targets_of_another_snapshot_are_refused() {
    let mut repository = Repository::new();
    repository.targets.targets.insert(path("other"), crate::repository::target(2));
    repository.publish();
    let old = repository.files["1.targets.json"].clone();
    repository.files.insert("2.targets.json".to_owned(), old);
    let refusal = repository.refusal(&repository.pinned());
    assert!(refusal.starts_with("2.targets.json is refused: it has "), "{refusal}");
    assert!(refusal.contains(" bytes, and snapshot says "), "{refusal}");
}

#[test]
fn targets_of_another_version_are_refused_where_no_hashes_are_listed() {
    let mut repository = Repository::new();
    repository.publish();
    repository.publish_snapshot(|snapshot| {
        snapshot.meta.insert(Role::Targets, MetaFile { version: 2, length: None, sha256: None });
    });
    let old = repository.files["1.targets.json"].clone();
    repository.files.insert("2.targets.json".to_owned(), old);
    assert_eq!(
        repository.refusal(&repository.pinned()),
        "2.targets.json is refused: it is version 1, and version 2 was expected"
    );
}

#[test]
fn another_content_of_the_same_length_is_refused() {
    let mut repository = Repository::new();
    let mut twin = repository.clone();
    twin.targets.targets.insert(path("daemon/selvedge"), crate::repository::target(2));
    twin.targets.version = 0;
    twin.publish();
    repository.files.insert("1.targets.json".to_owned(), twin.files["1.targets.json"].clone());
    assert_eq!(
        repository.refusal(&repository.pinned()),
        "1.targets.json is refused: its content is not the one that snapshot lists; the repository may be in the middle of a change, try again"
    );
}

#[test]
fn a_snapshot_that_the_timestamp_does_not_list_is_refused() {
    let mut repository = Repository::new();
    let old = repository.files["1.snapshot.json"].clone();
    repository.publish();
    repository.files.insert("2.snapshot.json".to_owned(), old.clone());
    assert_eq!(
        repository.refusal(&repository.pinned()),
        "2.snapshot.json is refused: its content is not the one that timestamp lists; the repository may be in the middle of a change, try again"
    );
    repository.publish_timestamp(|timestamp| timestamp.snapshot = MetaFile { version: 2, length: None, sha256: None });
    assert_eq!(
        repository.refusal(&repository.pinned()),
        "2.snapshot.json is refused: it is version 1, and version 2 was expected"
    );
}

#[test]
fn a_delegated_role_of_another_snapshot_is_not_believed() {
    let mut repository = Repository::new();
    repository.targets.delegations = vec![delegation("a", &[&key(10)], &["a/*"])];
    repository.roles.insert("a", (targets(0, &[("a/1", 1)]), key(10)));
    repository.publish();
    let old = repository.files["1.a.json"].clone();
    repository.publish();
    repository.files.insert("2.a.json".to_owned(), old);
    let refreshed = repository.refresh(&repository.pinned()).unwrap();
    assert_eq!(
        refreshed.problems[0].to_string(),
        "2.a.json is refused: its content is not the one that snapshot lists; the repository may be in the middle of a change, try again"
    );
    assert!(refreshed.trust.find(&path("a/1")).is_err());
}

#[test]
fn files_that_are_withheld_are_named() {
    for name in ["timestamp.json", "1.snapshot.json", "1.targets.json"] {
        let mut repository = Repository::new();
        repository.files.remove(name);
        assert_eq!(
            repository.refusal(&repository.pinned()),
            format!("{name} is refused: the repository does not have it")
        );
    }
}

#[test]
fn after_a_refusal_nothing_more_is_wanted_and_the_refusal_stays() {
    let mut repository = Repository::new();
    repository.files.remove("1.snapshot.json");
    let mut refresh = repository.pinned().begin(Clock::trusted(NOW), Limits::default());
    refresh.absent().unwrap();
    refresh.give(&repository.files["timestamp.json"]).unwrap();
    let refused = refresh.absent().unwrap_err();
    assert_eq!(refresh.give(b"anything"), Err(refused.clone()));
    assert_eq!(refresh.absent(), Err(refused.clone()));
    assert_eq!(refresh.finish().unwrap_err().to_string(), refused.to_string());
}

#[test]
fn a_role_that_the_snapshot_does_not_list_is_not_fetched() {
    let mut repository = Repository::new();
    repository.targets.delegations = vec![delegation("a", &[&key(10)], &["a/*"])];
    repository.publish();
    let attempt = repository.attempt(&repository.pinned(), Clock::trusted(NOW), Limits::default());
    assert_eq!(attempt.fetched.last().unwrap(), "2.targets.json");
    let [problem] = &attempt.outcome.unwrap().problems[..] else { panic!() };
    assert_eq!(
        (problem.role.clone(), problem.to_string()),
        (delegated("a"), "a.json is refused: the snapshot does not list it".to_owned())
    );
}
