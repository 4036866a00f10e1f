//! Why bytes are not a packet, and the one place where each cause becomes a reason code.
//!
//! Section 1.2 draws the line: a packet that cannot be parsed, or breaks a format that the standard calls malformed,
//! is 0x81; one that can be parsed but contains what the protocol does not allow is 0x82; a few causes have a code of
//! their own.

use crate::{FILTERS_MAX, PacketType, ProtocolVersion, ReasonCode, topic::TopicError};

/// Decoding a frame failed. Never contains bytes of the peer except single flags, codes and identifiers, so it can be
/// logged as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Control packet type 0 (section 2.1.2).
    #[error("control packet type 0 is reserved")]
    PacketTypeReserved,
    /// Flags of the fixed header that the packet type reserves [MQTT-2.1.3-1].
    #[error("reserved flags of {packet} are {flags:#06b}")]
    ReservedFlags {
        /// The packet type.
        packet: PacketType,
        /// The low four bits of the first byte.
        flags: u8,
    },
    /// Both QoS bits of a PUBLISH or of a will are set [MQTT-3.3.1-4], [MQTT-3.1.2-12].
    #[error("both quality of service bits of {packet} are set")]
    QosReserved {
        /// PUBLISH, or CONNECT for the will.
        packet: PacketType,
    },
    /// DUP is set on a QoS 0 PUBLISH [MQTT-3.3.1-2].
    #[error("duplicate flag is set on a qos 0 publish")]
    DupWithoutQos,
    /// A remaining length of more than four bytes (section 1.5.5).
    #[error("remaining length does not end within four bytes")]
    RemainingLength,
    /// A variable byte integer inside the packet does not end within four bytes (section 1.5.5).
    #[error("variable byte integer of {field} does not end within four bytes")]
    VariableByteInteger {
        /// What it stands for.
        field: &'static str,
    },
    /// A variable byte integer is padded [MQTT-1.5.5-1].
    #[error("variable byte integer of {field} is longer than necessary")]
    Overlong {
        /// What it stands for.
        field: &'static str,
    },
    /// The whole packet is larger than the receiver allows (section 3.1.2.11.4).
    #[error("packet of {size} bytes exceeds the maximum of {limit} bytes")]
    PacketTooLarge {
        /// Whole packet in bytes.
        size: u32,
        /// Maximum packet size in bytes.
        limit: u32,
    },
    /// What was given as one frame is shorter or longer than its remaining length says.
    #[error("frame of {actual} bytes does not have the length that its fixed header says")]
    FrameLength {
        /// Bytes given.
        actual: usize,
    },
    /// AUTH on a 3.1.1 connection.
    #[error("{packet} does not exist in protocol level {}", version.level())]
    NotInVersion {
        /// The packet type.
        packet: PacketType,
        /// The version of the connection.
        version: ProtocolVersion,
    },
    /// The first packet is not CONNECT [MQTT-3.1.0-1].
    #[error("first packet of a connection is {packet} instead of connect")]
    ExpectedConnect {
        /// What came instead.
        packet: PacketType,
    },
    /// The protocol name is neither `MQTT` nor 3.1's `MQIsdp` [MQTT-3.1.2-1].
    #[error("protocol name of connect is not MQTT")]
    ProtocolName,
    /// A protocol level that is neither 4 nor 5 [MQTT-3.1.2-2]. [`DecodeError::answer_version`] tells in which form to say so.
    #[error("protocol level {level} is not supported")]
    UnsupportedProtocolVersion {
        /// The level byte as received.
        level: u8,
    },
    /// Reserved bit of the connect flags [MQTT-3.1.2-3].
    #[error("reserved flag of connect is set")]
    ConnectFlagReserved,
    /// Will QoS or will retain without the will flag [MQTT-3.1.2-11], [MQTT-3.1.2-13].
    #[error("will qos or will retain is set without a will")]
    WillFlags,
    /// Password without user name in 3.1.1 (3.1.1, [MQTT-3.1.2-22]).
    #[error("password without user name in protocol level 4")]
    PasswordWithoutUserName,
    /// Reserved bits of the connect acknowledge flags [MQTT-3.2.2-1].
    #[error("reserved connect acknowledge flags are set")]
    ConnAckFlags,
    /// Session present together with a refusal [MQTT-3.2.2-6].
    #[error("connack refuses the connection but says that a session is present")]
    SessionPresentWithError,
    /// The packet ends inside a field.
    #[error("packet ends inside {field}")]
    Truncated {
        /// The field.
        field: &'static str,
    },
    /// Bytes are left after the last field.
    #[error("{packet} has bytes after its last field")]
    TrailingBytes {
        /// The packet type.
        packet: PacketType,
    },
    /// Not UTF-8 [MQTT-1.5.4-1].
    #[error("{field} is not well-formed utf-8")]
    Utf8 {
        /// The field.
        field: &'static str,
    },
    /// U+0000 in a string [MQTT-1.5.4-2].
    #[error("{field} contains the null character")]
    NullCharacter {
        /// The field.
        field: &'static str,
    },
    /// A property identifier that the standard does not define (section 2.2.2.2).
    #[error("property identifier {id:#04x} does not exist")]
    PropertyUnknown {
        /// The first byte of the identifier.
        id: u8,
    },
    /// A property that this packet may not carry (section 2.2.2.2).
    #[error("{packet} may not carry property {id:#04x}")]
    PropertyNotAllowed {
        /// The packet type; CONNECT also stands for the will properties.
        packet: PacketType,
        /// The property identifier.
        id: u8,
    },
    /// A property that may appear once appears again (each property's section: "It is a Protocol Error to include").
    #[error("property {id:#04x} is repeated")]
    PropertyRepeated {
        /// The property identifier.
        id: u8,
    },
    /// A property has a value that its section excludes: a flag other than 0 and 1, a maximum or an identifier of 0.
    #[error("property {id:#04x} has a value that is not allowed")]
    PropertyValue {
        /// The property identifier.
        id: u8,
    },
    /// Topic alias 0 [MQTT-3.3.2-8].
    #[error("topic alias is 0")]
    TopicAliasZero,
    /// Authentication data without a method (section 3.1.2.11.10), or an AUTH without a method (section 3.15.2.2.2).
    #[error("{packet} has no authentication method")]
    AuthenticationMethodMissing {
        /// The packet type.
        packet: PacketType,
    },
    /// Packet identifier 0 [MQTT-2.2.1-3], [MQTT-2.2.1-4].
    #[error("packet identifier of {packet} is 0")]
    PacketIdZero {
        /// The packet type.
        packet: PacketType,
    },
    /// A reason code or return code that this packet may not carry.
    #[error("{packet} may not carry reason code {code:#04x}")]
    ReasonCode {
        /// The packet type.
        packet: PacketType,
        /// The byte as received.
        code: u8,
    },
    /// Neither a topic name nor a topic alias (section 3.3.2.1).
    #[error("publish has neither a topic name nor a topic alias")]
    TopicMissing,
    /// A topic name of PUBLISH or of a will is not well formed [MQTT-3.3.2-2], [MQTT-4.7.3-1].
    #[error("topic name is not valid")]
    TopicName(#[source] TopicError),
    /// A response topic is not well formed [MQTT-3.3.2-14].
    #[error("response topic is not valid")]
    ResponseTopic(#[source] TopicError),
    /// A topic filter is not well formed [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.8.2-1], [MQTT-4.8.2-2].
    #[error("topic filter is not valid")]
    TopicFilter(#[source] TopicError),
    /// SUBSCRIBE or UNSUBSCRIBE without a topic filter, SUBACK or UNSUBACK without a reason code [MQTT-3.8.3-2], [MQTT-3.10.3-2].
    #[error("{packet} has an empty payload")]
    PayloadEmpty {
        /// The packet type.
        packet: PacketType,
    },
    /// More filters in one SUBSCRIBE or UNSUBSCRIBE than [`FILTERS_MAX`](crate::FILTERS_MAX).
    #[error("{packet} has more than {FILTERS_MAX} topic filters: spread them over several packets")]
    TooManyFilters {
        /// The packet type.
        packet: PacketType,
    },
    /// Reserved bits of the subscription options [MQTT-3.8.3-5].
    #[error("reserved subscription options are set: {bits:#010b}")]
    SubscriptionOptionsReserved {
        /// The options byte.
        bits: u8,
    },
    /// A requested QoS of 3 (section 3.8.3.1).
    #[error("maximum quality of service of a subscription is 3")]
    SubscriptionQos {
        /// The version, because 3.1.1 calls it malformed and 5 a protocol error.
        version: ProtocolVersion,
    },
    /// A retain handling of 3 (section 3.8.3.1).
    #[error("retain handling of a subscription is 3")]
    RetainHandling,
    /// No local on a shared subscription [MQTT-3.8.3-4].
    #[error("no local is set on a shared subscription")]
    NoLocalOnShared,
}

impl DecodeError {
    /// The reason code of the DISCONNECT or CONNACK that answers this error ([MQTT-4.13.1-1]: the connection is closed
    /// after it, in 3.1.1 without any answer).
    #[must_use]
    pub const fn reason_code(&self) -> ReasonCode {
        match self {
            Self::PacketTypeReserved
            | Self::ReservedFlags { .. } // [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1], [MQTT-3.14.1-1], [MQTT-3.15.1-1]
            | Self::QosReserved { .. } // section 3.3.1.2: "is a Malformed Packet"
            | Self::RemainingLength
            | Self::VariableByteInteger { .. }
            | Self::Overlong { .. }
            | Self::FrameLength { .. }
            | Self::ConnectFlagReserved // section 3.1.2.3: "is a Malformed Packet"
            | Self::WillFlags
            | Self::PasswordWithoutUserName
            | Self::ConnAckFlags
            | Self::Truncated { .. }
            | Self::TrailingBytes { .. }
            | Self::Utf8 { .. } // section 1.5.4: "is a Malformed Packet"
            | Self::NullCharacter { .. }
            | Self::PropertyUnknown { .. } // section 2.2.2.2: "is a Malformed Packet"
            | Self::PropertyNotAllowed { .. }
            | Self::SubscriptionOptionsReserved { .. }
            | Self::SubscriptionQos { version: ProtocolVersion::V311 } => ReasonCode::MalformedPacket,
            Self::DupWithoutQos
            | Self::NotInVersion { .. }
            | Self::ExpectedConnect { .. }
            | Self::SessionPresentWithError
            | Self::PropertyRepeated { .. }
            | Self::PropertyValue { .. }
            | Self::AuthenticationMethodMissing { .. }
            | Self::PacketIdZero { .. }
            | Self::ReasonCode { .. }
            | Self::TopicMissing
            | Self::ResponseTopic(_)
            | Self::PayloadEmpty { .. }
            | Self::SubscriptionQos { version: ProtocolVersion::V5 }
            | Self::RetainHandling
            | Self::NoLocalOnShared => ReasonCode::ProtocolError,
            Self::ProtocolName | Self::UnsupportedProtocolVersion { .. } => ReasonCode::UnsupportedProtocolVersion,
            Self::PacketTooLarge { .. } => ReasonCode::PacketTooLarge, // section 3.1.2.11.4
            Self::TooManyFilters { .. } => ReasonCode::QuotaExceeded, // section 4.13.1: a limit of the implementation
            Self::TopicAliasZero => ReasonCode::TopicAliasInvalid, // section 3.3.4
            Self::TopicName(_) => ReasonCode::TopicNameInvalid,
            Self::TopicFilter(_) => ReasonCode::TopicFilterInvalid,
        }
    }

    /// The form in which to answer an unsupported protocol version or name: return code 0x01 for levels below 5
    /// (a bridge's level with the high bit set included), 0x84 of MQTT 5 for what is newer. `None` for other errors,
    /// where [`connect_version`](crate::connect_version) knows the version.
    #[must_use]
    pub const fn answer_version(&self) -> Option<ProtocolVersion> {
        match self {
            Self::UnsupportedProtocolVersion { level } if *level & 0x7F < ProtocolVersion::V5.level() => {
                Some(ProtocolVersion::V311)
            }
            Self::UnsupportedProtocolVersion { .. } | Self::ProtocolName => Some(ProtocolVersion::V5),
            _ => None,
        }
    }
}
