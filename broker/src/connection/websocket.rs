//! The inbound half of WebSocket framing (RFC 6455, 5), over bytes that are already in a buffer.
//!
//! Frames are taken off in place and their payload is handed on as it arrives: whatever a client claims about the
//! size of a frame, nothing is kept but one header and one control frame. To MQTT, where frames begin and end means
//! nothing ([MQTT-6.0.0-2]). Headers are parsed by tungstenite; the upgrade is `listener/websocket`.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{CloseCode, Control, Data, OpCode},
};

/// Longest frame header of a client: two bytes, eight of length, four of mask.
const HEADER_BYTES_MAX: usize = 14;
/// Payload of a control frame (RFC 6455, 5.5).
const CONTROL_BYTES_MAX: u64 = 125;

/// Why a WebSocket connection must be failed (RFC 6455, 7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("websocket frame is not masked")]
    Unmasked,
    #[error("websocket frame has reserved bits or an unknown opcode")]
    Header,
    #[error("websocket control frame is fragmented or too long")]
    ControlFrame,
    #[error("websocket message is continued or begun out of order")]
    Fragmentation,
    #[error("websocket message is text [MQTT-6.0.0-1]")]
    Text,
    #[error("websocket frame is larger than allowed")]
    TooLarge,
}

impl Violation {
    /// The status of the close frame (RFC 6455, 7.4.1).
    pub(crate) fn close_code(self) -> CloseCode {
        match self {
            Self::Text => CloseCode::Unsupported,
            Self::TooLarge => CloseCode::Size,
            Self::Unmasked | Self::Header | Self::ControlFrame | Self::Fragmentation => CloseCode::Protocol,
        }
    }
}

/// A complete control frame that wants an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ControlFrame {
    /// To be answered by a pong with the same payload.
    Ping(Vec<u8>),
    /// To be answered by a close frame, then the connection is closed.
    Close(Option<u16>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Payload {
    Data,
    Control(Control),
}

/// The frame whose payload is being received.
#[derive(Debug)]
struct Frame {
    payload: Payload,
    left: u64,
    mask: [u8; 4],
}

/// Where in the stream of frames a connection is.
#[derive(Debug, Default)]
pub(crate) struct WebSocketReader {
    frame_bytes_max: u64,
    header: [u8; HEADER_BYTES_MAX],
    header_bytes: usize,
    frame: Option<Frame>,
    /// A message is begun and its final frame has not come.
    in_message: bool,
    control: Vec<u8>,
}

impl WebSocketReader {
    /// `frame_bytes_max`: largest payload of one frame.
    pub(crate) fn new(frame_bytes_max: u64) -> Self {
        Self { frame_bytes_max, ..Self::default() }
    }

    /// Take the framing off `bytes`. Gives how many bytes of payload now stand at the front of them; control frames
    /// are added to `control`. After an error nothing more can be read.
    pub(crate) fn unframe(&mut self, bytes: &mut [u8], control: &mut Vec<ControlFrame>) -> Result<usize, Violation> {
        let mut read = 0;
        let mut kept = 0;
        loop {
            let Some(frame) = &mut self.frame else {
                if read == bytes.len() {
                    return Ok(kept);
                }
                read += self.take_header(&bytes[read..])?;
                self.end_frame(control);
                continue;
            };
            let take = usize::try_from(frame.left).unwrap_or(usize::MAX).min(bytes.len() - read);
            if take == 0 {
                return Ok(kept);
            }
            frame.left -= take as u64;
            match frame.payload {
                Payload::Data => {
                    bytes.copy_within(read..read + take, kept);
                    unmask(&mut bytes[kept..kept + take], &mut frame.mask);
                    kept += take;
                }
                Payload::Control(_) => {
                    let start = self.control.len();
                    self.control.extend_from_slice(&bytes[read..read + take]);
                    unmask(&mut self.control[start..], &mut frame.mask);
                }
            }
            read += take;
            self.end_frame(control);
        }
    }

    /// Take header bytes off the front of `bytes`; gives how many.
    fn take_header(&mut self, bytes: &[u8]) -> Result<usize, Violation> {
        let before = self.header_bytes;
        let room = &mut self.header[before..];
        let copied = room.len().min(bytes.len());
        room[..copied].copy_from_slice(&bytes[..copied]);
        self.header_bytes += copied;
        let mut cursor = Cursor::new(&self.header[..self.header_bytes]);
        let parsed = FrameHeader::parse(&mut cursor).map_err(|_| Violation::Header)?;
        let Some((header, length)) = parsed else { return Ok(copied) };
        let used = cursor.position() as usize - before;
        self.header_bytes = 0;
        self.frame = Some(self.begin_frame(&header, length)?);
        Ok(used)
    }

    fn begin_frame(&mut self, header: &FrameHeader, left: u64) -> Result<Frame, Violation> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Violation::Header);
        }
        let mask = header.mask.ok_or(Violation::Unmasked)?;
        let payload = match header.opcode {
            OpCode::Control(_) if !header.is_final || left > CONTROL_BYTES_MAX => return Err(Violation::ControlFrame),
            OpCode::Control(control) => Payload::Control(control),
            OpCode::Data(data) => {
                match data {
                    Data::Text => return Err(Violation::Text),
                    Data::Binary if !self.in_message => {}
                    Data::Continue if self.in_message => {}
                    _ => return Err(Violation::Fragmentation),
                }
                if left > self.frame_bytes_max {
                    return Err(Violation::TooLarge);
                }
                self.in_message = !header.is_final;
                Payload::Data
            }
        };
        Ok(Frame { payload, left, mask })
    }

    /// If the payload of the frame is complete, be ready for the next header.
    fn end_frame(&mut self, control: &mut Vec<ControlFrame>) {
        let Some(frame) = self.frame.take_if(|frame| frame.left == 0) else { return };
        let Payload::Control(opcode) = frame.payload else { return };
        let payload = std::mem::take(&mut self.control);
        match opcode {
            Control::Ping => control.push(ControlFrame::Ping(payload)),
            Control::Close => {
                let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                control.push(ControlFrame::Close(code));
            }
            Control::Pong | Control::Reserved(_) => {}
        }
    }
}

/// Undo the masking of `bytes` (RFC 6455, 5.3), and turn `mask` so that it fits what follows.
fn unmask(bytes: &mut [u8], mask: &mut [u8; 4]) {
    let [a, b, c, d] = *mask;
    let wide = [a, b, c, d, a, b, c, d];
    let mut chunks = bytes.chunks_exact_mut(wide.len());
    for chunk in &mut chunks {
        for (byte, key) in chunk.iter_mut().zip(wide) {
            *byte ^= key;
        }
    }
    let rest = chunks.into_remainder();
    for (byte, key) in rest.iter_mut().zip(wide) {
        *byte ^= key;
    }
    mask.rotate_left(rest.len() % 4);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            0..=125 => bytes.push(0x80 | payload.len() as u8),
            126..=0xFFFF => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&(payload.len() as u16).to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend_from_slice(&(payload.len() as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(&MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    }

    fn read(reader: &mut WebSocketReader, pieces: &[&[u8]]) -> Result<(Vec<u8>, Vec<ControlFrame>), Violation> {
        let mut payload = Vec::new();
        let mut control = Vec::new();
        for piece in pieces {
            let mut buffer = piece.to_vec();
            let kept = reader.unframe(&mut buffer, &mut control)?;
            payload.extend_from_slice(&buffer[..kept]);
        }
        Ok((payload, control))
    }

    #[test]
    fn fragments_and_control_frames_between_them_read_the_same_however_they_are_cut() {
        let long: Vec<u8> = (0..300_u16).map(|n| n as u8).collect();
        let mut stream = frame(0x02, b"one ");
        stream.extend(frame(0x89, b"ping"));
        stream.extend(frame(0x00, &long));
        stream.extend(frame(0x80, b""));
        stream.extend(frame(0x82, b"two"));
        stream.extend(frame(0x8A, b"pong"));
        stream.extend(frame(0x88, &[0x03, 0xE8]));
        let expected = [b"one ".as_slice(), &long, b"two"].concat();
        for cut in 0..stream.len() {
            let (first, second) = stream.split_at(cut);
            let (payload, control) = read(&mut WebSocketReader::new(300), &[first, second]).expect("valid frames");
            assert_eq!(payload, expected, "cut at {cut}");
            assert_eq!(control, [ControlFrame::Ping(b"ping".to_vec()), ControlFrame::Close(Some(1000))]);
        }
        let bytewise: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(read(&mut WebSocketReader::new(300), &bytewise).expect("valid frames").0, expected);
    }

    #[test]
    fn what_the_standard_forbids_is_refused_with_its_code() {
        let refused = |frames: &[Vec<u8>]| {
            let stream = frames.concat();
            read(&mut WebSocketReader::new(1000), &[&stream]).expect_err("a violation")
        };
        assert_eq!(refused(&[vec![0x82, 0x01, 0x00]]), Violation::Unmasked);
        assert_eq!(refused(&[frame(0xC2, b"")]), Violation::Header);
        assert_eq!(refused(&[frame(0x83, b"")]), Violation::Header);
        assert_eq!(refused(&[frame(0x09, b"")]), Violation::ControlFrame);
        assert_eq!(refused(&[frame(0x89, &[0; 126])]), Violation::ControlFrame);
        assert_eq!(refused(&[frame(0x80, b"")]), Violation::Fragmentation);
        assert_eq!(refused(&[frame(0x02, b"a"), frame(0x82, b"b")]), Violation::Fragmentation);
        assert_eq!(refused(&[frame(0x81, b"a")]), Violation::Text);
        assert_eq!(refused(&[frame(0x82, &[0; 1001])]), Violation::TooLarge);
        let claims = [0x82, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4];
        assert_eq!(refused(&[claims.to_vec()]), Violation::TooLarge);
        assert_eq!(u16::from(Violation::Unmasked.close_code()), 1002);
        assert_eq!(u16::from(Violation::Text.close_code()), 1003);
        assert_eq!(u16::from(Violation::TooLarge.close_code()), 1009);
    }

    #[test]
    fn a_frame_of_exactly_the_largest_size_passes() {
        let (payload, _) = read(&mut WebSocketReader::new(1000), &[&frame(0x82, &[7; 1000])]).expect("allowed");
        assert_eq!(payload, [7; 1000]);
    }
}
