//! Section 4.6: messages of one publisher to one topic keep their order.

use anyhow::ensure;
use selvedge_tests::client::Version;
use selvedge_tests::client_packet::{Connect, Publish};

use crate::registry::section;
use crate::target::Target;

section! {
    "4.6 Message ordering";
    messages_of_each_publisher_come_in_their_order =>
        V5["MQTT-4.6.0-5", "MQTT-4.6.0-6"], V311["MQTT-4.6.0-5", "MQTT-4.6.0-6"];
    messages_keep_their_order_while_a_client_is_away => V5["MQTT-4.6.0-5"], V311["MQTT-4.6.0-6"];
    messages_are_sent_again_in_their_order => V5["MQTT-4.6.0-5"], V311["MQTT-4.6.0-6"];
    messages_that_wait_for_the_window_are_not_overtaken => V5["MQTT-4.6.0-5"], V311["MQTT-4.6.0-6"];
}

fn messages_of_each_publisher_come_in_their_order(target: &Target) -> anyhow::Result<()> {
    const COUNT: u16 = 60;
    target.in_both_versions(|target, version| {
        let mut peer = target.peer(version, "a")?;
        peer.subscribe(&target.topic("+"), 2)?;
        let mut publishers = Vec::new();
        for index in 0..3 {
            publishers.push(target.peer(version, &format!("p{index}"))?);
        }
        // Each publisher writes to its topic with the QoS of its number, all mixed.
        for number in 0..COUNT {
            for (index, publisher) in publishers.iter_mut().enumerate() {
                let publish = Publish::new(&target.topic(&index.to_string()), number.to_string());
                publisher.publish(&publish.qos(u8::try_from(index)?, 1))?;
            }
        }
        let mut next = [0; 3];
        for _ in 0..3 * COUNT {
            let message = peer.expect_publish()?;
            peer.acknowledge(&message)?;
            let index = usize::from(message.qos);
            ensure!(message.payload == next[index].to_string().as_bytes(), "{message:?} after {} of it", next[index]);
            next[index] += 1;
        }
        peer.expect_nothing()
    })
}

fn messages_keep_their_order_while_a_client_is_away(target: &Target) -> anyhow::Result<()> {
    const COUNT: u16 = 90;
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let connect = Connect::new(version, target.id("a")).lasting();
        let mut peer = target.connect(&connect)?;
        peer.subscribe(&topic, 1)?;
        let mut publisher = target.peer(version, "p")?;
        let mut came = Vec::new();
        for number in 0..COUNT {
            match number {
                30 => drop(std::mem::replace(&mut peer, target.peer(version, "other")?)),
                60 => {
                    peer = target.connect(&connect.clone().resuming())?;
                    came.extend(peer.payloads()?);
                }
                _ => {}
            }
            publisher.publish(&Publish::new(&topic, number.to_string()).qos(1, 1))?;
            if !(30..60).contains(&number) {
                came.extend(peer.payloads()?);
            }
        }
        let expected: Vec<String> = (0..COUNT).map(|number| number.to_string()).collect();
        ensure!(came == expected, "{came:?}");
        Ok(())
    })
}

fn messages_are_sent_again_in_their_order(target: &Target) -> anyhow::Result<()> {
    const COUNT: u16 = 15;
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        let connect = Connect::new(version, target.id("a")).lasting();
        let mut peer = target.connect(&connect)?;
        peer.subscribe(&topic, 2)?;
        let mut publisher = target.peer(version, "p")?;
        let mut messages = Vec::new();
        for number in 0..COUNT {
            publisher.publish(&Publish::new(&topic, number.to_string()).qos(1 + u8::try_from(number % 2)?, 1))?;
            messages.push(peer.expect_message(number.to_string())?);
        }
        // Some of them in the middle are done with.
        for done in [2, 5, 6] {
            peer.acknowledge(&messages[done])?;
        }
        peer.settle()?;
        drop(peer);
        // Those that come after have to wait their turn.
        publisher.publish(&Publish::new(&topic, "after").qos(1, 1))?;
        let mut expected: Vec<String> =
            (0..COUNT).filter(|number| ![2, 5, 6].contains(number)).map(|number| number.to_string()).collect();
        expected.push("after".to_owned());
        let came = target.connect(&connect.resuming())?.payloads()?;
        ensure!(came == expected, "{came:?}");
        Ok(())
    })
}

fn messages_that_wait_for_the_window_are_not_overtaken(target: &Target) -> anyhow::Result<()> {
    const COUNT: u16 = 40;
    target.in_both_versions(|target, version| {
        let topic = target.topic("t");
        // 3.1.1 has no receive maximum: there the window is the server's own.
        let connect = match version {
            Version::V5 => Connect::v5(target.id("a")).receive_maximum(2),
            Version::V311 => Connect::v311(target.id("a")),
        };
        let mut peer = target.connect(&connect)?;
        peer.subscribe(&topic, 1)?;
        let mut publisher = target.peer(version, "p")?;
        for number in 0..COUNT {
            publisher.publish(&Publish::new(&topic, number.to_string()).qos(1, 1))?;
        }
        for number in 0..COUNT {
            let message = peer.expect_message(number.to_string())?;
            peer.acknowledge(&message)?;
        }
        peer.expect_nothing()
    })
}
