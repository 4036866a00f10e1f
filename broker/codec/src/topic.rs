//! Topic names and topic filters (sections 4.7 and 4.8.2): what is well formed and what matches.
//!
//! Not a subscription store. Invariant: nothing is normalised, names are compared byte by byte ([MQTT-4.7.3-4]).
//! The functions take strings that are already UTF-8 and at most 65,535 bytes, which decoding guarantees; they check
//! both limits again only where that costs nothing.

/// Why a topic name or a topic filter is not well formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// [MQTT-4.7.3-1]
    #[error("topic is empty")]
    Empty,
    /// [MQTT-4.7.3-3]
    #[error("topic is longer than 65535 bytes")]
    TooLong,
    /// [MQTT-4.7.3-2]
    #[error("topic contains the null character")]
    NullCharacter,
    /// [MQTT-4.7.0-1]
    #[error("topic name contains a wildcard")]
    WildcardInName,
    /// [MQTT-4.7.1-1]
    #[error("multi-level wildcard is not the last level of its own")]
    MultiLevelWildcard,
    /// [MQTT-4.7.1-2]
    #[error("single-level wildcard does not occupy a whole level")]
    SingleLevelWildcard,
    /// [MQTT-4.8.2-1]
    #[error("shared subscription has no share name")]
    ShareNameEmpty,
    /// [MQTT-4.8.2-2]
    #[error("share name contains a wildcard")]
    ShareNameWildcard,
    /// [MQTT-4.8.2-2]
    #[error("shared subscription has no topic filter")]
    ShareFilterMissing,
}

const SHARE_PREFIX: &str = "$share/";

/// Checks a topic name as PUBLISH, a will or a response topic carries it.
///
/// # Errors
/// The first rule of section 4.7 that `name` breaks.
#[inline]
pub fn validate_name(name: &str) -> Result<(), TopicError> {
    validate_length(name)?;
    for byte in name.bytes() {
        match byte {
            0 => return Err(TopicError::NullCharacter),
            b'+' | b'#' => return Err(TopicError::WildcardInName),
            _ => {}
        }
    }
    Ok(())
}

/// Checks a topic filter as SUBSCRIBE and UNSUBSCRIBE carry it, shared subscriptions (`$share/{name}/{filter}`) included.
///
/// # Errors
/// The first rule of sections 4.7 and 4.8.2 that `filter` breaks.
pub fn validate_filter(filter: &str) -> Result<(), TopicError> {
    validate_length(filter)?;
    if filter.bytes().any(|byte| byte == 0) {
        return Err(TopicError::NullCharacter);
    }
    match filter.strip_prefix(SHARE_PREFIX) {
        None => validate_levels(filter),
        Some(rest) => {
            // [MQTT-4.8.2-1], [MQTT-4.8.2-2]
            let (name, shared) = rest.split_once('/').unwrap_or((rest, ""));
            if name.is_empty() {
                return Err(TopicError::ShareNameEmpty);
            }
            if name.contains(['+', '#']) {
                return Err(TopicError::ShareNameWildcard);
            }
            if shared.is_empty() {
                return Err(TopicError::ShareFilterMissing);
            }
            validate_levels(shared)
        }
    }
}

/// Takes `$share/{group}/{filter}` apart; `None` for a subscription that is not shared. Expects a filter that
/// [`validate_filter`] accepts.
#[must_use]
pub fn shared(filter: &str) -> Option<(&str, &str)> {
    filter.strip_prefix(SHARE_PREFIX)?.split_once('/')
}

/// Whether `filter` (not shared: see [`shared`]) selects `topic`. Both are expected to be well formed.
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    // [MQTT-4.7.2-1]
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut topic_levels = topic.split('/');
    for filter_level in filter.split('/') {
        if filter_level == "#" {
            return true; // also the parent level: "a/#" selects "a"
        }
        match topic_levels.next() {
            Some(topic_level) if filter_level == "+" || filter_level == topic_level => {}
            _ => return false,
        }
    }
    topic_levels.next().is_none()
}

/// Whether a filter contains a wildcard level. Expects a well-formed filter.
#[must_use]
pub fn has_wildcard(filter: &str) -> bool {
    filter.contains(['+', '#'])
}

/// Whether `topic` has more than `levels_max` levels. A topic without `/` has one level. Stops counting at the limit,
/// because depth is what makes hostile topics expensive for a tree.
#[must_use]
pub fn exceeds_levels(topic: &str, levels_max: usize) -> bool {
    // A topic of n bytes has n separators at most: short ones, nearly all, need no look.
    topic.len() >= levels_max && topic.bytes().filter(|byte| *byte == b'/').nth(levels_max.saturating_sub(1)).is_some()
}

fn validate_length(topic: &str) -> Result<(), TopicError> {
    if topic.is_empty() {
        return Err(TopicError::Empty);
    }
    if topic.len() > usize::from(u16::MAX) {
        return Err(TopicError::TooLong);
    }
    Ok(())
}

fn validate_levels(filter: &str) -> Result<(), TopicError> {
    let bytes = filter.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let begins_level =
            || at.checked_sub(1).and_then(|before| bytes.get(before)).is_none_or(|before| *before == b'/');
        match (byte, bytes.get(at + 1)) {
            (b'#', None) if begins_level() => {}
            (b'#', _) => return Err(TopicError::MultiLevelWildcard),
            (b'+', None | Some(b'/')) if begins_level() => {}
            (b'+', _) => return Err(TopicError::SingleLevelWildcard),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_wildcards_are_valid() {
        for name in ["a", "/", "//", "a/b c/ü", "$SYS/x", "$share/g/t", " "] {
            assert_eq!(validate_name(name), Ok(()), "{name}");
        }
        assert_eq!(validate_name(""), Err(TopicError::Empty));
        for name in ["+", "a/#", "a+b", "#"] {
            assert_eq!(validate_name(name), Err(TopicError::WildcardInName), "{name}");
        }
        assert_eq!(validate_name("a\0"), Err(TopicError::NullCharacter));
    }

    #[test]
    fn names_and_filters_end_at_65535_bytes() {
        let longest = "x".repeat(65_535);
        assert_eq!(validate_name(&longest), Ok(()));
        assert_eq!(validate_filter(&longest), Ok(()));
        let longer = "x".repeat(65_536);
        assert_eq!(validate_name(&longer), Err(TopicError::TooLong));
        assert_eq!(validate_filter(&longer), Err(TopicError::TooLong));
    }

    #[test]
    fn wildcards_of_a_filter_occupy_whole_levels() {
        for filter in ["#", "+", "a/#", "+/+/#", "/+", "a//+", "$SYS/#", "+/tennis/#"] {
            assert_eq!(validate_filter(filter), Ok(()), "{filter}");
        }
        for filter in ["a#", "a/#/b", "#/", "##", "a/b#", "#a"] {
            assert_eq!(validate_filter(filter), Err(TopicError::MultiLevelWildcard), "{filter}");
        }
        for filter in ["a+", "+a", "++", "a/+b/c"] {
            assert_eq!(validate_filter(filter), Err(TopicError::SingleLevelWildcard), "{filter}");
        }
        assert_eq!(validate_filter(""), Err(TopicError::Empty));
        assert_eq!(validate_filter("a/\0/#"), Err(TopicError::NullCharacter));
    }

    #[test]
    fn shared_filters_name_a_group_and_a_filter() {
        for (filter, parts) in [
            ("$share/g/a/+", Some(("g", "a/+"))),
            ("$share/g//", Some(("g", "/"))),
            ("$share/g/#", Some(("g", "#"))),
            ("$share/g/$SYS/x", Some(("g", "$SYS/x"))),
            ("$share", None),
            ("share/g/a", None),
            ("$shared/g/a", None),
        ] {
            assert_eq!(validate_filter(filter), Ok(()), "{filter}");
            assert_eq!(shared(filter), parts, "{filter}");
        }
        for (filter, error) in [
            ("$share/", TopicError::ShareNameEmpty),
            ("$share//a", TopicError::ShareNameEmpty),
            ("$share/g", TopicError::ShareFilterMissing),
            ("$share/g/", TopicError::ShareFilterMissing),
            ("$share/+/a", TopicError::ShareNameWildcard),
            ("$share/g#/a", TopicError::ShareNameWildcard),
            ("$share/g/a#", TopicError::MultiLevelWildcard),
        ] {
            assert_eq!(validate_filter(filter), Err(error), "{filter}");
        }
    }

    #[test]
    fn matching_follows_the_examples_of_section_4_7() {
        for (filter, topic, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/tennis/player1/#", "sport/tennis/player2", false),
            ("sport/#", "sport", true),
            ("#", "a/b/c", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("#", "$SYS/broker", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/", true),
            ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
            ("a", "A", false),
            ("a/b", "a", false),
            ("a", "a/b", false),
            ("ACCOUNTS", "Accounts", false),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn levels_are_counted_up_to_the_limit() {
        assert!(!exceeds_levels("a/b/c", 3));
        assert!(exceeds_levels("a/b/c", 2));
        assert!(exceeds_levels("///", 3));
        assert!(!exceeds_levels("", 1));
    }

    #[test]
    fn a_wildcard_is_seen_anywhere() {
        assert!(has_wildcard("a/+") && has_wildcard("#"));
        assert!(!has_wildcard("a/b"));
    }
}
