//! Who may speak about what: patterns, order, cycles, and roles that overstep.

use crate::repository::{NOW, Repository, delegated, delegation, key, path, short_id, targets};
use selvedge_ota_metadata::{Clock, Limits, Refreshed, Role, TargetPath, Trust};

fn repository(delegations: &[(&'static str, u8, &[&str])], entries: &[(&'static str, &[(&str, u64)])]) -> Repository {
    let mut repository = Repository::new();
    repository.targets.delegations =
        delegations.iter().map(|(name, number, paths)| delegation(name, &[&key(*number)], paths)).collect();
    for (name, entries) in entries {
        let number = delegations.iter().find(|(other, ..)| other == name).map_or(10, |(_, number, _)| *number);
        repository.roles.insert(name, (targets(0, entries), key(number)));
    }
    repository
}

fn published(mut repository: Repository) -> Refreshed {
    repository.publish();
    repository.refresh(&repository.pinned()).unwrap()
}

/// Which role speaks for a path.
fn speaker(trust: &Trust, text: &str) -> Option<Role> {
    trust.find(&path(text)).unwrap().map(|(role, _)| role.clone())
}

#[test]
fn a_role_speaks_for_its_patterns_and_for_nothing_else() {
    let all: &[(&str, u64)] = &[("functions/a", 7), ("functions/b/c", 7), ("daemon/selvedge", 7), ("daemon/new", 7)];
    let Refreshed { trust, problems } =
        published(repository(&[("functions", 10, &["functions/*"])], &[("functions", all)]));
    assert_eq!(problems, []);
    assert_eq!(speaker(&trust, "functions/a"), Some(delegated("functions")));
    assert_eq!(speaker(&trust, "functions/b/c"), None);
    // Neither a new daemon nor another content for the old one.
    assert_eq!(speaker(&trust, "daemon/new"), None);
    assert_eq!(trust.find(&path("daemon/selvedge")).unwrap().unwrap().1.length, 1);
    let ignored: Vec<_> = trust.ignored().map(|(role, path)| format!("{role}: {path}")).collect();
    assert_eq!(
        ignored,
        [
            r#"the role "functions": daemon/new"#,
            r#"the role "functions": daemon/selvedge"#,
            r#"the role "functions": functions/b/c"#
        ]
    );
    let paths: Vec<_> = trust.targets().map(|(path, _)| path.to_string()).collect();
    assert_eq!(paths, ["daemon/selvedge", "functions/a"]);
}

#[test]
fn a_target_swapped_between_two_delegations_is_not_believed() {
    let Refreshed { trust, .. } = published(repository(
        &[("a", 10, &["a/*"]), ("b", 11, &["b/*"])],
        &[("a", &[("b/1", 66)]), ("b", &[("b/1", 1)])],
    ));
    let (role, target) = trust.find(&path("b/1")).unwrap().unwrap();
    assert_eq!((role.clone(), target.length), (delegated("b"), 1));
}

#[test]
fn a_role_cannot_hand_on_more_than_it_has() {
    let mut repository = repository(&[("a", 10, &["a/*"])], &[("a", &[])]);
    repository.roles.get_mut("a").unwrap().0.delegations = vec![delegation("deep", &[&key(12)], &["*", "*/*"])];
    repository.roles.insert("deep", (targets(0, &[("a/1", 5), ("daemon/new", 66)]), key(12)));
    let trust = published(repository).trust;
    assert_eq!(speaker(&trust, "a/1"), Some(delegated("deep")));
    assert_eq!(speaker(&trust, "daemon/new"), None);
}

#[test]
fn the_first_delegation_that_knows_a_path_counts() {
    let order = |first: (&'static str, u8), second: (&'static str, u8)| {
        let delegations: [(&str, u8, &[&str]); 2] = [(first.0, first.1, &["x/*"]), (second.0, second.1, &["x/*"])];
        let trust =
            published(repository(&delegations, &[("a", &[("x/1", 1)]), ("b", &[("x/1", 2), ("x/2", 2)])])).trust;
        [speaker(&trust, "x/1").unwrap(), speaker(&trust, "x/2").unwrap()]
    };
    assert_eq!(order(("a", 10), ("b", 11)), [delegated("a"), delegated("b")]);
    assert_eq!(order(("b", 11), ("a", 10)), [delegated("b"), delegated("b")]);
}

#[test]
fn a_whole_branch_is_asked_before_the_next_one() {
    let mut repository = repository(&[("a", 10, &["x/*"]), ("b", 11, &["x/*"])], &[("a", &[]), ("b", &[("x/1", 2)])]);
    repository.roles.get_mut("a").unwrap().0.delegations = vec![delegation("below", &[&key(12)], &["x/*"])];
    repository.roles.insert("below", (targets(0, &[("x/1", 1)]), key(12)));
    assert_eq!(speaker(&published(repository).trust, "x/1"), Some(delegated("below")));
}

#[test]
fn nobody_is_asked_after_a_terminating_delegation() {
    let mut repository = repository(
        &[("first", 9, &["x/*"]), ("a", 10, &["x/*"]), ("b", 11, &["x/*"])],
        &[("first", &[("x/0", 1)]), ("a", &[]), ("b", &[("x/0", 2), ("x/1", 2), ("y", 2)])],
    );
    repository.targets.delegations[1].terminating = true;
    let trust = published(repository).trust;
    assert_eq!(speaker(&trust, "x/0"), Some(delegated("first")));
    assert_eq!(speaker(&trust, "x/1"), None);
}

#[test]
fn a_terminating_delegation_below_silences_the_neighbours_above_too() {
    let mut repository = repository(&[("a", 10, &["x/*"]), ("c", 11, &["x/*"])], &[("a", &[]), ("c", &[("x/1", 3)])]);
    repository.roles.get_mut("a").unwrap().0.delegations = vec![delegation("b", &[&key(12)], &["x/*"])];
    repository.roles.insert("b", (targets(0, &[]), key(12)));
    assert_eq!(speaker(&published(repository.clone()).trust, "x/1"), Some(delegated("c")));
    repository.roles.get_mut("a").unwrap().0.delegations[0].terminating = true;
    assert_eq!(speaker(&published(repository).trust, "x/1"), None);
}

#[test]
fn cycles_end() {
    let mut repository = repository(&[("a", 10, &["x/*"])], &[("a", &[])]);
    repository.roles.get_mut("a").unwrap().0.delegations =
        vec![delegation("b", &[&key(11)], &["x/*"]), delegation("a", &[&key(10)], &["x/*"])];
    repository.roles.insert("b", (targets(0, &[("x/1", 1)]), key(11)));
    repository.roles.get_mut("b").unwrap().0.delegations = vec![delegation("a", &[&key(10)], &["x/*"])];
    repository.publish();
    let attempt = repository.attempt(&repository.pinned(), Clock::trusted(NOW), Limits::default());
    assert_eq!(attempt.fetched[3..], ["2.targets.json", "1.a.json", "1.b.json"]);
    let Refreshed { trust, problems } = attempt.outcome.unwrap();
    assert_eq!(problems, []);
    assert_eq!(speaker(&trust, "x/1"), Some(delegated("b")));
    assert_eq!(speaker(&trust, "x/2"), None);
}

#[test]
fn a_withheld_role_does_not_let_the_next_one_speak_in_its_place() {
    let mut repository = repository(
        &[("good", 10, &["x/*"]), ("bad", 11, &["x/*", "y/*"])],
        &[("good", &[("x/1", 1)]), ("bad", &[("x/1", 66), ("y/1", 1)])],
    );
    repository.publish();
    repository.files.remove("1.good.json");
    let Refreshed { trust, problems } = repository.refresh(&repository.pinned()).unwrap();
    assert_eq!(problems[0].to_string(), "1.good.json is refused: the repository does not have it");
    assert_eq!(
        trust.find(&path("x/1")).unwrap_err().to_string(),
        "what x/1 is to be is not known: the role \"good\" has a say in it, and there is no valid file of it"
    );
    // Nor does it take anything else away.
    assert_eq!(speaker(&trust, "y/1"), Some(delegated("bad")));
    let paths: Vec<_> = trust.targets().map(|(path, _): (&TargetPath, _)| path.to_string()).collect();
    assert_eq!(paths, ["daemon/selvedge", "y/1"]);
}

#[test]
fn a_role_that_strangers_signed_takes_nothing_else_with_it() {
    let mut repository =
        repository(&[("a", 10, &["a/*"]), ("b", 11, &["b/*"])], &[("a", &[("a/1", 1)]), ("b", &[("b/1", 1)])]);
    repository.roles.get_mut("a").unwrap().1 = key(66);
    let Refreshed { trust, problems } = published(repository);
    let id = short_id(10);
    assert_eq!(
        problems[0].to_string(),
        format!("1.a.json is refused: 0 of 1 trusted key ({id}) have signed it, and 1 must")
    );
    assert!(trust.find(&path("a/1")).is_err());
    assert_eq!(speaker(&trust, "b/1"), Some(delegated("b")));
}

#[test]
fn one_name_from_two_delegators_is_each_ones_own_trust() {
    // `a` claims the name of a role that belongs to the targets role, with a key of its own.
    let mut repository =
        repository(&[("a", 10, &["a/*"]), ("b", 11, &["b/*"])], &[("a", &[]), ("b", &[("b/1", 1), ("a/1", 1)])]);
    repository.roles.get_mut("a").unwrap().0.delegations = vec![delegation("b", &[&key(66)], &["a/*"])];
    let Refreshed { trust, problems } = published(repository.clone());
    let id = short_id(66);
    assert_eq!(
        problems[0].to_string(),
        format!("1.b.json is refused: 0 of 1 trusted key ({id}) have signed it, and 1 must")
    );
    assert_eq!(speaker(&trust, "b/1"), Some(delegated("b")));
    assert!(trust.find(&path("a/1")).is_err());

    // With the right key both may have it.
    repository.roles.get_mut("a").unwrap().0.delegations = vec![delegation("b", &[&key(11)], &["a/*"])];
    let Refreshed { trust, problems } = published(repository);
    assert_eq!(problems, []);
    assert_eq!(speaker(&trust, "a/1"), Some(delegated("b")));
}

#[test]
fn a_role_that_one_delegator_cannot_vouch_for_is_fetched_for_the_next() {
    // The first delegation has a wrong key, the second the right one.
    let mut repository = repository(&[("a", 10, &["a/*"]), ("b", 66, &["b/*"])], &[("a", &[]), ("b", &[("a/1", 1)])]);
    repository.roles.get_mut("b").unwrap().1 = key(11);
    repository.roles.get_mut("a").unwrap().0.delegations = vec![delegation("b", &[&key(11)], &["a/*"])];
    let Refreshed { trust, problems } = published(repository);
    assert_eq!(problems.len(), 1);
    assert_eq!(speaker(&trust, "a/1"), Some(delegated("b")));
    assert!(trust.find(&path("b/1")).is_err());
}

#[test]
fn a_key_that_a_delegation_removes_ends_its_role() {
    let mut repository = repository(&[("a", 10, &["a/*"])], &[("a", &[("a/1", 1)])]);
    repository.publish();
    let trust = repository.refreshed();
    repository.targets.delegations = vec![delegation("a", &[&key(12)], &["a/*"])];
    repository.targets.version += 1;
    repository.publish_as_is();
    repository.publish_snapshot(|_| {});
    let refreshed = repository.refresh(&trust).unwrap();
    assert_eq!(refreshed.problems.len(), 1);
    assert!(refreshed.trust.find(&path("a/1")).is_err());
}
