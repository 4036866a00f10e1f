//! TLS and secure WebSocket with third-party clients: certificates of the box, of clients, withdrawn ones, and files that change
//! while clients are connected.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use selvedge_tests::node::{Node, Place};
use serde_json::{Value, json};

use crate::logins::{Session, data_file, fails, local, mosquitto_pub, openssl, part, said, succeeds};

const BOTH: &str = "[mqtts]\nlisten = \"127.0.0.1:0\"\n[secure_websocket]\nlisten = \"127.0.0.1:0\"\n";

/// A node with both encrypted listeners that asks for client certificates so, and certificates for these clients.
fn node(client_certificates: &str, clients: &[&str]) -> anyhow::Result<Node> {
    let place = Place::with_configuration(&format!("{BOTH}[tls]\nclient_certificates = '{client_certificates}'\n"))?;
    succeeds(&place, &["cert", "create"])?;
    for client in clients {
        succeeds(&place, &["cert", "create", "--client", client])?;
    }
    place.start()
}

fn mqtts(node: &Node) -> anyhow::Result<SocketAddr> {
    node.mqtts().context("no MQTT over TLS")
}

fn tls_file(place: &Place, name: &str) -> String {
    data_file(place, &format!("tls/{name}")).display().to_string()
}

/// Publishes with these files; mosquitto's words, empty when it succeeds.
fn publish(node: &Node, client: Option<&str>, topic: &str) -> anyhow::Result<String> {
    let place = node.place();
    let mut flags = vec!["--cafile".to_owned(), tls_file(place, "ca.pem")];
    if let Some(client) = client {
        let file = |kind: &str| tls_file(place, &format!("clients/{client}.{kind}"));
        flags.extend(["--cert".to_owned(), file("pem"), "--key".to_owned(), file("key")]);
    }
    flags.extend(["-t", topic, "-m", "x"].map(str::to_owned));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let output = mosquitto_pub(mqtts(node)?, &flags)?;
    Ok(if output.status.success() { String::new() } else { said(&output) })
}

fn session(node: &Node, transport: &str, client: Option<&str>, filters: &[&str]) -> anyhow::Result<Session> {
    let address =
        if transport == "ws" { node.secure_websocket().context("no WebSocket over TLS")? } else { mqtts(node)? };
    let place = node.place();
    let mut wanted = json!({ "transport": transport, "ca": tls_file(place, "ca.pem"), "filters": filters });
    if let Some(client) = client {
        wanted["cert"] = json!(tls_file(place, &format!("clients/{client}.pem")));
        wanted["key"] = json!(tls_file(place, &format!("clients/{client}.key")));
    }
    Session::start(address, &format!("{transport}-{}", client.unwrap_or("nobody")), &wanted)
}

#[test]
fn a_person_without_an_authority_has_tls_with_two_commands() -> anyhow::Result<()> {
    let place = Place::with_configuration(BOTH)?;
    let refused = fails(&place, &["run", "--json", "--config", "selvedge.toml"])?;
    for part in ["tls.certificate", "selvedge cert create"] {
        ensure!(refused.contains(part), "{part:?} is missing in {refused}");
    }
    let made = succeeds(&place, &["cert", "create", "--name", "gw.example.com"])?;
    ensure!(made.contains("--cafile") && made.contains("gw.example.com"), "{made}");
    ensure!(fails(&place, &["cert", "create"])?.contains("cert renew"));
    let node = place.start()?;
    let mut subscriber = session(&node, "tcp", None, &["news/#"])?;
    let mut on_websocket = session(&node, "ws", None, &["news/#"])?;
    subscriber.is_in()?;
    on_websocket.is_in()?;
    assert_eq!(publish(&node, None, "news/1")?, "");
    subscriber.gets("news/1")?;
    on_websocket.gets("news/1")?;
    let port = mqtts(&node)?.port().to_string();
    let ca = tls_file(&place, "ca.pem");
    succeeds(&place, &["pub", "-p", &port, "-t", "news/2", "-m", "x", "-q", "1", "--cafile", &ca])?;
    subscriber.gets("news/2")?;
    succeeds(&place, &["pub", "-p", &port, "-t", "news/3", "-m", "x", "-q", "1", "--insecure"])?;
    subscriber.gets("news/3")?;
    // A client that does not know the authority does not believe the node.
    let other = Place::new()?;
    succeeds(&other, &["cert", "create"])?;
    let refused = fails(&place, &["pub", "-p", &port, "-t", "a", "-m", "x", "--cafile", &tls_file(&other, "ca.pem")])?;
    ensure!(refused.contains("certificate"), "{refused}");
    let refused = fails(&place, &["pub", "-p", &port, "-t", "a", "-m", "x"])?;
    ensure!(refused.contains("speaks TLS on this port") && refused.contains("--cafile"), "{refused}");
    Ok(())
}

#[test]
fn openssl_agrees_with_what_was_made() -> anyhow::Result<()> {
    let Some(openssl) = openssl("certificates") else { return Ok(()) };
    let place = Place::new()?;
    succeeds(&place, &["cert", "create"])?;
    succeeds(&place, &["cert", "create", "--client", "pump-1"])?;
    succeeds(&place, &["cert", "renew", "--ca", "--name", "later.example.com"])?;
    let run = |words: &[&str]| -> anyhow::Result<String> {
        let output = Command::new(&openssl).args(words).output()?;
        ensure!(output.status.success(), "openssl {words:?}: {}", said(&output));
        Ok(said(&output))
    };
    let ca = tls_file(&place, "ca.pem");
    let (server, client) = (tls_file(&place, "server.pem"), tls_file(&place, "clients/pump-1.pem"));
    run(&[
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-verify_hostname",
        "localhost",
        "-CAfile",
        &ca,
        &server,
    ])?;
    run(&["verify", "-verify_hostname", "later.example.com", "-CAfile", &ca, &server])?;
    run(&["verify", "-verify_ip", "127.0.0.1", "-CAfile", &ca, &server])?;
    run(&["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", &ca, &client])?;
    succeeds(&place, &["cert", "revoke", "pump-1"])?;
    let crl = tls_file(&place, "crl.pem");
    ensure!(run(&["crl", "-in", &crl, "-CAfile", &ca, "-noout"])?.contains("verify OK"));
    let output =
        Command::new(&openssl).args(["verify", "-crl_check", "-CRLfile", &crl, "-CAfile", &ca, &client]).output()?;
    ensure!(said(&output).contains("revoked"), "{}", said(&output));
    let shown: Value = serde_json::from_str(&succeeds(&place, &["cert", "show", "--json", &server])?)?;
    let serial = run(&["x509", "-in", &server, "-noout", "-serial"])?;
    let ours = shown[0]["serial"].as_str().context("no serial number")?.replace(':', "").to_uppercase();
    ensure!(serial.contains(&ours), "{serial} is not {ours}");
    ensure!(shown[0]["days_left"].as_i64().is_some_and(|days| (728..=730).contains(&days)), "{shown}");
    Ok(())
}

#[test]
fn a_certificate_is_a_login_on_both_transports() -> anyhow::Result<()> {
    let node = node("required", &["pump-1"])?;
    let rules = "[[rule]]\nusers = [\"pump-1\"]\npublish = [\"own/%u/#\"]\nsubscribe = [\"own/%u/#\"]\n";
    std::fs::write(data_file(node.place(), "access/rules.toml"), rules)?;
    succeeds(node.place(), &["reload"])?;
    for transport in ["tcp", "ws"] {
        let mut own = session(&node, transport, Some("pump-1"), &["own/pump-1/#"])?;
        own.is_in()?;
        assert_eq!(publish(&node, Some("pump-1"), "own/pump-1/t")?, "");
        own.gets("own/pump-1/t")?;
        let mut foreign = session(&node, transport, Some("pump-1"), &["own/pump-2/#"])?;
        foreign.expect("disconnected").or_else(|_| foreign.expect("subscribed")).map(drop)?;
    }
    ensure!(!publish(&node, None, "a")?.is_empty(), "a client without a certificate comes in");
    let event = session(&node, "ws", None, &[])?.next()?;
    ensure!(event["event"] == "failed" || event["event"] == "disconnected", "{event}");
    Ok(())
}

#[test]
fn a_withdrawn_certificate_ends_its_connection_and_no_other() -> anyhow::Result<()> {
    let node = node("optional", &["bad", "good"])?;
    let (mut bad, mut good) =
        (session(&node, "tcp", Some("bad"), &["n/#"])?, session(&node, "ws", Some("good"), &["n/#"])?);
    bad.is_in()?;
    good.is_in()?;
    succeeds(node.place(), &["cert", "revoke", "bad"])?;
    assert_eq!(bad.expect("disconnected")?["code"], 0x87);
    ensure!(!publish(&node, Some("bad"), "n/1")?.is_empty(), "a withdrawn certificate comes in");
    assert_eq!(publish(&node, Some("good"), "n/2")?, "");
    good.gets("n/2")?;
    // Without the list nobody knows what was withdrawn: certificates are no logins until it is back.
    let list = data_file(node.place(), "tls/crl.pem");
    let kept = std::fs::read(&list)?;
    for content in [None, Some(&b""[..]), Some(b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n")] {
        match content {
            None => std::fs::remove_file(&list)?,
            Some(content) => std::fs::write(&list, content)?,
        }
        ensure!(fails(node.place(), &["reload"])?.contains("crl.pem"));
        for client in ["good", "bad"] {
            ensure!(!publish(&node, Some(client), "n/3")?.is_empty(), "{client} comes in without a list");
        }
        assert_eq!(publish(&node, None, "n/4")?, "", "who shows no certificate does not need the list");
        good.gets("n/4")?;
    }
    std::fs::write(&list, kept)?;
    succeeds(node.place(), &["reload"])?;
    assert_eq!(publish(&node, Some("good"), "n/5")?, "");
    good.gets("n/5")
}

/// Serial number of the certificate that is shown at an address.
fn shown_serial(openssl: &Path, address: SocketAddr) -> anyhow::Result<String> {
    let address = local(address).to_string();
    let script = format!(
        "'{0}' s_client -connect {address} </dev/null 2>/dev/null | '{0}' x509 -noout -serial",
        openssl.display()
    );
    let output = Command::new("sh").args(["-c", &script]).output()?;
    ensure!(output.status.success(), "{}", said(&output));
    Ok(said(&output))
}

#[test]
fn certificates_are_exchanged_while_clients_stay() -> anyhow::Result<()> {
    let Some(openssl) = openssl("exchange of certificates") else { return Ok(()) };
    let node = node("off", &[])?;
    let (mut tcp, mut websocket) = (session(&node, "tcp", None, &["n/#"])?, session(&node, "ws", None, &["n/#"])?);
    tcp.is_in()?;
    websocket.is_in()?;
    let before = shown_serial(&openssl, mqtts(&node)?)?;
    succeeds(node.place(), &["cert", "renew"])?;
    succeeds(node.place(), &["reload"])?;
    let after = shown_serial(&openssl, mqtts(&node)?)?;
    ensure!(before != after, "the old certificate is shown still");
    // What cannot be used leaves the last good one.
    for (file, content) in [("server.pem", &b""[..]), ("server.key", b"garbage"), ("server.pem", b"\xff\xfe")] {
        let path = data_file(node.place(), &format!("tls/{file}"));
        let kept = std::fs::read(&path)?;
        std::fs::write(&path, content)?;
        let told = fails(node.place(), &["reload"])?;
        ensure!(told.contains(file), "{told}");
        assert_eq!(shown_serial(&openssl, mqtts(&node)?)?, after);
        std::fs::write(&path, kept)?;
    }
    succeeds(node.place(), &["reload"])?;
    // A new authority altogether: clients that are connected do not notice.
    succeeds(node.place(), &["cert", "create", "--force"])?;
    succeeds(node.place(), &["reload"])?;
    assert_eq!(publish(&node, None, "n/1")?, "");
    tcp.gets("n/1")?;
    websocket.gets("n/1")
}

#[test]
fn a_clock_that_is_behind_does_not_make_old_certificates_good() -> anyhow::Result<()> {
    let node = node("required", &["pump-1"])?;
    assert_eq!(publish(&node, Some("pump-1"), "a")?, "");
    let place = node.kill()?;
    // The node remembers a time after the end of all certificates; the system's clock is behind it.
    let latest = data_file(&place, "latest-time");
    let now_s: u64 = std::fs::read_to_string(&latest)?.trim().parse()?;
    std::fs::write(&latest, (now_s + 3 * 366 * 24 * 3600).to_string())?;
    let node = place.start()?;
    ensure!(!publish(&node, Some("pump-1"), "a")?.is_empty(), "an expired certificate comes in");
    ensure!(part(&node, "clock")?.contains("not trusted"));
    ensure!(part(&node, "tls")?.contains("EXPIRED"));
    let shown = succeeds(&place, &["cert", "show"])?;
    ensure!(shown.contains("EXPIRED"), "{shown}");
    // What is made now counts, by the node's time and by everybody else's.
    succeeds(&place, &["cert", "create", "--client", "pump-2"])?;
    succeeds(&place, &["cert", "renew"])?;
    succeeds(&place, &["reload"])?;
    assert_eq!(publish(&node, Some("pump-2"), "a")?, "");
    // The remedy for a clock that was once far ahead.
    let place = node.kill()?;
    std::fs::remove_file(&latest)?;
    let node = place.start()?;
    for client in ["pump-1", "pump-2"] {
        assert_eq!(publish(&node, Some(client), "a")?, "", "{client}");
    }
    Ok(())
}
