//! Reading: bytes from the socket, WebSocket framing off, into the one buffer that all connections share. Only an
//! incomplete packet is kept with its connection, and a large one is read straight into what is kept.

use std::{
    future::Future,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::{
    Connection, Resources,
    websocket::{ControlFrame, Violation},
};

/// Why no more will be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadEnd {
    /// The peer closed its side.
    #[error("peer closed the connection")]
    Closed,
    #[error("reading from a connection failed")]
    Failed(#[source] io::Error),
    #[error(transparent)]
    Violation(#[from] Violation),
}

/// Where the bytes are that can be handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// The first so many of the shared buffer.
    Shared(usize),
    /// All of what the connection keeps.
    Kept,
}

/// One read's worth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fill {
    pub(crate) place: Filled,
    /// The read filled its buffer, so there may be more.
    pub(crate) more: bool,
}

/// The most that is read at once for a packet which is larger than the shared buffer, bytes: memory that is new costs more than what is
/// copied into it, and others wait.
const LARGE_READ_BYTES_MAX: usize = 64 * 1024;
/// By how much the memory for such a packet grows at most, bytes.
const GROWTH_BYTES_MAX: usize = 256 * 1024;

impl Connection {
    /// Read once. Control frames of a WebSocket are added to `control`.
    pub(crate) fn poll_fill(
        &mut self,
        context: &mut Context<'_>,
        shared: &mut [u8],
        control: &mut Vec<ControlFrame>,
        resources: &mut Resources,
    ) -> Poll<Result<Fill, ReadEnd>> {
        let kept = self.partial.len();
        let (place, count, more) = if kept <= shared.len() / 2 {
            let mut into = ReadBuf::new(&mut shared[kept..]);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut into)).map_err(ReadEnd::Failed)?;
            let (count, more) = (into.filled().len(), into.remaining() == 0);
            shared[..kept].copy_from_slice(&self.partial);
            (Filled::Shared(kept), count, more)
        } else {
            // As much again as is there already, so that a large packet takes few reads and no memory that it does
            // not fill at least by half.
            if self.partial.capacity() - kept < shared.len() {
                self.partial.reserve_exact(kept.clamp(shared.len(), GROWTH_BYTES_MAX));
            }
            let room = (self.partial.capacity() - kept).min(LARGE_READ_BYTES_MAX);
            let mut limited = (&mut self.stream).take(room as u64);
            let read = pin!(limited.read_buf(&mut self.partial)).poll(context);
            let count = ready!(read).map_err(ReadEnd::Failed)?;
            (Filled::Kept, count, count == room)
        };
        if count == 0 {
            return Poll::Ready(Err(ReadEnd::Closed));
        }
        resources.statistics.reads += 1;
        resources.statistics.bytes_in += count as u64;
        self.bytes_in += count as u64;
        let new = match place {
            Filled::Shared(_) => &mut shared[kept..kept + count],
            Filled::Kept => &mut self.partial[kept..],
        };
        let payload = match &mut self.websocket {
            Some(websocket) => websocket.unframe(new, control).inspect_err(|_| {
                resources.statistics.websocket_violations += 1;
            })?,
            None => count,
        };
        let place = match place {
            Filled::Shared(_) => {
                self.partial = Vec::new();
                Filled::Shared(kept + payload)
            }
            Filled::Kept => {
                self.partial.truncate(kept + payload);
                Filled::Kept
            }
        };
        Poll::Ready(Ok(Fill { place, more }))
    }

    /// Read and drop, for a connection being closed: the peer may still be sending, and closing with unread bytes
    /// would make the kernel take back what was sent last.
    pub(crate) fn poll_discard(
        &mut self,
        context: &mut Context<'_>,
        shared: &mut [u8],
    ) -> Poll<Result<usize, ReadEnd>> {
        let mut into = ReadBuf::new(shared);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut into)).map_err(ReadEnd::Failed)?;
        match into.filled().len() {
            0 => Poll::Ready(Err(ReadEnd::Closed)),
            count => Poll::Ready(Ok(count)),
        }
    }

    /// Tell the peer that nothing more will come.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        tokio::io::AsyncWrite::poll_shutdown(Pin::new(&mut self.stream), context)
    }
}
