use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::cell::tests::pen;
use crate::clock::HybridTime;
use crate::event::PolicyVersion;

const PATHS: [&str; 7] = ["/a", "/a/b", "/a/b/c", "/a/d", "/a-b", "/e", "/e/f"];

/// What can be done to a document.
#[derive(Debug, Clone)]
pub(crate) enum Deed {
    Write(Body),
    Remove,
    Add(Part),
    Take(Part),
    Count(i64),
}

fn any_deed() -> impl Strategy<Value = Deed> {
    let element = prop::sample::select(vec!["1", "\"x\""]);
    let part = (element, any::<bool>()).prop_map(|(element, latest)| {
        if latest { Part::Latest(element.into()) } else { Part::AddWins(element.into()) }
    });
    let body = prop_oneof![
        (0..3_i64).prop_map(|number| Body::Json(number.to_string().into())),
        Just(Body::Json(r#"[1,null,{"a":2}]"#.into())),
        Just(Body::Object),
    ];
    prop_oneof![
        6 => body.prop_map(Deed::Write),
        3 => Just(Deed::Remove),
        1 => part.clone().prop_map(Deed::Add),
        1 => part.prop_map(Deed::Take),
        1 => (-3_i64..9).prop_map(Deed::Count),
    ]
}

fn act(document: &mut Document, path: &str, deed: Deed, pen: &mut Pen) {
    let path = Path::parse(path).unwrap();
    match deed {
        Deed::Write(body) => document.write(&path, body, pen),
        Deed::Remove => drop(document.remove(&path, pen)),
        Deed::Add(part) => document.add(&path, &part, pen),
        Deed::Take(part) => drop(document.remove_part(&path, &part, pen)),
        Deed::Count(amount) => document.count(&path, amount, pen).unwrap(),
    }
}

/// The states of two nodes that write and hear of each other.
fn any_documents() -> impl Strategy<Value = Vec<Document>> {
    let step = (0_usize..2, prop::sample::select(PATHS.to_vec()), any_deed(), 0_u64..4, any::<bool>());
    proptest::collection::vec(step, 0..16).prop_map(|steps| {
        let mut nodes = [Document::default(), Document::default()];
        let mut pens = [pen(1), pen(2)];
        let mut states = vec![Document::default()];
        for (node, path, deed, ahead, hears) in steps {
            if hears {
                let other = nodes[1 - node].clone();
                nodes[node].join_all(&other);
                pens[node].time = pens[node].time.max(pens[1 - node].time);
            }
            pens[node].time = HybridTime(pens[node].time.0 + 1 + ahead);
            act(&mut nodes[node], path, deed, &mut pens[node]);
            states.push(nodes[node].clone());
        }
        states
    })
}

/// One of the documents that such nodes come to.
pub(crate) fn any_document() -> impl Strategy<Value = Document> {
    any_documents().prop_map(|mut documents| documents.pop().unwrap_or_default())
}

fn at(time: u64) -> Pen {
    Pen { time: HybridTime(time), policy: PolicyVersion(0), next_seq: time, ..pen(1) }
}

fn document(fields: &[(&str, u64, Value)]) -> Document {
    let mut document = Document::default();
    for (path, time, value) in fields {
        let body = if *value == json!({}) { Body::Object } else { Body::Json(value.to_string().into()) };
        document.write(&Path::parse(path).unwrap(), body, &mut at(*time));
    }
    document
}

#[test]
fn fields_are_read_as_nested_objects() {
    let document = document(&[("/a/b", 1, json!(1)), ("/a/c", 1, json!([1, {}])), ("/d", 2, json!({}))]);
    assert_eq!(Value::Object(document.to_json()), json!({"a": {"b": 1, "c": [1, {}]}, "d": {}}));
    let times = document.metadata(&|stamp| stamp.time.0.into());
    assert_eq!(Value::Object(times), json!({"a": {"b": 1, "c": 1}, "d": {}}));
}

#[test]
fn member_names_are_escaped_in_the_text() {
    let document = document(&[("/a~1b/c~0\"\n", 1, json!("x\"")), ("/a~1b/d/e/f", 1, json!(1)), ("/z", 1, json!({}))]);
    assert_eq!(document.to_text(), r#"{"a/b":{"c~\"\n":"x\"","d":{"e":{"f":1}}},"z":{}}"#);
}

#[test]
fn of_a_leaf_and_a_field_within_it_the_later_one_is_seen() {
    let deeper_later = document(&[("/a", 1, json!(5)), ("/a/b", 3, json!(7)), ("/a/c", 0, json!(8))]);
    assert_eq!(Value::Object(deeper_later.to_json()), json!({"a": {"b": 7, "c": 8}}));
    let leaf_later = document(&[("/a", 3, json!(5)), ("/a/b", 2, json!(7)), ("/a/b/x", 1, json!(8))]);
    assert_eq!(Value::Object(leaf_later.to_json()), json!({"a": 5}));
}

#[test]
fn a_removed_leaf_lets_what_was_hidden_be_seen_again() {
    let mut document = document(&[("/a", 3, json!(5)), ("/a/b", 2, json!(7))]);
    document.remove(&Path::parse("/a").unwrap(), &mut at(4));
    assert_eq!(Value::Object(document.to_json()), json!({"a": {"b": 7}}));
    assert_eq!((document.live_count(), document.tombstones().count()), (1, 1));
}

#[test]
fn a_field_added_elsewhere_survives_the_removal_of_the_object_around_it() {
    let mut here = document(&[("/a/b", 1, json!(1))]);
    let mut there = here.clone();
    here.remove_within(Some(&Path::parse("/a").unwrap()), &mut at(10));
    there.write(&Path::parse("/a/c").unwrap(), Body::Json("2".into()), &mut pen(2));
    assert_eq!(here.join_all(&there), [Path::parse("/a/c").unwrap()]);
    assert_eq!(Value::Object(here.to_json()), json!({"a": {"c": 2}}));
}

#[test]
fn counters_add_up_and_sets_hold_each_element_once() {
    let path = Path::parse("/n").unwrap();
    let (mut here, mut there) = (Document::default(), Document::default());
    here.count(&path, 5, &mut pen(1)).unwrap();
    there.count(&path, -2, &mut pen(2)).unwrap();
    here.join_all(&there);
    assert_eq!(here.to_text(), r#"{"n":3}"#);

    let mut one = Pen { next_seq: 10, time: HybridTime(10), ..pen(1) };
    for element in ["2", "1", "2"] {
        here.add(&path, &Part::AddWins(element.into()), &mut one);
    }
    assert_eq!(here.to_text(), r#"{"n":[1,2]}"#);
    here.write(&path, Body::Json("true".into()), &mut one);
    assert_eq!(here.to_text(), r#"{"n":true}"#);
    here.remove(&path, &mut one);
    assert_eq!(here.to_text(), "{}");
}

#[test]
fn an_addition_that_a_removal_had_not_seen_stays_in_one_kind_of_set_and_goes_in_the_other() {
    for (part, expected) in [(Part::AddWins("1".into()), r#"{"n":[1]}"#), (Part::Latest("1".into()), "{}")] {
        let path = Path::parse("/n").unwrap();
        let (mut here, mut there) = (Document::default(), Document::default());
        here.add(&path, &part, &mut Pen { time: HybridTime(5), ..pen(1) });
        let mut two = Pen { time: HybridTime(6), ..pen(2) };
        there.add(&path, &part, &mut two);
        there.remove_part(&path, &part, &mut two);
        here.join_all(&there);
        assert_eq!(here.to_text(), expected);
    }
}

fn joined(mut a: Document, b: &Document) -> Document {
    a.join_all(b);
    a
}

proptest! {
    #[test]
    fn joining_is_commutative_associative_and_idempotent(
        states in any_documents(), picked in proptest::array::uniform3(any::<prop::sample::Index>()),
    ) {
        let [a, b, c] = picked.map(|index| states[index.index(states.len())].clone());
        prop_assert_eq!(joined(a.clone(), &b), joined(b.clone(), &a));
        prop_assert_eq!(joined(joined(a.clone(), &b), &c), joined(a.clone(), &joined(b, &c)));
        prop_assert_eq!(joined(a.clone(), &a), a);
    }

    #[test]
    fn any_order_and_repetition_of_deliveries_ends_in_the_same_document(
        documents in any_documents(),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut straight = Document::default();
        for document in &documents { straight.join_all(document); }
        let mut shuffled = Document::default();
        for index in order { shuffled.join_all(&documents[index.index(documents.len())]); }
        for document in documents.iter().rev() { shuffled.join_all(document); }
        prop_assert_eq!(straight.to_json(), shuffled.to_json());
        prop_assert_eq!(straight, shuffled);
    }

    #[test]
    fn the_text_says_what_the_values_say(document in any_document()) {
        prop_assert_eq!(document.to_text(), Value::Object(document.to_json()).to_string());
        let mut text = String::new();
        document.write_json(&mut text, &mut |out, stamp, _| out.push_str(&stamp.time.0.to_string()));
        prop_assert_eq!(text, Value::Object(document.metadata(&|stamp| stamp.time.0.into())).to_string());
    }

    #[test]
    fn what_is_seen_has_the_shape_of_its_metadata(document in any_document()) {
        fn leaves(value: &Value) -> usize {
            match value {
                Value::Object(map) => map.values().map(leaves).sum(),
                _ => 1,
            }
        }
        let json = Value::Object(document.to_json());
        let metadata = Value::Object(document.metadata(&|_| Value::Null));
        prop_assert_eq!(leaves(&json), leaves(&metadata));
    }
}
