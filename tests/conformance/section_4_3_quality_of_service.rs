//! Section 4.3: at most once, at least once, exactly once, with the server on either side.

use std::time::Duration;

use anyhow::ensure;
use selvedge_tests::client_packet::{Connect, Publish, ack, four_bytes};
use selvedge_tests::server_packet::properties;

use crate::registry::section;
use crate::target::Target;

section! {
    "4.3 Quality of Service levels and protocol flows";
    messages_of_qos_0_come_once_and_without_dup => V5["MQTT-4.3.1-1", "MQTT-3.3.1-2"], V311["MQTT-4.3.1-1", "MQTT-3.3.1-2"];
    each_message_in_flight_has_an_identifier_of_its_own =>
        V5["MQTT-4.3.2-1", "MQTT-4.3.2-2", "MQTT-4.3.3-1", "MQTT-4.3.3-2", "MQTT-2.2.1-4"],
        V311["MQTT-4.3.2-1", "MQTT-4.3.3-1", "MQTT-2.3.1-4"];
    a_qos_1_message_stays_unacknowledged_until_its_puback => V5["MQTT-4.3.2-3"], V311["MQTT-4.3.2-1"];
    a_qos_1_message_is_answered_with_its_identifier =>
        V5["MQTT-4.3.2-4", "MQTT-2.2.1-5"], V311["MQTT-4.3.2-2", "MQTT-2.3.1-6"];
    after_a_puback_the_identifier_is_that_of_a_new_message => V5["MQTT-4.3.2-5"], V311["MQTT-4.3.2-2", "MQTT-2.3.1-3"];
    a_qos_2_message_stays_unacknowledged_until_its_pubrec => V5["MQTT-4.3.3-3"], V311["MQTT-4.3.3-1"];
    a_pubrec_is_answered_with_pubrel => V5["MQTT-4.3.3-4", "MQTT-2.2.1-5"], V311["MQTT-4.3.3-1", "MQTT-2.3.1-6"];
    a_pubrec_that_refuses_ends_the_exchange => V5["MQTT-4.3.3-4", "MQTT-4.4.0-2"];
    a_pubrel_stays_unacknowledged_until_its_pubcomp => V5["MQTT-4.3.3-5", "MQTT-4.3.3-6"], V311["MQTT-4.3.3-1"];
    a_message_that_was_sent_does_not_expire => V5["MQTT-4.3.3-7"];
    a_qos_2_message_is_answered_with_its_identifier =>
        V5["MQTT-4.3.3-8", "MQTT-4.3.3-11"], V311["MQTT-4.3.3-2", "MQTT-2.3.1-6"];
    after_a_pubrec_that_refuses_the_identifier_is_that_of_a_new_message => V5["MQTT-4.3.3-9"];
    a_repeated_qos_2_message_is_answered_and_not_delivered_again =>
        V5["MQTT-4.3.3-10"], V311["MQTT-4.3.3-2"];
    after_a_pubcomp_the_identifier_is_that_of_a_new_message => V5["MQTT-4.3.3-12"], V311["MQTT-4.3.3-2"];
    the_exchange_goes_on_although_the_message_has_expired => V5["MQTT-4.3.3-13"];
}

fn messages_of_qos_0_come_once_and_without_dup(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let mut peer = target.peer(version, "a")?;
        peer.subscribe(&topic, 2)?;
        peer.publish(&Publish::new(&topic, "x"))?;
        let message = peer.expect_message("x")?;
        ensure!(message.qos == 0 && !message.dup && message.packet_id.is_none(), "{message:?}");
        // DUP of a message of higher QoS is not passed on where it becomes one of QoS 0.
        peer.subscribe(&topic, 0)?;
        peer.publish(&Publish::new(&topic, "y").qos(1, 1).dup())?;
        let message = peer.expect_message("y")?;
        ensure!(message.qos == 0 && !message.dup, "{message:?}");
        peer.expect_nothing()
    })
}

fn each_message_in_flight_has_an_identifier_of_its_own(target: &Target) -> anyhow::Result<()> {
    const COUNT: u16 = 15;
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let mut publisher = target.peer(version, "p")?;
        let mut peer = target.peer(version, "a")?;
        peer.subscribe(&topic, 2)?;
        let mut used = std::collections::BTreeSet::new();
        for round in 0..3 {
            let mut messages = Vec::new();
            for index in 0..COUNT {
                let qos = u8::try_from(1 + index % 2)?;
                publisher.publish(&Publish::new(&topic, format!("{round} {index}")).qos(qos, 1 + index))?;
                let message = peer.expect_message(format!("{round} {index}"))?;
                ensure!(message.qos == qos && !message.dup, "{message:?}");
                // Zero is refused by the decoder, one in use by the rules of the peer; said here once more.
                ensure!(used.insert(message.packet_id), "{:?} is in use", message.packet_id);
                messages.push(message);
            }
            // In another order than they came.
            for message in messages.iter().rev() {
                peer.acknowledge(message)?;
                used.remove(&message.packet_id);
            }
        }
        peer.expect_nothing()
    })
}

fn a_qos_1_message_stays_unacknowledged_until_its_puback(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let connect = Connect::new(version, target.id("a")).lasting();
        let mut publisher = target.peer(version, "p")?;
        let mut peer = target.connect(&connect)?;
        peer.subscribe(&topic, 1)?;
        publisher.publish(&Publish::new(&topic, "x").qos(1, 1))?;
        let first = peer.expect_message("x")?;
        drop(peer);
        let mut peer = target.connect(&connect.clone().resuming())?;
        let second = peer.expect_message("x")?;
        ensure!(second.dup && second.packet_id == first.packet_id, "first {first:?}, then {second:?}");
        peer.acknowledge(&second)?;
        peer.settle()?;
        drop(peer);
        target.connect(&connect.resuming())?.expect_nothing()
    })
}

fn a_qos_1_message_is_answered_with_its_identifier(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let mut peer = target.peer(version, "a")?;
        let ids = [1, 2, 127, 128, 255, 256, 32_768, 65_535, 3];
        let all: Vec<u8> = ids.iter().flat_map(|id| Publish::new(&topic, "x").qos(1, *id).bytes(version)).collect();
        peer.send(&all)?;
        for id in ids {
            peer.expect_puback(id)?;
        }
        peer.expect_nothing()
    })
}

fn after_a_puback_the_identifier_is_that_of_a_new_message(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let mut peer = target.peer(version, "a")?;
        peer.subscribe(&topic, 0)?;
        for publish in [Publish::new(&topic, "1"), Publish::new(&topic, "2"), Publish::new(&topic, "3").dup()] {
            peer.publish(&publish.qos(1, 4))?;
        }
        let payloads = peer.payloads()?;
        ensure!(payloads == ["1", "2", "3"], "{payloads:?}");
        Ok(())
    })
}

fn a_qos_2_message_stays_unacknowledged_until_its_pubrec(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let connect = Connect::new(version, target.id("a")).lasting();
        let mut publisher = target.peer(version, "p")?;
        let mut peer = target.connect(&connect)?;
        peer.subscribe(&topic, 2)?;
        publisher.publish(&Publish::new(&topic, "x").qos(2, 1))?;
        let first = peer.expect_message("x")?;
        let id = first.packet_id.unwrap_or_default();
        // A PUBACK is no answer to it, and ends nothing.
        peer.send(&ack(0x40, id))?;
        // Some brokers call it an error and end the connection.
        let _either = peer.until_pong();
        drop(peer);
        let mut peer = target.connect(&connect.resuming())?;
        let second = peer.expect_message("x")?;
        ensure!(second.dup && second.qos == 2 && second.packet_id == Some(id), "first {first:?}, then {second:?}");
        peer.acknowledge(&second)?;
        peer.expect_nothing()
    })
}

fn a_pubrec_is_answered_with_pubrel(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let mut peer = target.peer(version, "a")?;
        peer.subscribe(&topic, 2)?;
        let mut ids = Vec::new();
        for packet_id in 1..=5 {
            peer.publish(&Publish::new(&topic, "x").qos(2, packet_id))?;
            ids.push(peer.expect_message("x")?.packet_id.unwrap_or_default());
        }
        for id in ids.iter().rev() {
            peer.pubrec(*id)?;
            // A PUBREC that comes twice is answered twice.
            peer.pubrec(*id)?;
            for _ in 0..2 {
                let release = peer.expect_pubrel(*id)?;
                ensure!(release.reason == 0, "{release:?}");
            }
        }
        for id in ids {
            peer.pubcomp(id)?;
        }
        peer.expect_nothing()
    })
}

fn a_pubrec_that_refuses_ends_the_exchange(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let connect = Connect::v5(target.id("a")).lasting().receive_maximum(1);
    let mut peer = target.connect(&connect)?;
    peer.subscribe(&topic, 2)?;
    for reason in [0x80, 0x83, 0x97] {
        peer.publish(&Publish::new(&topic, "refused").qos(2, 1))?;
        let id = peer.expect_message("refused")?.packet_id.unwrap_or_default();
        peer.refuse(0x50, id, reason)?;
        // No PUBREL, and room for the next.
        peer.expect_nothing()?;
    }
    drop(peer);
    target.connect(&connect.resuming())?.expect_nothing()
}

fn a_pubrel_stays_unacknowledged_until_its_pubcomp(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let connect = Connect::new(version, target.id("a")).lasting();
        let mut publisher = target.peer(version, "p")?;
        let mut peer = target.connect(&connect)?;
        peer.subscribe(&topic, 2)?;
        publisher.publish(&Publish::new(&topic, "x").qos(2, 1))?;
        let id = peer.expect_message("x")?.packet_id.unwrap_or_default();
        peer.pubrec(id)?;
        peer.expect_pubrel(id)?;
        // Twice without PUBCOMP: the release is repeated, the message is not.
        for _ in 0..2 {
            drop(peer);
            peer = target.connect(&connect.clone().resuming())?;
            peer.expect_pubrel(id)?;
            peer.expect_nothing()?;
        }
        peer.pubcomp(id)?;
        peer.settle()?;
        drop(peer);
        target.connect(&connect.resuming())?.expect_nothing()
    })
}

fn a_message_that_was_sent_does_not_expire(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let connect = Connect::v5(target.id("a")).lasting();
    let mut publisher = target.v5("p")?;
    let mut peer = target.connect(&connect)?;
    peer.subscribe(&topic, 2)?;
    let expiring = |payload: &str, id| {
        Publish::new(&topic, payload).qos(2, id).property(&four_bytes(properties::MESSAGE_EXPIRY_INTERVAL, 1))
    };
    publisher.publish(&expiring("sent", 1))?;
    peer.expect_message("sent")?;
    // The broker has noticed that the client is gone when it has closed its side.
    peer.disconnect()?;
    publisher.publish(&expiring("waiting", 2))?;
    std::thread::sleep(Duration::from_millis(2200));
    // The one that was sent is sent again; the one that waited is gone.
    let mut peer = target.connect(&connect.resuming())?;
    let again = peer.expect_message("sent")?;
    ensure!(again.dup, "{again:?}");
    peer.acknowledge(&again)?;
    peer.expect_nothing()
}

fn a_qos_2_message_is_answered_with_its_identifier(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let mut peer = target.peer(version, "a")?;
        let ids = [1, 255, 256, 65_535, 2];
        let all: Vec<u8> = ids.iter().flat_map(|id| Publish::new(&topic, "x").qos(2, *id).bytes(version)).collect();
        peer.send(&all)?;
        for id in ids {
            peer.expect_pubrec(id)?;
        }
        for id in ids {
            peer.send(&ack(0x62, id))?;
            peer.expect_pubcomp(id)?;
        }
        peer.expect_nothing()
    })
}

fn after_a_pubrec_that_refuses_the_identifier_is_that_of_a_new_message(target: &Target) -> anyhow::Result<()> {
    if !target.is_product() {
        return Err(target.skip("needs a broker that refuses messages to $SYS"));
    }
    let topic = target.topic("t");
    let mut peer = target.v5("a")?;
    peer.subscribe(&topic, 0)?;
    peer.send_publish(&Publish::new("$SYS/conformance", "refused").qos(2, 7))?;
    ensure!(peer.expect_pubrec(7)?.reason >= 0x80, "a message to $SYS is taken");
    peer.publish(&Publish::new(&topic, "new").qos(2, 7).dup())?;
    peer.expect_message("new")?;
    peer.expect_nothing()
}

fn a_repeated_qos_2_message_is_answered_and_not_delivered_again(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let connect = Connect::new(version, target.id("a")).lasting();
        let mut watcher = target.peer(version, "w")?;
        watcher.subscribe(&topic, 2)?;
        let mut peer = target.connect(&connect)?;
        let publish = Publish::new(&topic, "once").qos(2, 7);
        peer.send_publish(&publish)?;
        peer.expect_pubrec(7)?;
        // With and without DUP, on this connection and on the next.
        for again in [publish.clone().dup(), publish.clone()] {
            peer.send_publish(&again)?;
            let answer = peer.expect_pubrec(7)?;
            ensure!(answer.reason < 0x80, "{answer:?}");
        }
        drop(peer);
        let mut peer = target.connect(&connect.resuming())?;
        peer.send_publish(&publish.dup())?;
        peer.expect_pubrec(7)?;
        peer.send(&ack(0x62, 7))?;
        peer.expect_pubcomp(7)?;
        let message = watcher.expect_message("once")?;
        watcher.acknowledge(&message)?;
        watcher.expect_nothing()
    })
}

fn after_a_pubcomp_the_identifier_is_that_of_a_new_message(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let mut peer = target.peer(version, "a")?;
        peer.subscribe(&topic, 0)?;
        for publish in [Publish::new(&topic, "1"), Publish::new(&topic, "2"), Publish::new(&topic, "3").dup()] {
            peer.publish(&publish.qos(2, 9))?;
        }
        let payloads = peer.payloads()?;
        ensure!(payloads == ["1", "2", "3"], "{payloads:?}");
        Ok(())
    })
}

fn the_exchange_goes_on_although_the_message_has_expired(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    // Somebody who is away, so that the message waits and expires.
    let away = Connect::v5(target.id("b")).lasting();
    let mut absent = target.connect(&away)?;
    absent.subscribe(&topic, 2)?;
    absent.disconnect()?;
    let mut peer = target.v5("a")?;
    let expiry = four_bytes(properties::MESSAGE_EXPIRY_INTERVAL, 1);
    peer.send_publish(&Publish::new(&topic, "x").qos(2, 3).property(&expiry))?;
    peer.expect_pubrec(3)?;
    std::thread::sleep(Duration::from_millis(2200));
    // The repetition is answered as if nothing had happened, and so is the release.
    peer.send_publish(&Publish::new(&topic, "x").qos(2, 3).property(&expiry).dup())?;
    peer.expect_pubrec(3)?;
    peer.send(&ack(0x62, 3))?;
    let end = peer.expect_pubcomp(3)?;
    ensure!(end.reason == 0, "{end:?}");
    target.connect(&away.resuming())?.expect_nothing()
}
