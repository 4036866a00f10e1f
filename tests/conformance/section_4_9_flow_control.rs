//! Section 4.9: how many messages may be under way.

use anyhow::ensure;
use selvedge_tests::client::Version;
use selvedge_tests::client_packet::{Connect, Publish, ack, subscribe, unsubscribe};
use selvedge_tests::server_packet::{ServerPacket, properties};

use crate::registry::section;
use crate::target::Target;

section! {
    "4.9 Flow Control";
    the_server_sends_as_many_as_it_may_and_no_more => V5["MQTT-4.9.0-1", "MQTT-4.9.0-2", "MQTT-3.3.4-9"];
    each_end_of_an_exchange_makes_room_for_one => V5["MQTT-4.9.0-2"];
    everything_else_goes_on_without_quota => V5["MQTT-4.9.0-3", "MQTT-3.3.4-10"];
    the_window_holds_for_what_is_sent_again => V5["MQTT-4.9.0-2", "MQTT-3.3.4-9"];
    a_client_may_use_the_whole_receive_maximum_of_the_server_and_no_more => V5["MQTT-4.9.0-1", "MQTT-3.3.4-7"];
}

fn the_server_sends_as_many_as_it_may_and_no_more(target: &Target) -> anyhow::Result<()> {
    let mut publisher = target.v5("p")?;
    for most in [1_u16, 2, 7] {
        let topic = target.topic(&most.to_string());
        let mut peer = target.connect(&Connect::v5(target.id("a")).receive_maximum(most))?;
        peer.subscribe(&topic, 2)?;
        for number in 0..most + 3 {
            publisher.publish(&Publish::new(&topic, number.to_string()).qos(1 + u8::try_from(number % 2)?, 1))?;
        }
        let sent = peer.until_pong()?.len();
        ensure!(sent == usize::from(most), "{sent} messages under way, allowed are {most}");
    }
    Ok(())
}

fn each_end_of_an_exchange_makes_room_for_one(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut publisher = target.v5("p")?;
    let mut peer = target.connect(&Connect::v5(target.id("a")).receive_maximum(1))?;
    peer.subscribe(&topic, 2)?;
    for number in 0..5 {
        publisher.publish(&Publish::new(&topic, number.to_string()).qos([1, 2, 2, 1, 1][number], 1))?;
    }
    let first = peer.expect_message("0")?.packet_id.unwrap_or_default();
    peer.expect_nothing()?;
    peer.puback(first)?;
    let second = peer.expect_message("1")?.packet_id.unwrap_or_default();
    // A PUBREC is not the end of it.
    peer.pubrec(second)?;
    peer.expect_pubrel(second)?;
    peer.expect_nothing()?;
    peer.pubcomp(second)?;
    // One that refuses is.
    let third = peer.expect_message("2")?.packet_id.unwrap_or_default();
    peer.refuse(0x50, third, 0x80)?;
    let fourth = peer.expect_message("3")?.packet_id.unwrap_or_default();
    // The quota does not grow beyond its start: an acknowledgement of nothing makes no room.
    peer.send(&ack(0x40, third))?;
    peer.send(&ack(0x70, second))?;
    peer.expect_nothing()?;
    peer.refuse(0x40, fourth, 0x83)?;
    let fifth = peer.expect_message("4")?;
    peer.acknowledge(&fifth)?;
    peer.expect_nothing()
}

fn everything_else_goes_on_without_quota(target: &Target) -> anyhow::Result<()> {
    let (full, other) = (target.topic("full"), target.topic("other"));
    let mut publisher = target.v5("p")?;
    let mut peer = target.connect(&Connect::v5(target.id("a")).receive_maximum(1))?;
    peer.subscribe(&full, 1)?;
    for number in 0..3 {
        publisher.publish(&Publish::new(&full, number.to_string()).qos(1, 1))?;
    }
    let open = peer.expect_message("0")?;
    // All kinds of packets, both ways.
    peer.expect_nothing()?;
    peer.send(&subscribe(Version::V5, 1, &[], &[(&other, 0)]))?;
    ensure!(peer.expect_suback(1)?.reasons == [0], "SUBSCRIBE is refused");
    peer.publish(&Publish::new(&other, "qos 0"))?;
    peer.expect_message("qos 0")?;
    peer.publish(&Publish::new(&other, "qos 1").qos(1, 2))?;
    peer.expect_message("qos 1")?;
    peer.publish(&Publish::new(&other, "qos 2").qos(2, 3))?;
    peer.expect_message("qos 2")?;
    peer.send(&unsubscribe(Version::V5, 4, &[], &[&other]))?;
    ensure!(peer.expect_unsuback(4)?.reasons == [0], "UNSUBSCRIBE is refused");
    peer.expect_nothing()?;
    peer.acknowledge(&open)?;
    let payloads = peer.payloads()?;
    ensure!(payloads.first().is_some_and(|payload| payload == "1"), "{payloads:?}");
    Ok(())
}

fn the_window_holds_for_what_is_sent_again(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let connect = Connect::v5(target.id("a")).lasting();
    let mut peer = target.connect(&connect)?;
    peer.subscribe(&topic, 1)?;
    for number in 0..6 {
        peer.publish(&Publish::new(&topic, number.to_string()).qos(1, 1))?;
        peer.expect_message(number.to_string())?;
    }
    drop(peer);
    // The client has less room than before.
    let mut peer = target.connect(&connect.resuming().receive_maximum(2))?;
    let mut waiting = Vec::new();
    for packet in peer.until_pong()? {
        let ServerPacket::Publish(publish) = packet else { anyhow::bail!("expected messages, got {packet:?}") };
        waiting.push(publish);
    }
    ensure!(waiting.len() == 2, "{} messages under way, allowed are 2", waiting.len());
    for number in 2..6 {
        let message = waiting.remove(0);
        peer.acknowledge(&message)?;
        waiting.push(peer.expect_message(number.to_string())?);
    }
    for message in &waiting {
        peer.acknowledge(message)?;
    }
    peer.expect_nothing()
}

fn a_client_may_use_the_whole_receive_maximum_of_the_server_and_no_more(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let (mut peer, connack) = target.connect_and_tell(&Connect::v5(target.id("a")))?;
    let most = connack.properties.number(properties::RECEIVE_MAXIMUM).unwrap_or(65_535);
    let most = u16::try_from(most)?;
    if most > 5000 {
        return Err(target.skip("the receive maximum of this broker is too large to be filled"));
    }
    let unreleased = |id| Publish::new(&topic, "x").qos(2, id).bytes(Version::V5);
    peer.send(&(1..=most).flat_map(unreleased).collect::<Vec<u8>>())?;
    for id in 1..=most {
        let answer = peer.expect_pubrec(id)?;
        ensure!(answer.reason < 0x80, "number {id} of {most} is refused: {answer:?}");
    }
    // One released, one more.
    peer.send(&ack(0x62, 1))?;
    peer.expect_pubcomp(1)?;
    peer.send(&unreleased(most + 1))?;
    peer.expect_pubrec(most + 1)?;
    peer.send(&unreleased(most + 2))?;
    peer.expect_closed(&[0x93])
}
