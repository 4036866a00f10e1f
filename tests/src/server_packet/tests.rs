use super::*;
use crate::raw_mqtt::packet;

fn error(version: Version, bytes: &[u8]) -> String {
    match decode(version, bytes) {
        Err(error) => format!("{error:#}"),
        Ok(decoded) => panic!("{bytes:02x?} is taken as {decoded:?}"),
    }
}

#[test]
fn packets_of_both_versions_are_read_with_their_length() {
    let (packet, length) = decode(Version::V311, &[0x20, 2, 1, 0, 0xD0]).unwrap().unwrap();
    let connack = ConnAck { session_present: true, reason: 0, properties: Properties::default() };
    assert_eq!((packet, length), (ServerPacket::ConnAck(connack), 4));
    let publish = [0x3B, 15, 0, 1, b'a', 0, 7, 6, 0x0B, 1, 0x0B, 0x80, 0x01, 0x26, 0, 0];
    assert!(error(Version::V5, &[&publish[..], &[0]].concat()).contains("ends inside"));
    let publish = [0x3B, 12, 0, 1, b'a', 0, 7, 5, 0x0B, 1, 0x0B, 0x80, 0x01, b'x'];
    let (packet, _) = decode(Version::V5, &publish).unwrap().unwrap();
    let ServerPacket::Publish(publish) = packet else { panic!("{packet:?}") };
    assert_eq!((publish.qos, publish.dup, publish.retain, publish.packet_id), (1, true, true, Some(7)));
    assert_eq!(publish.properties.numbers(properties::SUBSCRIPTION_IDENTIFIER), [1, 128]);
    assert_eq!(publish.payload, b"x");
}

#[test]
fn a_packet_that_is_not_whole_is_waited_for() {
    let bytes = packet(0x30, &[0, 1, b'a', 0, 1, 2, 3]);
    for end in 0..bytes.len() {
        assert_eq!(decode(Version::V5, &bytes[..end]).unwrap(), None, "{end}");
    }
    assert!(decode(Version::V5, &bytes).unwrap().is_some());
}

#[test]
fn each_rule_of_a_packet_is_checked() {
    let broken: [(&[u8], &str); 24] = [
        (&[0x21, 3, 0, 0, 0], "reserved flags"),
        (&[0x60, 2, 0, 1], "reserved flags"),
        (&[0xD0, 0x80, 0x00], "more bytes than it needs"),
        (&[0xD0, 1, 0], "after the last field"),
        (&[0x20, 3, 2, 0, 0], "acknowledge flags"),
        (&[0x20, 3, 1, 0x87, 0], "session present"),
        (&[0x20, 3, 0, 0x01, 0], "reason code"),
        (&[0x20, 5, 0, 0, 2, 0x24, 2], "instead of 0 or 1"),
        (&[0x20, 6, 0, 0, 3, 0x21, 0, 0], "value 0"),
        (&[0x20, 9, 0, 0, 6, 0x21, 0, 1, 0x21, 0, 1], "twice"),
        (&[0x20, 6, 0, 0, 3, 0x23, 0, 1], "may not carry"),
        (&[0x20, 2, 0, 0], "ends inside the property length"),
        (&[0x36, 6, 0, 1, b'a', 0, 1, 0], "both QoS bits"),
        (&[0x38, 4, 0, 1, b'a', 0], "DUP"),
        (&[0x30, 4, 0, 1, b'#', 0], "wildcards"),
        (&[0x30, 4, 0, 1, 0xFF, 0], "no UTF-8"),
        (&[0x30, 4, 0, 1, 0, 0], "null character"),
        (&[0x30, 3, 0, 0, 0], "neither topic name nor alias"),
        (&[0x32, 6, 0, 1, b'a', 0, 0, 0], "packet identifier 0"),
        (&[0x40, 3, 0, 1, 0x92], "reason code 0x92"),
        (&[0x90, 3, 0, 1, 0], "0 reason codes"),
        (&[0xE0, 1, 0x04], "reason code 0x04"),
        (&[0xE0, 7, 0x81, 5, 0x11, 0, 0, 0, 1], "may not carry"),
        (&[0xF0, 2, 0x18, 0], "without a method"),
    ];
    for (bytes, words) in broken {
        let error = error(Version::V5, bytes);
        assert!(error.contains(words), "{bytes:02x?}: {error}");
    }
}

#[test]
fn version_3_1_1_has_no_properties_and_fewer_packets() {
    assert!(decode(Version::V311, &[0x40, 2, 0, 1]).unwrap().is_some());
    assert!(error(Version::V311, &[0x40, 3, 0, 1, 0]).contains("after the last field"));
    assert!(error(Version::V311, &[0xE0, 0]).contains("does not send"));
    assert!(error(Version::V311, &[0x20, 2, 0, 6]).contains("reason code"));
    assert!(error(Version::V311, &[0x90, 3, 0, 1, 0x87]).contains("reason code"));
    assert!(decode(Version::V311, &[0xB0, 2, 0, 1]).unwrap().is_some());
    assert!(error(Version::V311, &[0xB0, 3, 0, 1, 0]).contains("1 reason codes"));
}
