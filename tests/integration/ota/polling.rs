//! A node that looks at a repository by itself: what comes, what is held back, and that an absent repository is no failure.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::ensure;
use selvedge_tests::supervisor::Unit;
use selvedge_tests::update::{Gateway, Publisher, Reach, WebServer, good};
use serde_json::Value;

use super::{SHORT, why};

/// A repository with one program in it, on a web server.
fn served(version: &str) -> anyhow::Result<(Publisher, WebServer)> {
    let publisher = Publisher::new()?;
    publisher.add_program(&good(publisher.folder(), version)?, version, &[])?;
    let server = WebServer::start(&publisher.repository())?;
    Ok((publisher, server))
}

fn configuration(publisher: &Publisher, repository: &str, more: &str) -> String {
    format!("{SHORT}root = \"{}\"\nrepository = \"{repository}\"\npoll = \"10s\"\n{more}", publisher.root().display())
}

/// Waits until the last look left the program as it is; gives why.
fn left(gateway: &Gateway, words: &str) -> anyhow::Result<Value> {
    gateway.wait_until(words, |status| {
        let left = why(&status["last"]["report"], "left", "daemon/");
        left.is_some_and(|why| why.contains(words))
    })
}

fn runs_the_package(status: &Value) -> anyhow::Result<()> {
    ensure!(status["slot"] == "package" && status["on_trial"].is_null(), "{status}");
    Ok(())
}

#[test]
fn an_update_comes_by_itself_from_a_web_server() -> anyhow::Result<()> {
    let (publisher, server) = served("2.0.0")?;
    publisher.publish()?;
    let gateway = Gateway::start(&configuration(&publisher, &server.url(), ""), Unit::default())?;
    gateway.wait_for_end("2.0.0", "committed")?;
    let status = left(&gateway, "up to date")?;
    ensure!(status["good"]["version"] == "2.0.0", "{status}");
    let missing: Vec<String> = server.requests().into_iter().filter(|line| line.starts_with('4')).collect();
    // A node asks for the root after the last one each time, and nothing else is missing.
    ensure!(missing.iter().all(|line| line == "404 /metadata/2.root.json"), "{missing:?}");
    gateway.stop().map(drop)
}

#[test]
fn outside_its_window_an_update_waits_and_the_operator_need_not() -> anyhow::Result<()> {
    let (publisher, server) = served("2.0.0")?;
    publisher.publish()?;
    let hour = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / 3600 % 24;
    let window = format!("windows = [\"{:02}:00-{:02}:30\"]\n", (hour + 12) % 24, (hour + 12) % 24);
    let gateway = Gateway::start(&configuration(&publisher, &server.url(), &window), Unit::default())?;
    runs_the_package(&left(&gateway, "waits for the maintenance window")?)?;
    gateway.cli_succeeds(&["ota", "check", "--wait"])?;
    let status = gateway.wait_for_end("2.0.0", "committed")?;
    ensure!(status["good"]["version"] == "2.0.0", "{status}");
    gateway.stop().map(drop)
}

#[test]
fn a_pause_of_the_operator_lasts_over_restarts_until_it_is_ended() -> anyhow::Result<()> {
    let (publisher, server) = served("2.0.0")?;
    let configuration = configuration(&publisher, &server.url(), "");
    let gateway = Gateway::start(&configuration, Unit::default())?;
    gateway.cli_succeeds(&["ota", "pause"])?;
    let place = gateway.stop()?;
    publisher.publish()?;
    let gateway = Gateway::start_in(place, Unit::default(), Reach::Loopback)?;
    let status = left(&gateway, "updates are paused")?;
    ensure!(status["paused"] == true, "{status}");
    runs_the_package(&status)?;
    gateway.cli_succeeds(&["ota", "resume"])?;
    gateway.cli_succeeds(&["ota", "retry"])?;
    gateway.wait_for_end("2.0.0", "committed")?;
    gateway.stop().map(drop)
}

#[test]
fn a_node_that_is_not_in_the_roll_out_waits_for_it() -> anyhow::Result<()> {
    let (publisher, server) = served("2.0.0")?;
    publisher.stage_program(&["--percent", "0"])?;
    publisher.publish()?;
    let gateway = Gateway::start(&configuration(&publisher, &server.url(), ""), Unit::default())?;
    runs_the_package(&left(&gateway, "rolled out to 0 % of the nodes")?)?;
    publisher.stage_program(&["--everybody", "--pause"])?;
    publisher.publish()?;
    gateway.cli_succeeds(&["ota", "retry"])?;
    runs_the_package(&left(&gateway, "paused by the publisher")?)?;
    publisher.stage_program(&["--resume"])?;
    publisher.publish()?;
    gateway.cli_succeeds(&["ota", "retry"])?;
    gateway.wait_for_end("2.0.0", "committed")?;
    gateway.stop().map(drop)
}

#[test]
fn a_repository_that_is_not_there_is_no_failure_and_confirms_nothing_less() -> anyhow::Result<()> {
    let publisher = Publisher::new()?;
    publisher.add_program(&good(publisher.folder(), "2.0.0")?, "2.0.0", &[])?;
    publisher.publish()?;
    // Nothing listens there.
    let gateway = Gateway::start(&configuration(&publisher, "http://127.0.0.1:9", ""), Unit::default())?;
    let status = gateway.wait_until("the look fails", |status| status["last"]["error"].is_string())?;
    let error = status["last"]["error"].as_str().unwrap_or_default();
    ensure!(error.contains("127.0.0.1:9"), "{status}");
    gateway.serves()?;
    let said = gateway.cli_fails(&["ota", "check"])?;
    ensure!(said.contains("127.0.0.1:9"), "{said}");
    gateway.apply(&publisher.bundle("by-hand", &[])?)?;
    gateway.wait_for_end("2.0.0", "committed")?;
    gateway.stop().map(drop)
}

#[test]
fn a_folder_is_a_repository_too() -> anyhow::Result<()> {
    let publisher = Publisher::new()?;
    publisher.add_program(&good(publisher.folder(), "2.0.0")?, "2.0.0", &[])?;
    publisher.publish()?;
    let repository = publisher.repository();
    let gateway =
        Gateway::start(&configuration(&publisher, &Path::new(&repository).to_string_lossy(), ""), Unit::default())?;
    gateway.wait_for_end("2.0.0", "committed")?;
    gateway.stop().map(drop)
}
