//! Section 1.5: strings, variable byte integers, string pairs.

use anyhow::{Context as _, ensure};
use selvedge_tests::client::Version;
use selvedge_tests::client_packet::{self, Connect, Publish, binary, data, packet, text, user};
use selvedge_tests::server_packet::properties::{CONTENT_TYPE, USER_PROPERTY};

use crate::registry::section;
use crate::target::Target;

section! {
    "1 Data representation";
    a_string_that_is_not_well_formed_ends_the_connection => V5["MQTT-1.5.4-1"];
    a_client_identifier_that_is_not_well_formed_is_refused => V5["MQTT-1.5.4-1"];
    characters_beside_the_surrogates_and_beyond_the_basic_plane_are_taken => V5["MQTT-1.5.4-1"];
    the_null_character_in_a_string_ends_the_connection => V5["MQTT-1.5.4-2"];
    a_zero_width_no_break_space_is_kept_where_it_stands => V5["MQTT-1.5.4-3"];
    a_variable_byte_integer_with_needless_bytes_ends_the_connection => V5["MQTT-1.5.5-1"];
    packets_of_each_length_of_the_remaining_length_arrive => V5["MQTT-1.5.5-1"];
    both_strings_of_a_pair_have_to_be_well_formed => V5["MQTT-1.5.7-1"];
    pairs_arrive_with_duplicates_and_empty_strings => V5["MQTT-1.5.7-1"];
}

/// A lone continuation, a missing one, surrogates, beyond U+10FFFF, overlong forms, a cut sequence.
const ILL_FORMED: [&[u8]; 9] = [
    b"\x80",
    b"\xC3\x28",
    b"\xED\xA0\x80",
    b"\xED\xBF\xBF",
    b"\xF4\x90\x80\x80",
    b"\xC0\x80",
    b"\xE0\x80\xAF",
    b"\xE2\x82",
    b"\xFF",
];

/// A packet with `text` in each place where a client sends a string after CONNECT.
fn places(text: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let filter = |first, options: &[u8]| packet(first, &[&[0, 1, 0], &data(text)[..], options].concat());
    let topic = Publish { topic: text.to_vec(), ..Publish::new("", "x") };
    let content_type = Publish::new("a", "x").property(&binary(CONTENT_TYPE, text));
    vec![
        ("in a topic name", topic.bytes(Version::V5)),
        ("in a topic filter", filter(0x82, &[0])),
        ("in a topic filter of UNSUBSCRIBE", filter(0xA2, &[])),
        ("in a content type", content_type.bytes(Version::V5)),
        ("in a reason string", client_packet::disconnect(0, &binary(0x1F, text))),
    ]
}

fn a_string_that_is_not_well_formed_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    for text in ILL_FORMED {
        for (place, bytes) in places(text) {
            // 1.5.4: "is a Malformed Packet"
            target.ends(place, &bytes, &[0x81])?;
        }
    }
    Ok(())
}

fn a_client_identifier_that_is_not_well_formed_is_refused(target: &Target) -> anyhow::Result<()> {
    for text in ILL_FORMED {
        let body = [b"\x00\x04MQTT\x05\x02\x00\x00\x00", &data(text)[..]].concat();
        target.ends_unconnected("a client identifier", &packet(0x10, &body), &[0x81, 0x85])?;
    }
    Ok(())
}

fn characters_beside_the_surrogates_and_beyond_the_basic_plane_are_taken(target: &Target) -> anyhow::Result<()> {
    let mut peer = target.v5("c")?;
    for character in ['\u{D7FF}', '\u{E000}', '\u{FFFD}', '\u{10000}', '🧵', '\u{10FFFD}', 'é', '\u{A0}'] {
        let topic = target.topic(&format!("{character}x{character}"));
        peer.subscribe(&topic, 0).with_context(|| format!("{character:?}"))?;
        peer.publish(&Publish::new(&topic, "x"))?;
        ensure!(peer.expect_publish()?.topic == topic, "{character:?} was changed");
    }
    // The first character of the whole topic, too.
    let topic = format!("é{}", target.topic("t"));
    peer.subscribe(&topic, 0)?;
    peer.publish(&Publish::new(&topic, "x"))?;
    ensure!(peer.expect_publish()?.topic == topic, "{topic} was changed");
    Ok(())
}

fn the_null_character_in_a_string_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    for (place, bytes) in places(b"a\0b").into_iter().chain(places(b"\0")) {
        target.ends(place, &bytes, &[0x81, 0x82, 0x8F, 0x90])?;
    }
    let body = [b"\x00\x04MQTT\x05\x02\x00\x00\x00", &data(b"a\0b")[..]].concat();
    target.ends_unconnected("in a client identifier", &packet(0x10, &body), &[0x81, 0x85])
}

fn a_zero_width_no_break_space_is_kept_where_it_stands(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("\u{FEFF}a\u{FEFF}");
    let mut peer = target.v5("c")?;
    peer.subscribe(&topic, 0)?;
    let marked = Publish::new(&topic, "with").property(&text(CONTENT_TYPE, "\u{FEFF}type"));
    peer.publish(&marked)?;
    let publish = peer.expect_message("with")?;
    ensure!(publish.topic == topic, "the topic was changed: {:?}", publish.topic);
    ensure!(publish.properties.text(CONTENT_TYPE) == Some("\u{FEFF}type"), "the content type was changed");
    // Without the character it is another topic.
    peer.publish(&Publish::new(&target.topic("a"), "without"))?;
    peer.expect_nothing()?;
    // And another client.
    let mut marked = target.v5("\u{FEFF}c")?;
    marked.settle()?;
    peer.expect_nothing()
}

fn a_variable_byte_integer_with_needless_bytes_ends_the_connection(target: &Target) -> anyhow::Result<()> {
    let cases: [(&str, &[u8]); 5] = [
        ("a remaining length of 0 in two bytes", &[0xC0, 0x80, 0x00]),
        ("a remaining length of 5 in four bytes", &[0x30, 0x85, 0x80, 0x80, 0x00, 0, 1, b'a', 0, b'x']),
        ("a remaining length of five bytes", &[0x30, 0x80, 0x80, 0x80, 0x80, 0x01]),
        ("a property length in two bytes", &[0x30, 6, 0, 1, b'a', 0x80, 0x00, b'x']),
        ("a subscription identifier in two bytes", &[0x82, 10, 0, 1, 3, 0x0B, 0x81, 0x00, 0, 1, b'a', 0]),
    ];
    for (what, bytes) in cases {
        target.ends(what, bytes, &[0x81])?;
    }
    Ok(())
}

fn packets_of_each_length_of_the_remaining_length_arrive(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let mut peer = target.v5("c")?;
    peer.subscribe(&topic, 0)?;
    let head = topic.len() + 3;
    for remaining in [127, 128, 16_383, 16_384, 300_000] {
        let payload = vec![b'x'; remaining - head];
        peer.publish(&Publish::new(&topic, &payload))?;
        // That its remaining length is no longer than it needs to be is checked with every packet.
        peer.expect_message(&payload).with_context(|| format!("a remaining length of {remaining}"))?;
    }
    Ok(())
}

fn both_strings_of_a_pair_have_to_be_well_formed(target: &Target) -> anyhow::Result<()> {
    let good = data(b"good");
    for bad in [data(b"\xC3\x28"), data(b"a\0b"), data(b"\xED\xA0\x80")] {
        for (what, name, value) in [("the name", &bad, &good), ("the value", &good, &bad)] {
            let property = [&[USER_PROPERTY], &name[..], value].concat();
            let publish = Publish::new("a", "x").property(&property).bytes(Version::V5);
            target.ends(what, &publish, &[0x81])?;
            let connect = Connect::v5(target.id("c")).property(&property).bytes();
            target.ends_unconnected(what, &connect, &[0x81])?;
        }
    }
    Ok(())
}

fn pairs_arrive_with_duplicates_and_empty_strings(target: &Target) -> anyhow::Result<()> {
    let topic = target.topic("t");
    let pairs = [("b", "2"), ("a", "1"), ("b", "2"), ("", ""), ("b", ""), ("é", "🧵")];
    let mut peer = target.v5("c")?;
    peer.subscribe(&topic, 0)?;
    let publish = pairs.iter().fold(Publish::new(&topic, "x"), |publish, (n, v)| publish.property(&user(n, v)));
    peer.publish(&publish)?;
    let got = peer.expect_message("x")?;
    ensure!(got.properties.user() == pairs, "sent {pairs:?}, got {:?}", got.properties.user());
    Ok(())
}
