//! Section 4.8: subscriptions that several clients share.

use anyhow::ensure;
use selvedge_tests::client::Version;
use selvedge_tests::client_packet::{Connect, Publish, subscribe, variable};
use selvedge_tests::server_packet::properties::SUBSCRIPTION_IDENTIFIER;

use crate::registry::section;
use crate::target::Target;

section! {
    "4.8 Subscriptions";
    a_share_has_a_name_and_a_filter => V5["MQTT-4.8.2-1", "MQTT-4.8.2-2"];
    each_message_goes_to_one_member_of_each_group => V5["MQTT-4.8.2-1", "MQTT-4.8.2-3"];
    a_shared_subscription_respects_the_granted_qos => V5["MQTT-4.8.2-3"];
    a_new_shared_subscription_gets_no_retained_messages => V5["MQTT-4.8.2-1"];
    what_one_member_was_sent_it_gets_again_when_it_comes_back => V5["MQTT-4.8.2-4"];
    what_one_member_was_sent_goes_to_no_other_when_its_session_ends => V5["MQTT-4.8.2-5"];
    what_one_member_refused_goes_to_no_other => V5["MQTT-4.8.2-6"];
    a_member_that_unsubscribes_gets_nothing_more => V5["MQTT-3.10.4-1", "MQTT-3.10.4-2"];
}

fn a_share_has_a_name_and_a_filter(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let wrong = [
        "$share/".to_owned(),
        "$share/g".to_owned(),
        "$share/g/".to_owned(),
        format!("$share//{topic}"),
        format!("$share/g+/{topic}"),
        format!("$share/+/{topic}"),
        format!("$share/g#/{topic}"),
        "$share/#".to_owned(),
        format!("$share/g/{topic}/#/x"),
        format!("$share/g/{topic}+"),
    ];
    for (index, filter) in wrong.iter().enumerate() {
        let mut peer = target.v5(&format!("a{index}"))?;
        peer.send(&subscribe(Version::V5, 1, &[], &[(filter, 0)]))?;
        // As a malformed packet, as a protocol error, or as a filter that is not valid.
        match peer.receive_or_end()? {
            Some(selvedge_tests::server_packet::ServerPacket::SubAck(ack)) => {
                ensure!(ack.reasons.iter().all(|reason| *reason >= 0x80), "{filter} is granted: {ack:?}");
            }
            Some(selvedge_tests::server_packet::ServerPacket::Disconnect(closing)) => {
                ensure!([0x81, 0x82, 0x8F].contains(&closing.reason), "{filter} ends with {closing:?}");
            }
            None => {}
            Some(other) => anyhow::bail!("{filter} is answered with {other:?}"),
        }
    }
    let mut peer = target.v5("b")?;
    for filter in [format!("$share/g/{topic}"), format!("$share/ä $/{topic}/+"), format!("$share/g//{topic}/#")] {
        peer.subscribe(&filter, 1)?;
        peer.unsubscribe(&filter)?;
    }
    Ok(())
}

fn each_message_goes_to_one_member_of_each_group(target: &Target) -> anyhow::Result<()> {
    const COUNT: usize = 30;
    let topic = target.topic("t");
    let (one, two) = (format!("$share/one/{topic}"), format!("$share/two/{topic}"));
    let mut members = Vec::new();
    for (name, filter) in [("a", &one), ("b", &one), ("c", &one), ("d", &two), ("e", &two), ("f", &topic)] {
        let mut peer = target.v5(name)?;
        peer.subscribe(filter, 1)?;
        members.push(peer);
    }
    let mut publisher = target.v5("p")?;
    for number in 0..COUNT {
        publisher.publish(&Publish::new(&topic, number.to_string()).qos(1, 1))?;
    }
    let mut shares = Vec::new();
    for member in &mut members {
        shares.push(member.all_payloads()?);
    }
    for (group, members) in [("one", 0..3), ("two", 3..5), ("not shared", 5..6)] {
        let mut all: Vec<usize> = Vec::new();
        for share in &shares[members] {
            ensure!(!share.is_empty(), "a member of group {group} gets nothing of {COUNT}");
            for payload in share {
                all.push(payload.parse()?);
            }
        }
        all.sort_unstable();
        ensure!(all == (0..COUNT).collect::<Vec<_>>(), "group {group} gets {all:?}");
    }
    Ok(())
}

fn a_shared_subscription_respects_the_granted_qos(target: &Target) -> anyhow::Result<()> {
    for granted in 0..=2 {
        let topic = target.topic(&granted.to_string());
        let mut peer = target.v5("a")?;
        let identifier = variable(SUBSCRIPTION_IDENTIFIER, 5);
        peer.subscribe_with(&format!("$share/g/{topic}"), granted, &identifier)?;
        for published in 0..=2 {
            peer.publish(&Publish::new(&topic, "x").qos(published, 1))?;
            let message = peer.expect_message("x")?;
            ensure!(message.qos == granted.min(published), "QoS {} of {published} under {granted}", message.qos);
            ensure!(message.properties.numbers(SUBSCRIPTION_IDENTIFIER) == [5], "{message:?}");
            peer.acknowledge(&message)?;
        }
    }
    Ok(())
}

fn a_new_shared_subscription_gets_no_retained_messages(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut peer = target.v5("a")?;
    peer.publish(&Publish::new(&topic, "kept").retained())?;
    peer.subscribe(&format!("$share/g/{topic}"), 0)?;
    peer.expect_nothing()?;
    peer.subscribe(&topic, 0)?;
    peer.expect_message("kept")?;
    peer.publish(&Publish::new(&topic, "").retained())
}

fn what_one_member_was_sent_it_gets_again_when_it_comes_back(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let filter = format!("$share/g/{topic}");
    let connect = Connect::v5(target.id("a")).lasting();
    let mut first = target.connect(&connect)?;
    first.subscribe(&filter, 2)?;
    let mut publisher = target.v5("p")?;
    publisher.publish(&Publish::new(&topic, "x").qos(2, 1))?;
    let sent = first.expect_message("x")?;
    let mut second = target.v5("b")?;
    second.subscribe(&filter, 2)?;
    drop(first);
    let mut first = target.connect(&connect.resuming())?;
    let again = first.expect_message("x")?;
    ensure!(again.packet_id == sent.packet_id && again.dup, "first {sent:?}, then {again:?}");
    first.acknowledge(&again)?;
    second.expect_nothing()
}

fn what_one_member_was_sent_goes_to_no_other_when_its_session_ends(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let filter = format!("$share/g/{topic}");
    let mut first = target.connect(&Connect::v5(target.id("a")).lasting())?;
    first.subscribe(&filter, 2)?;
    let mut publisher = target.v5("p")?;
    publisher.publish(&Publish::new(&topic, "x").qos(2, 1))?;
    first.expect_message("x")?;
    let mut second = target.v5("b")?;
    second.subscribe(&filter, 2)?;
    drop(first);
    // A new session in its place ends it.
    let _new = target.v5("a")?;
    second.expect_nothing()?;
    // The group goes on with who is left.
    publisher.publish(&Publish::new(&topic, "y").qos(2, 2))?;
    let message = second.expect_message("y")?;
    second.acknowledge(&message)
}

fn what_one_member_refused_goes_to_no_other(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let filter = format!("$share/g/{topic}");
    let mut first = target.v5("a")?;
    first.subscribe(&filter, 2)?;
    let mut publisher = target.v5("p")?;
    let mut messages = Vec::new();
    for qos in [1, 2] {
        publisher.publish(&Publish::new(&topic, "x").qos(qos, 1))?;
        messages.push(first.expect_message("x")?);
    }
    let mut second = target.v5("b")?;
    second.subscribe(&filter, 2)?;
    for (message, first_byte) in messages.iter().zip([0x40, 0x50]) {
        first.refuse(first_byte, message.packet_id.unwrap_or_default(), 0x83)?;
    }
    first.expect_nothing()?;
    second.expect_nothing()
}

fn a_member_that_unsubscribes_gets_nothing_more(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let filter = format!("$share/g/{topic}");
    let mut first = target.v5("a")?;
    let mut second = target.v5("b")?;
    first.subscribe(&filter, 0)?;
    second.subscribe(&filter, 0)?;
    // The plain filter, and another group, are other subscriptions.
    second.subscribe(&topic, 0)?;
    second.unsubscribe(&topic)?;
    second.subscribe(&format!("$share/h/{topic}"), 0)?;
    second.unsubscribe(&format!("$share/h/{topic}"))?;
    first.unsubscribe(&filter)?;
    let mut publisher = target.v5("p")?;
    for number in 0..6 {
        publisher.publish(&Publish::new(&topic, number.to_string()))?;
    }
    first.expect_nothing()?;
    let payloads = second.payloads()?;
    ensure!(payloads == ["0", "1", "2", "3", "4", "5"], "{payloads:?}");
    Ok(())
}
