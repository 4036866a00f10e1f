use proptest::prelude::*;

use super::*;

fn v(number: u32) -> VersionNumber {
    format!("v{number}").parse().unwrap()
}

fn shares(text: &str) -> Alias {
    Alias::new(text.split_whitespace().map(|share| share.parse().unwrap()).collect(), None).unwrap()
}

fn candidate<'a>(manifest: &'a str, digest: &'a str, now_ms: u64) -> Candidate<'a> {
    Candidate { manifest, digest, fallback: None, now_ms }
}

/// A catalog with versions 1 to `count`, of which the last is live.
fn with_versions(count: u32) -> Catalog {
    let mut catalog = Catalog::new();
    for number in 1..=count {
        assert_eq!(catalog.publish(candidate("m", &number.to_string(), 0), 100), Ok(v(number)));
    }
    assert_eq!(catalog.point(LIVE, Alias::only(v(count))), Ok(true));
    catalog
}

fn numbers(catalog: &Catalog) -> Vec<String> {
    catalog.versions().iter().map(|version| version.number.to_string()).collect()
}

#[test]
fn the_same_manifest_and_component_are_the_same_version() {
    let mut catalog = with_versions(2);
    assert_eq!(catalog.publish(candidate("m", "1", 9), 100), Ok(v(1)));
    assert_eq!(catalog.publish(candidate("other", "1", 9), 100), Ok(v(3)), "another manifest is another version");
    assert_eq!(catalog.version(v(1)).unwrap().published_ms, 0);
}

#[test]
fn numbers_are_not_used_again() {
    let mut catalog = with_versions(3);
    assert_eq!(catalog.collect(1), [v(1), v(2)]);
    catalog.point(LIVE, Alias::only(v(3))).unwrap();
    assert_eq!(catalog.publish(candidate("m", "1", 0), 100), Ok(v(4)));
}

#[test]
fn the_oldest_version_that_nobody_needs_gives_way() {
    let mut catalog = with_versions(3);
    assert_eq!(catalog.publish(candidate("m", "4", 0), 3), Ok(v(4)));
    assert_eq!(numbers(&catalog), ["v2", "v3", "v4"]);
}

#[test]
fn where_aliases_need_every_version_nothing_is_published() {
    let mut catalog = with_versions(2);
    catalog.point(LIVE, shares("v1=50 v2=50")).unwrap();
    assert_eq!(catalog.publish(candidate("m", "3", 0), 2), Err(CatalogError::Full(2)));
    assert_eq!(catalog.publish(candidate("m", "3", 0), 3), Ok(v(3)));
}

#[test]
fn an_alias_goes_back_step_by_step() {
    let mut catalog = with_versions(3);
    catalog.point(LIVE, shares("v3=90 v2=10")).unwrap();
    assert_eq!(catalog.point(LIVE, shares("v3=90 v2=10")), Ok(false), "no step for no change");
    catalog.point(LIVE, Alias::only(v(1))).unwrap();
    assert_eq!(catalog.step_back(LIVE), Ok(shares("v2=10 v3=90")));
    assert_eq!(catalog.step_back(LIVE), Ok(Alias::only(v(3))));
    assert_eq!(catalog.step_back(LIVE), Err(CatalogError::NothingBefore { alias: LIVE.to_owned() }));
    assert_eq!(catalog.live(), Some(&Alias::only(v(3))));
}

#[test]
fn so_many_steps_back_are_kept() {
    let mut catalog = with_versions(2);
    for _ in 0..STEPS_BACK_MAX {
        catalog.point(LIVE, Alias::only(v(1))).unwrap();
        catalog.point(LIVE, Alias::only(v(2))).unwrap();
    }
    assert!((0..STEPS_BACK_MAX).all(|_| catalog.step_back(LIVE).is_ok()));
    assert!(catalog.step_back(LIVE).is_err());
}

#[test]
fn what_is_one_step_back_is_kept_and_what_is_two_steps_back_may_go() {
    let mut catalog = with_versions(1);
    for number in 2..=3 {
        catalog.publish(candidate("m", &number.to_string(), 0), 100).unwrap();
        catalog.point(LIVE, Alias::only(v(number))).unwrap();
    }
    assert_eq!(catalog.collect(0), [v(1)]);
    assert_eq!(numbers(&catalog), ["v2", "v3"]);
    assert_eq!(catalog.step_back(LIVE), Ok(Alias::only(v(2))));
    assert!(catalog.step_back(LIVE).is_err(), "v1 is gone");
}

#[test]
fn what_is_kept_is_the_newest() {
    let mut catalog = with_versions(5);
    assert_eq!(catalog.collect(5), []);
    assert_eq!(catalog.collect(3), [v(1), v(2)]);
}

#[test]
fn a_version_that_takes_the_messages_of_a_live_one_is_kept() {
    let mut catalog = with_versions(3);
    let fallback = |fallback| Candidate { fallback: Some(fallback), ..candidate("m", "4", 0) };
    let words = catalog.publish(fallback(v(9)), 100).unwrap_err().to_string();
    assert_eq!(words, "there is no v9; there are v1, v2, v3");
    assert_eq!(catalog.publish(fallback(v(1)), 3), Ok(v(4)));
    assert_eq!(numbers(&catalog), ["v1", "v3", "v4"], "v1 stays for v4, v3 is live");
    catalog.point(LIVE, Alias::only(v(4))).unwrap();
    catalog.point("beta", Alias::only(v(4))).unwrap();
    assert_eq!(catalog.collect(0), [], "v3 is one step back");
    catalog.point(LIVE, Alias::only(v(3))).unwrap();
    catalog.forget_alias("beta").unwrap();
    catalog.point(LIVE, Alias::only(v(4))).unwrap();
    assert_eq!(catalog.collect(0), []);
}

#[test]
fn unknown_names_are_told_what_there_is() {
    let mut catalog = with_versions(2);
    let words = catalog.point(LIVE, Alias::only(v(7))).unwrap_err().to_string();
    assert_eq!(words, "there is no v7; there are v1, v2");
    assert_eq!(catalog.alias("beta").unwrap_err().to_string(), "there is no alias \"beta\"; there are live");
    assert!(catalog.step_back("beta").is_err() && catalog.forget_alias("beta").is_err());
    assert_eq!(catalog.forget_alias(LIVE), Err(CatalogError::LiveStays));
    assert!(matches!(catalog.point("No", Alias::only(v(1))), Err(CatalogError::AliasName(_))));
}

#[test]
fn both_sides_of_the_number_of_aliases() {
    let mut catalog = with_versions(1);
    for number in 1..ALIASES_MAX {
        catalog.point(&format!("a{number}"), Alias::only(v(1))).unwrap();
    }
    assert_eq!(catalog.point("more", Alias::only(v(1))), Err(CatalogError::TooManyAliases));
    catalog.forget_alias("a1").unwrap();
    assert_eq!(catalog.point("more", Alias::only(v(1))), Ok(true));
}

#[test]
fn a_catalog_that_was_tampered_with_is_not_sound() {
    let catalog = with_versions(2);
    assert!(catalog.is_sound() && Catalog::of_one("m", "d").is_sound() && !Catalog::new().is_sound());
    let text = serde_json::to_string(&catalog).unwrap();
    for (from, to) in [("\"next\":\"v3\"", "\"next\":\"v2\""), ("\"version\":\"v2\"", "\"version\":\"v9\"")] {
        assert!(text.contains(from), "{text}");
        let tampered: Catalog = serde_json::from_str(&text.replacen(from, to, 1)).unwrap();
        assert!(!tampered.is_sound(), "{from}");
    }
}

proptest! {
    #[test]
    fn whatever_is_done_the_invariants_hold(steps in proptest::collection::vec((0u8..5, 1u32..12, 1u32..12), 0..60)) {
        let mut catalog = with_versions(1);
        for (step, first, second) in steps {
            let mixed = || if first == second { Alias::only(v(first)) } else { shares(&format!("v{first}=1 v{second}=2")) };
            match step {
                0 => drop(catalog.publish(candidate("m", &first.to_string(), 0), 6)),
                1 => drop(catalog.point(LIVE, mixed())),
                2 => drop(catalog.point("beta", mixed())),
                3 => drop(catalog.step_back(LIVE)),
                _ => drop(catalog.collect(first as usize)),
            }
            prop_assert!(catalog.is_sound());
            prop_assert!(catalog.versions().len() <= 6);
            prop_assert!(catalog.foremost().is_some());
            let read: Catalog = serde_json::from_str(&serde_json::to_string(&catalog).unwrap()).unwrap();
            prop_assert_eq!(read, catalog.clone());
        }
    }
}
