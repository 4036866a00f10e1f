//! The chain of roots: each vouched for by the one before, only the last must be fresh.

use crate::repository::{DAY, NOW, Repository, key, key_set, short_id, signed};
use selvedge_ota_metadata::sign;
use selvedge_ota_metadata::{Clock, Limits, Trust};

#[test]
fn a_box_that_slept_for_years_follows_expired_roots_to_a_fresh_one() {
    let mut repository = Repository::new();
    for number in 2_u8..20 {
        // Each root has new keys and was signed by the one before.
        let next = key(100 + number);
        repository.root_keys.push(next.clone());
        repository.next_root(|root| {
            root.root = key_set(&[&next], 1);
            root.expires_unix_s = NOW - i64::from(20 - number) * DAY;
        });
        repository.root_keys = vec![next];
    }
    let refused = repository.refusal(&repository.pinned());
    assert_eq!(
        refused,
        "19.root.json is refused: it expired at 2027-01-14T08:00:00Z, and it is 2027-01-15T08:00:00Z or later"
    );
    repository.next_root(|root| root.expires_unix_s = NOW + DAY);
    assert_eq!(repository.refreshed().root().version, 20);
}

#[test]
fn a_root_that_the_one_before_did_not_sign_is_refused() {
    let mut repository = Repository::new();
    repository.root_keys = vec![key(66)];
    repository.next_root(|root| root.root = key_set(&[&key(66)], 1));
    let id = short_id(1);
    assert_eq!(
        repository.refusal(&repository.pinned()),
        format!("2.root.json is refused: 0 of 1 trusted key ({id}) have signed it, and 1 must")
    );
}

#[test]
fn a_root_that_it_did_not_sign_itself_is_refused() {
    let mut repository = Repository::new();
    repository.next_root(|root| root.root = key_set(&[&key(66)], 1));
    let id = short_id(66);
    assert_eq!(
        repository.refusal(&repository.pinned()),
        format!("2.root.json is refused: 0 of 1 trusted key ({id}) have signed it, and 1 must")
    );
}

#[test]
fn a_root_that_leaves_out_a_version_or_comes_again_is_refused() {
    let repository = Repository::new();
    let with_version = |version: u64| {
        let mut hostile = repository.clone();
        hostile.root.version = version;
        hostile.publish_root();
        let file = hostile.files[&format!("{version}.root.json")].clone();
        hostile.files.insert("2.root.json".to_owned(), file);
        hostile.refusal(&hostile.pinned())
    };
    assert_eq!(with_version(3), "2.root.json is refused: it is version 3, and version 2 was expected");
    assert_eq!(
        with_version(1),
        "2.root.json is refused: it would go back: version 1 was accepted before, this is version 1"
    );
}

#[test]
fn an_older_root_under_a_newer_name_is_refused() {
    let mut repository = Repository::new();
    repository.next_root(|_| {});
    let trust = repository.refreshed();
    repository.files.insert("3.root.json".to_owned(), repository.files["1.root.json"].clone());
    assert_eq!(
        repository.refusal(&trust),
        "3.root.json is refused: it would go back: version 2 was accepted before, this is version 1"
    );
}

#[test]
fn a_root_that_was_accepted_is_kept_when_a_later_step_fails() {
    let mut repository = Repository::new();
    repository.next_root(|root| root.timestamp = key_set(&[&key(22)], 1));
    let attempt = repository.attempt(&repository.refreshed_before_rotation(), Clock::trusted(NOW), Limits::default());
    assert!(attempt.outcome.is_err());
    assert_eq!(attempt.so_far.root().version, 2);
    let stored = Trust::from_bytes(&attempt.so_far.to_bytes()).unwrap();
    assert_eq!(stored.root().version, 2);
    // The key of the old timestamp is gone, and with it what it had signed.
    assert_eq!(stored.timestamp(), None);
}

#[test]
fn only_so_many_roots_are_accepted_at_once_and_the_next_refresh_goes_on() {
    let mut repository = Repository::new();
    (0..4).for_each(|_| repository.next_root(|_| {}));
    let limits = |roots: u32| Limits { roots, ..Limits::default() };
    assert!(repository.attempt(&repository.pinned(), Clock::trusted(NOW), limits(4)).outcome.is_ok());
    let attempt = repository.attempt(&repository.pinned(), Clock::trusted(NOW), limits(3));
    assert_eq!(
        attempt.outcome.unwrap_err().to_string(),
        "5.root.json is refused: more than 3 roots follow one another; what was accepted is kept, refresh again to go on"
    );
    assert_eq!(attempt.so_far.root().version, 4);
    assert!(repository.attempt(&attempt.so_far, Clock::trusted(NOW), limits(3)).outcome.is_ok());
}

#[test]
fn the_last_possible_version_of_a_root_is_the_end() {
    let mut repository = Repository::new();
    repository.root.version = u64::MAX;
    repository.publish_root();
    let trust = Trust::pin(&repository.files[&format!("{}.root.json", u64::MAX)]).unwrap();
    let attempt = repository.attempt(&trust, Clock::trusted(NOW), Limits::default());
    assert_eq!(attempt.fetched, ["timestamp.json", "1.snapshot.json", "1.targets.json"]);
    assert!(attempt.outcome.is_ok());
    assert!(
        repository
            .refresh_at(&trust, Clock::trusted(NOW + 400 * DAY))
            .unwrap_err()
            .to_string()
            .contains("it expired at")
    );
}

#[test]
fn only_a_root_that_signed_itself_can_be_pinned() {
    let repository = Repository::new();
    let unsigned = signed(sign::root(&repository.root).unwrap(), &[&key(66)]);
    let id = short_id(1);
    assert_eq!(
        Trust::pin(&unsigned).unwrap_err().to_string(),
        format!("the root to be trusted is refused: 0 of 1 trusted key ({id}) have signed it, and 1 must")
    );
    assert_eq!(
        Trust::pin(&repository.files["timestamp.json"]).unwrap_err().to_string(),
        "the root to be trusted is refused: it is of type \"timestamp\", and \"root\" was expected"
    );
}

impl Repository {
    /// A device that has seen everything while there was only the first root.
    fn refreshed_before_rotation(&self) -> Trust {
        let mut before = self.clone();
        before.files.retain(|name, _| !name.ends_with(".root.json") || name == "1.root.json");
        before.refreshed()
    }
}
