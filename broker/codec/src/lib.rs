//! MQTT 3.1.1 and 5 packets: bytes to values and back.
//!
//! One tree serves both versions, with [`ProtocolVersion`] as an argument. Decoding borrows from the input and judges a
//! packet by itself; what depends on the connection (who may send it, when, identifiers in use, alias maximum) is the
//! protocol core's business. There is no I/O and no state here.
//!
//! Invariants: bytes of a peer never panic; what [`encode`] accepts [`decode`] accepts with the same value; an error says
//! which reason code answers it ([`DecodeError::reason_code`]).

mod decode_error;
mod encode_error;
mod frame;
#[cfg(test)]
mod generate;
mod packet;
mod packet_id;
mod property;
mod qos;
mod reader;
mod reason_code;
mod reason_codes;
#[cfg(test)]
mod tests;
mod text;
pub mod topic;
mod user_properties;
mod version;
mod writer;

pub use decode_error::DecodeError;
pub use encode_error::EncodeError;
pub use frame::{PacketType, REMAINING_LENGTH_MAX, frame_length};
pub use packet::{
    Ack, AckKind, Auth, ConnAck, Connect, Delivery, Disconnect, FILTERS_MAX, Forwarded, Packet, Publish,
    PublishProperties, PublishPropertiesBuffer, RetainHandling, SubAck, Subscribe, SubscribeFilter, UnsubAck,
    Unsubscribe, Will, connect_version, decode, decode_connect, encode,
};
pub use packet_id::PacketId;
pub use property::PayloadFormat;
pub use qos::QoS;
pub use reason_code::ReasonCode;
pub use reason_codes::ReasonCodes;
pub use user_properties::UserProperties;
pub use version::ProtocolVersion;
