//! The examples that visitors deploy, as committed beside their source.

use std::fs;
use std::path::PathBuf;

use selvedge_functions::{FunctionState, TwinSection, World};

use crate::fixture::{Fixture, PATIENCE, message};

fn example(name: &str) -> (String, Vec<u8>) {
    let directory: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../examples", name].iter().collect();
    let manifest = fs::read_to_string(directory.join("function.toml")).unwrap();
    (manifest, fs::read(directory.join(format!("{name}.wasm"))).unwrap())
}

fn deployed(name: &str) -> (Fixture, World) {
    let fixture = Fixture::new();
    let (manifest, component) = example(name);
    let world = fixture.deploy(&manifest, component).world;
    assert_eq!(fixture.status(name).state, FunctionState::Ready);
    (fixture, world)
}

#[track_caller]
fn call(fixture: &Fixture, name: &str, topic: &str, payload: &str) -> Vec<(String, String)> {
    fixture.host.committed.lock().unwrap().clear();
    fixture
        .send(name, message(topic, payload))
        .recv_timeout(PATIENCE)
        .unwrap()
        .unwrap_or_else(|error| panic!("{error}: {:?}", fixture.logs(name)));
    let published = fixture.host.published().into_iter();
    published.map(|message| (message.topic, String::from_utf8(message.payload).unwrap())).collect()
}

#[test]
fn the_rust_example_converts_and_raises_one_alarm_per_crossing() {
    let (fixture, world) = deployed("unit-alarm");
    assert_eq!(world, World::Function);
    let outputs = call(&fixture, "unit-alarm", "sensors/boiler/temperature", "{\"value\": 212, \"unit\": \"F\"}");
    assert_eq!(outputs.len(), 2, "{outputs:?}");
    assert_eq!(outputs[0].0, "converted/boiler/temperature");
    assert!(outputs[0].1.contains("100"), "{outputs:?}");
    assert_eq!(outputs[1].0, "alarms/boiler");
    let patches = fixture.host.committed.lock().unwrap()[0].twin_patches.clone();
    assert_eq!((patches[0].device.as_str(), patches[0].section), ("boiler", TwinSection::Reported));
    let outputs = call(&fixture, "unit-alarm", "sensors/boiler/temperature", "99");
    assert_eq!(outputs.len(), 1, "no second alarm: {outputs:?}");
}

#[test]
fn the_transform_example_scales() {
    let (fixture, world) = deployed("scale-transform");
    assert_eq!(world, World::Transform);
    assert_eq!(call(&fixture, "scale-transform", "raw/a", "213"), [("scaled/a".to_owned(), "21.3".to_owned())]);
}

#[test]
fn the_javascript_example_forwards_what_moved() {
    let (fixture, world) = deployed("js-deadband");
    assert_eq!(world, World::Function);
    assert_eq!(call(&fixture, "js-deadband", "meters/m1/power", "100").len(), 1);
    assert_eq!(call(&fixture, "js-deadband", "meters/m1/power", "101").len(), 0);
    assert_eq!(call(&fixture, "js-deadband", "meters/m1/power", "120").len(), 1);
}

#[test]
fn the_c_example_decodes_frames_drops_one_that_comes_again_and_counts_those_that_never_came() {
    let (fixture, world) = deployed("c-uplink");
    assert_eq!(world, World::Function);
    let decode = |frame: &str| call(&fixture, "c-uplink", "uplinks/hall", frame);
    let json = |text: &str| [("decoded/hall".to_owned(), text.to_owned())];
    let first = r#"{"temperature":21.39,"humidity":45.50,"battery_mv":3012,"counter":18,"missed":0}"#;
    assert_eq!(decode("010012085b5b0bc4bd"), json(first));
    assert_eq!(decode("010012085B5B0BC4BD"), []);
    let later = r#"{"temperature":-10.05,"humidity":100.00,"battery_mv":3012,"counter":21,"missed":2}"#;
    assert_eq!(decode("010015fc13c80bc4db"), json(later));
}

#[test]
fn the_c_example_rejects_what_is_no_frame() {
    let (fixture, _) = deployed("c-uplink");
    for (payload, why) in [
        ("", "not a frame"),
        ("010012085b5b0bc4b", "not a frame"),
        ("010012085b5b0bc4bg", "not a frame"),
        ("020012085b5b0bc4bd", "another kind"),
        ("010012085b5b0bc4b0", "checksum"),
    ] {
        let result = fixture.send("c-uplink", message("uplinks/hall", payload)).recv_timeout(PATIENCE).unwrap();
        assert!(result.unwrap_err().to_string().contains(why), "{payload}");
    }
}
