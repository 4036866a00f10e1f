//! What the tests of logins and of TLS share: users, clients with a login, programs that may be missing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};

use anyhow::{Context as _, ensure};
use selvedge_tests::child::TestChild;
use selvedge_tests::node::{Node, Place};
use selvedge_tests::{PATIENCE, installed};
use serde_json::{Value, json};

/// Runs a command of the binary in `place`, which has to succeed; gives its standard output.
pub fn succeeds(place: &Place, words: &[&str]) -> anyhow::Result<String> {
    let output = place.command(words)?.output().context("run selvedge")?;
    ensure!(output.status.success(), "`selvedge {}`: {}", words.join(" "), said(&output));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command of the binary in `place`, which has to fail; gives what it says.
pub fn fails(place: &Place, words: &[&str]) -> anyhow::Result<String> {
    let output = place.command(words)?.output().context("run selvedge")?;
    ensure!(!output.status.success(), "`selvedge {}` succeeds: {}", words.join(" "), said(&output));
    Ok(said(&output))
}

/// Both outputs.
pub fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Adds a user with a password; the node may run or not.
pub fn add_user(place: &Place, name: &str, password: &str) -> anyhow::Result<String> {
    let file = place.folder().join(format!("password-of-{name}"));
    std::fs::write(&file, format!("{password}\n"))?;
    succeeds(place, &["user", "add", name, "--password-file", &file.to_string_lossy()])
}

/// A file in the data directory.
pub fn data_file(place: &Place, path: &str) -> PathBuf {
    place.data().join(path)
}

/// mosquitto_pub with these flags, with MQTT 3.1.1, whose return codes it prints in words.
pub fn mosquitto_pub(address: SocketAddr, flags: &[&str]) -> anyhow::Result<Output> {
    let mut command = Command::new(installed::program("mosquitto_pub")?);
    command.args(["-h", &local(address).ip().to_string(), "-p", &address.port().to_string(), "-V", "mqttv311"]);
    command.args(["-q", "1"]).args(flags);
    command.output().context("run mosquitto_pub")
}

/// How a login with user and password ends: empty when it succeeds, else mosquitto's words.
pub fn login(address: SocketAddr, user: &str, password: &str) -> anyhow::Result<String> {
    let output = mosquitto_pub(address, &["-u", user, "-P", password, "-t", "login", "-m", "x"])?;
    Ok(if output.status.success() { String::new() } else { said(&output) })
}

/// Where a client on this machine connects.
pub fn local(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() { SocketAddr::from(([127, 0, 0, 1], address.port())) } else { address }
}

/// A paho session that says what happens to it.
pub struct Session {
    child: TestChild,
    seen: usize,
}

impl Session {
    /// Starts one; `more` goes over `{client_id, version: 5, transport: "tcp", filters: []}`.
    pub fn start(address: SocketAddr, client_id: &str, more: &Value) -> anyhow::Result<Self> {
        let mut wanted = json!({
            "host": local(address).ip(), "port": address.port(), "client_id": client_id, "version": 5, "transport": "tcp",
            "filters": [],
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            wanted[key] = value.clone();
        }
        let mut command = Command::new(installed::python()?);
        command.arg(installed::client_script("secure_client.py")).arg(wanted.to_string());
        Ok(Self { child: TestChild::start(client_id, command)?, seen: 0 })
    }

    /// The next thing that happens.
    pub fn next(&mut self) -> anyhow::Result<Value> {
        let event = self.child.wait_for_line(self.seen, PATIENCE, |line| serde_json::from_str::<Value>(line).ok())?;
        self.seen += 1;
        Ok(event)
    }

    /// The next thing, which has to be this.
    pub fn expect(&mut self, event: &str) -> anyhow::Result<Value> {
        let next = self.next()?;
        ensure!(next["event"] == event, "{event} was expected, {next} came");
        Ok(next)
    }

    /// Connected and subscribed, without a refusal.
    pub fn is_in(&mut self) -> anyhow::Result<()> {
        let connected = self.expect("connected")?;
        ensure!(connected["code"] == 0, "{connected}");
        let subscribed = self.expect("subscribed")?;
        ensure!(subscribed["codes"].as_array().is_some_and(|codes| codes.iter().all(|code| code == 1)), "{subscribed}");
        Ok(())
    }

    /// The next message has this topic.
    pub fn gets(&mut self, topic: &str) -> anyhow::Result<()> {
        let message = self.expect("message")?;
        ensure!(message["topic"] == topic, "{topic} was expected, {message} came");
        Ok(())
    }
}

/// The part of `/v1/status` with this name.
pub fn part(node: &Node, name: &str) -> anyhow::Result<String> {
    let status: Value = serde_json::from_str(&node.cli_succeeds(&["status", "--json"])?)?;
    let detail = status["parts"][name]["detail"].as_str();
    Ok(detail.with_context(|| format!("{name} is not in {status}"))?.to_owned())
}

/// openssl, where it is installed; where not, the test prints that it is skipped.
pub fn openssl(test: &str) -> Option<PathBuf> {
    let found = installed::program("openssl").ok();
    if found.is_none() {
        println!("SKIPPED {test}: openssl is not installed");
    }
    found
}
