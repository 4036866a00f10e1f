//! Section 3.15: the packet of an enhanced authentication.

use anyhow::ensure;
use selvedge_tests::client_packet::{Connect, auth, text};
use selvedge_tests::scram::METHOD;
use selvedge_tests::server_packet::{ServerPacket, properties};

use crate::registry::section;
use crate::scram_login::{Login, PASSWORD, USER};
use crate::target::Target;

section! {
    "3.15 AUTH";
    an_auth_with_flags_is_malformed => V5["MQTT-3.15.1-1", "MQTT-2.1.3-1"];
    the_servers_auth_goes_on_or_succeeds => V5["MQTT-3.15.2-1"];
    an_auth_with_a_reason_code_of_another_packet_ends_the_connection => V5["MQTT-3.15.2-1"];
    an_auth_without_a_method_ends_the_connection => V5["MQTT-4.12.0-5"];
    an_auth_fits_the_smallest_room => V5["MQTT-3.15.2-2", "MQTT-3.15.2-3"];
}

fn an_auth_with_flags_is_malformed(target: &Target) -> anyhow::Result<()> {
    for flags in 0x01..=0x0F {
        let mut peer = target.v5(&format!("a{flags}"))?;
        let mut bytes = auth(0x19, &text(properties::AUTHENTICATION_METHOD, METHOD));
        bytes[0] |= flags;
        peer.send(&bytes)?;
        peer.expect_closed(&[0x81])?;
    }
    Ok(())
}

fn the_servers_auth_goes_on_or_succeeds(target: &Target) -> anyhow::Result<()> {
    let target = target.with_user(USER, PASSWORD)?;
    let (mut peer, _) = Login::new(&target).connect(Connect::v5(target.id("a")))?;
    // In CONNECT's exchange it went on (which `connect` checks); an exchange of its own ends with success.
    Login::new(&target).again(&mut peer)?;
    peer.expect_nothing()
}

fn an_auth_with_a_reason_code_of_another_packet_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let target = target.with_user(USER, PASSWORD)?;
    for (index, reason) in [0x01, 0x04, 0x87, 0x8C].into_iter().enumerate() {
        let (mut peer, _) = Login::new(&target).connect(Connect::v5(target.id(&format!("a{index}"))))?;
        peer.send(&auth(reason, &text(properties::AUTHENTICATION_METHOD, METHOD)))?;
        peer.expect_closed(&[0x81, 0x82])?;
    }
    Ok(())
}

fn an_auth_without_a_method_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let target = target.with_user(USER, PASSWORD)?;
    // In words, and in the form of no bytes, which is a success that nobody waits for.
    for (index, bytes) in [auth(0x19, &[]), vec![0xF0, 0x00]].iter().enumerate() {
        let (mut peer, _) = Login::new(&target).connect(Connect::v5(target.id(&format!("a{index}"))))?;
        peer.send(bytes)?;
        peer.expect_closed(&[0x81, 0x82])?;
    }
    Ok(())
}

fn an_auth_fits_the_smallest_room(target: &Target) -> anyhow::Result<()> {
    let target = target.with_user(USER, PASSWORD)?;
    let login = Login::new(&target);
    let mut peer = target.open()?;
    peer.send_connect(&login.begin(Connect::v5(target.id("a"))))?;
    let ServerPacket::Auth(step) = peer.receive()? else { anyhow::bail!("expected AUTH") };
    let data = step.properties.binary(properties::AUTHENTICATION_DATA).map_or(0, <[u8]>::len);
    // Header, reason, property length, method and data: all of them are needed, so with less there is no AUTH at all.
    let whole = 2 + 1 + 1 + 3 + METHOD.len() + 3 + data;
    for (room, fits) in [(whole, true), (whole - 1, false)] {
        let connect = login.begin(Connect::v5(target.id("b")).packet_bytes_max(u32::try_from(room)?));
        let mut peer = target.open()?;
        peer.send_connect(&connect)?;
        // Whatever comes is held to the limit.
        match peer.receive_or_end()? {
            Some(ServerPacket::Auth(_)) => ensure!(fits, "an AUTH within {room} bytes"),
            Some(ServerPacket::ConnAck(connack)) => ensure!(!fits && connack.reason >= 0x80, "{connack:?}"),
            None => ensure!(!fits, "the end instead of an AUTH of {room} bytes"),
            Some(other) => anyhow::bail!("expected AUTH, got {other:?}"),
        }
    }
    Ok(())
}
