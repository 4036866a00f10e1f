//! Topics of twins: the node's own, and those of AWS's device shadows, so that their SDKs work unchanged. Pure.
//!
//! The shadow without a name of a thing is its twin; the shadow `name` of `thing` is the twin `thing.name`: AWS's names have no dots.
//! Invariant: a topic that [`parse`] takes has its replies where its sender listens, and each twin has one name in a dialect at most.
//!
//! Source: AWS IoT Core developer guide, "Device Shadow MQTT topics".

use selvedge_twin::Operation;

/// Whose topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `$twin/{thing}/{operation}`
    Own,
    /// `$aws/things/{thing}/shadow/{operation}`, `$aws/things/{thing}/shadow/name/{name}/{operation}`
    Aws,
}

impl Dialect {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Own, Self::Aws];

    /// Filters of the requests.
    pub fn filters(self) -> Vec<String> {
        let (prefixes, operations): (&[&str], &[&str]) = match self {
            Self::Own => (&["$twin/+"], &["get", "update", "delete", "ops"]),
            Self::Aws => (&["$aws/things/+/shadow", "$aws/things/+/shadow/name/+"], &["get", "update", "delete"]),
        };
        prefixes
            .iter()
            .flat_map(|prefix| operations.iter().map(move |operation| format!("{prefix}/{operation}")))
            .collect()
    }

    /// Where replies about `twin` go that end with `suffix`; `None` if it has no name in this dialect.
    pub fn topic(self, twin: &str, suffix: &str) -> Option<String> {
        match (self, twin.split_once('.')) {
            (Self::Own, _) => Some(format!("$twin/{twin}/{suffix}")),
            (Self::Aws, None) => Some(format!("$aws/things/{twin}/shadow/{suffix}")),
            (Self::Aws, Some((thing, name))) if !name.is_empty() && !name.contains('.') => {
                Some(format!("$aws/things/{thing}/shadow/name/{name}/{suffix}"))
            }
            (Self::Aws, Some(_)) => None,
        }
    }
}

/// A request: whose topic it is, which twin it is about, and what is wanted.
pub fn parse(topic: &str) -> Option<(Dialect, String, Operation)> {
    let levels: Vec<&str> = topic.split('/').take(8).collect();
    let (dialect, twin, operation) = match levels.as_slice() {
        ["$twin", thing, operation] => (Dialect::Own, (*thing).to_owned(), operation),
        ["$aws", "things", thing, "shadow", operation] => (Dialect::Aws, (*thing).to_owned(), operation),
        ["$aws", "things", thing, "shadow", "name", name, operation] => {
            (Dialect::Aws, format!("{thing}.{name}"), operation)
        }
        _ => return None,
    };
    let operation = Operation::parse(operation)?;
    // AWS has no counters and sets.
    (dialect == Dialect::Own || operation != Operation::Ops).then_some((dialect, twin, operation))
}

/// Whether everybody is told, and not only whoever asked.
pub fn is_for_all(suffix: &str) -> bool {
    matches!(suffix, "update/delta" | "update/documents" | "delete/accepted")
}

/// Whether `twin` can be named by a topic of `dialect`: a dot in a name of AWS would be another twin.
pub fn is_nameable(dialect: Dialect, topic: &str) -> bool {
    dialect == Dialect::Own || !topic.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_both_dialects_name_twin_and_operation() {
        for (topic, expected) in [
            ("$twin/pump-1/get", Some((Dialect::Own, "pump-1", Operation::Get))),
            ("$twin/pump-1.state/update", Some((Dialect::Own, "pump-1.state", Operation::Update))),
            ("$aws/things/pump-1/shadow/update", Some((Dialect::Aws, "pump-1", Operation::Update))),
            ("$aws/things/pump-1/shadow/name/state/delete", Some((Dialect::Aws, "pump-1.state", Operation::Delete))),
            ("$aws/things/pump-1/shadow/name/state", None),
            ("$aws/things/pump-1/shadow/update/accepted", None),
            ("$twin/pump-1/ops", Some((Dialect::Own, "pump-1", Operation::Ops))),
            ("$aws/things/pump-1/shadow/ops", None),
            ("$twin/pump-1/set", None),
            ("$twin/pump-1", None),
        ] {
            let parsed = parse(topic);
            let parsed = parsed.as_ref().map(|(dialect, twin, operation)| (*dialect, twin.as_str(), *operation));
            assert_eq!(parsed, expected, "{topic}");
        }
    }

    #[test]
    fn replies_go_where_the_request_came_from() {
        for topic in ["$twin/a.b/get", "$aws/things/a/shadow/get", "$aws/things/a/shadow/name/b/get"] {
            let (dialect, twin, _) = parse(topic).unwrap();
            assert_eq!(dialect.topic(&twin, "get/accepted"), Some(format!("{topic}/accepted")));
        }
    }

    #[test]
    fn a_twin_with_a_name_that_aws_does_not_have_has_no_topic_there() {
        for twin in ["a.b.c", "a."] {
            assert_eq!(Dialect::Aws.topic(twin, "update/delta"), None);
        }
        assert!(!is_nameable(Dialect::Aws, "$aws/things/a.b/shadow/get") && is_nameable(Dialect::Own, "$twin/a.b/get"));
    }
}
