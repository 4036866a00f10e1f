//! PUBLISH packets encoded once, to be copied and patched per message.
//! Invariant: a patched copy is what the codec would have encoded with that identifier and payload, byte for byte.

use selvedge_codec::ProtocolVersion;

use crate::error::RunError;
use crate::packets;
use crate::stamp::Stamp;

/// One topic's PUBLISH.
#[derive(Debug)]
pub(crate) struct PublishTemplate {
    bytes: Vec<u8>,
    payload_at: usize,
    packet_id_at: Option<usize>,
}

impl PublishTemplate {
    /// Encodes it; a payload without room for a stamp stays without.
    pub fn new(
        version: ProtocolVersion,
        topic: &str,
        qos: u8,
        retain: bool,
        payload_bytes: usize,
    ) -> Result<Self, RunError> {
        let bytes = packets::publish(version, topic, qos, retain, &vec![0; payload_bytes])?;
        let payload_at = bytes.len() - payload_bytes;
        // Before the payload: two bytes of identifier, and in MQTT 5 one byte for no properties.
        let behind_id = if version == ProtocolVersion::V5 { 1 } else { 0 };
        let packet_id_at = (qos > 0).then(|| payload_at - behind_id - 2);
        Ok(Self { bytes, payload_at, packet_id_at })
    }

    /// Appends a copy with this identifier (ignored at QoS 0) and stamp.
    pub fn append(&self, outbox: &mut Vec<u8>, packet_id: u16, stamp: &Stamp) {
        let start = outbox.len();
        outbox.extend_from_slice(&self.bytes);
        let copy = &mut outbox[start..];
        if let Some(at) = self.packet_id_at {
            copy[at..at + 2].copy_from_slice(&packet_id.to_be_bytes());
        }
        let payload = &mut copy[self.payload_at..];
        if payload.len() >= Stamp::BYTES {
            stamp.write(payload);
        }
    }
}

#[cfg(test)]
mod tests {
    use selvedge_codec::{Packet, decode};

    use super::*;
    use crate::frame::{Incoming, incoming};

    #[test]
    fn a_patched_copy_reads_back_with_its_identifier_and_stamp_by_codec_and_hot_path() {
        let stamp = Stamp { run: 1, stream: 2, sequence: 3, sent_ns: 4 };
        for version in [ProtocolVersion::V311, ProtocolVersion::V5] {
            for (qos, id) in [(0, 0), (1, 0xABCD), (2, 1)] {
                for payload_bytes in [Stamp::BYTES, 64, 200, 20_000] {
                    let template =
                        PublishTemplate::new(version, "a/b", qos, false, payload_bytes).expect("valid topic");
                    let mut bytes = b"before".to_vec();
                    template.append(&mut bytes, id, &stamp);
                    let frame = &bytes[6..];
                    let Ok(Packet::Publish(publish)) = decode(version, frame) else { panic!("no publish: {frame:?}") };
                    assert_eq!((publish.topic, publish.qos.bits(), publish.payload.len()), ("a/b", qos, payload_bytes));
                    assert_eq!(publish.packet_id.map_or(0, selvedge_codec::PacketId::get), id);
                    assert_eq!(Stamp::read(publish.payload), Some(stamp));
                    assert_eq!(
                        incoming(frame, version),
                        Incoming::Publish { qos, packet_id: id, payload: publish.payload }
                    );
                }
            }
        }
    }

    #[test]
    fn a_template_without_payload_has_no_stamp() {
        let stamp = Stamp { run: 1, stream: 2, sequence: 3, sent_ns: 4 };
        let template = PublishTemplate::new(ProtocolVersion::V5, "a", 1, true, 0).expect("valid topic");
        let mut bytes = Vec::new();
        template.append(&mut bytes, 7, &stamp);
        let Ok(Packet::Publish(publish)) = decode(ProtocolVersion::V5, &bytes) else { panic!("no publish") };
        assert!(publish.retain && publish.payload.is_empty());
    }
}
