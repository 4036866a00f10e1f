//! Covering and overlapping against what their definitions say, over all short topics of a small alphabet.

use proptest::prelude::*;

use super::*;

const SUBJECT: Subject<'_> = Subject { user: Some("a"), client_id: "b" };
const NOBODY: Subject<'_> = Subject { user: None, client_id: "b" };

/// Levels of topics: names, the empty one, one of the node, and one that no filter here spells out.
const LEVELS: [&str; 5] = ["a", "b", "", "$x", "other"];

fn filter(text: &str) -> Filter {
    Filter::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"))
}

fn matches(text: &str, topic: &str) -> bool {
    filter(text).matches(SUBJECT, Side::Allow, topic)
}

/// MQTT 5, 4.7, read aloud.
fn matches_by_definition(filter: &str, topic: &str) -> bool {
    fn levels(filter: &[&str], topic: &[&str]) -> bool {
        match (filter, topic) {
            (["#"], _) | ([], []) => true,
            ([wanted, filter @ ..], [level, topic @ ..]) => {
                (*wanted == "+" || wanted == level) && levels(filter, topic)
            }
            _ => false,
        }
    }
    let is_hidden = topic.starts_with('$') && filter.starts_with(['+', '#']);
    !is_hidden && levels(&filter.split('/').collect::<Vec<_>>(), &topic.split('/').collect::<Vec<_>>())
}

/// All topics of up to four levels; with the empty one, which cannot be published but would be the parent of `/#`.
fn topics() -> Vec<String> {
    let mut topics: Vec<String> = LEVELS.iter().map(|level| (*level).to_owned()).collect();
    let mut deepest = topics.clone();
    for _ in 0..3 {
        deepest = deepest.iter().flat_map(|topic| LEVELS.iter().map(move |level| format!("{topic}/{level}"))).collect();
        topics.extend(deepest.iter().cloned());
    }
    topics
}

/// Any filter of up to three levels over the same alphabet, perhaps with `#` after it.
fn any_filter() -> impl Strategy<Value = String> {
    let level = prop::sample::select(vec!["a", "b", "", "$x", "+"]);
    (prop::collection::vec(level, 0..=3), any::<bool>()).prop_filter_map("empty", |(mut levels, open)| {
        if open {
            levels.push("#");
        }
        Some(levels.join("/")).filter(|filter| !filter.is_empty())
    })
}

/// A filter, and the same with a name in place of some of its levels.
fn any_template() -> impl Strategy<Value = (String, String)> {
    (any_filter(), any::<[bool; 4]>()).prop_map(|(filter, named)| {
        let levels = filter.split('/').zip(named).map(|(level, named)| match (level, named) {
            ("a", true) => "%u",
            ("b", true) => "%c",
            (level, _) => level,
        });
        (levels.collect::<Vec<_>>().join("/"), filter)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_filter_matches_what_the_standard_says((template, filter_text) in any_template()) {
        let filter = filter(&template);
        for topic in topics() {
            let expected = matches_by_definition(&filter_text, &topic);
            for side in [Side::Allow, Side::Deny] {
                prop_assert_eq!(filter.matches(SUBJECT, side, &topic), expected, "{} {} {:?}", template, topic, side);
            }
        }
    }

    #[test]
    fn a_filter_covers_another_if_it_matches_every_topic_of_it((template, text) in any_template(), requested in any_filter()) {
        let expected = topics()
            .iter()
            .filter(|topic| matches_by_definition(&requested, topic))
            .all(|topic| matches_by_definition(&text, topic));
        prop_assert_eq!(filter(&template).covers(SUBJECT, &requested), expected, "{} covers {}", template, requested);
    }

    #[test]
    fn a_filter_overlaps_another_if_they_share_a_topic((template, text) in any_template(), requested in any_filter()) {
        let expected = topics()
            .iter()
            .any(|topic| matches_by_definition(&requested, topic) && matches_by_definition(&text, topic));
        prop_assert_eq!(filter(&template).overlaps(SUBJECT, &requested), expected, "{} overlaps {}", template, requested);
    }

    #[test]
    fn no_text_makes_the_parser_or_a_check_panic(text in "[a%uc/+#$ é\\x00]{0,12}|\\PC{0,20}", other in "[a/+#$é]{0,10}|\\PC{0,20}") {
        if let Ok(filter) = Filter::parse(&text) {
            for subject in [SUBJECT, NOBODY, Subject { user: Some(&other), client_id: &other }] {
                let _ = filter.matches(subject, Side::Allow, &other) | filter.matches(subject, Side::Deny, &other);
                let _ = filter.covers(subject, &other) | filter.overlaps(subject, &other);
            }
        }
    }

    #[test]
    fn a_name_with_a_meaning_in_topics_never_widens_what_is_allowed(
        name in "[a/+#$\\x00]{0,4}",
        template in prop::sample::select(vec!["%u", "%c/#", "x/%u", "x/%c/#", "x-%u/y", "x/%u%c"]),
        topic in prop::sample::select(topics()),
    ) {
        let subject = Subject { user: Some(&name), client_id: &name };
        let allowed = filter(template).matches(subject, Side::Allow, &topic);
        let is_plain = !name.is_empty() && !name.contains(['/', '+', '#', '\0']);
        let pasted = template.replace("%u", &name).replace("%c", &name);
        prop_assert!(!allowed || (is_plain && matches_by_definition(&pasted, &topic)));
        prop_assert!(!(allowed && topic.starts_with('$')));
    }
}

#[test]
fn names_stand_for_all_or_part_of_a_level() {
    assert!(matches("sensors/%u/#", "sensors/a/temperature"));
    assert!(!matches("sensors/%u/#", "sensors/b/temperature"));
    assert!(matches("to-%c-from-%u", "to-b-from-a"));
    assert!(!matches("to-%c-from-%u", "to-b-from-aa"));
    assert!(matches("load/100%%", "load/100%"));
}

#[test]
fn without_a_user_a_filter_for_users_neither_allows_nor_denies() {
    let filter = filter("a/%u/#");
    for side in [Side::Allow, Side::Deny] {
        assert!(!filter.matches(NOBODY, side, "a/b"));
    }
    assert!(!filter.covers(NOBODY, "a/b") && !filter.overlaps(NOBODY, "#"));
}

#[test]
fn a_client_whose_name_fits_no_level_cannot_slip_past_a_deny() {
    let subject = Subject { user: None, client_id: "x/y" };
    let denied = filter("private/%c/in");
    assert!(denied.matches(subject, Side::Deny, "private/x/y/in"));
    assert!(denied.matches(subject, Side::Deny, "private/z"));
    assert!(denied.overlaps(subject, "private/+/in"));
    assert!(!denied.matches(subject, Side::Deny, "public/x"));
    assert!(!denied.matches(subject, Side::Allow, "private/x/y/in"));
}

#[test]
fn a_client_called_like_a_topic_of_the_node_gets_nothing_there() {
    let subject = Subject { user: None, client_id: "$SYS" };
    let own = filter("%c/#");
    assert!(!own.matches(subject, Side::Allow, "$SYS/uptime") && !own.covers(subject, "$SYS/#"));
    assert!(own.matches(subject, Side::Deny, "$SYS/uptime") && own.overlaps(subject, "$SYS/#"));
}

#[test]
fn what_is_no_filter_is_not_covered_and_always_overlaps() {
    for broken in ["", "a#", "#/a", "a+/b", "a/#/b"] {
        assert!(!filter("#").covers(SUBJECT, broken) && filter("a").overlaps(SUBJECT, broken), "{broken}");
    }
}

#[test]
fn mistakes_in_filters_are_named() {
    for (text, problem) in [
        ("", FilterProblem::Empty),
        ("a#", FilterProblem::MisplacedHash),
        ("a/#/b", FilterProblem::MisplacedHash),
        ("a+/b", FilterProblem::MisplacedPlus),
        ("%u+", FilterProblem::MisplacedPlus),
        ("%x/a", FilterProblem::UnknownPlaceholder),
        ("100%", FilterProblem::UnknownPlaceholder),
        ("%é", FilterProblem::UnknownPlaceholder),
        ("a\0", FilterProblem::ControlCharacter),
        ("$share/g/a", FilterProblem::Shared),
    ] {
        assert_eq!(Filter::parse(text), Err(problem), "{text}");
    }
}

#[test]
fn filters_are_bounded_in_length_and_depth() {
    assert!(Filter::parse(&"a".repeat(FILTER_BYTES_MAX)).is_ok());
    assert_eq!(Filter::parse(&"a".repeat(FILTER_BYTES_MAX + 1)), Err(FilterProblem::TooLong));
    assert!(Filter::parse(&vec!["a"; FILTER_LEVELS_MAX].join("/")).is_ok());
    assert_eq!(Filter::parse(&vec!["a"; FILTER_LEVELS_MAX + 1].join("/")), Err(FilterProblem::TooDeep));
}
