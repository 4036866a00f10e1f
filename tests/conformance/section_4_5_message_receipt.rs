//! Section 4.5: a message that the server has taken belongs to every session with a matching subscription.

use anyhow::ensure;
use selvedge_tests::client_packet::{Connect, Publish};

use crate::registry::section;
use crate::target::Target;

section! {
    "4.5 Message receipt";
    every_matching_session_gets_the_message_connected_or_not => V5["MQTT-4.5.0-1"], V311["MQTT-4.5.0-1", "MQTT-3.1.2-5"];
}

fn every_matching_session_gets_the_message_connected_or_not(target: &Target) -> anyhow::Result<()> {
    target.in_both_versions(|target, version| {
        let topic = target.topic("a/b");
        let filters = [target.topic("a/b"), target.topic("a/+"), target.topic("#"), target.topic("other")];
        let away: Vec<Connect> = (0..filters.len())
            .map(|index| Connect::new(version, target.id(&format!("away{index}"))).lasting())
            .collect();
        let mut there = Vec::new();
        for (index, filter) in filters.iter().enumerate() {
            let mut absent = target.connect(&away[index])?;
            absent.subscribe(filter, 1)?;
            absent.disconnect()?;
            let mut peer = target.peer(version, &format!("there{index}"))?;
            peer.subscribe(filter, 1)?;
            there.push(peer);
        }
        let mut publisher = target.peer(version, "p")?;
        publisher.publish(&Publish::new(&topic, "x").qos(1, 1))?;
        // The publisher may go as soon as it has its answer.
        publisher.disconnect()?;
        for (index, peer) in there.iter_mut().enumerate() {
            let expected: &[&str] = if index < 3 { &["x"] } else { &[] };
            let payloads = peer.payloads()?;
            ensure!(payloads == expected, "{} gets {payloads:?}", filters[index]);
            let payloads = target.connect(&away[index].clone().resuming())?.payloads()?;
            ensure!(payloads == expected, "{} gets {payloads:?} when it comes back", filters[index]);
        }
        Ok(())
    })
}
