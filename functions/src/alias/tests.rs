use proptest::prelude::*;

use super::*;

fn alias(text: &str, sticky: Option<Sticky>) -> Result<Alias, AliasError> {
    Alias::new(text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?, sticky)
}

fn lot(random: u64) -> Lot<'static> {
    Lot { function: "f", topic: "t", client: None, key: None, random }
}

fn of_client(client: &str) -> Lot<'_> {
    Lot { client: Some(client), ..lot(0) }
}

fn v(number: &str) -> VersionNumber {
    number.parse().unwrap()
}

#[test]
fn an_alias_is_written_and_read() {
    let alias = alias("v12 v3=90", Some(Sticky::Client)).unwrap();
    assert_eq!(alias.to_string(), "v3=90 v12=100, sticky by client");
    assert_eq!(alias.heaviest(), v("v12"));
    let json = serde_json::to_string(&alias).unwrap();
    assert_eq!(serde_json::from_str::<Alias>(&json).unwrap(), alias);
    assert!(serde_json::from_str::<Alias>(r#"{"shares": [], "sticky": null}"#).is_err());
}

#[test]
fn wrong_aliases_say_what_is_allowed() {
    let words = |text: &str| alias(text, None).unwrap_err().to_string();
    assert!(words("").contains("v3=90 v4=10"));
    assert!(words("v1 v1=3").contains("v1 is named twice"));
    for text in ["v1=0", "v1=1001", "v1=-1", "v1=", "v1=x", "v1=4294967296"] {
        assert!(words(text).contains("allowed are 1 to 1000"), "{text}");
    }
    assert!(words("3=90").contains("such as v3"));
    assert!("colour".parse::<Sticky>().unwrap_err().to_string().contains("topic, client and key"));
}

#[test]
fn both_sides_of_the_number_of_versions_and_of_a_weight() {
    let many = |count: usize| (1..=count).map(|number| format!("v{number}=1")).collect::<Vec<_>>().join(" ");
    assert!(alias(&many(ALIAS_VERSIONS_MAX), None).is_ok());
    assert_eq!(alias(&many(ALIAS_VERSIONS_MAX + 1), None), Err(AliasError::TooMany(9)));
    assert!(alias("v1=1 v2=1000", None).is_ok());
}

#[test]
fn messages_are_shared_out_by_weight() {
    let alias = alias("v3=90 v4=10", None).unwrap();
    let new = (0..10_000).filter(|&random| alias.choose(&lot(random), |_| true) == v("v4")).count();
    assert!((900..=1100).contains(&new), "{new} of 10,000 instead of a tenth");
}

#[test]
fn clients_are_shared_out_by_weight_and_each_stays() {
    let alias = alias("v3=90 v4=10", Some(Sticky::Client)).unwrap();
    let clients: Vec<String> = (0..10_000).map(|number| format!("device-{number:05}")).collect();
    let version = |client: &str, random| alias.choose(&Lot { random, ..of_client(client) }, |_| true);
    let new = clients.iter().filter(|client| version(client, 0) == v("v4")).count();
    assert!((900..=1100).contains(&new), "{new} of 10,000 instead of a tenth");
    assert!(clients.iter().all(|client| version(client, 1) == version(client, 2)));
}

#[test]
fn what_has_nothing_to_stick_to_is_on_its_own() {
    let alias = alias("v1=50 v2=50", Some(Sticky::Key)).unwrap();
    let versions: Vec<_> = (0..64).map(|random| alias.choose(&lot(random), |_| true)).collect();
    assert!(versions.contains(&v("v1")) && versions.contains(&v("v2")));
    let keyed = |key| alias.choose(&Lot { key: Some(key), ..lot(0) }, |_| true);
    assert!(
        (0..64)
            .map(|key| keyed(if key % 2 == 0 { "a" } else { "a " }))
            .all(|version| [v("v1"), v("v2")].contains(&version))
    );
    assert_eq!(keyed("a"), keyed("a"));
}

#[test]
fn functions_do_not_try_new_versions_on_the_same_clients() {
    let alias = alias("v1=50 v2=50", Some(Sticky::Client)).unwrap();
    let of = |function, client| alias.choose(&Lot { function, ..of_client(client) }, |_| true);
    let clients: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let same = clients.iter().filter(|client| of("f", client) == of("g", client)).count();
    assert!((400..=600).contains(&same), "{same} of 1000");
}

#[test]
fn only_versions_that_take_a_message_get_it_and_if_none_does_it_is_not_lost() {
    let alias = alias("v1=999 v2=1", None).unwrap();
    assert!((0..1000).all(|random| alias.choose(&lot(random), |version| version == v("v2")) == v("v2")));
    assert_eq!(alias.choose(&lot(7), |_| false), alias.choose(&lot(7), |_| true));
}

proptest! {
    #[test]
    fn who_has_the_new_version_keeps_it_while_its_weight_grows(random: u64, first in 1u32..100, more in 1u32..100) {
        let (less, greater) = (first.min(more), first.max(more));
        let at = |weight: u32| {
            let text = format!("v1={} v2={weight}", 100 - weight);
            alias(&text, None).unwrap().choose(&lot(random), |_| true)
        };
        prop_assert!(at(less) == v("v1") || at(greater) == v("v2"));
    }

    #[test]
    fn a_choice_is_one_of_the_versions(weights in proptest::collection::vec(1u32..=WEIGHT_MAX, 1..=ALIAS_VERSIONS_MAX), random: u64) {
        let text = weights.iter().enumerate().map(|(index, weight)| format!("v{}={weight}", index + 1)).collect::<Vec<_>>().join(" ");
        let alias = alias(&text, None).unwrap();
        let chosen = alias.choose(&lot(random), |_| true);
        prop_assert!(alias.shares().iter().any(|share| share.version == chosen));
    }
}
