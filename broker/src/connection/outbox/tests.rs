//! What goes in comes out, whatever the socket takes.

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

#[test]
fn nothing_appended_takes_no_buffer() {
    for outbox in [Outbox::raw(), Outbox::websocket()] {
        assert_eq!(carry_out(outbox, &[Step::Append(0)], vec![1]), (Vec::new(), 0, Vec::new()));
    }
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
