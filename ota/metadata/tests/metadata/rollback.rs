//! Versions only go up, and come down again only where a stolen key had driven them up.

use crate::repository::{NOW, Repository, delegated, delegation, key, key_set, path, short_id, targets};
use selvedge_ota_metadata::{Clock, Limits, MetaFile, Role};

/// Published twice and seen by a device.
fn seen_twice() -> (Repository, selvedge_ota_metadata::Trust) {
    let mut repository = Repository::new();
    repository.publish();
    let trust = repository.refreshed();
    (repository, trust)
}

#[test]
fn an_older_timestamp_is_refused() {
    let (mut repository, trust) = seen_twice();
    repository.files.insert("timestamp.json".to_owned(), Repository::new().files["timestamp.json"].clone());
    assert_eq!(
        repository.refusal(&trust),
        "timestamp.json is refused: it would go back: version 2 was accepted before, this is version 1"
    );
}

#[test]
fn a_timestamp_that_lists_an_older_snapshot_is_refused() {
    let (mut repository, trust) = seen_twice();
    let old = MetaFile::of(1, &repository.files["1.snapshot.json"]);
    repository.publish_timestamp(|timestamp| timestamp.snapshot = old);
    assert_eq!(
        repository.refusal(&trust),
        "timestamp.json is refused: it would take snapshot back: version 2 was listed before, now version 1 is"
    );
}

#[test]
fn a_snapshot_that_lists_older_targets_is_refused() {
    let (mut repository, trust) = seen_twice();
    let old = MetaFile::of(1, &repository.files["1.targets.json"]);
    repository.publish_snapshot(|snapshot| {
        snapshot.meta.insert(Role::Targets, old);
    });
    assert_eq!(
        repository.refusal(&trust),
        "3.snapshot.json is refused: it would take targets back: version 2 was listed before, now version 1 is"
    );
}

#[test]
fn a_snapshot_that_drops_or_takes_back_a_delegated_role_is_refused() {
    let mut repository = Repository::new();
    repository.targets.delegations = vec![delegation("a", &[&key(10)], &["a/*"])];
    repository.roles.insert("a", (targets(4, &[("a/1", 1)]), key(10)));
    repository.publish();
    let trust = repository.refreshed();
    let mut hostile = repository.clone();
    hostile.publish_snapshot(|snapshot| {
        snapshot.meta.remove(&delegated("a"));
    });
    assert_eq!(
        hostile.refusal(&trust),
        "3.snapshot.json is refused: it no longer lists the role \"a\", which was listed before"
    );
    repository.publish_snapshot(|snapshot| snapshot.meta.get_mut(&delegated("a")).unwrap().version = 4);
    assert_eq!(
        repository.refusal(&trust),
        "3.snapshot.json is refused: it would take the role \"a\" back: version 5 was listed before, now version 4 is"
    );
}

#[test]
fn a_whole_older_repository_is_refused() {
    let (_, trust) = seen_twice();
    let replayed = Repository::new();
    assert_eq!(
        replayed.refusal(&trust),
        "timestamp.json is refused: it would go back: version 2 was accepted before, this is version 1"
    );
}

#[test]
fn an_older_version_is_refused_even_after_a_refresh_that_broke_off() {
    let (mut repository, trust) = seen_twice();
    repository.publish();
    repository.files.remove("3.targets.json");
    let attempt = repository.attempt(&trust, Clock::trusted(NOW), Limits::default());
    assert_eq!(attempt.outcome.unwrap_err().to_string(), "3.targets.json is refused: the repository does not have it");
    // What was accepted counts: the timestamp and snapshot of before are old now.
    assert_eq!(attempt.so_far.snapshot().unwrap().version, 3);
    assert_eq!(
        seen_twice().0.refusal(&attempt.so_far),
        "timestamp.json is refused: it would go back: version 3 was accepted before, this is version 2"
    );
    // And nothing is said about targets that do not belong to this snapshot.
    assert_eq!(
        attempt.so_far.find(&path("daemon/selvedge")).unwrap_err().to_string(),
        "what daemon/selvedge is to be is not known: targets has a say in it, and there is no valid file of it"
    );
}

#[test]
fn the_same_timestamp_version_with_other_content_changes_nothing() {
    let (mut repository, trust) = seen_twice();
    repository.timestamp.version -= 1;
    repository.publish_timestamp(|timestamp| timestamp.expires_unix_s += 1);
    let refreshed = repository.refresh(&trust).unwrap().trust;
    assert_eq!(refreshed.timestamp(), trust.timestamp());
}

#[test]
fn versions_driven_up_with_stolen_keys_block_a_node_until_a_root_removes_the_keys() {
    let mut repository = Repository::new();
    let honest = repository.clone();
    // Whoever has both online keys drives all versions up.
    repository.timestamp.version = u64::MAX - 2;
    repository.snapshot.version = u64::MAX - 2;
    repository.targets.version = 1_000_000;
    repository.publish();
    let trust = repository.refreshed();
    assert_eq!(trust.timestamp().unwrap().version, u64::MAX - 1);

    let mut recovered = honest;
    recovered.publish();
    assert!(
        recovered
            .refusal(&trust)
            .starts_with("timestamp.json is refused: it would go back: version 18446744073709551614")
    );

    // One new key is enough for the device to forget both files, and what they listed.
    recovered.snapshot_key = key(33);
    recovered.next_root(|root| root.snapshot = key_set(&[&key(33)], 1));
    recovered.publish();
    let refreshed = recovered.refresh(&trust).unwrap().trust;
    assert_eq!(refreshed.timestamp().unwrap().version, 3);
    assert_eq!(refreshed.snapshot().unwrap().meta[&Role::Targets].version, 3);
}

#[test]
fn a_new_key_of_either_online_role_makes_a_device_forget_the_files_of_both() {
    for new_timestamp_key in [true, false] {
        let mut repository = Repository::new();
        let honest = repository.clone();
        repository.snapshot.version = 500;
        repository.timestamp.version = 500;
        repository.targets.version = 500;
        repository.publish();
        let trust = repository.refreshed();

        let mut recovered = honest;
        if new_timestamp_key {
            recovered.timestamp_key = key(22);
            recovered.next_root(|root| root.timestamp = key_set(&[&key(22)], 1));
        } else {
            recovered.snapshot_key = key(33);
            recovered.next_root(|root| root.snapshot = key_set(&[&key(33)], 1));
        }
        recovered.publish();
        let refreshed = recovered.refresh(&trust).unwrap().trust;
        assert_eq!((refreshed.timestamp().unwrap().version, refreshed.snapshot().unwrap().version), (2, 2));
    }
}

#[test]
fn what_too_few_keys_had_signed_for_a_new_root_is_forgotten() {
    let (mut repository, trust) = seen_twice();
    repository.next_root(|root| {
        root.timestamp = key_set(&[&key(2), &key(22)], 2);
        root.snapshot = key_set(&[&key(3), &key(33)], 2);
    });
    let attempt = repository.attempt(&trust, Clock::trusted(NOW), Limits::default());
    assert_eq!(attempt.outcome.unwrap_err().role, Role::Timestamp);
    assert_eq!(attempt.so_far.root().version, 2);
    assert_eq!((attempt.so_far.timestamp(), attempt.so_far.snapshot()), (None, None));
}

#[test]
fn a_root_that_only_adds_a_key_does_not_open_the_way_back() {
    let (mut repository, trust) = seen_twice();
    let mut old = Repository::new();
    repository.next_root(|root| root.timestamp = key_set(&[&key(2), &key(22)], 1));
    old.files.insert("2.root.json".to_owned(), repository.files["2.root.json"].clone());
    assert_eq!(
        old.refusal(&trust),
        "timestamp.json is refused: it would go back: version 2 was accepted before, this is version 1"
    );
}

#[test]
fn targets_of_a_removed_key_are_not_believed_any_more() {
    let (mut repository, trust) = seen_twice();
    repository.next_root(|root| root.targets = key_set(&[&key(44)], 1));
    let attempt = repository.attempt(&trust, Clock::trusted(NOW), Limits::default());
    let id = short_id(44);
    assert_eq!(
        attempt.outcome.unwrap_err().to_string(),
        format!("2.targets.json is refused: 0 of 1 trusted key ({id}) have signed it, and 1 must")
    );
    assert!(attempt.so_far.find(&path("daemon/selvedge")).is_err());
    assert_eq!(attempt.so_far.targets().count(), 0);
}
