use super::*;
use serde_json::json;

fn problem(block: Value) -> String {
    Kind::read(&block).unwrap_err().to_string()
}

#[test]
fn each_kind_is_read_as_it_is_written() {
    let hash = "ab".repeat(32);
    for block in [
        json!({ "kind": "daemon", "version": "1.2.3", "architecture": "aarch64", "data_format": 3, "security_floor": 7,
            "rollout": { "percent": 10, "salt": "s" }, "paused": true }),
        json!({ "kind": "daemon", "version": "1.2.3", "architecture": "x86_64", "data_format": 3 }),
        json!({ "kind": "function", "name": "scale", "version": "2", "manifest": "name = \"scale\"",
            "architecture": "aarch64", "compiled_for": "wasmtime-48" }),
        json!({ "kind": "file", "name": "selvedge.toml", "version": "7" }),
        json!({ "kind": "patch", "base": { "length": 1, "sha256": hash }, "result": { "length": 2, "sha256": hash } }),
        json!({ "kind": "patch", "result": { "length": 2, "sha256": hash } }),
    ] {
        let kind = Kind::read(&block).unwrap();
        assert_eq!(kind.to_custom().unwrap(), json!({ "selvedge": block }));
    }
}

#[test]
fn what_is_missing_means_no_floor_everybody() {
    let kind = Kind::read(&json!({ "kind": "function", "name": "f", "version": "1", "manifest": "" })).unwrap();
    assert!(kind.rollout().is_none() && !kind.is_paused());
    assert!(kind.is_for("any"));
}

#[test]
fn a_field_of_a_newer_publisher_is_left_alone() {
    assert!(Kind::read(&json!({ "kind": "file", "name": "f", "version": "1", "colour": "red" })).is_ok());
}

#[test]
fn a_known_field_must_be_right() {
    for (block, part) in [
        (
            json!({ "kind": "launcher", "version": "1" }),
            "unknown variant `launcher`, expected one of `daemon`, `function`, `file`, `patch`",
        ),
        (json!({ "version": "1" }), "missing field `kind`"),
        (json!({ "kind": "file", "name": "f" }), "missing field `version`"),
        (json!({ "kind": "file", "name": "f", "version": 1 }), "invalid type: integer `1`, expected a string"),
        (json!({ "kind": "daemon", "version": "1", "architecture": "arm", "data_format": 1 }), "unknown variant `arm`"),
        (
            json!({ "kind": "daemon", "version": "1", "architecture": "aarch64", "data_format": -1 }),
            "invalid value: integer `-1`",
        ),
        (json!({ "kind": "file", "name": "f", "version": "1", "paused": "yes" }), "expected a boolean"),
        (
            json!({ "kind": "file", "name": "f", "version": "1", "rollout": { "percent": 101, "salt": "s" } }),
            "a rollout of 101 percent",
        ),
        (
            json!({ "kind": "patch", "base": { "length": 1, "sha256": "00" }, "result": { "length": 2, "sha256": "00" } }),
            "not 64 hex digits",
        ),
        (json!([]), "missing field `kind`"),
    ] {
        let text = problem(block);
        assert!(text.starts_with("the target's custom.selvedge is not understood: ") && text.contains(part), "{text}");
    }
}

#[test]
fn names_stay_names() {
    let file = |name: &str| json!({ "kind": "file", "name": name, "version": "1" });
    for name in ["", "..", "a/b", "a\\b", "a\nb", &"a".repeat(129)] {
        let text = problem(file(name));
        assert!(
            text.contains("has the name")
                && text.ends_with("1 to 128 bytes without control characters and slashes are possible"),
            "{text}"
        );
    }
    assert!(Kind::read(&file(&"a".repeat(128))).is_ok());
}

#[test]
fn a_paused_or_partial_update_is_not_for_everybody() {
    let read = |block: Value| Kind::read(&block).unwrap();
    assert!(!read(json!({ "kind": "file", "name": "f", "version": "1", "paused": true })).is_for("node"));
    let part = |percent: u8| {
        read(json!({ "kind": "file", "name": "f", "version": "1", "rollout": { "percent": percent, "salt": "s" } }))
    };
    assert!(!part(0).is_for("node"));
    assert!(part(0).staged(Some(None), None).is_for("node") && !part(100).staged(None, Some(true)).is_for("node"));
    assert!(part(100).is_for("node"));
}
