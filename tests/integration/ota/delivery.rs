//! How bundles come: over the socket, over HTTP with a login; and bundles that are none.

use std::path::Path;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use selvedge_tests::http;
use selvedge_tests::node::Place;
use selvedge_tests::supervisor::Unit;
use selvedge_tests::update::{Gateway, Publisher, Reach, good, http_post};

use super::{SHORT, is_as_before};
use crate::logins::{add_user, data_file};

fn basic(user: &str, password: &str) -> String {
    format!("authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")))
}

/// A file of the publisher with some of the bytes of another.
fn changed(bundle: &Path, change: impl FnOnce(&mut Vec<u8>)) -> anyhow::Result<std::path::PathBuf> {
    let mut bytes = std::fs::read(bundle)?;
    change(&mut bytes);
    let path = bundle.with_extension("changed");
    std::fs::write(&path, bytes)?;
    Ok(path)
}

#[test]
fn over_http_who_may_write_pushes_an_update_and_nobody_else() -> anyhow::Result<()> {
    let place = Place::with_configuration(SHORT)?;
    for user in ["writer", "reader"] {
        add_user(&place, user, "secret")?;
    }
    let rules = "[[rule]]\nusers = [\"writer\"]\napi = [\"read\", \"write\"]\n[[rule]]\nusers = [\"reader\"]\napi = [\"read\"]\n";
    std::fs::write(data_file(&place, "access/rules.toml"), rules)?;
    let gateway = Gateway::start_in(place, Unit::default(), Reach::Everywhere)?;
    let folder = tempfile::tempdir()?;
    let (publisher, bundle) = Publisher::of_program(&good(folder.path(), "2.0.0")?, "2.0.0")?;
    gateway.trust(&publisher)?;
    let bytes = std::fs::read(&bundle)?;
    let (address, reader) = (gateway.ports().http, basic("reader", "secret"));
    let attempts = [(String::new(), 401), (basic("writer", "wrong"), 401), (reader, 403)];
    for (headers, expected) in attempts {
        for path in ["/v1/ota", "/v1/ota/check", "/v1/ota/rollback"] {
            let (status, answer) = http_post(address, path, &headers, if path == "/v1/ota" { &bytes } else { b"" })?;
            ensure!(status == expected, "{path} as {headers:?} is answered with {answer}");
        }
    }
    let status = gateway.status()?;
    ensure!(status["on_trial"].is_null() && status["good"].is_null(), "{status}");
    let (status, answer) = http_post(address, "/v1/ota", &basic("writer", "secret"), &bytes)?;
    ensure!(status == 200 && answer.contains("\"restarts\":true"), "{answer}");
    gateway.wait_for_end("2.0.0", "committed")?;
    gateway.stop().map(drop)
}

#[test]
fn without_users_nobody_pushes_an_update_over_tcp() -> anyhow::Result<()> {
    let gateway = Gateway::start(SHORT, Unit::default())?;
    for path in ["/v1/ota", "/v1/ota/check", "/v1/ota/rollback", "/v1/ota/trust", "/v1/ota/pause"] {
        let (status, answer) = http_post(gateway.ports().http, path, "", b"anything")?;
        ensure!((400..=405).contains(&status) && status != 400, "POST {path} is answered with {answer}");
    }
    is_as_before(&gateway)?;
    gateway.stop().map(drop)
}

#[test]
fn what_is_no_bundle_is_refused_with_words_and_changes_nothing() -> anyhow::Result<()> {
    let gateway = Gateway::start(&format!("{SHORT}bundle_bytes_max = \"100KiB\"\n"), Unit::default())?;
    let publisher = Publisher::new()?;
    publisher.add_file("settings", "1", "text")?;
    publisher.publish()?;
    let bundle = publisher.bundle("small", &[])?;
    let fails = |path: &Path| gateway.cli_fails(&["ota", "apply", &path.to_string_lossy()]);
    let said = fails(&bundle)?;
    ensure!(said.contains("no root is trusted yet") && said.contains("selvedge ota trust"), "{said}");
    gateway.trust(&publisher)?;

    let said = fails(&changed(&bundle, |bytes| bytes.resize(100 * 1024 + 1, 0))?)?;
    ensure!(said.contains("more than ota.bundle_bytes_max"), "{said}");
    let breaks: [fn(&mut Vec<u8>); 3] =
        [|bytes| bytes.truncate(bytes.len() / 3), |bytes| bytes.iter_mut().for_each(|byte| *byte ^= 0x5A), Vec::clear];
    for break_it in breaks {
        let broken = changed(&bundle, break_it)?;
        // The command line looks first, and names the file as whoever typed it does.
        let said = fails(&broken)?;
        ensure!(
            said.contains(&*broken.to_string_lossy()) && said.chars().all(|c| c == '\n' || !c.is_control()),
            "{said}"
        );
        let sent = std::fs::read(&broken).context("read a broken bundle")?;
        let answer = http::over_socket(&gateway.place().socket(), "POST", "/v1/ota", sent)?;
        ensure!(answer.status == 422 && answer.body.contains("ota/incoming"), "{answer:?}");
    }
    let folder = tempfile::tempdir()?;
    let said = fails(folder.path())?;
    ensure!(said.contains("directory"), "{said}");

    let stranger = Publisher::new()?;
    stranger.add_file("settings", "1", "text")?;
    stranger.publish()?;
    let said = fails(&stranger.bundle("strange", &[])?)?;
    ensure!(said.contains("refused"), "{said}");
    is_as_before(&gateway)?;
    let incoming = std::fs::read_dir(gateway.place().data().join("ota/incoming")).context("list what came in")?;
    ensure!(incoming.count() == 0, "bundles that were refused stay");
    gateway.stop().map(drop)
}

#[test]
fn a_signed_program_of_other_bytes_is_refused() -> anyhow::Result<()> {
    let gateway = Gateway::start(SHORT, Unit::default())?;
    let folder = tempfile::tempdir()?;
    let (publisher, bundle) = Publisher::of_program(&good(folder.path(), "2.0.0")?, "2.0.0")?;
    gateway.trust(&publisher)?;
    let middle = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    };
    let said = gateway.cli_fails(&["ota", "apply", &changed(&bundle, middle)?.to_string_lossy()])?;
    ensure!(said.contains("NOT in place"), "{said}");
    is_as_before(&gateway)?;
    gateway.apply(&bundle)?;
    gateway.wait_for_end("2.0.0", "committed")?;
    gateway.stop().map(drop)
}
