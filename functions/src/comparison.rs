//! What is different between what two versions made of the same message. Pure.
//!
//! Payloads that are JSON are compared as JSON, so that a changed order of keys or a space is no difference and a changed field is
//! named by its JSON pointer. Revisions of key-values are the node's and not compared.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::hex::hex;
use crate::host::{KvChange, KvWrite, TwinPatch};
use crate::log_ring::cut;
use crate::message::InvocationMessage;
use crate::recording::RunResult;

/// Differences that are told of one message; the others are only counted.
const TOLD_MAX: usize = 16;
/// Longest value that is told, bytes.
const VALUE_BYTES: usize = 120;
/// Depth to which JSON is walked; below it values are compared whole.
const DEPTH_MAX: usize = 32;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What is different: `message 1 payload /temp`, `key "count"`, `result`.
    pub place: String,
    /// How it was; `None`: it was not there.
    pub before: Option<String>,
    /// How it is now; `None`: it is not there.
    pub after: Option<String>,
}

/// What is different, the first of it in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Differences {
    /// How many there are.
    pub count: usize,
    /// The first 16.
    pub told: Vec<Difference>,
}

impl Differences {
    fn add(&mut self, place: impl FnOnce() -> String, before: Option<String>, after: Option<String>) {
        self.count += 1;
        if self.told.len() < TOLD_MAX {
            let short = |text: String| cut(&text, VALUE_BYTES).to_owned();
            self.told.push(Difference { place: place(), before: before.map(short), after: after.map(short) });
        }
    }

    fn if_different<T: PartialEq>(
        &mut self,
        place: impl FnOnce() -> String,
        before: &T,
        after: &T,
        show: fn(&T) -> String,
    ) {
        if before != after {
            self.add(place, Some(show(before)), Some(show(after)));
        }
    }

    /// Nothing is different.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// Places that are counted.
const PLACES_MAX: usize = 32;

/// Counts the places in which messages differ.
pub(crate) fn count_places(places: &mut BTreeMap<String, u64>, differences: &Differences) {
    for difference in &differences.told {
        let has_room = places.len() < PLACES_MAX;
        match places.get_mut(&difference.place) {
            Some(count) => *count += 1,
            None if has_room => drop(places.insert(difference.place.clone(), 1)),
            None => {}
        }
    }
}

/// Compares two results of the same message.
pub(crate) fn compare(before: &RunResult, after: &RunResult) -> Differences {
    let mut found = Differences::default();
    match (before, after) {
        (
            RunResult::Ok { published, replies, kv, twins },
            RunResult::Ok { published: published_after, replies: replies_after, kv: kv_after, twins: twins_after },
        ) => {
            compare_messages(&mut found, "message", published, published_after);
            compare_messages(&mut found, "reply", replies, replies_after);
            compare_keys(&mut found, kv, kv_after);
            compare_twins(&mut found, twins, twins_after);
        }
        (RunResult::Failed { how, .. }, RunResult::Failed { how: how_after, .. }) if how == how_after => {}
        _ => found.add(|| "result".to_owned(), Some(outcome(before)), Some(outcome(after))),
    }
    found
}

fn outcome(result: &RunResult) -> String {
    match result {
        RunResult::Ok { published, .. } => format!("ok, {} published", published.len()),
        RunResult::Failed { how, reason } => format!("{}: {reason}", how.name()),
    }
}

fn compare_messages(found: &mut Differences, what: &str, before: &[InvocationMessage], after: &[InvocationMessage]) {
    for index in 0..before.len().max(after.len()) {
        let place = || format!("{what} {}", index + 1);
        match (before.get(index), after.get(index)) {
            (Some(before), Some(after)) => compare_message(found, &place(), before, after),
            (before, after) => found.add(place, before.map(summary), after.map(summary)),
        }
    }
}

fn summary(message: &InvocationMessage) -> String {
    format!("{} {}", message.topic, readable(&message.payload))
}

fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        // What is not told need not be made.
        Err(_) => format!("0x{}", hex(bytes.get(..VALUE_BYTES).unwrap_or(bytes))),
    }
}

fn compare_message(found: &mut Differences, place: &str, before: &InvocationMessage, after: &InvocationMessage) {
    found.if_different(|| format!("{place} topic"), &before.topic, &after.topic, String::clone);
    let payload = format!("{place} payload");
    compare_bytes(found, &payload, &before.payload, &after.payload);
    found.if_different(|| format!("{place} qos"), &before.qos, &after.qos, |qos| format!("{}", *qos as u8));
    found.if_different(|| format!("{place} retain"), &before.retain, &after.retain, bool::to_string);
    found.if_different(
        || format!("{place} properties"),
        &before.properties,
        &after.properties,
        |properties| serde_json::to_string(properties).unwrap_or_default(),
    );
}

fn compare_bytes(found: &mut Differences, place: &str, before: &[u8], after: &[u8]) {
    if before == after {
        return;
    }
    match (serde_json::from_slice::<Value>(before), serde_json::from_slice::<Value>(after)) {
        (Ok(before), Ok(after)) => compare_json(found, place, &mut String::new(), &before, &after, 0),
        _ => found.add(|| place.to_owned(), Some(readable(before)), Some(readable(after))),
    }
}

fn compare_json(
    found: &mut Differences,
    place: &str,
    pointer: &mut String,
    before: &Value,
    after: &Value,
    depth: usize,
) {
    if before == after {
        return;
    }
    match (before, after) {
        (Value::Object(before), Value::Object(after)) if depth < DEPTH_MAX => {
            let added = after.iter().filter(|(key, _)| !before.contains_key(*key));
            for (key, value) in before.iter().chain(added) {
                let (before, after) = (before.get(key), after.get(key));
                let length = pointer.len();
                pointer.push('/');
                // RFC 6901, section 3.
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
                match (before, after) {
                    (Some(before), Some(after)) => compare_json(found, place, pointer, before, after, depth + 1),
                    _ => found.add(
                        || format!("{place} {pointer}"),
                        before.map(|_| value.to_string()),
                        after.map(|_| value.to_string()),
                    ),
                }
                pointer.truncate(length);
            }
        }
        (Value::Array(before), Value::Array(after)) if depth < DEPTH_MAX && before.len() == after.len() => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                let length = pointer.len();
                pointer.push_str(&format!("/{index}"));
                compare_json(found, place, pointer, before, after, depth + 1);
                pointer.truncate(length);
            }
        }
        _ => found.add(
            || if pointer.is_empty() { place.to_owned() } else { format!("{place} {pointer}") },
            Some(before.to_string()),
            Some(after.to_string()),
        ),
    }
}

fn compare_keys(found: &mut Differences, before: &[KvWrite], after: &[KvWrite]) {
    let by_key = |writes: &[KvWrite]| -> BTreeMap<String, (Option<Vec<u8>>, Option<u32>)> {
        let change = |change: &KvChange| match change {
            KvChange::Set { value, ttl_s, .. } => (Some(value.clone()), *ttl_s),
            KvChange::Delete => (None, None),
        };
        writes.iter().map(|write| (write.key.clone(), change(&write.change))).collect()
    };
    let (before, after) = (by_key(before), by_key(after));
    let show = |(value, ttl_s): &(Option<Vec<u8>>, Option<u32>)| {
        let value = value.as_deref().map_or_else(|| "deleted".to_owned(), readable);
        ttl_s.map_or(value.clone(), |ttl_s| format!("{value} for {ttl_s} s"))
    };
    let added = after.keys().filter(|key| !before.contains_key(*key));
    for key in before.keys().chain(added) {
        let (before, after) = (before.get(key), after.get(key));
        match (before, after) {
            (Some((Some(value), ttl_s)), Some((Some(value_after), ttl_s_after))) if ttl_s == ttl_s_after => {
                compare_bytes(found, &format!("key {key:?}"), value, value_after);
            }
            _ if before == after => {}
            _ => found.add(|| format!("key {key:?}"), before.map(show), after.map(show)),
        }
    }
}

fn compare_twins(found: &mut Differences, before: &[TwinPatch], after: &[TwinPatch]) {
    for index in 0..before.len().max(after.len()) {
        let place = |patch: &TwinPatch| format!("twin {:?} {}", patch.device, patch.section.as_str());
        match (before.get(index), after.get(index)) {
            (Some(before), Some(after)) if (&before.device, before.section) == (&after.device, after.section) => {
                compare_bytes(found, &place(before), before.merge.as_bytes(), after.merge.as_bytes());
            }
            (before, after) => {
                let show = |patch: &TwinPatch| format!("{} {}", place(patch), patch.merge);
                found.add(|| format!("twin patch {}", index + 1), before.map(show), after.map(show));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::FailureKind;

    fn publishes(payloads: &[&str]) -> RunResult {
        let message = |payload: &&str| InvocationMessage {
            topic: "out".into(),
            payload: payload.as_bytes().to_vec(),
            ..InvocationMessage::default()
        };
        RunResult::Ok {
            published: payloads.iter().map(message).collect(),
            replies: Vec::new(),
            kv: Vec::new(),
            twins: Vec::new(),
        }
    }

    fn told(before: &RunResult, after: &RunResult) -> Vec<(String, Option<String>, Option<String>)> {
        let told = compare(before, after).told;
        told.into_iter().map(|it| (it.place, it.before, it.after)).collect()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn json_is_compared_field_by_field_and_not_by_its_spaces() {
        let before = publishes(&[r#"{"temp": 21.5, "unit": "C", "at": [1, {"a/b": 2}]}"#]);
        assert!(compare(&before, &publishes(&[r#"{"unit":"C","at":[1,{"a/b":2}],"temp":21.5}"#])).is_empty());
        let after = publishes(&[r#"{"temp": 70.7, "at": [1, {"a/b": 3}], "new": null}"#]);
        assert_eq!(
            told(&before, &after),
            [
                ("message 1 payload /temp".into(), some("21.5"), some("70.7")),
                ("message 1 payload /unit".into(), some("\"C\""), None),
                ("message 1 payload /at/1/a~1b".into(), some("2"), some("3")),
                ("message 1 payload /new".into(), None, some("null")),
            ]
        );
    }

    #[test]
    fn a_missing_message_and_bytes_that_are_no_text_are_told() {
        assert_eq!(told(&publishes(&["a", "b"]), &publishes(&["a"])), [("message 2".into(), some("out b"), None)]);
        let bytes = RunResult::Ok {
            published: vec![InvocationMessage { topic: "out".into(), payload: vec![255], ..Default::default() }],
            replies: Vec::new(),
            kv: Vec::new(),
            twins: Vec::new(),
        };
        assert_eq!(told(&publishes(&["a"]), &bytes), [("message 1 payload".into(), some("a"), some("0xff"))]);
    }

    #[test]
    fn only_the_first_differences_are_told_and_all_are_counted() {
        let before: Vec<String> = (0..40).map(|number| number.to_string()).collect();
        let before: Vec<&str> = before.iter().map(String::as_str).collect();
        let found = compare(&publishes(&before), &publishes(&[]));
        assert_eq!((found.count, found.told.len()), (40, TOLD_MAX));
    }

    #[test]
    fn failures_differ_by_kind_and_not_by_words() {
        let failed = |how, reason: &str| RunResult::Failed { how, reason: reason.to_owned() };
        let trap = failed(FailureKind::Trap, "unreachable");
        assert!(compare(&trap, &failed(FailureKind::Trap, "out of bounds")).is_empty());
        assert_eq!(
            told(&publishes(&["a"]), &trap),
            [("result".into(), some("ok, 1 published"), some("trap: unreachable"))]
        );
    }

    #[test]
    fn key_values_and_twins_are_compared_by_what_they_become() {
        let set = |value: &str, revision| KvWrite {
            key: "k".into(),
            expected: None,
            change: KvChange::Set { value: value.as_bytes().to_vec(), revision, ttl_s: None },
        };
        let patch = |merge: &str| TwinPatch {
            device: "pump".into(),
            section: crate::host::TwinSection::Reported,
            merge: merge.into(),
            expected: None,
        };
        let result = |kv: Vec<KvWrite>, twins| RunResult::Ok { published: Vec::new(), replies: Vec::new(), kv, twins };
        let before = result(vec![set("1", 4)], vec![patch(r#"{"t":1}"#)]);
        assert!(compare(&before, &result(vec![set("1", 5)], vec![patch(r#"{ "t": 1 }"#)])).is_empty());
        assert_eq!(
            told(&before, &result(Vec::new(), vec![patch(r#"{"t":2}"#)])),
            [("key \"k\"".into(), some("1"), None), ("twin \"pump\" reported /t".into(), some("1"), some("2")),]
        );
    }
}
