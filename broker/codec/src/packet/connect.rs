//! CONNECT (section 3.1): the first packet of a connection, which says the version of all that follow.
//!
//! An empty client identifier is passed on, with and without clean start; what to answer is the server's decision
//! ([MQTT-3.1.3-6]).

use std::num::{NonZeroU16, NonZeroU32};

use crate::{
    DecodeError, EncodeError, PacketType, ProtocolVersion, QoS, UserProperties, Will,
    frame::{self, Frame},
    property::{Properties, Property},
    reader::Reader,
    writer::{put_binary, put_frame, put_string, put_with_length},
};

const NAME: &[u8] = b"MQTT";
const NAME_OF_3_1: &[u8] = b"MQIsdp";

/// Bits of the connect flags (section 3.1.2.3).
mod flag {
    pub const RESERVED: u8 = 1;
    pub const CLEAN_START: u8 = 1 << 1;
    pub const WILL: u8 = 1 << 2;
    pub const WILL_QOS_SHIFT: u8 = 3;
    pub const WILL_RETAIN: u8 = 1 << 5;
    pub const PASSWORD: u8 = 1 << 6;
    pub const USER_NAME: u8 = 1 << 7;
}

/// A client's request for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connect<'a> {
    /// The version that the whole connection speaks.
    pub version: ProtocolVersion,
    /// Whether to begin a new session [MQTT-3.1.2-4]; clean session in 3.1.1.
    pub clean_start: bool,
    /// Keep alive in seconds; 0 = off.
    pub keep_alive_s: u16,
    /// May be empty.
    pub client_id: &'a str,
    /// User name.
    pub username: Option<&'a str>,
    /// Password; in 3.1.1 only together with a user name.
    pub password: Option<&'a [u8]>,
    /// Will message [MQTT-3.1.2-7].
    pub will: Option<Will<'a>>,
    /// Session expiry interval in seconds, `u32::MAX` = never; absent = 0 (section 3.1.2.11.2).
    pub session_expiry_s: Option<u32>,
    /// How many QoS 1 and 2 messages the client handles at once; absent = 65,535.
    pub receive_maximum: Option<NonZeroU16>,
    /// The largest packet that the client accepts, in bytes; absent = no limit.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// The highest topic alias that the client accepts; 0 = none.
    pub topic_alias_maximum: u16,
    /// Whether the server may return response information [MQTT-3.1.2-28].
    pub request_response_information: bool,
    /// Whether reason strings and user properties are wanted on failures [MQTT-3.1.2-29].
    pub request_problem_information: bool,
    /// User properties.
    pub user_properties: UserProperties<'a>,
    /// Name of the extended authentication method.
    pub authentication_method: Option<&'a str>,
    /// Data of that method; only together with a method.
    pub authentication_data: Option<&'a [u8]>,
}

/// Decodes the first packet of a connection, whose version is not known yet.
///
/// # Errors
/// Not a CONNECT, a version that is neither 3.1.1 nor 5 ([`DecodeError::answer_version`]), or what [`crate::decode`] refuses.
pub fn decode_connect(frame: &[u8]) -> Result<Connect<'_>, DecodeError> {
    let frame = frame::split(frame)?;
    if frame.packet != PacketType::Connect {
        return Err(DecodeError::ExpectedConnect { packet: frame.packet }); // [MQTT-3.1.0-1]
    }
    Connect::decode(&frame)
}

/// The version that a CONNECT asks for, although the rest of it may be refused: the form in which to answer it.
///
/// # Errors
/// Not a CONNECT, or not a version that this codec knows.
pub fn connect_version(frame: &[u8]) -> Result<ProtocolVersion, DecodeError> {
    let frame = frame::split(frame)?;
    if frame.packet != PacketType::Connect {
        return Err(DecodeError::ExpectedConnect { packet: frame.packet });
    }
    read_version(&mut Reader::new(frame.body))
}

impl<'a> Connect<'a> {
    /// A request without any option: no will, no credentials, no session expiry.
    #[must_use]
    pub const fn new(version: ProtocolVersion, client_id: &'a str, clean_start: bool) -> Self {
        Self {
            version,
            clean_start,
            keep_alive_s: 0,
            client_id,
            username: None,
            password: None,
            will: None,
            session_expiry_s: None,
            receive_maximum: None,
            maximum_packet_size: None,
            topic_alias_maximum: 0,
            request_response_information: false,
            request_problem_information: true,
            user_properties: UserProperties::EMPTY,
            authentication_method: None,
            authentication_data: None,
        }
    }

    #[inline(never)]
    pub(crate) fn decode(frame: &Frame<'a>) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(frame.body);
        let version = read_version(&mut reader)?;
        if frame.padded && version == ProtocolVersion::V5 {
            return Err(DecodeError::Overlong { field: "remaining length" }); // [MQTT-1.5.5-1]
        }
        let flags = reader.byte("connect flags")?;
        let will_qos = check_flags(version, flags)?;
        let mut connect = Self::new(version, "", flags & flag::CLEAN_START != 0);
        connect.keep_alive_s = reader.two_bytes("keep alive")?;
        if version == ProtocolVersion::V5 {
            connect.decode_properties(reader.property_section()?)?;
        }
        // [MQTT-3.1.3-1], [MQTT-3.1.3-3], [MQTT-3.1.3-4]
        connect.client_id = reader.string("client identifier")?;
        if flags & flag::WILL != 0 {
            // [MQTT-3.1.2-9]
            connect.will = Some(Will::decode(version, will_qos, flags & flag::WILL_RETAIN != 0, &mut reader)?);
        }
        if flags & flag::USER_NAME != 0 {
            connect.username = Some(reader.string("user name")?); // [MQTT-3.1.2-17], [MQTT-3.1.3-12]
        }
        if flags & flag::PASSWORD != 0 {
            connect.password = Some(reader.binary("password")?); // [MQTT-3.1.2-19]
        }
        reader.finish(PacketType::Connect)?; // [MQTT-3.1.2-16], [MQTT-3.1.2-18]
        Ok(connect)
    }

    fn decode_properties(&mut self, section: &'a [u8]) -> Result<(), DecodeError> {
        let packet = PacketType::Connect;
        let mut properties = Properties::new(section);
        while let Some(property) = properties.next()? {
            match property {
                Property::SessionExpiry(seconds) => self.session_expiry_s = Some(seconds),
                Property::ReceiveMaximum(maximum) => self.receive_maximum = Some(maximum),
                Property::MaximumPacketSize(bytes) => self.maximum_packet_size = Some(bytes),
                Property::TopicAliasMaximum(maximum) => self.topic_alias_maximum = maximum,
                Property::RequestResponseInformation(wanted) => self.request_response_information = wanted,
                Property::RequestProblemInformation(wanted) => self.request_problem_information = wanted,
                Property::User(..) => self.user_properties = UserProperties::from_section(section),
                Property::AuthenticationMethod(method) => self.authentication_method = Some(method),
                Property::AuthenticationData(data) => self.authentication_data = Some(data),
                other => return Err(other.not_allowed(packet)),
            }
        }
        // Section 3.1.2.11.10: "It is a Protocol Error to include Authentication Data if there is no Authentication Method."
        if self.authentication_data.is_some() && self.authentication_method.is_none() {
            return Err(DecodeError::AuthenticationMethodMissing { packet });
        }
        Ok(())
    }

    /// Appends the packet in the form of its own version. In 3.1.1 all that is a property in MQTT 5 is left out.
    ///
    /// # Errors
    /// Something that a receiver would refuse; `out` is then unchanged.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let packet = PacketType::Connect;
        if self.version == ProtocolVersion::V311 && self.password.is_some() && self.username.is_none() {
            return Err(EncodeError::FieldValue { packet, field: "password without user name" });
        }
        put_frame(out, packet.first_byte(), |out| {
            put_binary(out, NAME, "protocol name")?;
            out.push(self.version.level());
            out.push(self.flags());
            out.extend_from_slice(&self.keep_alive_s.to_be_bytes());
            if self.version == ProtocolVersion::V5 {
                put_with_length(out, |out| self.put_properties(out))?;
            }
            put_string(out, self.client_id, "client identifier")?;
            self.will.map_or(Ok(()), |will| will.put(self.version, out))?;
            self.username.map_or(Ok(()), |name| put_string(out, name, "user name"))?;
            self.password.map_or(Ok(()), |password| put_binary(out, password, "password"))
        })
    }

    fn flags(&self) -> u8 {
        let set = |condition: bool, bits: u8| if condition { bits } else { 0 };
        let will = self.will.map_or(0, |will| {
            flag::WILL | will.qos.bits() << flag::WILL_QOS_SHIFT | set(will.retain, flag::WILL_RETAIN)
        });
        will | set(self.clean_start, flag::CLEAN_START)
            | set(self.username.is_some(), flag::USER_NAME)
            | set(self.password.is_some(), flag::PASSWORD)
    }

    fn put_properties(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let packet = PacketType::Connect;
        if self.authentication_data.is_some() && self.authentication_method.is_none() {
            return Err(EncodeError::FieldValue { packet, field: "authentication data without method" });
        }
        let properties = [
            self.session_expiry_s.map(Property::SessionExpiry),
            self.receive_maximum.map(Property::ReceiveMaximum),
            self.maximum_packet_size.map(Property::MaximumPacketSize),
            (self.topic_alias_maximum != 0).then_some(Property::TopicAliasMaximum(self.topic_alias_maximum)),
            self.request_response_information.then_some(Property::RequestResponseInformation(true)),
            (!self.request_problem_information).then_some(Property::RequestProblemInformation(false)),
            self.authentication_method.map(Property::AuthenticationMethod),
            self.authentication_data.map(Property::AuthenticationData),
        ];
        properties.iter().flatten().try_for_each(|property| property.put(packet, out))?;
        self.user_properties.put(packet, out)
    }
}

/// Protocol name and level (sections 3.1.2.1 and 3.1.2.2).
fn read_version(reader: &mut Reader<'_>) -> Result<ProtocolVersion, DecodeError> {
    let name = reader.binary("protocol name")?;
    if name != NAME && name != NAME_OF_3_1 {
        return Err(DecodeError::ProtocolName); // [MQTT-3.1.2-1]
    }
    match reader.byte("protocol level")? {
        4 if name == NAME => Ok(ProtocolVersion::V311),
        5 if name == NAME => Ok(ProtocolVersion::V5),
        level => Err(DecodeError::UnsupportedProtocolVersion { level }), // [MQTT-3.1.2-2]
    }
}

/// Checks the connect flags as far as they speak alone; gives the will's quality of service.
fn check_flags(version: ProtocolVersion, flags: u8) -> Result<QoS, DecodeError> {
    if flags & flag::RESERVED != 0 {
        return Err(DecodeError::ConnectFlagReserved); // [MQTT-3.1.2-3]
    }
    // [MQTT-3.1.2-12]
    let will_qos = QoS::from_bits(flags >> flag::WILL_QOS_SHIFT & 0b11)
        .ok_or(DecodeError::QosReserved { packet: PacketType::Connect })?;
    if flags & flag::WILL == 0 && (will_qos != QoS::AtMostOnce || flags & flag::WILL_RETAIN != 0) {
        return Err(DecodeError::WillFlags); // [MQTT-3.1.2-11], [MQTT-3.1.2-13]
    }
    // 3.1.1's [MQTT-3.1.2-22]; MQTT 5 lifts it.
    if version == ProtocolVersion::V311 && flags & flag::PASSWORD != 0 && flags & flag::USER_NAME == 0 {
        return Err(DecodeError::PasswordWithoutUserName);
    }
    Ok(will_qos)
}

#[cfg(test)]
pub(crate) mod generate {
    use proptest::{option, prelude::*};

    use super::*;
    use crate::{generate as part, packet::will};

    /// What `version` can say.
    pub(crate) fn connect(version: ProtocolVersion) -> impl Strategy<Value = Connect<'static>> {
        let head = (any::<bool>(), any::<u16>(), part::text(), option::of(will::generate::will(version)));
        let credentials = (option::of(part::text()), option::of(part::bytes()));
        let limits =
            (option::of(any::<u32>()), option::of(any::<NonZeroU16>()), option::of(any::<NonZeroU32>()), any::<u16>());
        let wishes = (any::<bool>(), any::<bool>(), part::user_properties());
        let authentication = option::of((part::text(), option::of(part::bytes())));
        (head, credentials, limits, wishes, authentication).prop_map(
            move |(head, credentials, limits, wishes, authentication)| {
                let (clean_start, keep_alive_s, client_id, will) = head;
                let (username, password) = credentials;
                let first =
                    Connect { keep_alive_s, will, username, password, ..Connect::new(version, client_id, clean_start) };
                if version == ProtocolVersion::V311 {
                    return Connect { password: password.filter(|_| username.is_some()), ..first };
                }
                let (session_expiry_s, receive_maximum, maximum_packet_size, topic_alias_maximum) = limits;
                let (request_response_information, request_problem_information, user_properties) = wishes;
                Connect {
                    session_expiry_s,
                    receive_maximum,
                    maximum_packet_size,
                    topic_alias_maximum,
                    request_response_information,
                    request_problem_information,
                    user_properties,
                    authentication_method: authentication.map(|(method, _)| method),
                    authentication_data: authentication.and_then(|(_, data)| data),
                    ..first
                }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ReasonCode, topic::TopicError};

    /// Remaining length, name and level in front of `rest`; the flags are the first byte of `rest`.
    fn frame(level: u8, rest: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x10, 7 + rest.len() as u8, 0, 4, b'M', b'Q', b'T', b'T', level];
        frame.extend_from_slice(rest);
        frame
    }

    fn refused(level: u8, rest: &[u8]) -> DecodeError {
        decode_connect(&frame(level, rest)).map(|connect| format!("{connect:?}")).expect_err("malformed")
    }

    #[test]
    fn every_field_of_a_full_mqtt_5_connect_is_read() {
        let rest = [
            &[0b1111_0110, 0x00, 0x0A][..], // user name, password, will retain, will qos 2, will, clean start; keep alive
            &[35],
            &[0x11, 0, 0, 0, 9, 0x21, 0, 8, 0x27, 0, 0, 1, 0, 0x22, 0, 3, 0x19, 1, 0x17, 0],
            &[0x26, 0, 1, b'n', 0, 1, b'v', 0x15, 0, 1, b'm', 0x16, 0, 1, b'd'],
            &[0, 2, b'i', b'd'],
            &[10, 0x18, 0, 0, 0, 5, 0x02, 0, 0, 0, 6],
            &[0, 1, b't', 0, 2, 1, 2],
            &[0, 1, b'u', 0, 1, b'p'],
        ]
        .concat();
        let frame = frame(5, &rest);
        let connect = decode_connect(&frame).expect("valid");
        assert!(connect.clean_start && connect.request_response_information && !connect.request_problem_information);
        assert_eq!((connect.version, connect.keep_alive_s, connect.client_id), (ProtocolVersion::V5, 10, "id"));
        assert_eq!((connect.username, connect.password), (Some("u"), Some(&b"p"[..])));
        assert_eq!((connect.session_expiry_s, connect.topic_alias_maximum), (Some(9), 3));
        assert_eq!(connect.receive_maximum.map(NonZeroU16::get), Some(8));
        assert_eq!(connect.maximum_packet_size.map(NonZeroU32::get), Some(256));
        assert_eq!(connect.user_properties, UserProperties::from_pairs(&[("n", "v")]));
        assert_eq!((connect.authentication_method, connect.authentication_data), (Some("m"), Some(&b"d"[..])));
        let will = connect.will.expect("will");
        assert_eq!((will.qos, will.retain, will.topic, will.payload), (QoS::ExactlyOnce, true, "t", &[1, 2][..]));
        assert_eq!((will.delay_s, will.properties.message_expiry_s, will.properties.forwarded_len()), (5, Some(6), 0));
    }

    #[test]
    fn an_empty_client_identifier_is_left_to_the_server() {
        for (level, rest) in [(4, &[0, 0, 0, 0, 0][..]), (5, &[0, 0, 0, 0, 0, 0]), (4, &[2, 0, 0, 0, 0])] {
            let frame = frame(level, rest);
            let connect = decode_connect(&frame).expect("valid");
            assert_eq!((connect.client_id, connect.clean_start), ("", rest[0] == 2));
        }
    }

    #[test]
    fn other_versions_are_told_in_the_form_that_the_client_knows() {
        for (level, answer) in [
            (0, ProtocolVersion::V311),
            (3, ProtocolVersion::V311),
            (0x84, ProtocolVersion::V311), // a bridge
            (6, ProtocolVersion::V5),
            (0x85, ProtocolVersion::V5),
        ] {
            let error = refused(level, &[2, 0, 0, 0, 0]);
            assert_eq!(error, DecodeError::UnsupportedProtocolVersion { level });
            assert_eq!(
                (error.reason_code(), error.answer_version()),
                (ReasonCode::UnsupportedProtocolVersion, Some(answer))
            );
        }
        let of_3_1 = decode_connect(b"\x10\x0E\0\x06MQIsdp\x03\x02\0\0\0\0").expect_err("3.1");
        assert_eq!(of_3_1, DecodeError::UnsupportedProtocolVersion { level: 3 });
        for name in [&b"\x10\x0C\0\x04MQTX\x05\x02\0\0\0\0"[..], b"\x10\x0C\0\x04mqtt\x05\x02\0\0\0\0"] {
            assert_eq!(decode_connect(name), Err(DecodeError::ProtocolName)); // [MQTT-3.1.2-1]
        }
        assert_eq!(decode_connect(b"\x10\x03\0\x04M"), Err(DecodeError::Truncated { field: "protocol name" }));
    }

    #[test]
    fn the_version_is_known_although_the_rest_is_refused() {
        let frame = frame(5, &[1, 0, 0, 0, 0, 0]);
        assert_eq!(decode_connect(&frame), Err(DecodeError::ConnectFlagReserved)); // [MQTT-3.1.2-3]
        assert_eq!(connect_version(&frame), Ok(ProtocolVersion::V5));
        assert_eq!(DecodeError::ConnectFlagReserved.answer_version(), None);
    }

    #[test]
    fn the_first_packet_is_a_connect() {
        let error = decode_connect(&[0xC0, 0]).expect_err("pingreq"); // [MQTT-3.1.0-1]
        assert_eq!(error, DecodeError::ExpectedConnect { packet: PacketType::PingReq });
        assert_eq!(error.reason_code(), ReasonCode::ProtocolError);
        assert_eq!(connect_version(&[0xC0, 0]), Err(error));
    }

    #[test]
    fn flags_that_contradict_each_other_are_malformed() {
        for level in [4, 5] {
            for flags in [0b0000_1000, 0b0001_0000, 0b0010_0000] {
                assert_eq!(refused(level, &[flags, 0, 0, 0, 0, 0]), DecodeError::WillFlags); // [MQTT-3.1.2-11], [MQTT-3.1.2-13]
            }
            let error = refused(level, &[0b0001_1100, 0, 0, 0, 0, 0]); // [MQTT-3.1.2-12]
            assert_eq!(error, DecodeError::QosReserved { packet: PacketType::Connect });
        }
        assert_eq!(refused(4, &[0b0100_0000, 0, 0, 0, 0, 0, 1, b'p']), DecodeError::PasswordWithoutUserName);
        let frame = frame(5, &[0b0100_0000, 0, 0, 0, 0, 0, 0, 1, b'p']);
        assert_eq!(decode_connect(&frame).expect("valid in 5").password, Some(&b"p"[..]));
    }

    #[test]
    fn what_the_flags_promise_must_be_there_and_nothing_else() {
        let field = |field| DecodeError::Truncated { field };
        assert_eq!(refused(4, &[0b1000_0010, 0, 0, 0, 0]), field("user name")); // [MQTT-3.1.2-17]
        assert_eq!(refused(4, &[0b1100_0010, 0, 0, 0, 0, 0, 0]), field("password")); // [MQTT-3.1.2-19]
        assert_eq!(refused(4, &[0b0000_0110, 0, 0, 0, 0]), field("will topic")); // [MQTT-3.1.2-9]
        assert_eq!(refused(4, &[0b0000_0110, 0, 0, 0, 0, 0, 1, b't']), field("will payload"));
        assert_eq!(refused(5, &[0b0000_0110, 0, 0, 0, 0, 0]), field("property length"));
        let trailing = DecodeError::TrailingBytes { packet: PacketType::Connect };
        assert_eq!(refused(4, &[2, 0, 0, 0, 0, 0, 0]), trailing); // [MQTT-3.1.2-16], [MQTT-3.1.2-18]
        assert_eq!(refused(4, &[2, 0, 0]), field("client identifier")); // [MQTT-3.1.3-3]
    }

    #[test]
    fn a_will_topic_is_a_topic_name() {
        let will = |topic: &[u8]| [&[0b0000_0110, 0, 0, 0, 0, 0, topic.len() as u8][..], topic, &[0, 0]].concat();
        let error = refused(4, &will(b"a/#"));
        assert_eq!(error, DecodeError::TopicName(TopicError::WildcardInName));
        assert_eq!(error.reason_code(), ReasonCode::TopicNameInvalid);
        assert_eq!(refused(4, &will(b"")), DecodeError::TopicName(TopicError::Empty));
        assert_eq!(refused(4, &will(b"\xFF")), DecodeError::Utf8 { field: "will topic" }); // [MQTT-3.1.3-11]
        assert_eq!(refused(4, &will(b"\0")), DecodeError::NullCharacter { field: "will topic" });
    }

    #[test]
    fn properties_of_other_packets_are_refused() {
        for (section, id) in
            [(&[0x12, 0, 0][..], 0x12), (&[0x23, 0, 1], 0x23), (&[0x18, 0, 0, 0, 1], 0x18), (&[0x1F, 0, 0], 0x1F)]
        {
            let rest = [&[2, 0, 0, section.len() as u8][..], section, &[0, 0]].concat();
            assert_eq!(refused(5, &rest), DecodeError::PropertyNotAllowed { packet: PacketType::Connect, id });
        }
        for (section, id) in [(&[0x11, 0, 0, 0, 1][..], 0x11), (&[0x23, 0, 1], 0x23), (&[0x0B, 1], 0x0B)] {
            let rest = [&[6, 0, 0, 0, 0, 0, section.len() as u8][..], section, &[0, 1, b't', 0, 0]].concat();
            assert_eq!(
                refused(5, &rest),
                DecodeError::PropertyNotAllowed { packet: PacketType::Connect, id },
                "in the will"
            );
        }
    }

    #[test]
    fn authentication_data_needs_a_method() {
        let error = refused(5, &[2, 0, 0, 4, 0x16, 0, 1, 7, 0, 0]);
        assert_eq!(error, DecodeError::AuthenticationMethodMissing { packet: PacketType::Connect });
        assert_eq!(error.reason_code(), ReasonCode::ProtocolError);
        let connect = Connect { authentication_data: Some(&[7]), ..Connect::new(ProtocolVersion::V5, "", true) };
        assert!(matches!(connect.encode(&mut Vec::new()), Err(EncodeError::FieldValue { .. })));
    }

    #[test]
    fn a_padded_remaining_length_is_refused_in_mqtt_5_alone() {
        let mut padded = frame(5, &[2, 0, 0, 0, 0, 0]);
        padded.splice(1..2, [0x8D, 0x00]);
        assert_eq!(decode_connect(&padded), Err(DecodeError::Overlong { field: "remaining length" })); // [MQTT-1.5.5-1]
        let mut padded = frame(4, &[2, 0, 0, 0, 0]);
        padded.splice(1..2, [0x8C, 0x00]);
        assert!(decode_connect(&padded).is_ok());
    }

    #[test]
    fn connects_that_a_server_refuses_are_not_encoded() {
        let plain = Connect::new(ProtocolVersion::V311, "id", true);
        let mut out = vec![1];
        let without_name = Connect { password: Some(b"p"), ..plain };
        assert!(matches!(without_name.encode(&mut out), Err(EncodeError::FieldValue { .. })));
        let will = Will {
            qos: QoS::AtMostOnce,
            retain: false,
            topic: "#",
            payload: &[],
            delay_s: 0,
            properties: Default::default(),
        };
        assert!(matches!(Connect { will: Some(will), ..plain }.encode(&mut out), Err(EncodeError::FieldValue { .. })));
        assert!(matches!(
            Connect { client_id: "\0", ..plain }.encode(&mut out),
            Err(EncodeError::NullCharacter { .. })
        ));
        assert_eq!(out, [1]);
    }
}
