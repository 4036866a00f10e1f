//! Functions and files that come with updates.

use anyhow::{Context as _, ensure};
use selvedge_tests::client_packet::{Connect, Publish};
use selvedge_tests::installed;
use selvedge_tests::node::Place;
use selvedge_tests::supervisor::Unit;
use selvedge_tests::update::{Gateway, Publisher, Reach};
use serde_json::Value;

use super::{SHORT, why};

/// Publishes 50 degrees without a unit and gives what the function makes of them.
fn converted(gateway: &Gateway) -> anyhow::Result<f64> {
    let (mut peer, _) = gateway.connect(&Connect::v5("reads"))?;
    peer.subscribe("converted/#", 1)?;
    peer.send_publish(&Publish::new("sensors/oven/temperature", "{\"value\": 50}"))?;
    let message = peer.expect_publish()?;
    let value: Value = serde_json::from_slice(&message.payload).context("read what was converted")?;
    value["value"].as_f64().with_context(|| format!("{value}"))
}

#[test]
fn a_function_comes_with_an_update_and_a_newer_one_replaces_it() -> anyhow::Result<()> {
    let gateway = Gateway::start(SHORT, Unit::default())?;
    let publisher = Publisher::new()?;
    gateway.trust(&publisher)?;
    let example = installed::repository_file("examples/unit-alarm");
    publisher.add_function(&example)?;
    publisher.publish()?;
    let answer = gateway.apply(&publisher.bundle("first", &[])?)?;
    ensure!(answer["restart"] == false && why(&answer, "installed", "functions/unit-alarm").is_some(), "{answer}");
    ensure!((converted(&gateway)? - 50.0).abs() < 1e-6, "50 of no unit are degrees Celsius");

    // The same component with another manifest is another version.
    let newer = publisher.folder().join("newer");
    std::fs::create_dir(&newer)?;
    std::fs::copy(example.join("unit-alarm.wasm"), newer.join("unit-alarm.wasm"))?;
    let manifest = std::fs::read_to_string(example.join("function.toml"))?;
    let manifest = manifest.replace("version = \"0.1.0\"", "version = \"0.2.0\"");
    std::fs::write(newer.join("function.toml"), manifest.replace("default-unit = \"C\"", "default-unit = \"F\""))?;
    publisher.add_function(&newer)?;
    publisher.publish()?;
    let bundle = publisher.bundle("second", &[])?;
    let answer = gateway.apply(&bundle)?;
    ensure!(why(&answer, "installed", "functions/unit-alarm").is_some(), "{answer}");
    ensure!((converted(&gateway)? - 10.0).abs() < 1e-6, "50 of no unit are degrees Fahrenheit now");
    let again = gateway.apply(&bundle)?;
    ensure!(why(&again, "left", "functions/unit-alarm").as_deref() == Some("up to date"), "{again}");
    gateway.stop().map(drop)
}

/// A gateway with a file whose command takes only texts with `good` in them.
fn with_settings() -> anyhow::Result<(Gateway, std::path::PathBuf)> {
    let place = Place::new()?;
    let (settings, taken) = (place.folder().join("settings.toml"), place.folder().join("taken"));
    let command = format!(
        "grep -q good {settings} || {{ echo the settings make no sense >&2; exit 1; }}; cp {settings} {taken}",
        settings = settings.display(),
        taken = taken.display()
    );
    let text = format!(
        "{SHORT}[ota.files.settings]\npath = \"{}\"\nafter = [\"/bin/sh\", \"-c\", \"{command}\"]\nafter_timeout = \"20s\"\n",
        settings.display()
    );
    std::fs::write(place.folder().join("selvedge.toml"), text)?;
    std::fs::write(&settings, "the first, good")?;
    Ok((Gateway::start_in(place, Unit::default(), Reach::Loopback)?, settings))
}

#[test]
fn a_file_is_replaced_and_when_its_command_fails_the_one_before_is_back() -> anyhow::Result<()> {
    let (gateway, settings) = with_settings()?;
    let publisher = Publisher::new()?;
    gateway.trust(&publisher)?;
    publisher.add_file("settings", "1", "the second, good")?;
    publisher.add_file("elsewhere", "1", "for gateways that have it")?;
    publisher.publish()?;
    let answer = gateway.apply(&publisher.bundle("first", &[])?)?;
    ensure!(why(&answer, "installed", "files/settings").is_some(), "{answer}");
    let left = why(&answer, "left", "files/elsewhere").unwrap_or_default();
    ensure!(left == "there is no [ota.files.elsewhere] in the configuration", "{answer}");
    ensure!(std::fs::read_to_string(&settings)? == "the second, good");
    ensure!(
        std::fs::read_to_string(settings.with_file_name("taken"))? == "the second, good",
        "the command did not run"
    );

    publisher.add_file("settings", "2", "the third, bad")?;
    publisher.publish()?;
    let bundle = publisher.bundle("second", &[])?;
    let said = gateway.cli_fails(&["ota", "apply", &bundle.to_string_lossy()])?;
    let words = ["files/settings 2: NOT in place", "the settings make no sense", "the file before is back"];
    for words in words {
        ensure!(said.contains(words), "{words:?} is missing in {said}");
    }
    ensure!(std::fs::read_to_string(&settings)? == "the second, good", "the file before is not back");

    publisher.add_file("settings", "3", "the fourth, good")?;
    publisher.publish()?;
    gateway.apply(&publisher.bundle("third", &[])?)?;
    ensure!(std::fs::read_to_string(&settings)? == "the fourth, good");
    gateway.stop().map(drop)
}
