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
mod tests;
