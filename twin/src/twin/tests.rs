use selvedge_twin_core::dot::Origin;

use super::*;
use crate::merge_patch::tests::pen;

fn stamp(time: u64) -> Stamp {
    Stamp { time: HybridTime(time), node: NodeId(1) }
}

fn merge(section: Section, members: Value) -> Update {
    let Value::Object(members) = members else { panic!("an object") };
    Update { patches: vec![(section, SectionPatch::Merge(members))], expected_version: None }
}

fn reported(twin: &Twin, members: Value, time: u64) -> Result<Twin, Refusal> {
    twin.updated(&merge(Section::Reported, members), &mut pen(time), &Config::default()).map(|(twin, _)| twin)
}

/// An object of `levels` levels, itself included.
fn nested(levels: usize) -> Value {
    (1..levels).fold(json!({"x": 1}), |inner, _| json!({"x": inner}))
}

#[test]
fn the_first_update_creates_the_twin_and_each_change_raises_the_version() {
    let first = reported(&Twin::default(), json!({"a": 1}), 1).unwrap();
    assert_eq!((first.exists, first.version, first.updated), (true, 1, stamp(1)));
    let second = reported(&first, json!({"a": 1}), 2).unwrap();
    assert_eq!(second.version, 2, "saying it again is a write");
    let unchanged = reported(&second, json!({"never": null}), 3).unwrap();
    assert_eq!((unchanged.version, unchanged.updated), (2, stamp(2)));
    let empty = reported(&Twin::default(), json!({}), 1).unwrap();
    assert_eq!((empty.exists, empty.version), (true, 1));
}

#[test]
fn a_condition_on_the_version_is_met_by_that_version_only() {
    let twin = reported(&Twin::default(), json!({"a": 1}), 1).unwrap();
    let with = |twin: &Twin, expected| {
        let update = Update { expected_version: Some(expected), ..merge(Section::Desired, json!({"a": 2})) };
        twin.updated(&update, &mut pen(2), &Config::default()).map(|(twin, _)| twin.version)
    };
    assert_eq!(with(&twin, 1), Ok(2));
    assert_eq!(with(&twin, 2), Err(Refusal::VersionConflict { expected: 2, current: 1 }));
    assert_eq!(with(&twin, 0), Err(Refusal::VersionConflict { expected: 0, current: 1 }));
    assert_eq!(with(&Twin::default(), 0), Ok(1));
    let (deleted, _) = twin.deleted(&mut pen(3), &Config::default());
    assert_eq!(with(&deleted, 0), Ok(3));
    assert_eq!(with(&deleted, 2), Ok(3));
}

#[test]
fn a_deletion_keeps_the_version_and_a_later_update_goes_on_from_it() {
    let twin = reported(&Twin::default(), json!({"a": {"b": 1}}), 1).unwrap();
    let (deleted, touched) = twin.deleted(&mut pen(2), &Config::default());
    assert_eq!((deleted.exists, deleted.version), (false, 2));
    assert_eq!(touched.paths(Section::Reported).count(), 1);
    let again = reported(&deleted, json!({"c": 1}), 3).unwrap();
    assert_eq!((again.exists, again.version), (true, 3));
    assert_eq!(Value::Object(again.reported.to_json()), json!({"c": 1}));
}

#[test]
fn depth_is_bounded_on_both_sides_also_within_arrays() {
    assert!(reported(&Twin::default(), nested(8), 1).is_ok());
    let refused = reported(&Twin::default(), nested(9), 1).unwrap_err();
    assert_eq!(refused, Refusal::TooDeep { section: Section::Reported, depth: 9, max: 8 });
    assert!(reported(&Twin::default(), json!({"a": [[[[[[[1]]]]]]]}), 1).is_ok());
    assert!(reported(&Twin::default(), json!({"a": [[[[[[[[1]]]]]]]]}), 1).is_err());
}

#[test]
fn a_section_is_bounded_in_bytes_after_the_merge_and_not_by_the_patch() {
    let max = Config::default().section_bytes_max;
    let empty = json!({"a": ""}).to_string().len();
    let full = reported(&Twin::default(), json!({"a": "x".repeat(max - empty)}), 1).unwrap();
    let refused = reported(&Twin::default(), json!({"a": "x".repeat(max - empty + 1)}), 1).unwrap_err();
    assert_eq!(refused, Refusal::SectionTooLarge { section: Section::Reported, bytes: max + 1, max });
    assert!(reported(&full, json!({"b": 1}), 2).is_err(), "a small patch on a full section");
    assert!(reported(&full, json!({"a": "short", "b": 1}), 2).is_ok());
    assert!(full.updated(&merge(Section::Desired, json!({"b": 1})), &mut pen(2), &Config::default()).is_ok());
}

#[test]
fn the_number_of_fields_of_both_sections_is_bounded() {
    let limits = Config { fields_max: 4, ..Config::default() };
    let update = |twin: &Twin, section, members| twin.updated(&merge(section, members), &mut pen(1), &limits);
    let (three, _) = update(&Twin::default(), Section::Desired, json!({"a": {"b": 1, "c": 2}, "d": {}})).unwrap();
    let (four, _) = update(&three, Section::Reported, json!({"a": [1, 2, 3]})).unwrap();
    let refused = update(&four, Section::Reported, json!({"b": 1})).unwrap_err();
    assert_eq!(refused, Refusal::TooManyFields { fields: 5, max: 4 });
    assert!(update(&four, Section::Reported, json!({"a": null, "b": 1})).is_ok());
}

#[test]
fn paths_are_bounded_in_bytes_with_their_escapes() {
    let max = Config::default().path_bytes_max;
    let key = |bytes: usize| json!({"a": {"k".repeat(bytes - "/a/".len()): 1}});
    assert!(reported(&Twin::default(), key(max), 1).is_ok());
    let refused = reported(&Twin::default(), key(max + 1), 1).unwrap_err();
    assert_eq!(refused, Refusal::PathTooLong { section: Section::Reported, bytes: max + 1, max });
    assert!(reported(&Twin::default(), json!({"~".repeat(max / 2): 1}), 1).is_err());
}

#[test]
fn only_the_latest_removals_are_remembered() {
    let limits = Config { tombstones_max: 2, ..Config::default() };
    let mut twin = reported(&Twin::default(), json!({"a": 1, "b": 1, "c": 1}), 1).unwrap();
    for (time, key) in [(2, "b"), (3, "a")] {
        (twin, _) = twin.updated(&merge(Section::Reported, json!({key: null})), &mut pen(time), &limits).unwrap();
    }
    assert_eq!(twin.reported.tombstones().count(), 2);
    let (twin, touched) = twin.updated(&merge(Section::Reported, json!({"c": null})), &mut pen(4), &limits).unwrap();
    assert_eq!(twin.reported.tombstones().count(), 2);
    assert!(twin.reported.field(&Path::root_member("b")).is_none(), "the oldest removal is forgotten");
    assert!(touched.paths(Section::Reported).any(|path| *path == Path::root_member("b")), "and so on the disk");
}

#[test]
fn a_refused_update_changes_no_section() {
    let twin = reported(&Twin::default(), json!({"a": 1}), 1).unwrap();
    let mut update = merge(Section::Desired, json!({"good": 1}));
    update.patches.extend(merge(Section::Reported, nested(9)).patches);
    assert!(twin.updated(&update, &mut pen(2), &Config::default()).is_err());
    assert_eq!(twin, reported(&Twin::default(), json!({"a": 1}), 1).unwrap());
}

#[test]
fn a_view_shows_values_differences_and_where_they_come_from() {
    let time = HybridTime::from_ms(1_800_000_000_123);
    let update = merge(Section::Desired, json!({"a": {"b": 1}}));
    let mut pen = Pen { origin: Origin { node: NodeId(0xabc), incarnation: 1 }, ..pen(time.0) };
    let (twin, _) = Twin::default().updated(&update, &mut pen, &Config::default()).unwrap();
    let expected = json!({
        "thing": "pump", "desired": {"a": {"b": 1}}, "reported": {}, "delta": {"a": {"b": 1}},
        "metadata": {
            "desired": {"a": {"b": {"timestamp": 1_800_000_000, "stamp": "1800000000123.0@0000000000000abc"}}},
            "reported": {},
        },
        "version": 1, "updated_ms": 1_800_000_000_123_u64,
    });
    assert_eq!(serde_json::to_value(twin.view("pump")).unwrap(), expected);
}
