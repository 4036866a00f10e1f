//! A door to the WebSocket reader for the fuzzer and the test that replays its corpus; no part of the interface.

use crate::connection::websocket::{ControlFrame, Violation, WebSocketReader};

/// What was read of a stream of frames.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unframed {
    /// Payloads of data frames, one after the other.
    pub payload: Vec<u8>,
    /// Payloads of the pings, in order.
    pub pings: Vec<Vec<u8>>,
    /// Status of each close frame; 0 where there is none.
    pub closes: Vec<u16>,
    /// Why reading ended, if it did: the status with which the connection is closed.
    pub violation: Option<u16>,
    /// The stream was ended because of text, which is a matter of MQTT and not of framing.
    pub is_text: bool,
}

/// Reads `pieces` of a stream, as they come from a socket. A violation ends it; what its piece held of payload is lost.
pub fn unframe<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, frame_bytes_max: u64) -> Unframed {
    let mut reader = WebSocketReader::new(frame_bytes_max);
    let mut unframed = Unframed::default();
    for piece in pieces {
        let mut buffer = piece.to_vec();
        let mut control = Vec::new();
        let outcome = reader.unframe(&mut buffer, &mut control);
        for frame in control {
            match frame {
                ControlFrame::Ping(payload) => unframed.pings.push(payload),
                ControlFrame::Close(code) => unframed.closes.push(code.unwrap_or(0)),
            }
        }
        match outcome {
            Ok(kept) => unframed.payload.extend_from_slice(buffer.get(..kept).unwrap_or_default()),
            Err(violation) => {
                unframed.violation = Some(violation.close_code().into());
                unframed.is_text = violation == Violation::Text;
                return unframed;
            }
        }
    }
    unframed
}
