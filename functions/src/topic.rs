//! MQTT topic names and filters: validity, matching, and whether two filters can meet. Pure.
//!
//! Not the broker's topic tree: here one filter of a grant is held against one topic.

/// A topic name that may be published to: not empty, no wildcard, no NUL, at most 65,535 bytes. [MQTT-4.7.1-1], [MQTT-4.7.3-1]
pub(crate) fn is_valid_name(topic: &str) -> bool {
    !topic.is_empty() && topic.len() <= 65_535 && !topic.contains(['+', '#', '\0'])
}

/// Why a filter is not one; `None` when it is valid. [MQTT-4.7.1-1], [MQTT-4.7.1-2]
pub(crate) fn filter_problem(filter: &str) -> Option<&'static str> {
    if filter.is_empty() {
        return Some("is empty");
    }
    if filter.len() > 65_535 || filter.contains('\0') {
        return Some("is longer than 65,535 bytes or has a NUL character");
    }
    let levels = filter.split('/').count();
    for (index, level) in filter.split('/').enumerate() {
        if level.contains('#') && (level != "#" || index + 1 != levels) {
            return Some("has # elsewhere than as its whole last level");
        }
        if level.contains('+') && level != "+" {
            return Some("has + beside other characters in a level");
        }
    }
    None
}

/// Does a topic name match a filter? A filter that begins with a wildcard does not match names that begin with `$`.
/// [MQTT-4.7.2-1]
pub(crate) fn filter_matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut names = topic.split('/');
    for level in filter.split('/') {
        match (level, names.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(name)) if level == name => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

/// Is there a topic that both filters match?
pub(crate) fn filters_overlap(left: &str, right: &str) -> bool {
    let wildcard_against_dollar = |a: &str, b: &str| a.starts_with(['+', '#']) && b.starts_with('$');
    if wildcard_against_dollar(left, right) || wildcard_against_dollar(right, left) {
        return false;
    }
    let (mut lefts, mut rights) = (left.split('/'), right.split('/'));
    loop {
        match (lefts.next(), rights.next()) {
            (Some("#"), _) | (_, Some("#")) => return true,
            (None, None) => return true,
            (Some(a), Some(b)) if a == b || a == "+" || b == "+" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wildcards_match_as_the_standard_says() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/#", "ab", false),
            ("#", "a/b", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("+", "/a", false),
            ("+/+", "/a", true),
        ] {
            assert_eq!(filter_matches(filter, topic), expected, "{filter} against {topic}");
        }
    }

    #[test]
    fn malformed_filters_are_named() {
        for filter in ["", "a#", "a/#/b", "a+/b", "#/a", "a\0"] {
            assert!(filter_problem(filter).is_some(), "{filter:?}");
        }
        for filter in ["#", "+", "a/+/b/#", "/", "$SYS/#"] {
            assert_eq!(filter_problem(filter), None, "{filter:?}");
        }
    }

    #[test]
    fn overlap_is_found_where_a_common_topic_exists() {
        for (left, right, expected) in [
            ("a/+", "+/b", true),
            ("a/#", "a", true),
            ("a/b", "a/c", false),
            ("#", "$SYS/x", false),
            ("a/+/c", "a/b/d", false),
            ("a/+/c/#", "a/b/c", true),
        ] {
            assert_eq!(filters_overlap(left, right), expected, "{left} and {right}");
        }
    }

    proptest! {
        #[test]
        fn a_topic_that_both_filters_match_means_overlap(
            left in "([a-c]|\\+)(/([a-c]|\\+)){0,3}(/#)?", right in "([a-c]|\\+)(/([a-c]|\\+)){0,3}(/#)?", topic in "[a-c](/[a-c]){0,4}",
        ) {
            if filter_matches(&left, &topic) && filter_matches(&right, &topic) {
                prop_assert!(filters_overlap(&left, &right));
            }
        }
    }
}
