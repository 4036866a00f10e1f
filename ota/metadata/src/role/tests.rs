use super::*;
use crate::key::hex;
use crate::limits::Limits;
use serde_json::json;

fn timestamp() -> Value {
    json!({ "_type": "timestamp", "spec_version": "1.0.31", "version": 1, "expires": "2030-01-01T00:00:00Z",
        "meta": { "snapshot.json": { "version": 3 } } })
}

fn with(mut value: Value, pointer: &str, member: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    value.pointer_mut(parent).unwrap()[name] = member;
    value
}

fn refusal<T: fmt::Debug>(outcome: Result<T, Refusal>) -> String {
    outcome.unwrap_err().to_string()
}

#[test]
fn what_all_files_say_is_read_strictly() {
    for (pointer, member, text) in [
        ("/_type", json!("snapshot"), "it is of type \"snapshot\", and \"timestamp\" was expected"),
        ("/spec_version", json!("2.0.0"), "it follows specification \"2.0.0\", and 1.x is understood"),
        ("/spec_version", json!("1"), "it follows specification \"1\", and 1.x is understood"),
        ("/spec_version", json!("1.0.0.0"), "it follows specification \"1.0.0.0\", and 1.x is understood"),
        ("/spec_version", json!("1.a"), "it follows specification \"1.a\", and 1.x is understood"),
        ("/version", json!(0), "its version is 0, and the first is 1"),
        ("/version", json!(-1), "it is not as TUF says: invalid value: integer `-1`, expected u64"),
        ("/version", json!("1"), "it is not as TUF says: invalid type: string \"1\", expected u64"),
        ("/expires", json!("tomorrow"), "it expires at \"tomorrow\", which is no time like 2030-01-31T12:00:00Z"),
        ("/meta", json!({}), "it does not list snapshot.json"),
        ("/meta", json!([]), "it is not as TUF says: invalid type: sequence, expected a map"),
        (
            "/meta/snapshot.json",
            json!({ "version": 0 }),
            "its entry \"snapshot.json\" has version 0, and the first is 1",
        ),
        ("/meta/snapshot.json", json!([1, 2, 3]), "its entry \"snapshot.json\" is no JSON object"),
        (
            "/meta/snapshot.json",
            json!({ "version": 1, "hashes": {} }),
            "its entry \"snapshot.json\" has no sha256 of 64 hex digits",
        ),
        (
            "/meta/snapshot.json",
            json!({ "version": 1, "hashes": { "sha512": "00" } }),
            "its entry \"snapshot.json\" has no sha256 of 64 hex digits",
        ),
    ] {
        assert_eq!(refusal(Timestamp::read(&with(timestamp(), pointer, member))), text);
    }
    assert!(Timestamp::read(&with(timestamp(), "/spec_version", json!("1.1"))).is_ok());
    assert!(Timestamp::read(&with(timestamp(), "/later", json!("field"))).is_ok());
}

#[test]
fn names_of_roles_become_one_file_name_each() {
    let role = |name: &str| Role::named(name).unwrap();
    assert_eq!(role("root").file_name(Some(2)), "2.root.json");
    assert_eq!(role("timestamp").file_name(None), "timestamp.json");
    assert_eq!(role("a-b_c.d~").file_name(Some(1)), "1.a-b_c.d~.json");
    assert_eq!(role("../a b?/Дж").file_name(Some(1)), "1...%2Fa%20b%3F%2F%D0%94%D0%B6.json");
    assert_eq!(Role::named("").unwrap_err().to_string(), "the name of a role has 1 to 128 bytes, this one has 0");
    assert!(Role::named(&"a".repeat(128)).is_ok());
    assert_eq!(Role::named(&"a".repeat(129)).unwrap_err(), RoleNameError::Length(129));
    assert_eq!(
        RoleName::new("root").unwrap_err().to_string(),
        "\"root\" is a role that every repository has and cannot be delegated to"
    );
}

fn key() -> (String, Value) {
    let key = crate::sign::SigningKey::from_seed(&[1; 32]).public().clone();
    (key.id().as_str().to_owned(), key.content().clone())
}

fn targets(delegation: &Value) -> Value {
    let (id, content) = key();
    json!({ "_type": "targets", "spec_version": "1.0.31", "version": 1, "expires": "2030-01-01T00:00:00Z", "targets": {},
        "delegations": { "keys": { id: content }, "roles": [delegation] } })
}

fn delegation() -> Value {
    json!({ "name": "functions", "keyids": [key().0], "threshold": 1, "terminating": false, "paths": ["functions/*"] })
}

fn read(targets: &Value) -> Result<Targets, Refusal> {
    Targets::read(targets, &Role::Targets, &Limits::default())
}

#[test]
fn delegations_are_read_strictly() {
    assert_eq!(read(&targets(&delegation())).unwrap().delegations.len(), 1);
    let mut no_paths = delegation();
    no_paths.as_object_mut().unwrap().shift_remove("paths");
    assert_eq!(refusal(read(&targets(&no_paths))), "its delegation to the role \"functions\" has no paths");
    for (pointer, member, text) in [
        (
            "/name",
            json!("targets"),
            "in its delegations: \"targets\" is a role that every repository has and cannot be delegated to",
        ),
        (
            "/path_hash_prefixes",
            json!(["00"]),
            "its delegation to the role \"functions\" uses path_hash_prefixes, which are not supported here; use paths",
        ),
        ("/threshold", json!(0), "it lets the role \"functions\" go unsigned (threshold 0)"),
        ("/keyids", json!(["a", "b", "a"]), "it lists a key id of the role \"functions\" twice"),
        (
            "/paths",
            json!(["/etc/*"]),
            "its delegation to the role \"functions\" is malformed: the path pattern \"/etc/*\" begins with a slash and would match nothing; paths of targets are relative",
        ),
        (
            "/terminating",
            json!(1),
            "a delegation in it is not as TUF says: invalid type: integer `1`, expected a boolean",
        ),
    ] {
        assert_eq!(refusal(read(&targets(&with(delegation(), pointer, member)))), text);
    }
    let twice = with(targets(&delegation()), "/delegations/roles", json!([delegation(), delegation()]));
    assert_eq!(refusal(read(&twice)), "it delegates to the role \"functions\" twice");
    let bins = with(targets(&delegation()), "/delegations/succinct_roles", json!({}));
    assert_eq!(refusal(read(&bins)), "it delegates to hash bins (succinct_roles), which are not supported here");
}

#[test]
fn a_key_under_a_wrong_id_is_refused() {
    let wrong = with(targets(&delegation()), "/delegations/keys", json!({ "ab": key().1 }));
    assert_eq!(
        refusal(read(&wrong)),
        format!("the key ab in it has the wrong fingerprint: its content has the id {}", key().0)
    );
}

#[test]
fn targets_need_a_length_a_sha256_and_a_path_that_stays_inside() {
    let entry =
        json!({ "length": 1, "hashes": { "sha256": hex(&[7; 32]), "sha512": "anything" }, "custom": { "a": 1 } });
    let file = |path: &str, entry: &Value| with(targets(&delegation()), "/targets", json!({ path: entry }));
    let target = read(&file("a/b", &entry)).unwrap().targets.into_values().next().unwrap();
    assert_eq!((target.length, target.sha256, target.custom.clone()), (1, [7; 32], Some(json!({ "a": 1 }))));
    assert_eq!(target.kind(), Ok(None));
    assert_eq!(
        refusal(read(&file("../b", &entry))),
        "in its targets: the path \"../b\" has a part that is empty, `.` or `..`"
    );
    assert_eq!(
        refusal(read(&file("b", &json!({ "length": 1, "hashes": { "sha512": "00" } })))),
        "its entry \"b\" has no sha256 of 64 hex digits"
    );
    assert_eq!(
        refusal(read(&file("b", &json!({ "hashes": {} })))),
        "its entry \"b\" is not as TUF says: missing field `length`"
    );
}

#[test]
fn what_is_written_is_read_again() {
    let read_targets = read(&with(
        targets(&delegation()),
        "/targets",
        json!({ "a": { "length": 0, "hashes": { "sha256": hex(&[7; 32]) } } }),
    ))
    .unwrap();
    assert_eq!(read(&read_targets.write()), Ok(read_targets));
    let stamp = Timestamp::read(&timestamp()).unwrap();
    assert_eq!(Timestamp::read(&stamp.write()), Ok(stamp));
}
