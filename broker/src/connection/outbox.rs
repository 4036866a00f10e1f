//! Bytes that wait to be written to one connection. Not the writing: see `connection/writer`.
//!
//! Small messages are copied in, large payloads are shared and lie between the copied bytes. For a WebSocket the bytes
//! are framed in place: room for a frame header is left before the first byte, and filled in when the frame is sealed.
//! An outbox without bytes holds no memory: its buffer goes back to the pool.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use selvedge_core::{Message, PacketIdPatch};
use tokio::io::AsyncWrite;

/// Buffers kept for the next outbox that needs one. Large ones are not kept.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    buffers: Vec<Vec<u8>>,
}

const POOLED_BUFFERS_MAX: usize = 128;
const POOLED_BYTES_MAX: usize = 16 * 1024;
const POOLED_WHEN_IDLE: usize = 4;
const FIRST_BYTES: usize = 1024;

impl BufferPool {
    fn take(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_else(|| Vec::with_capacity(FIRST_BYTES))
    }

    fn give(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= POOLED_BYTES_MAX && self.buffers.len() < POOLED_BUFFERS_MAX {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    /// Give most of the memory back: nothing happened for a while.
    pub(crate) fn trim(&mut self) {
        self.buffers.truncate(POOLED_WHEN_IDLE);
        self.buffers.shrink_to_fit();
    }
}

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

    /// Append a whole packet, or the start of one whose payload follows by [`Outbox::append_shared`].
    #[inline]
    pub(crate) fn append(&mut self, bytes: &[u8], patch: Option<PacketIdPatch>, pool: &mut BufferPool) {
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
mod tests {
    use proptest::{collection::vec, prelude::*};
    use selvedge_codec::{PacketId, QoS};

    use super::*;
    use crate::connection::websocket::{ControlFrame, WebSocketReader};

    /// A socket that takes so many bytes of each write, and is full in between.
    struct Socket {
        takes: Vec<usize>,
        next: usize,
        written: Vec<u8>,
    }

    impl AsyncWrite for Socket {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let count = self.takes[self.next % self.takes.len()].min(bytes.len());
            self.next += 1;
            if count == 0 {
                return Poll::Pending;
            }
            self.written.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            self.poll_write(context, &bytes)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Append(usize),
        Patch(u16),
        Share(usize),
        Ping(usize),
        Flush,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_usize..300).prop_map(Step::Append),
            1 => (65_000_usize..140_000).prop_map(Step::Append),
            2 => (1_u16..).prop_map(Step::Patch),
            2 => prop_oneof![0_usize..300, 16_000_usize..100_000].prop_map(Step::Share),
            1 => (0_usize..=125).prop_map(Step::Ping),
            4 => Just(Step::Flush),
        ]
    }

    /// Carries `steps` out; gives what MQTT must see, the pings, and what was written.
    fn carry_out(mut outbox: Outbox, steps: &[Step], takes: Vec<usize>) -> (Vec<u8>, usize, Vec<u8>) {
        let mut pool = BufferPool::default();
        let mut socket = Socket { takes, next: 0, written: Vec::new() };
        let mut context = Context::from_waker(std::task::Waker::noop());
        let (mut expected, mut pings) = (Vec::new(), 0);
        let bytes = |length: usize, salt: usize| -> Vec<u8> { (0..length).map(|n| (n * 7 + salt) as u8).collect() };
        let mut flush = |outbox: &mut Outbox, pool: &mut BufferPool, wholly: bool| {
            outbox.seal();
            while !outbox.is_empty() {
                match outbox.poll_write(&mut socket, &mut context) {
                    Poll::Ready(count) => outbox.consume(count.expect("no error"), pool),
                    Poll::Pending if wholly => {}
                    Poll::Pending => break,
                }
            }
        };
        for (salt, step) in steps.iter().enumerate() {
            match step {
                Step::Append(length) => {
                    outbox.append(&bytes(*length, salt), None, &mut pool);
                    expected.extend(bytes(*length, salt));
                }
                Step::Patch(number) => {
                    let packet_id = PacketId::new(*number).expect("not zero");
                    outbox.append(&[9; 6], Some(PacketIdPatch { offset: 3, packet_id }), &mut pool);
                    let [high, low] = number.to_be_bytes();
                    expected.extend([9, 9, 9, high, low, 9]);
                }
                Step::Share(length) => {
                    outbox.append(&[8; 3], None, &mut pool);
                    outbox.append_shared(Arc::new(Message::new("t", bytes(*length, salt), QoS::AtMostOnce, false)));
                    expected.extend([8; 3]);
                    expected.extend(bytes(*length, salt));
                }
                Step::Ping(length) if outbox.is_websocket() => {
                    outbox.append_control_frame(0x89, &bytes(*length, salt), &mut pool);
                    pings += 1;
                }
                Step::Ping(_) => {}
                Step::Flush => flush(&mut outbox, &mut pool, false),
            }
        }
        flush(&mut outbox, &mut pool, true);
        assert_eq!((outbox.pending(), outbox.bytes.capacity(), outbox.shared.capacity()), (0, 0, 0));
        (expected, pings, socket.written)
    }

    /// As a client would see the frames of a server: the reader wants masks, so a mask of zeros is put in.
    fn unframe(stream: &[u8]) -> (Vec<u8>, usize) {
        let mut masked = Vec::new();
        let mut rest = stream;
        while let [first, second, tail @ ..] = rest {
            let extended = match second {
                126 => 2,
                127 => 8,
                _ => 0,
            };
            let number = tail[..extended].iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
            let length = if extended == 0 { usize::from(*second) } else { number };
            assert!(extended == 0 || length > [0, 0, 125, 0, 0, 0, 0, 0, 65_535][extended], "the shortest form");
            masked.extend([*first, second | 0x80]);
            masked.extend_from_slice(&tail[..extended]);
            masked.extend([0; 4]);
            masked.extend_from_slice(&tail[extended..extended + length]);
            rest = &tail[extended + length..];
        }
        let mut control = Vec::new();
        let kept = WebSocketReader::new(u64::MAX).unframe(&mut masked, &mut control).expect("valid frames");
        masked.truncate(kept);
        (masked, control.iter().filter(|frame| matches!(frame, ControlFrame::Ping(_))).count())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn what_goes_in_comes_out_however_little_the_socket_takes(
            steps in vec(step(), 0..40),
            takes in vec(prop_oneof![Just(0_usize), 1_usize..50, 1_000_usize..200_000], 1..8),
        ) {
            let takes: Vec<usize> = takes.into_iter().chain([70_000]).collect();
            let (expected, _, written) = carry_out(Outbox::raw(), &steps, takes.clone());
            prop_assert!(expected == written);
            let (expected, pings, written) = carry_out(Outbox::websocket(), &steps, takes);
            let (payload, seen) = unframe(&written);
            prop_assert!(expected == payload);
            prop_assert_eq!(pings, seen);
        }
    }

    #[test]
    fn large_buffers_are_not_pooled_and_idle_ones_are_given_back() {
        let mut pool = BufferPool::default();
        pool.give(Vec::with_capacity(POOLED_BYTES_MAX + 1));
        assert_eq!(pool.buffers.len(), 0);
        for _ in 0..POOLED_BUFFERS_MAX + 1 {
            pool.give(Vec::with_capacity(POOLED_BYTES_MAX));
        }
        assert_eq!(pool.buffers.len(), POOLED_BUFFERS_MAX);
        pool.trim();
        assert_eq!(pool.buffers.len(), POOLED_WHEN_IDLE);
    }
}
