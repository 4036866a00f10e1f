use super::*;
use TwinSection::{Desired, Reported};

fn stored(device: &str, section: TwinSection, path: &str) -> Result<Option<TwinDoc>, HostError> {
    if (device, section) != ("pump", Desired) {
        return Ok(None);
    }
    let document = serde_json::json!({"speed": 3, "mode": {"name": "eco"}});
    Ok(document.pointer(path).map(|part| TwinDoc { json: part.to_string(), revision: 9 }))
}

fn json(doc: Result<Option<TwinDoc>, TwinError>) -> Option<String> {
    doc.unwrap().map(|doc| doc.json)
}

#[test]
fn a_stored_document_is_read_by_pointer_and_checked_at_commit() {
    let mut twin = TwinBuffer::new(4);
    assert_eq!(json(twin.get("pump", Desired, "/mode/name", &stored)).as_deref(), Some("\"eco\""));
    assert_eq!(json(twin.get("pump", Desired, "/none", &stored)), None);
    assert_eq!(json(twin.get("other", Reported, "", &stored)), None);
    let (reads, patches) = twin.into_effects();
    let read = |device: &str, section, revision| TwinRead { device: device.into(), section, revision };
    assert_eq!(reads, [read("other", Reported, None), read("pump", Desired, Some(9))]);
    assert_eq!(patches, []);
}

#[test]
fn reads_see_own_patches() {
    let mut twin = TwinBuffer::new(4);
    assert_eq!(twin.patch("pump", Desired, r#"{"speed":4,"mode":{"name":null,"level":1}}"#, None, &stored), Ok(10));
    assert_eq!(json(twin.get("pump", Desired, "/speed", &stored)).as_deref(), Some("4"));
    assert_eq!(json(twin.get("pump", Desired, "/mode", &stored)).as_deref(), Some(r#"{"level":1}"#));
    assert_eq!(twin.patch("pump", Desired, r#"{"speed":5}"#, Some(10), &stored), Ok(11));
    assert_eq!(twin.get("pump", Desired, "/speed", &stored).unwrap(), Some(TwinDoc { json: "5".into(), revision: 11 }));
    let (reads, patches) = twin.into_effects();
    assert_eq!((reads[0].revision, reads.len(), patches.len()), (Some(9), 1, 2));
    assert_eq!(patches[1].expected, None, "the second patch follows the first of the same commit");
}

#[test]
fn an_expected_revision_that_is_not_the_current_one_conflicts() {
    let mut twin = TwinBuffer::new(4);
    assert_eq!(twin.patch("pump", Desired, "{}", Some(8), &stored), Err(TwinError::Conflict(9)));
    assert_eq!(twin.patch("new", Desired, "{}", Some(1), &stored), Err(TwinError::Conflict(0)));
    assert_eq!(twin.patch("new", Desired, "{}", Some(0), &stored), Ok(1));
}

#[test]
fn what_is_no_merge_patch_is_refused() {
    let mut twin = TwinBuffer::new(4);
    for patch in ["", "[]", "1", "{", "\"x\"", &"[".repeat(100_000)] {
        assert!(matches!(twin.patch("pump", Desired, patch, None, &stored), Err(TwinError::Invalid(_))));
    }
    let deep = format!("{}1{}", "{\"a\":".repeat(5_000), "}".repeat(5_000));
    assert!(matches!(twin.patch("pump", Desired, &deep, None, &stored), Err(TwinError::Invalid(_))));
    assert!(matches!(twin.get("pump", Desired, "speed", &stored), Err(TwinError::Invalid(_))));
    assert!(matches!(twin.get("", Desired, "", &stored), Err(TwinError::Invalid(_))));
}

#[test]
fn patches_and_sections_are_bounded() {
    let mut twin = TwinBuffer::new(2);
    assert!(twin.patch("a", Desired, "{}", None, &stored).is_ok());
    assert!(twin.patch("a", Desired, "{}", None, &stored).is_ok());
    assert!(matches!(twin.patch("a", Desired, "{}", None, &stored), Err(TwinError::Quota(_))));
    for number in 1..SECTIONS_MAX {
        twin.get(&number.to_string(), Desired, "", &stored).unwrap();
    }
    assert!(matches!(twin.get("one more", Desired, "", &stored), Err(TwinError::Quota(_))));
}

#[test]
fn only_what_was_read_is_checked() {
    let mut twin = TwinBuffer::new(2);
    twin.patch("pump", Desired, "{}", None, &stored).unwrap();
    assert_eq!(twin.into_effects().0, []);
    let mut twin = TwinBuffer::new(2);
    twin.get("pump", Desired, "", &stored).unwrap();
    twin.patch("pump", Desired, "{}", None, &stored).unwrap();
    assert_eq!(twin.into_effects().0.len(), 1);
}
