//! What no packet may say, for every packet: flags, lengths, strings and reason codes, each against the tables of the
//! standard written out anew.

use selvedge_codec::{Auth, DecodeError, Packet, ProtocolVersion, ReasonCode, decode, encode, frame_length};

const V5: ProtocolVersion = ProtocolVersion::V5;
const V311: ProtocolVersion = ProtocolVersion::V311;

fn accepts(version: ProtocolVersion, frame: &[u8]) -> bool {
    decode(version, frame).is_ok()
}

/// A frame with `body` behind its fixed header.
fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match body.len() {
        length @ 0..=127 => frame.push(length as u8),
        length => frame.extend([length as u8 | 0x80, (length >> 7) as u8]),
    }
    frame.extend_from_slice(body);
    frame
}

/// One packet of each type that can be decoded, by its first byte without flags.
fn packets(version: ProtocolVersion) -> Vec<(u8, Vec<u8>)> {
    let properties: &[u8] = if version == V5 { &[0] } else { &[] };
    let with = |before: &[u8], after: &[u8]| [before, properties, after].concat();
    let level = if version == V5 { 5 } else { 4 };
    let mut packets = vec![
        (0x10, with(&[0, 4, b'M', b'Q', b'T', b'T', level, 2, 0, 0], &[0, 1, b'c'])),
        (0x20, with(&[0, 0], &[])),
        (0x30, with(&[0, 1, b't'], b"x")),
        (0x40, vec![0, 1]),
        (0x50, vec![0, 1]),
        (0x60, vec![0, 1]),
        (0x70, vec![0, 1]),
        (0x80, with(&[0, 1], &[0, 1, b'f', 0])),
        (0x90, with(&[0, 1], &[0])),
        (0xA0, with(&[0, 1], &[0, 1, b'f'])),
        (0xB0, with(&[0, 1], if version == V5 { &[0] } else { &[] })),
        (0xC0, vec![]),
        (0xD0, vec![]),
        (0xE0, vec![]),
    ];
    if version == V5 {
        packets.push((0xF0, vec![]));
    }
    packets
}

#[test]
fn the_flags_of_every_packet_are_those_of_the_table() {
    for version in [V311, V5] {
        for (first, body) in packets(version) {
            for flags in 0..16u8 {
                // Table 2-2. PUBLISH: QoS 0 without DUP, in this form; its other flags change the packet.
                let wanted = match first {
                    0x30 => flags == 0 || flags == 1,
                    0x60 | 0x80 | 0xA0 => flags == 0b0010,
                    _ => flags == 0,
                };
                let frame = frame(first | flags, &body);
                assert_eq!(accepts(version, &frame), wanted, "{version:?} {frame:02X?}"); // [MQTT-2.1.3-1]
            }
        }
        // DUP with QoS 0 [MQTT-3.3.1-2], QoS 3 [MQTT-3.3.1-4].
        for flags in [0b1000, 0b0110, 0b1110, 0b0111] {
            let properties: &[u8] = if version == V5 { &[0] } else { &[] };
            assert!(!accepts(version, &frame(0x30 | flags, &[&[0, 1, b't', 0, 1][..], properties].concat())));
        }
        assert!(!accepts(version, &[0x00, 0]), "type 0 is reserved");
    }
    assert!(!accepts(V311, &[0xF0, 0]), "type 15 is reserved in 3.1.1");
}

#[test]
fn a_remaining_length_of_five_bytes_is_refused_before_anything_else_is_read() {
    for (first, _) in packets(V5) {
        let flags = if matches!(first, 0x60 | 0x80 | 0xA0) { 0b0010 } else { 0 };
        for last in [0x00, 0x01, 0x7F, 0x80] {
            let start = [first | flags, 0xFF, 0xFF, 0xFF, 0xFF, last];
            for length in 5..=6 {
                assert!(frame_length(&start[..length], u32::MAX).is_err(), "{start:02X?}");
            }
            assert!(decode(V5, &start).is_err() && decode(V311, &start).is_err());
        }
    }
}

/// Frames with one string each, whose place is `string`.
fn frames_with(string: &[u8]) -> Vec<(&'static str, ProtocolVersion, Vec<u8>)> {
    let text = [&(string.len() as u16).to_be_bytes()[..], string].concat();
    let section = |id: u8| [&[3 + string.len() as u8, id][..], &text].concat();
    let user_name = [&[6 + string.len() as u8, 0x26][..], &text, &[0, 1, b'v']].concat();
    let user_value = [&[6 + string.len() as u8, 0x26, 0, 1, b'n'][..], &text].concat();
    let head = |level: u8, flags: u8| [&[0, 4, b'M', b'Q', b'T', b'T', level, flags, 0, 0][..]].concat();
    let connect = |flags: u8, rest: &[u8]| frame(0x10, &[&head(4, flags)[..], rest].concat());
    vec![
        ("client identifier", V311, connect(2, &text)),
        ("user name", V311, connect(0x82, &[&[0, 1, b'c'][..], &text].concat())),
        ("will topic", V311, connect(0x06, &[&[0, 1, b'c'][..], &text, &[0, 0]].concat())),
        ("method", V5, frame(0x10, &[&head(5, 2)[..], &section(0x15), &[0, 1, b'c']].concat())),
        ("topic name", V5, frame(0x30, &[&text[..], &[0]].concat())),
        ("content type", V5, frame(0x30, &[&[0, 1, b't'][..], &section(0x03)].concat())),
        ("response topic", V5, frame(0x30, &[&[0, 1, b't'][..], &section(0x08)].concat())),
        ("user property, name", V5, frame(0x30, &[&[0, 1, b't'][..], &user_name].concat())),
        ("user property, value", V5, frame(0x30, &[&[0, 1, b't'][..], &user_value].concat())),
        ("filter", V5, frame(0x82, &[&[0, 1, 0][..], &text, &[0]].concat())),
        ("filter to unsubscribe", V5, frame(0xA2, &[&[0, 1, 0][..], &text].concat())),
        ("reason string", V5, frame(0x40, &[&[0, 1, 0x80][..], &section(0x1F)].concat())),
        ("reason of disconnect", V5, frame(0xE0, &[&[0x04][..], &section(0x1F)].concat())),
        ("method of auth", V5, frame(0xF0, &[&[0x18][..], &section(0x15)].concat())),
    ]
}

#[test]
fn no_string_holds_nul_surrogates_or_other_bytes_that_are_no_text() {
    for (name, version, frame) in frames_with("é/☃".as_bytes()) {
        assert!(accepts(version, &frame), "{name}: {:?}", decode(version, &frame));
    }
    // [MQTT-1.5.4-1], [MQTT-1.5.4-2]
    let refused: [&[u8]; 8] = [
        b"a\0b",
        b"\0",
        &[0xED, 0xA0, 0x80],
        &[0xED, 0xBF, 0xBF],
        // Overlong NUL, a lone continuation, a cut character, beyond U+10FFFF.
        &[0xC0, 0x80],
        &[0x80],
        &[b'a', 0xE2, 0x98],
        &[0xF4, 0x90, 0x80, 0x80],
    ];
    for string in refused {
        for (name, version, frame) in frames_with(string) {
            assert!(!accepts(version, &frame), "{name}: {string:02X?}");
        }
    }
}

/// Which packets carry a reason code (MQTT 5, 2.4, with the tables of the packets).
fn carriers(code: u8) -> &'static [&'static str] {
    match code {
        0x00 => &["connack", "puback", "pubrec", "pubrel", "pubcomp", "suback", "unsuback", "disconnect", "auth"],
        0x01 | 0x02 => &["suback"],
        0x04 => &["disconnect"],
        0x10 => &["puback", "pubrec"],
        0x11 => &["unsuback"],
        0x18 | 0x19 => &["auth"],
        0x80 | 0x83 | 0x87 => &["connack", "puback", "pubrec", "suback", "unsuback", "disconnect"],
        0x81 | 0x82 | 0x89 | 0x8C | 0x95 | 0x9A | 0x9B | 0x9C | 0x9D | 0x9F => &["connack", "disconnect"],
        0x84 | 0x85 | 0x86 | 0x88 | 0x8A => &["connack"],
        0x8B | 0x8D | 0x8E | 0x93 | 0x94 | 0x96 | 0x98 | 0xA0 => &["disconnect"],
        0x8F => &["suback", "unsuback", "disconnect"],
        0x90 => &["connack", "puback", "pubrec", "disconnect"],
        0x91 => &["puback", "pubrec", "suback", "unsuback"],
        0x92 => &["pubrel", "pubcomp"],
        0x97 => &["connack", "puback", "pubrec", "suback", "disconnect"],
        0x99 => &["connack", "puback", "pubrec", "disconnect"],
        0x9E | 0xA1 | 0xA2 => &["suback", "disconnect"],
        _ => &[],
    }
}

#[test]
fn every_packet_knows_its_reason_codes_and_no_others() {
    for code in 0..=u8::MAX {
        let frames: [(&str, Vec<u8>); 9] = [
            ("connack", vec![0x20, 3, 0, code, 0]),
            ("puback", vec![0x40, 3, 0, 1, code]),
            ("pubrec", vec![0x50, 3, 0, 1, code]),
            ("pubrel", vec![0x62, 3, 0, 1, code]),
            ("pubcomp", vec![0x70, 3, 0, 1, code]),
            ("suback", vec![0x90, 4, 0, 1, 0, code]),
            ("unsuback", vec![0xB0, 4, 0, 1, 0, code]),
            ("disconnect", vec![0xE0, 1, code]),
            ("auth", vec![0xF0, 6, code, 4, 0x15, 0, 1, b'm']),
        ];
        for (name, frame) in frames {
            assert_eq!(accepts(V5, &frame), carriers(code).contains(&name), "{name} with 0x{code:02X}");
        }
    }
}

#[test]
fn every_step_of_an_authentication_survives_the_way_there_and_back() {
    for reason in [ReasonCode::Success, ReasonCode::ContinueAuthentication, ReasonCode::Reauthenticate] {
        for data in [None, Some(&b""[..]), Some(b"c=biws,r=nonce,p=proof")] {
            let auth = Auth { reason, method: Some("SCRAM-SHA-256"), data, ..Auth::default() };
            let mut bytes = Vec::new();
            encode(V5, &Packet::Auth(auth), &mut bytes).expect("a step that may be sent");
            assert_eq!(decode(V5, &bytes), Ok(Packet::Auth(auth)));
        }
    }
    for (name, code) in [
        ("method twice", &[0x15, 0, 1, b'm', 0x15, 0, 1, b'm'][..]),
        ("data twice", &[0x15, 0, 1, b'm', 0x16, 0, 0, 0x16, 0, 0]),
    ] {
        let body = [&[0x18, code.len() as u8][..], code].concat();
        let error = decode(V5, &frame(0xF0, &body)).expect_err(name);
        assert_eq!(error.reason_code(), ReasonCode::ProtocolError, "{name}");
        assert!(matches!(error, DecodeError::PropertyRepeated { .. }), "{error:?}");
    }
}
