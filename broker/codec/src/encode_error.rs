//! Why a packet value cannot be written. Each is a mistake of the caller, never of a peer.

use crate::{PacketType, ReasonCode};

/// Encoding a packet failed; nothing was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A string or binary field is longer than 65,535 bytes.
    #[error("{field} is longer than 65535 bytes")]
    FieldTooLong {
        /// The field.
        field: &'static str,
    },
    /// A string contains U+0000 [MQTT-1.5.4-2].
    #[error("{field} contains the null character")]
    NullCharacter {
        /// The field.
        field: &'static str,
    },
    /// The body is larger than a remaining length can say (268,435,455 bytes).
    #[error("packet is larger than the protocol allows")]
    PacketTooLarge,
    /// A field has a value that the standard excludes; a receiver would refuse the packet.
    #[error("{packet} cannot carry this {field}")]
    FieldValue {
        /// The packet type.
        packet: PacketType,
        /// The field.
        field: &'static str,
    },
    /// The reason code is not one of this packet, or 3.1.1 has no way to say it.
    #[error("{packet} of this protocol version cannot carry reason code {reason:?}")]
    ReasonCode {
        /// The packet type.
        packet: PacketType,
        /// The reason code.
        reason: ReasonCode,
    },
    /// AUTH in 3.1.1, or a CONNECT whose own version is another one.
    #[error("{packet} does not exist in this protocol version")]
    NotInVersion {
        /// The packet type.
        packet: PacketType,
    },
}
