//! The configuration file as a user meets it: mistakes are named with their line, the shipped example is right.

use anyhow::{Context as _, ensure};
use selvedge_tests::installed;
use selvedge_tests::node::Place;

/// What `selvedge COMMAND --config FILE` says about a file of this text, and whether it is content.
fn judged(command: &str, text: &str) -> anyhow::Result<(bool, String)> {
    let place = Place::with_configuration(text)?;
    let path = place.folder().join("selvedge.toml");
    let output = place.command(&[command, "--config", &path.to_string_lossy()])?.output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn a_mistake_is_named_with_its_line_its_key_and_what_is_allowed() -> anyhow::Result<()> {
    let mistakes: [(&str, &[&str]); 5] = [
        ("[mqtt]\nlisten = \"nonsense\"\n", &["selvedge.toml:2", "mqtt.listen", "nonsense", "127.0.0.1:1883"]),
        ("[limits]\n\nhandshake_timeout = \"10 sec\"\n", &["selvedge.toml:3", "limits.handshake_timeout", "10s"]),
        ("[limits]\nreceive_maximun = 5\n", &["selvedge.toml:2", "receive_maximun", "receive_maximum"]),
        ("[mqttx]\nlisten = \"off\"\n", &["selvedge.toml:1", "mqttx", "mqtt"]),
        ("[mqtt\n", &["selvedge.toml:1"]),
    ];
    for command in ["check", "run"] {
        for (text, expected) in mistakes {
            let (content, said) = judged(command, text)?;
            ensure!(!content, "`selvedge {command}` accepts {text:?}");
            for part in expected {
                ensure!(said.contains(part), "`selvedge {command}` does not say {part:?} about {text:?}:\n{said}");
            }
        }
    }
    Ok(())
}

#[test]
fn every_mistake_is_named_at_once() -> anyhow::Result<()> {
    let (content, said) = judged("check", "[mqtt]\nlisten = 5\n[limits]\nconnections_max = \"many\"\n")?;
    ensure!(!content && said.contains(":2") && said.contains(":4"), "{said}");
    Ok(())
}

#[test]
fn a_missing_file_is_named() -> anyhow::Result<()> {
    let place = Place::new()?;
    let output = place.command(&["run", "--config", "no/such/file.toml"])?.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && said.contains("no/such/file.toml"), "{said}");
    Ok(())
}

#[test]
fn the_shipped_example_is_accepted_and_says_the_defaults() -> anyhow::Result<()> {
    let example = installed::repository_file("daemon/selvedge.example.toml");
    let text = std::fs::read_to_string(&example).with_context(|| format!("read {}", example.display()))?;
    let complete = |text: &str| -> anyhow::Result<serde_json::Value> {
        let place = Place::with_configuration(text)?;
        let path = place.folder().join("selvedge.toml");
        let output = place.command(&["check", "--json", "--config", &path.to_string_lossy()])?.output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).context("read the complete configuration")
    };
    assert_eq!(complete(&text)?, complete("")?);
    Ok(())
}
