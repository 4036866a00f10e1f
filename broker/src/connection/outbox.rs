//! Bytes that wait to be written to one connection. Not the writing: see `connection/writer`.
//!
//! Small messages are copied in, large payloads are shared and lie between the copied bytes. For a WebSocket the bytes
//! are framed in place: room for a frame header is left before the first byte, and filled in when the frame is sealed.
//! An outbox without bytes holds no memory: its buffer goes back to the pool.

mod buffer_pool;

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use selvedge_core::{Message, PacketIdPatch};
use tokio::io::AsyncWrite;

pub(crate) use self::buffer_pool::BufferPool;

/// Binary frame, final; the lengths that the second byte of a frame header can say by itself, and in two more bytes
/// (RFC 6455, 5.2).
const BINARY: u8 = 0x82;
const LENGTH_IN_ONE_BYTE_MAX: usize = 125;
const LENGTH_IN_TWO_BYTES: u8 = 126;
const LENGTH_IN_TWO_BYTES_MAX: usize = u16::MAX as usize;
const LENGTH_IN_EIGHT_BYTES: u8 = 127;
/// Room left for the header of an open frame, which is sealed before it needs more.
const HEADER_ROOM: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Raw,
    /// `open` is where the header of the unsealed frame will stand.
    WebSocket {
        open: Option<usize>,
    },
}

/// A payload between the copied bytes.
#[derive(Debug)]
struct SharedPayload {
    /// It follows the copied bytes before this position.
    at: usize,
    written: usize,
    message: Arc<Message>,
}

impl SharedPayload {
    fn rest(&self) -> &[u8] {
        self.message.payload().get(self.written..).unwrap_or_default()
    }
}

/// Slices for one vectored write.
const SLICES_MAX: usize = 16;
/// Written bytes are cut off from the front of the buffer when they are more than these and more than what is left.
const CUT_BYTES_MIN: usize = 4096;

#[derive(Debug)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// How many of `bytes` are on their way.
    written: usize,
    shared: Vec<SharedPayload>,
    shared_pending: usize,
    framing: Framing,
}

impl Outbox {
    pub(crate) fn raw() -> Self {
        Self { bytes: Vec::new(), written: 0, shared: Vec::new(), shared_pending: 0, framing: Framing::Raw }
    }

    pub(crate) fn websocket() -> Self {
        Self { framing: Framing::WebSocket { open: None }, ..Self::raw() }
    }

    pub(crate) fn is_websocket(&self) -> bool {
        self.framing != Framing::Raw
    }

    /// Bytes not yet written, shared payloads included.
    #[inline]
    pub(crate) fn pending(&self) -> usize {
        self.bytes.len() - self.written + self.shared_pending
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.pending() == 0
    }

    /// Append a whole packet, or the start of one whose payload follows by [`Outbox::append_shared`]. No bytes are
    /// nothing: no buffer is taken that nothing written would give back.
    #[inline]
    pub(crate) fn append(&mut self, bytes: &[u8], patch: Option<PacketIdPatch>, pool: &mut BufferPool) {
        if bytes.is_empty() {
            return;
        }
        if self.bytes.capacity() == 0 {
            self.bytes = pool.take();
        }
        if self.framing != Framing::Raw {
            self.open_frame(bytes.len());
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        if let Some(patch) = patch {
            let written = patch.packet_id.write_at(&mut self.bytes, start + patch.offset as usize);
            debug_assert!(written, "the patch lies inside the bytes");
        }
    }

    /// Append the payload of `message` without copying it.
    pub(crate) fn append_shared(&mut self, message: Arc<Message>) {
        let length = message.payload().len();
        if self.framing != Framing::Raw {
            self.seal();
            push_header(&mut self.bytes, BINARY, length);
        }
        self.shared_pending += length;
        self.shared.push(SharedPayload { at: self.bytes.len(), written: 0, message });
    }

    /// Append a WebSocket control frame, header included, between the data frames.
    pub(crate) fn append_control_frame(&mut self, opcode: u8, payload: &[u8], pool: &mut BufferPool) {
        if self.bytes.capacity() == 0 {
            self.bytes = pool.take();
        }
        self.seal();
        push_header(&mut self.bytes, opcode, payload.len());
        self.bytes.extend_from_slice(payload);
    }

    /// Complete the open WebSocket frame, if there is one. Needed before bytes are written.
    pub(crate) fn seal(&mut self) {
        let Framing::WebSocket { open: Some(start) } = self.framing else { return };
        self.framing = Framing::WebSocket { open: None };
        let payload = start + HEADER_ROOM;
        let length = self.bytes.len() - payload;
        if length <= LENGTH_IN_ONE_BYTE_MAX {
            self.bytes[start] = BINARY;
            self.bytes[start + 1] = length as u8;
            self.bytes.copy_within(payload.., start + 2);
            self.bytes.truncate(start + 2 + length);
        } else {
            let [high, low] = (length as u16).to_be_bytes();
            self.bytes[start..payload].copy_from_slice(&[BINARY, LENGTH_IN_TWO_BYTES, high, low]);
        }
    }

    /// Make sure that `length` more bytes fit into the open frame.
    fn open_frame(&mut self, length: usize) {
        if let Framing::WebSocket { open: Some(start) } = self.framing {
            if self.bytes.len() - start - HEADER_ROOM + length <= LENGTH_IN_TWO_BYTES_MAX {
                return;
            }
            self.seal();
        }
        if length > LENGTH_IN_TWO_BYTES_MAX {
            // Too large for an open frame: one of its own, complete with what the caller appends now.
            push_header(&mut self.bytes, BINARY, length);
        } else {
            self.framing = Framing::WebSocket { open: Some(self.bytes.len()) };
            self.bytes.extend_from_slice(&[0; HEADER_ROOM]);
        }
    }

    /// One write of as much as the kernel takes. Sealed first, not empty.
    pub(crate) fn poll_write<W: AsyncWrite + Unpin>(
        &self,
        stream: &mut W,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.shared.is_empty() {
            return Pin::new(stream).poll_write(context, &self.bytes[self.written..]);
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        let mut position = self.written;
        for payload in self.shared.iter().take(SLICES_MAX / 2) {
            for part in [&self.bytes[position..payload.at], payload.rest()] {
                if !part.is_empty() {
                    slices[count] = IoSlice::new(part);
                    count += 1;
                }
            }
            position = payload.at;
        }
        if self.shared.len() <= SLICES_MAX / 2 && count < SLICES_MAX && position < self.bytes.len() {
            slices[count] = IoSlice::new(&self.bytes[position..]);
            count += 1;
        }
        Pin::new(stream).poll_write_vectored(context, &slices[..count])
    }

    /// Forget the first `count` bytes: they are written.
    pub(crate) fn consume(&mut self, mut count: usize, pool: &mut BufferPool) {
        let mut complete = 0;
        for payload in &mut self.shared {
            let copied = count.min(payload.at - self.written);
            self.written += copied;
            count -= copied;
            if self.written < payload.at {
                break;
            }
            let taken = count.min(payload.rest().len());
            payload.written += taken;
            count -= taken;
            self.shared_pending -= taken;
            if !payload.rest().is_empty() {
                break;
            }
            complete += 1;
        }
        self.shared.drain(..complete);
        self.written += count;
        debug_assert!(self.written <= self.bytes.len(), "no more was written than there was");
        if self.is_empty() {
            self.written = 0;
            self.shared = Vec::new();
            pool.give(std::mem::take(&mut self.bytes));
        } else if self.written > CUT_BYTES_MIN && self.written > self.bytes.len() / 2 {
            self.cut();
        }
    }

    /// Give everything up.
    pub(crate) fn clear(&mut self, pool: &mut BufferPool) {
        if let Framing::WebSocket { open } = &mut self.framing {
            *open = None;
        }
        self.shared = Vec::new();
        self.shared_pending = 0;
        self.written = 0;
        pool.give(std::mem::take(&mut self.bytes));
    }

    fn cut(&mut self) {
        self.bytes.drain(..self.written);
        for payload in &mut self.shared {
            payload.at -= self.written;
        }
        if let Framing::WebSocket { open: Some(start) } = &mut self.framing {
            *start -= self.written;
        }
        self.written = 0;
    }
}

/// Header of an unmasked final frame (RFC 6455, 5.2), with the shortest form of the length.
fn push_header(bytes: &mut Vec<u8>, first: u8, length: usize) {
    bytes.push(first);
    if length <= LENGTH_IN_ONE_BYTE_MAX {
        bytes.push(length as u8);
    } else if length <= LENGTH_IN_TWO_BYTES_MAX {
        bytes.push(LENGTH_IN_TWO_BYTES);
        bytes.extend_from_slice(&(length as u16).to_be_bytes());
    } else {
        bytes.push(LENGTH_IN_EIGHT_BYTES);
        bytes.extend_from_slice(&(length as u64).to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
