//! What every client must see, written once: each function is one promise of the broker, told by one client program.
//!
//! Nothing here sleeps. That no message follows is shown by a marker that is published afterwards and comes next.

use anyhow::{Context as _, ensure};
use selvedge_tests::PATIENCE;
use selvedge_tests::client::{Client, Connect, Filter, Message, Properties, Version};

/// Sent when a check wants to know that nothing else is under way.
const MARKER: &str = "check/end";

fn both(client: &mut Client, filters: &[Filter]) -> anyhow::Result<()> {
    client.connect_clean("publisher")?;
    client.connect_clean("subscriber")?;
    subscribe(client, "subscriber", filters)
}

/// Subscribes to the filters and to the marker with the quality of service of the first.
fn subscribe(client: &mut Client, session: &str, filters: &[Filter]) -> anyhow::Result<()> {
    let qos = filters.first().context("a filter")?.qos();
    let mut all = filters.to_vec();
    all.push(Filter::new(MARKER, qos));
    let codes = client.subscribe(session, &all)?;
    ensure!(codes.iter().all(|code| *code == qos), "granted {codes:?} instead of {qos} each");
    Ok(())
}

/// Fails when anything but the marker comes next.
fn nothing_more(client: &mut Client, publisher: &str, subscriber: &str, qos: u8) -> anyhow::Result<()> {
    client.publish(publisher, &Message::new(MARKER, "end", qos))?;
    let next = client.receive(subscriber)?;
    ensure!(next.topic == MARKER, "one message too many: {next:?}");
    Ok(())
}

fn expect(client: &mut Client, session: &str, wanted: &Message) -> anyhow::Result<()> {
    let got = client.receive(session)?;
    ensure!(got == *wanted, "{session} received\n  {got:?}\ninstead of\n  {wanted:?}");
    Ok(())
}

fn delivered_once(client: &mut Client, qos: u8) -> anyhow::Result<()> {
    both(client, &[Filter::new("check/delivery", qos)])?;
    for number in 0..20 {
        client.publish("publisher", &Message::new("check/delivery", format!("number {number}"), qos))?;
    }
    for number in 0..20 {
        expect(client, "subscriber", &Message::new("check/delivery", format!("number {number}"), qos))?;
    }
    nothing_more(client, "publisher", "subscriber", qos)
}

pub fn qos_0_messages_arrive_in_order(client: &mut Client) -> anyhow::Result<()> {
    delivered_once(client, 0)
}

pub fn qos_1_messages_are_acknowledged_and_arrive_in_order(client: &mut Client) -> anyhow::Result<()> {
    delivered_once(client, 1)
}

pub fn qos_2_messages_arrive_exactly_once_in_order(client: &mut Client) -> anyhow::Result<()> {
    delivered_once(client, 2)
}

pub fn a_message_arrives_with_the_lower_of_both_qualities_of_service(client: &mut Client) -> anyhow::Result<()> {
    both(client, &[Filter::new("check/lower", 1)])?;
    for (published, delivered) in [(0, 0), (1, 1), (2, 1)] {
        client.publish("publisher", &Message::new("check/lower", "x", published))?;
        expect(client, "subscriber", &Message::new("check/lower", "x", delivered))?;
    }
    Ok(())
}

pub fn wildcards_match_whole_levels_and_not_system_topics(client: &mut Client) -> anyhow::Result<()> {
    both(client, &[Filter::new("check/+/end/#", 1)])?;
    for (topic, matches) in [
        ("check/a/end", true),
        ("check/a/end/b/c", true),
        ("check//end", true),
        ("check/a/b/end", false),
        ("check/a/ends", false),
        ("Check/a/end", false),
    ] {
        client.publish("publisher", &Message::new(topic, topic, 1))?;
        if matches {
            expect(client, "subscriber", &Message::new(topic, topic, 1))?;
        }
    }
    nothing_more(client, "publisher", "subscriber", 1)?;
    client.connect_clean("everything")?;
    client.subscribe("everything", &[Filter::new("#", 1)])?;
    client.publish("publisher", &Message::new(MARKER, "end", 1))?;
    let first = client.receive("everything")?;
    ensure!(first.topic == MARKER, "`#` matched {}", first.topic);
    Ok(())
}

pub fn a_topic_beyond_ascii_and_an_empty_payload_arrive(client: &mut Client) -> anyhow::Result<()> {
    both(client, &[Filter::new("měření/температура/🌡", 1)])?;
    let message = Message::new("měření/температура/🌡", "", 1);
    client.publish("publisher", &message)?;
    expect(client, "subscriber", &message)
}

pub fn a_retained_message_is_kept_replaced_and_cleared(client: &mut Client) -> anyhow::Result<()> {
    client.connect_clean("publisher")?;
    for payload in ["first", "second"] {
        let message = Message::new("check/retained", payload, 1).retained();
        client.publish("publisher", &message)?;
        let late = format!("after the {payload}");
        client.connect_clean(&late)?;
        subscribe(client, &late, &[Filter::new("check/retained", 1)])?;
        expect(client, &late, &message)?;
        nothing_more(client, "publisher", &late, 1)?;
        // To who is already there a change comes as an ordinary message.
        client.publish("publisher", &message)?;
        expect(client, &late, &Message::new("check/retained", payload, 1))?;
        client.disconnect(&late)?;
    }
    client.publish("publisher", &Message::new("check/retained", "", 1).retained())?;
    client.connect_clean("after the clearing")?;
    subscribe(client, "after the clearing", &[Filter::new("check/retained", 1)])?;
    nothing_more(client, "publisher", "after the clearing", 1)
}

pub fn a_will_is_published_when_its_client_dies(client: &mut Client) -> anyhow::Result<()> {
    both(client, &[Filter::new("check/will", 1)])?;
    let will = Message::new("check/will", "gone", 1).retained();
    client.connect("mortal", &Connect::clean("mortal").with_will(&will))?;
    client.subscribe("mortal", &[Filter::new("check/unused", 1)])?;
    client.kill("mortal")?;
    expect(client, "subscriber", &Message::new("check/will", "gone", 1))?;
    client.connect_clean("late")?;
    subscribe(client, "late", &[Filter::new("check/will", 1)])?;
    expect(client, "late", &will)
}

pub fn a_will_is_dropped_when_its_client_says_goodbye(client: &mut Client) -> anyhow::Result<()> {
    both(client, &[Filter::new("check/will", 1)])?;
    let will = Message::new("check/will", "gone", 1);
    client.connect("polite", &Connect::clean("polite").with_will(&will))?;
    client.subscribe("polite", &[Filter::new("check/unused", 1)])?;
    client.disconnect("polite")?;
    // The same client id again: the server has dealt with the end of the former connection.
    client.connect_clean("polite")?;
    client.subscribe("polite", &[Filter::new("check/unused", 1)])?;
    nothing_more(client, "publisher", "subscriber", 1)
}

pub fn a_will_is_published_when_its_client_asks_for_it_with_its_goodbye(client: &mut Client) -> anyhow::Result<()> {
    both(client, &[Filter::new("check/will", 1)])?;
    let will = Message::new("check/will", "gone", 1);
    client.connect("asking", &Connect::clean("asking").with_will(&will))?;
    client.subscribe("asking", &[Filter::new("check/unused", 1)])?;
    // mosquitto_sub ends with DISCONNECT 0x04, "disconnect with will message".
    client.disconnect("asking")?;
    expect(client, "subscriber", &will)
}

pub fn a_payload_of_300_kb_arrives_unchanged(client: &mut Client) -> anyhow::Result<()> {
    both(client, &[Filter::new("check/large", 1)])?;
    // Every byte value, and no period that a lost or repeated block would keep.
    let payload: Vec<u8> = (0..300_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    for qos in [0, 1] {
        client.publish("publisher", &Message::new("check/large", payload.clone(), qos))?;
        let got = client.receive("subscriber")?;
        let first_wrong = got.payload.iter().zip(&payload).position(|(got, sent)| got != sent);
        ensure!(
            got.payload.len() == payload.len() && first_wrong.is_none(),
            "with QoS {qos}: {} bytes of {}, first wrong byte {first_wrong:?}",
            got.payload.len(),
            payload.len()
        );
    }
    Ok(())
}

pub fn a_lasting_session_gets_what_was_queued_while_it_was_away(client: &mut Client) -> anyhow::Result<()> {
    let connect = Connect::lasting("sleeper", 3600);
    client.connect_clean("publisher")?;
    client.connect("sleeper", &connect)?;
    subscribe(client, "sleeper", &[Filter::new("check/queued", 1)])?;
    client.disconnect("sleeper")?;
    for number in 0..10 {
        client.publish("publisher", &Message::new("check/queued", format!("number {number}"), 1))?;
    }
    client.connect("sleeper", &connect)?;
    // Again, for the client that subscribes whenever it connects; it changes nothing for the others.
    subscribe(client, "sleeper", &[Filter::new("check/queued", 1)])?;
    for number in 0..10 {
        expect(client, "sleeper", &Message::new("check/queued", format!("number {number}"), 1))?;
    }
    nothing_more(client, "publisher", "sleeper", 1)
}

pub fn a_lasting_session_is_announced_and_a_clean_start_ends_it(client: &mut Client) -> anyhow::Result<()> {
    let lasting = Connect::lasting("sleeper", 3600);
    let first = client.connect("sleeper", &lasting)?;
    ensure!(!first.session_present, "a session before the first connection");
    subscribe(client, "sleeper", &[Filter::new("check/queued", 1)])?;
    client.kill("sleeper")?;
    let second = client.connect("sleeper", &lasting)?;
    ensure!(second.session_present, "no session after the connection was lost");
    client.connect_clean("publisher")?;
    client.publish("publisher", &Message::new("check/queued", "still subscribed", 1))?;
    expect(client, "sleeper", &Message::new("check/queued", "still subscribed", 1))?;
    client.disconnect("sleeper")?;
    let clean = client.connect("sleeper", &Connect::clean("sleeper"))?;
    ensure!(!clean.session_present, "a session after a clean start");
    Ok(())
}

pub fn a_second_connection_with_the_same_client_id_takes_over(client: &mut Client) -> anyhow::Result<()> {
    client.connect("first", &Connect::clean("same"))?;
    client.connect("second", &Connect::clean("same"))?;
    let closed = client.closed("first")?;
    ensure!(closed.closed, "the first connection stayed open");
    if client.version() == Version::V5 {
        ensure!(closed.reason_code == Some(0x8E), "the reason was {:?} and not session taken over", closed.reason_code);
    }
    client.subscribe("second", &[Filter::new(MARKER, 1)])?;
    client.publish("second", &Message::new(MARKER, "end", 1))?;
    expect(client, "second", &Message::new(MARKER, "end", 1))
}

pub fn nothing_arrives_after_unsubscribing(client: &mut Client) -> anyhow::Result<()> {
    both(client, &[Filter::new("check/left", 1)])?;
    client.publish("publisher", &Message::new("check/left", "before", 1))?;
    expect(client, "subscriber", &Message::new("check/left", "before", 1))?;
    client.unsubscribe("subscriber", "check/left")?;
    client.publish("publisher", &Message::new("check/left", "after", 1))?;
    nothing_more(client, "publisher", "subscriber", 1)
}

pub fn user_properties_arrive_in_order_with_their_duplicates(client: &mut Client) -> anyhow::Result<()> {
    both(client, &[Filter::new("check/properties", 1)])?;
    let pairs = [("unit", "celsius"), ("unit", "kelvin"), ("Übersicht", "äöü"), ("empty", "")];
    let user_properties = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let message =
        Message::new("check/properties", "x", 1).with(Properties { user_properties, ..Properties::default() });
    client.publish("publisher", &message)?;
    expect(client, "subscriber", &message)
}

pub fn request_and_response_properties_arrive_unchanged(client: &mut Client) -> anyhow::Result<()> {
    both(client, &[Filter::new("check/request", 1)])?;
    let message = Message::new("check/request", "{\"a\":1}", 1).with(Properties {
        response_topic: Some("check/response/7".to_owned()),
        correlation_data: Some("6f72646572203132".to_owned()),
        content_type: Some("application/json".to_owned()),
        payload_format: Some(1),
        ..Properties::default()
    });
    client.publish("publisher", &message)?;
    expect(client, "subscriber", &message)
}

pub fn a_message_with_an_expiry_is_delivered_with_what_is_left_of_it(client: &mut Client) -> anyhow::Result<()> {
    let connect = Connect::lasting("sleeper", 3600);
    client.connect_clean("publisher")?;
    client.connect("sleeper", &connect)?;
    subscribe(client, "sleeper", &[Filter::new("check/expiry", 1)])?;
    client.disconnect("sleeper")?;
    let expiring = |payload: &str, seconds| {
        let properties = Properties { message_expiry_s: Some(seconds), ..Properties::default() };
        Message::new("check/expiry", payload, 1).with(properties)
    };
    client.publish("publisher", &expiring("short", 1))?;
    client.publish("publisher", &expiring("long", 1000))?;
    // The only way to see that a message has expired is to let its second pass.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    client.connect("sleeper", &connect)?;
    subscribe(client, "sleeper", &[Filter::new("check/expiry", 1)])?;
    let got = client.receive("sleeper")?;
    ensure!(got.payload == b"long", "the expired message was delivered: {got:?}");
    let left = got.properties.message_expiry_s.context("the expiry was dropped")?;
    let oldest = 1000 - u32::try_from(PATIENCE.as_secs())?;
    ensure!((oldest..=998).contains(&left), "{left} s of 1000 are left after 2 s");
    nothing_more(client, "publisher", "sleeper", 1)
}

pub fn members_of_a_shared_subscription_split_the_messages(client: &mut Client) -> anyhow::Result<()> {
    const MESSAGES: usize = 40;
    client.connect_clean("publisher")?;
    let members = ["one", "two"];
    for member in members {
        client.connect_clean(member)?;
        subscribe(client, member, &[Filter::new("$share/team/check/shared", 1)])?;
    }
    for number in 0..MESSAGES {
        client.publish("publisher", &Message::new("check/shared", format!("{number:02}"), 1))?;
    }
    client.publish("publisher", &Message::new(MARKER, "end", 1))?;
    let mut all = Vec::new();
    for member in members {
        let before = all.len();
        loop {
            let message = client.receive(member)?;
            if message.topic == MARKER {
                break;
            }
            all.push(message.payload);
        }
        ensure!(all.len() > before, "member {member} got nothing of {MESSAGES} messages");
    }
    all.sort();
    let expected: Vec<Vec<u8>> = (0..MESSAGES).map(|number| format!("{number:02}").into_bytes()).collect();
    ensure!(all == expected, "the members together got {} messages of {MESSAGES}, or some twice", all.len());
    Ok(())
}

pub fn a_subscription_identifier_tells_which_subscription_matched(client: &mut Client) -> anyhow::Result<()> {
    client.connect_clean("subscriber")?;
    client.subscribe_as("subscriber", &[Filter::new("check/ids/+", 1)], Some(7))?;
    client.subscribe_as("subscriber", &[Filter::new("check/other", 1)], Some(268_435_455))?;
    for (topic, id) in [("check/ids/a", 7), ("check/other", 268_435_455)] {
        client.publish("subscriber", &Message::new(topic, "x", 1))?;
        let got = client.receive("subscriber")?;
        ensure!(got.topic == topic && got.subscription_ids == [id], "expected {topic} with {id}, got {got:?}");
    }
    Ok(())
}

pub fn no_local_keeps_own_messages_away(client: &mut Client) -> anyhow::Result<()> {
    client.connect_clean("own")?;
    client.connect_clean("other")?;
    client.subscribe("own", &[Filter::new("check/local", 1).no_local()])?;
    client.publish("own", &Message::new("check/local", "own", 1))?;
    client.publish("other", &Message::new("check/local", "other", 1))?;
    expect(client, "own", &Message::new("check/local", "other", 1))
}

pub fn retain_handling_decides_about_retained_messages_on_subscribing(client: &mut Client) -> anyhow::Result<()> {
    client.connect_clean("publisher")?;
    let message = Message::new("check/handling", "kept", 1).retained();
    client.publish("publisher", &message)?;
    client.connect_clean("subscriber")?;
    let with = |handling| [Filter::new("check/handling", 1).retain_handling(handling)];
    let steps = [("never, new", 2, false), ("if new, not new", 1, false), ("always, not new", 0, true)];
    for (step, handling, sent) in steps {
        subscribe(client, "subscriber", &with(handling))?;
        if sent {
            expect(client, "subscriber", &message).context(step)?;
        }
        nothing_more(client, "publisher", "subscriber", 1).context(step)?;
    }
    client.unsubscribe("subscriber", "check/handling")?;
    subscribe(client, "subscriber", &with(1))?;
    expect(client, "subscriber", &message).context("if new, new")
}

pub fn retain_as_published_keeps_the_flag_of_the_publisher(client: &mut Client) -> anyhow::Result<()> {
    client.connect_clean("publisher")?;
    client.connect_clean("keeps")?;
    client.connect_clean("clears")?;
    client.subscribe("keeps", &[Filter::new("check/flag", 1).retain_as_published()])?;
    client.subscribe("clears", &[Filter::new("check/flag", 1)])?;
    let plain = Message::new("check/flag", "x", 1);
    for published in [plain.clone().retained(), plain.clone()] {
        client.publish("publisher", &published)?;
        expect(client, "keeps", &published)?;
        expect(client, "clears", &plain)?;
    }
    Ok(())
}
