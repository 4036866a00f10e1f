//! Endless data and too much of everything: both sides of each limit.

use crate::repository::{NOW, Repository, delegation, key, key_set, path, target, targets};
use selvedge_ota_metadata::{Clock, Limits, PathPattern, Refreshed, RefuseError, Want};

fn with_limits(repository: &Repository, change: impl FnOnce(&mut Limits)) -> Result<Refreshed, RefuseError> {
    let mut limits = Limits::default();
    change(&mut limits);
    repository.attempt(&repository.pinned(), Clock::trusted(NOW), limits).outcome
}

fn text(outcome: Result<Refreshed, RefuseError>) -> String {
    outcome.unwrap_err().to_string()
}

#[test]
fn a_file_longer_than_allowed_is_refused() {
    let mut repository = Repository::new();
    repository.next_root(|_| {});
    let length = |name: &str| repository.files[name].len() as u64;
    let sizes = [
        ("2.root.json", length("2.root.json")),
        ("timestamp.json", length("timestamp.json")),
        ("1.snapshot.json", length("1.snapshot.json")),
        ("1.targets.json", length("1.targets.json")),
    ];
    for (name, size) in sizes {
        let attempt = |bytes_max: u64| {
            with_limits(&repository, |limits| match name {
                "2.root.json" => limits.root_bytes = bytes_max,
                "timestamp.json" => limits.timestamp_bytes = bytes_max,
                "1.snapshot.json" => limits.snapshot_bytes = bytes_max,
                _ => limits.targets_bytes = bytes_max,
            })
        };
        assert!(attempt(size).is_ok(), "{name}");
        assert_eq!(text(attempt(size - 1)), format!("{name} is refused: it has more than {} bytes", size - 1));
    }
}

#[test]
fn endless_data_need_not_be_read_to_its_end() {
    let repository = Repository::new();
    let mut refresh = repository.pinned().begin(Clock::trusted(NOW), Limits::default());
    let Want::File { bytes_max, .. } = refresh.wants() else { panic!() };
    let refused = refresh.give(&vec![b' '; usize::try_from(bytes_max).unwrap() + 1]).unwrap_err();
    assert_eq!(refused.to_string(), "2.root.json is refused: it has more than 262144 bytes");
}

#[test]
fn nesting_without_end_is_refused() {
    let mut repository = Repository::new();
    repository.files.insert("timestamp.json".to_owned(), "[".repeat(16_000).into_bytes());
    let refusal = repository.refusal(&repository.pinned());
    assert!(refusal.contains("recursion limit exceeded"), "{refusal}");
}

#[test]
fn targets_keys_signatures_and_patterns_are_counted() {
    let mut repository = Repository::new();
    repository.targets.targets.insert(path("b"), target(2));
    repository.targets.delegations = vec![delegation("a", &[&key(10), &key(11)], &["a/1", "a/2", "a/3"])];
    repository.roles.insert("a", (targets(0, &[]), key(10)));
    repository.publish();
    let attempt = |change: fn(&mut Limits)| with_limits(&repository, change);
    assert!(attempt(|limits| limits.targets_per_file = 2).is_ok());
    assert_eq!(
        text(attempt(|limits| limits.targets_per_file = 1)),
        "2.targets.json is refused: it has 2 targets, and 1 are the most"
    );
    assert!(attempt(|limits| limits.patterns_per_file = 3).is_ok());
    assert_eq!(
        text(attempt(|limits| limits.patterns_per_file = 2)),
        "2.targets.json is refused: it has 3 path patterns, and 2 are the most"
    );
    repository.targets.delegations[0].paths[0] = PathPattern::new("*a*").unwrap();
    repository.publish();
    let attempt = |change: fn(&mut Limits)| with_limits(&repository, change);
    assert!(attempt(|limits| limits.costly_patterns_per_file = 1).is_ok());
    assert_eq!(
        text(attempt(|limits| limits.costly_patterns_per_file = 0)),
        "3.targets.json is refused: it has 1 path patterns with several * between slashes, and 0 are the most"
    );
    assert!(attempt(|limits| limits.keys_per_file = 2).is_ok());
    assert_eq!(
        text(attempt(|limits| limits.keys_per_file = 1)),
        "3.targets.json is refused: it has 2 keys, and 1 are the most"
    );

    let mut repository = Repository::new();
    repository.root_keys = vec![key(1), key(5)];
    repository.next_root(|root| root.root = key_set(&[&key(1), &key(5)], 2));
    assert!(with_limits(&repository, |limits| limits.signatures_per_file = 2).is_ok());
    assert_eq!(
        text(with_limits(&repository, |limits| limits.signatures_per_file = 1)),
        "2.root.json is refused: it has 2 signatures, and 1 are the most"
    );
}

fn with_roles(count: u8) -> Repository {
    const NAMES: [&str; 6] = ["r0", "r1", "r2", "r3", "r4", "r5"];
    let mut repository = Repository::new();
    for (number, name) in (0..count).zip(NAMES) {
        let pattern = format!("{name}/*");
        repository.targets.delegations.push(delegation(name, &[&key(50 + number)], &[&pattern]));
        repository.roles.insert(name, (targets(0, &[(&format!("{name}/1"), 1)]), key(50 + number)));
    }
    repository.publish();
    repository
}

#[test]
fn delegations_beyond_the_limit_are_problems_and_not_followed() {
    let repository = with_roles(4);
    let problems =
        |delegations: u32| with_limits(&repository, |limits| limits.delegations = delegations).unwrap().problems;
    assert_eq!(problems(4), []);
    let [problem] = &problems(3)[..] else { panic!() };
    assert_eq!(problem.to_string(), "1.r3.json is refused: it is one delegation more than the 3 that are followed");
}

#[test]
fn what_a_role_delegates_further_does_not_use_up_its_neighbours_turn() {
    let mut repository = with_roles(2);
    let greedy = &mut repository.roles.get_mut("r0").unwrap().0;
    greedy.delegations = (0..20).map(|number| delegation(&format!("more{number}"), &[&key(66)], &["r0/*"])).collect();
    repository.publish();
    let refreshed = with_limits(&repository, |limits| limits.delegations = 4).unwrap();
    assert!(refreshed.trust.find(&path("r1/1")).unwrap().is_some());
    assert_eq!(refreshed.problems.len(), 20);
}

#[test]
fn delegations_deeper_than_the_limit_are_problems() {
    let mut repository = with_roles(1);
    repository.roles.get_mut("r0").unwrap().0.delegations = vec![delegation("below", &[&key(12)], &["r0/*"])];
    repository.roles.insert("below", (targets(0, &[]), key(12)));
    repository.publish();
    let problems = |depth: u32| with_limits(&repository, |limits| limits.delegation_depth = depth).unwrap().problems;
    assert_eq!(problems(2), []);
    assert_eq!(problems(1)[0].to_string(), "1.below.json is refused: it is delegated over more than 1 steps");
}

#[test]
fn all_targets_files_together_are_bounded() {
    let repository = with_roles(2);
    let sum: usize =
        ["2.targets.json", "1.r0.json", "1.r1.json"].iter().map(|&name| repository.files[name].len()).sum();
    let attempt = |bytes: u64| with_limits(&repository, |limits| limits.targets_bytes_total = bytes).unwrap();
    assert_eq!(attempt(sum as u64).problems, []);
    let refreshed = attempt(sum as u64 - 1);
    assert_eq!(
        refreshed.problems[0].to_string(),
        format!("1.r1.json is refused: with it, the targets files would have more than {} bytes together", sum - 1)
    );
    assert!(refreshed.trust.find(&path("r1/1")).is_err());

    // Also when they are there already.
    let limits = Limits { targets_bytes_total: sum as u64 - 1, ..Limits::default() };
    let again = repository.attempt(&repository.refreshed(), Clock::trusted(NOW), limits).outcome.unwrap();
    assert_eq!(again.problems.len(), 1);
}

#[test]
fn a_trust_that_was_made_under_wider_limits_can_still_be_read() {
    let repository = with_roles(6);
    let trust = repository.refreshed();
    assert_eq!(selvedge_ota_metadata::Trust::from_bytes(&trust.to_bytes()).unwrap(), trust);
}
