//! Section 4.12: logging in by more than a password in CONNECT, shown with SCRAM-SHA-256.

use anyhow::ensure;
use selvedge_tests::client::Version;
use selvedge_tests::client_packet::{Connect, Publish, auth, text};
use selvedge_tests::scram::METHOD;
use selvedge_tests::server_packet::properties;

use crate::registry::section;
use crate::scram_login::{Login, PASSWORD, USER, expect_step, step};
use crate::target::Target;

section! {
    "4.12 Enhanced authentication";
    a_method_that_the_server_does_not_have_is_refused => V5["MQTT-4.12.0-1", "MQTT-3.2.2-7"];
    the_server_asks_for_more_with_auth => V5["MQTT-4.12.0-2", "MQTT-4.12.0-5"];
    a_client_has_to_go_on_as_the_exchange_does => V5["MQTT-4.12.0-3", "MQTT-4.12.0-5"];
    a_client_that_fails_is_refused_at_any_point => V5["MQTT-4.12.0-4", "MQTT-3.2.2-7"];
    nothing_but_auth_is_heard_before_the_connack => V5["MQTT-3.1.2-30", "MQTT-3.1.4-6"];
    without_a_method_there_is_no_auth => V5["MQTT-4.12.0-6", "MQTT-4.12.0-7"];
    a_client_can_authenticate_again_while_it_is_served => V5["MQTT-4.12.1-1", "MQTT-4.12.0-5"];
    authenticating_again_by_another_method_ends_the_connection => V5["MQTT-4.12.1-1"];
    failing_to_authenticate_again_ends_the_connection => V5["MQTT-4.12.1-2"];
    a_proof_is_good_for_one_login => V5["MQTT-4.12.0-4"];
}

fn a_method_that_the_server_does_not_have_is_refused(target: &Target) -> anyhow::Result<()> {
    for (name, data) in [("a", None), ("b", Some(&b"data"[..]))] {
        let connect = Connect::v5(target.id(name)).authentication("NO-SUCH-METHOD", data);
        let (mut peer, connack) = target.try_connect(&connect)?;
        ensure!([0x8C, 0x87].contains(&connack.reason), "{connack:?}");
        peer.expect_silent_end()?;
    }
    Ok(())
}

fn the_server_asks_for_more_with_auth(target: &Target) -> anyhow::Result<()> {
    let target = target.with_user(USER, PASSWORD)?;
    // The method in each AUTH and in CONNACK is checked by the rules of the peer.
    let (mut peer, connack) = Login::new(&target).connect(Connect::v5(target.id("a")))?;
    ensure!(connack.properties.text(properties::AUTHENTICATION_METHOD) == Some(METHOD), "{connack:?}");
    peer.expect_nothing()
}

fn a_client_has_to_go_on_as_the_exchange_does(target: &Target) -> anyhow::Result<()> {
    let target = target.with_user(USER, PASSWORD)?;
    let method = text(properties::AUTHENTICATION_METHOD, METHOD);
    let other = text(properties::AUTHENTICATION_METHOD, "SCRAM-SHA-1");
    for (index, wrong) in
        [auth(0x19, &method), auth(0x00, &method), auth(0x18, &other), auth(0x18, &[])].iter().enumerate()
    {
        let (mut peer, _) = Login::new(&target).open(Connect::v5(target.id(&format!("a{index}"))))?;
        peer.send(wrong)?;
        peer.expect_closed(&[0x81, 0x82, 0x87, 0x8C])?;
    }
    Ok(())
}

fn a_client_that_fails_is_refused_at_any_point(target: &Target) -> anyhow::Result<()> {
    let target = target.with_user(USER, PASSWORD)?;
    // With its first message.
    for (index, first) in
        [&b""[..], b"nonsense", b"n,,n=,r=abc", b"p=tls-unique,,n=sam,r=abcdefghijkl"].iter().enumerate()
    {
        let connect = Connect::v5(target.id(&format!("a{index}"))).authentication(METHOD, Some(first));
        let (mut peer, connack) = target.try_connect(&connect)?;
        ensure!(connack.reason >= 0x80, "{connack:?} for {:?}", String::from_utf8_lossy(first));
        peer.expect_silent_end()?;
    }
    // With its proof: a wrong password, nobody of that name, and nonsense. All get as far as each other.
    let right = Login::new(&target);
    for (name, login) in [("b", Login::with(&target, USER, "wrong")), ("c", Login::with(&target, "nobody", PASSWORD))] {
        let (mut peer, proof) = login.open(Connect::v5(target.id(name)))?;
        peer.send(&step(&proof.message))?;
        let connack = peer.expect_connack()?;
        ensure!([0x86, 0x87].contains(&connack.reason), "{name}: {connack:?}");
        peer.expect_silent_end()?;
    }
    for (index, message) in [&b""[..], b"c=biws,r=abc,p=AAAA", b"\xFF\xFF"].iter().enumerate() {
        let (mut peer, _) = right.open(Connect::v5(target.id(&format!("d{index}"))))?;
        peer.send(&step(message))?;
        let connack = peer.expect_connack()?;
        ensure!(connack.reason >= 0x80, "{connack:?}");
        peer.expect_silent_end()?;
    }
    Ok(())
}

fn nothing_but_auth_is_heard_before_the_connack(target: &Target) -> anyhow::Result<()> {
    let target = target.with_user(USER, PASSWORD)?;
    let topic = target.topic("t");
    let mut watcher = target.v5("w")?;
    watcher.subscribe(&topic, 0)?;
    for (name, early) in [("a", Publish::new(&topic, "early").bytes(Version::V5)), ("b", vec![0xC0, 0x00])] {
        let login = Login::new(&target);
        let (mut peer, proof) = login.open(Connect::v5(target.id(name)))?;
        peer.send(&[early, step(&proof.message)].concat())?;
        peer.expect_closed(&[0x81, 0x82])?;
    }
    watcher.expect_nothing()
}

fn without_a_method_there_is_no_auth(target: &Target) -> anyhow::Result<()> {
    // What the server may not send is checked by the rules of the peer.
    let mut peer = target.v5("a")?;
    peer.expect_nothing()?;
    peer.send(&auth(0x19, &text(properties::AUTHENTICATION_METHOD, METHOD)))?;
    peer.expect_closed(&[0x82])?;
    let mut peer = target.v5("b")?;
    peer.send(&auth(0x18, &text(properties::AUTHENTICATION_METHOD, METHOD)))?;
    peer.expect_closed(&[0x82])
}

fn a_client_can_authenticate_again_while_it_is_served(target: &Target) -> anyhow::Result<()> {
    let target = target.with_user(USER, PASSWORD)?;
    let login = Login::new(&target);
    let (mut peer, _) = login.connect(Connect::v5(target.id("a")))?;
    let topic = target.topic("t");
    peer.subscribe(&topic, 1)?;
    for round in 0..2 {
        login.again(&mut peer)?;
        peer.publish(&Publish::new(&topic, round.to_string()).qos(1, 1))?;
        let message = peer.expect_message(round.to_string())?;
        peer.acknowledge(&message)?;
    }
    // In the middle of it other packets go on.
    peer.send(&login.begin_again())?;
    let proof = login.proof(&expect_step(&mut peer)?)?;
    peer.publish(&Publish::new(&topic, "meanwhile").qos(1, 2))?;
    let message = peer.expect_message("meanwhile")?;
    peer.acknowledge(&message)?;
    peer.send(&step(&proof.message))?;
    let last = peer.receive()?;
    ensure!(last.name() == "AUTH", "expected AUTH, got {last:?}");
    peer.expect_nothing()
}

fn authenticating_again_by_another_method_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let target = target.with_user(USER, PASSWORD)?;
    for (index, method) in ["SCRAM-SHA-1", "scram-sha-256", ""].iter().enumerate() {
        let (mut peer, _) = Login::new(&target).connect(Connect::v5(target.id(&format!("a{index}"))))?;
        peer.send(&auth(0x19, &text(properties::AUTHENTICATION_METHOD, method)))?;
        peer.expect_closed(&[0x82])?;
    }
    Ok(())
}

fn failing_to_authenticate_again_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let target = target.with_user(USER, PASSWORD)?;
    let (mut peer, _) = Login::new(&target).connect(Connect::v5(target.id("a")))?;
    let wrong = Login::with(&target, USER, "wrong");
    peer.send(&wrong.begin_again())?;
    let proof = wrong.proof(&expect_step(&mut peer)?)?;
    peer.send(&step(&proof.message))?;
    peer.expect_closed(&[0x87])?;
    // An answer to a question that nobody asked.
    let (mut peer, _) = Login::new(&target).connect(Connect::v5(target.id("b")))?;
    peer.send(&step(b"nonsense"))?;
    peer.expect_closed(&[0x82])
}

fn a_proof_is_good_for_one_login(target: &Target) -> anyhow::Result<()> {
    let target = target.with_user(USER, PASSWORD)?;
    let login = Login::new(&target);
    let (mut first, proof) = login.open(Connect::v5(target.id("a")))?;
    first.send(&step(&proof.message))?;
    ensure!(first.expect_connack()?.reason == 0, "the first login is refused");
    // The same messages again, as somebody who listened would send them.
    let (mut second, _) = login.open(Connect::v5(target.id("b")))?;
    second.send(&step(&proof.message))?;
    let connack = second.expect_connack()?;
    ensure!(connack.reason >= 0x80, "a proof is taken twice");
    second.expect_silent_end()
}
