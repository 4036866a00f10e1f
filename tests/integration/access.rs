//! Users, rules and tokens as a person and as clients meet them, with third-party clients.

mod tokens;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use selvedge_tests::child::{Signal, TestChild};
use selvedge_tests::node::{Node, Place};
use selvedge_tests::{PATIENCE, http};
use serde_json::{Value, json};

use crate::logins::{Session, add_user, data_file, fails, login, mosquitto_pub, part, said, succeeds};

const REFUSED_PASSWORD: &str = "bad user name or password";
const UNAVAILABLE: &str = "broker unavailable";

fn publish(address: SocketAddr, topic: &str) -> anyhow::Result<()> {
    let output = mosquitto_pub(address, &["-t", topic, "-m", "x"])?;
    ensure!(output.status.success(), "{topic}: {}", said(&output));
    Ok(())
}

fn joe(filters: &[&str]) -> Value {
    json!({ "username": "joe", "password": "secret-of-joe", "filters": filters })
}

#[test]
fn the_first_user_can_log_in_and_local_programs_go_on_as_before() -> anyhow::Result<()> {
    let node = Node::start()?;
    publish(node.mqtt(), "before")?;
    let told = add_user(node.place(), "joe", "secret-of-joe")?;
    for words in ["joe is added", "starting rules", "rules.toml", "running node has taken"] {
        ensure!(told.contains(words), "{words:?} is missing in {told}");
    }
    ensure!(!told.contains("secret-of-joe"), "{told}");
    assert_eq!(login(node.mqtt(), "joe", "secret-of-joe")?, "");
    ensure!(login(node.mqtt(), "joe", "wrong")?.contains(REFUSED_PASSWORD));
    ensure!(login(node.mqtt(), "eve", "secret-of-joe")?.contains(REFUSED_PASSWORD));
    publish(node.mqtt(), "after")?;
    let metrics = http::get(node.http(), "/metrics")?.body;
    let count = "selvedge_logins_total{kind=\"password\",result=\"bad_credentials\"} 2";
    ensure!(metrics.contains(count), "{count} is missing");
    Ok(())
}

#[test]
fn users_are_listed_changed_disabled_and_removed() -> anyhow::Result<()> {
    let node = Node::start()?;
    let place = node.place();
    add_user(place, "joe", "first")?;
    let generated = succeeds(place, &["user", "add", "pump", "--generate", "--scram", "--comment", "cellar"])?;
    let password = generated.lines().find_map(|line| line.strip_prefix("password: ")).context("no password")?;
    assert_eq!(login(node.mqtt(), "pump", password)?, "");
    ensure!(fails(place, &["user", "add", "joe", "--generate"])?.contains("there is a user"));
    std::fs::write(place.folder().join("second"), "second\n")?;
    succeeds(place, &["user", "passwd", "joe", "--password-file", "second"])?;
    ensure!(login(node.mqtt(), "joe", "first")?.contains(REFUSED_PASSWORD));
    assert_eq!(login(node.mqtt(), "joe", "second")?, "");
    succeeds(place, &["user", "disable", "joe"])?;
    ensure!(login(node.mqtt(), "joe", "second")?.contains(REFUSED_PASSWORD));
    let listed: Value = serde_json::from_str(&succeeds(place, &["user", "list", "--json"])?)?;
    assert_eq!(
        listed,
        json!([
            { "name": "joe", "password": true, "scram": false, "disabled": true, "comment": null },
            { "name": "pump", "password": true, "scram": true, "disabled": false, "comment": "cellar" },
        ])
    );
    succeeds(place, &["user", "enable", "joe"])?;
    assert_eq!(login(node.mqtt(), "joe", "second")?, "");
    succeeds(place, &["user", "remove", "joe"])?;
    ensure!(login(node.mqtt(), "joe", "second")?.contains(REFUSED_PASSWORD));
    ensure!(fails(place, &["user", "remove", "joe"])?.contains("no user"));
    Ok(())
}

#[test]
fn users_can_be_made_before_the_node_runs_and_survive_its_restart() -> anyhow::Result<()> {
    let place = Place::new()?;
    let told = add_user(&place, "joe", "secret-of-joe")?;
    ensure!(told.contains("No node runs here"), "{told}");
    let node = place.start()?;
    assert_eq!(login(node.mqtt(), "joe", "secret-of-joe")?, "");
    let place = node.kill()?;
    let node = place.start()?;
    assert_eq!(login(node.mqtt(), "joe", "secret-of-joe")?, "");
    Ok(())
}

/// A node whose MQTT and HTTP are on all addresses.
fn exposed(place: &Place) -> anyhow::Result<(TestChild, SocketAddr, SocketAddr)> {
    let words = ["run", "--json", "--mqtt", "0.0.0.0:0", "--ws", "off", "--http", "0.0.0.0:0"];
    let child = TestChild::start("selvedge run", place.command(&words)?)?;
    let facts = child.wait_for_line(0, PATIENCE, |line| serde_json::from_str::<Value>(line).ok())?;
    let address = |key: &str| -> anyhow::Result<SocketAddr> {
        let port = facts[key].as_str().and_then(|text| text.rsplit(':').next()).context("no port")?;
        Ok(SocketAddr::from(([127, 0, 0, 1], port.parse()?)))
    };
    let (mqtt, http) = (address("mqtt")?, address("http")?);
    Ok((child, mqtt, http))
}

#[test]
fn where_other_machines_connect_everybody_logs_in() -> anyhow::Result<()> {
    let place = Place::new()?;
    let words = ["run", "--json", "--mqtt", "0.0.0.0:0", "--ws", "off", "--http", "off"];
    let refused = fails(&place, &words)?;
    for part in ["mqtt.listen", "selvedge user add", "allow_anonymous"] {
        ensure!(refused.contains(part), "{part:?} is missing in {refused}");
    }
    add_user(&place, "joe", "secret-of-joe")?;
    let (_node, mqtt, http) = exposed(&place)?;
    let anonymous = mosquitto_pub(mqtt, &["-t", "a", "-m", "x"])?;
    ensure!(said(&anonymous).contains("not authorised"), "{}", said(&anonymous));
    assert_eq!(login(mqtt, "joe", "secret-of-joe")?, "");
    let get = |path: &str, credentials: &str| -> anyhow::Result<u16> {
        let authorization = match credentials {
            "" => String::new(),
            credentials => format!("authorization: Basic {}\r\n", STANDARD.encode(credentials)),
        };
        let mut stream = TcpStream::connect(http)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n{authorization}\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.split(' ').nth(1).context("no answer")?.parse()?)
    };
    assert_eq!(get("/metrics", "")?, 401);
    assert_eq!(get("/metrics", "joe:wrong")?, 401);
    assert_eq!(get("/metrics", "joe:secret-of-joe")?, 200);
    let no_api = "[[rule]]\npublish = [\"#\"]\nsubscribe = [\"#\"]\n";
    std::fs::write(data_file(&place, "access/rules.toml"), no_api)?;
    succeeds(&place, &["reload"])?;
    assert_eq!(get("/metrics", "joe:secret-of-joe")?, 403);
    Ok(())
}

#[test]
fn removing_a_user_ends_what_it_subscribed_to_and_nobody_else() -> anyhow::Result<()> {
    let node = Node::start()?;
    add_user(node.place(), "joe", "secret-of-joe")?;
    add_user(node.place(), "ann", "secret-of-ann")?;
    let mut leaving = Session::start(node.mqtt(), "leaving", &joe(&["news/#"]))?;
    let staying = json!({ "username": "ann", "password": "secret-of-ann", "filters": ["news/#"] });
    let mut staying = Session::start(node.mqtt(), "staying", &staying)?;
    leaving.is_in()?;
    staying.is_in()?;
    publish(node.mqtt(), "news/1")?;
    leaving.gets("news/1")?;
    staying.gets("news/1")?;
    succeeds(node.place(), &["user", "remove", "joe"])?;
    assert_eq!(leaving.expect("disconnected")?["code"], 0x87);
    publish(node.mqtt(), "news/2")?;
    staying.gets("news/2")?;
    Ok(())
}

#[test]
fn narrower_rules_take_effect_on_subscriptions_by_themselves() -> anyhow::Result<()> {
    let node = Node::start()?;
    add_user(node.place(), "joe", "secret-of-joe")?;
    let mut session = Session::start(node.mqtt(), "narrowed", &joe(&["a/#", "b/#"]))?;
    session.is_in()?;
    let rules = "[[rule]]\nusers = [\"joe\"]\nsubscribe = [\"b/#\"]\n\
                 [[rule]]\nwho = \"anonymous\"\npublish = [\"#\"]\nsubscribe = [\"$SYS/#\"]\n";
    // No command, no signal: the node looks at the file.
    std::fs::write(data_file(node.place(), "access/rules.toml"), rules)?;
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        publish(node.mqtt(), "a/1")?;
        publish(node.mqtt(), "b/1")?;
        // Once the node has looked, only the second one comes.
        match session.next()?["topic"].as_str() {
            Some("a/1") => session.gets("b/1")?,
            Some("b/1") => break,
            other => anyhow::bail!("{other:?} came"),
        }
        ensure!(std::time::Instant::now() < deadline, "the rules are not looked at");
    }
    let check = |words: &[&str]| -> anyhow::Result<String> {
        let all: Vec<&str> = ["access", "check"].iter().chain(words).copied().collect();
        let output = node.cli(&all)?;
        Ok(said(&output))
    };
    let allowed = check(&["--user", "joe", "subscribe", "b/x"])?;
    ensure!(allowed.contains("allowed: rule 1 allows it"), "{allowed}");
    let refused = check(&["--user", "joe", "subscribe", "a/x"])?;
    ensure!(refused.contains("refused: no rule allows it"), "{refused}");
    Ok(())
}

#[test]
fn a_signal_makes_the_node_read_its_files_and_go_on() -> anyhow::Result<()> {
    let node = Node::start()?;
    add_user(node.place(), "joe", "secret-of-joe")?;
    let path = data_file(node.place(), "access/users.toml");
    let kept = std::fs::read(&path)?;
    std::fs::write(&path, "# nobody\n")?;
    let id = i32::try_from(node.id())?;
    let id = rustix::process::Pid::from_raw(id).context("no process id")?;
    rustix::process::kill_process(id, Signal::HUP)?;
    crate::eventually(|| Ok(login(node.mqtt(), "joe", "secret-of-joe")?.contains(REFUSED_PASSWORD)))?;
    std::fs::write(&path, kept)?;
    rustix::process::kill_process(id, Signal::HUP)?;
    crate::eventually(|| Ok(login(node.mqtt(), "joe", "secret-of-joe")?.is_empty()))
}

/// What can happen to a file.
const DAMAGES: [(&str, Option<&[u8]>); 4] =
    [("deleted", None), ("emptied", Some(b"")), ("garbled", Some(b"\xff\x00[[[")), ("cut", Some(b"[users.joe"))];

#[test]
fn damaged_files_keep_newcomers_out_leave_who_is_in_and_never_stop_the_node() -> anyhow::Result<()> {
    let place = Place::new()?;
    add_user(&place, "joe", "secret-of-joe")?;
    let mut node = place.start()?;
    for file in ["users.toml", "rules.toml"] {
        let path = data_file(&place, &format!("access/{file}"));
        let good = std::fs::read(&path)?;
        let mut session = Session::start(node.mqtt(), "inside", &joe(&["news/#"]))?;
        session.is_in()?;
        for (what, content) in DAMAGES {
            match content {
                None => std::fs::remove_file(&path)?,
                Some(content) => std::fs::write(&path, content)?,
            }
            let told = fails(&place, &["reload"])?;
            ensure!(told.contains(file), "{file} {what}: {told}");
            let refused = login(node.mqtt(), "joe", "secret-of-joe")?;
            ensure!(refused.contains(UNAVAILABLE), "{file} {what}: {refused}");
            let detail = part(&node, "access")?;
            ensure!(detail.contains("REFUSED") && detail.contains(file), "{file} {what}: {detail}");
        }
        std::fs::write(&path, &good)?;
        succeeds(&place, &["reload"])?;
        assert_eq!(login(node.mqtt(), "joe", "secret-of-joe")?, "");
        publish(node.mqtt(), "news/mended")?;
        session.gets("news/mended")?;
        // `selvedge check` says so before a start.
        std::fs::write(&path, "[[[")?;
        std::fs::write(place.folder().join("empty.toml"), "")?;
        let told = fails(&place, &["check", "--config", "empty.toml"])?;
        ensure!(told.contains(file) && told.contains("line 1"), "{told}");
        // A node that starts with a damaged file runs, and lets nobody in who needs it.
        std::fs::remove_file(&path)?;
        ensure!(node.stop()?.success());
        node = place.start()?;
        ensure!(login(node.mqtt(), "joe", "secret-of-joe")?.contains(UNAVAILABLE), "{file}");
        std::fs::write(&path, &good)?;
        succeeds(&place, &["reload"])?;
        assert_eq!(login(node.mqtt(), "joe", "secret-of-joe")?, "");
    }
    Ok(())
}

#[test]
fn a_flood_of_wrong_passwords_closes_its_address_and_no_other() -> anyhow::Result<()> {
    let node = Node::start()?;
    add_user(node.place(), "joe", "secret-of-joe")?;
    let from = |address: &str, password: &str| -> anyhow::Result<bool> {
        let flags = ["-A", address, "-u", "joe", "-P", password, "-t", "flood", "-m", "x"];
        Ok(mosquitto_pub(node.mqtt(), &flags)?.status.success())
    };
    for _ in 0..12 {
        ensure!(!from("127.0.0.1", "wrong")?);
    }
    ensure!(!from("127.0.0.1", "secret-of-joe")?, "the address is not closed");
    ensure!(from("127.0.0.2", "secret-of-joe")?, "another address is closed, too");
    let metrics = http::get(node.http(), "/metrics")?.body;
    let throttled = metrics
        .lines()
        .find_map(|line| line.strip_prefix("selvedge_logins_total{kind=\"password\",result=\"throttled\"} "))
        .context("no metric")?;
    ensure!(throttled.parse::<u64>()? >= 1, "{throttled}");
    Ok(())
}

#[test]
fn a_function_is_called_with_a_login_unless_its_route_is_public() -> anyhow::Result<()> {
    let place = Place::new()?;
    add_user(&place, "joe", "secret-of-joe")?;
    let (_node, _, http) = exposed(&place)?;
    let source = selvedge_tests::installed::repository_file("functions/tests/guests/answering");
    let folder = tempfile::tempdir()?;
    let manifest = std::fs::read_to_string(source.join("function.toml"))?;
    let public = "[[trigger]]\nhttp = \"/open\"\nauth = \"public\"\n\n[limits]";
    std::fs::write(folder.path().join("function.toml"), manifest.replacen("[limits]", public, 1))?;
    std::fs::copy(source.join("answering.wasm"), folder.path().join("answering.wasm"))?;
    succeeds(&place, &["fn", "deploy", &folder.path().to_string_lossy()])?;
    let call = |method: &str, path: &str, credentials: &str| -> anyhow::Result<u16> {
        let authorization = match credentials {
            "" => String::new(),
            credentials => format!("authorization: Basic {}\r\n", STANDARD.encode(credentials)),
        };
        let body = if method == "GET" { "" } else { "respond 200" };
        Ok(selvedge_tests::http::send(http, method, &format!("/fn/answering{path}"), &authorization, body)?.status)
    };
    assert_eq!(call("POST", "/open", "")?, 200);
    assert_eq!(call("POST", "/orders/7", "")?, 401);
    assert_eq!(call("POST", "/orders/7", "joe:wrong")?, 401);
    assert_eq!(call("POST", "/nothing", "")?, 401, "what there is, is not told");
    assert_eq!(call("POST", "/nothing", "joe:secret-of-joe")?, 404);
    let reads = "[[rule]]\napi = [\"read\"]\n";
    std::fs::write(data_file(&place, "access/rules.toml"), reads)?;
    succeeds(&place, &["reload"])?;
    assert_eq!(call("GET", "/orders/7", "joe:secret-of-joe")?, 200);
    assert_eq!(call("POST", "/orders/7", "joe:secret-of-joe")?, 403);
    std::fs::write(data_file(&place, "access/rules.toml"), "[[rule]]\napi = [\"read\", \"write\"]\n")?;
    succeeds(&place, &["reload"])?;
    assert_eq!(call("POST", "/orders/7", "joe:secret-of-joe")?, 200);
    Ok(())
}
