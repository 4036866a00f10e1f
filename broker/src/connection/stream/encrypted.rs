//! An encrypted byte stream: records on a TCP socket. The handshake is over when it comes here.
//!
//! Invariant: an idle stream keeps nothing but its keys; otherwise at most the begin of one record, the plain bytes of one,
//! and one that the socket has not taken.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use crate::tls::{
    buffers::Buffers,
    records::{PLAIN_BYTES_MAX, RECORD_BYTES_MAX, RecordError, Records},
};

/// Reads that bring no plain byte (a part of a record, a change of keys) before others get their turn.
const READS_PER_POLL: usize = 4;

/// Room for an alert.
const FAREWELL_BYTES: usize = 128;

/// Bytes on their way.
#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    done: usize,
}

impl Pending {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.done..).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    /// So many more are done with; the memory goes with the last.
    fn advance(&mut self, count: usize) {
        self.done += count;
        if self.is_empty() {
            *self = Self::default();
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct EncryptedStream {
    socket: TcpStream,
    records: Records,
    /// Not decrypted yet: the rest of it has not come.
    kept: Vec<u8>,
    /// Decrypted, not read yet.
    plain: Pending,
    /// Encrypted, not taken by the socket yet.
    unsent: Pending,
    peer_closed: bool,
    /// The peer was told that nothing more will come.
    closed: bool,
    buffers: Rc<Buffers>,
    /// What `buffers` counts for this stream.
    counted: usize,
}

impl EncryptedStream {
    /// A stream after its handshake, which has read `kept` and `plain` beyond it.
    pub(crate) fn new(
        socket: TcpStream,
        records: Records,
        kept: Vec<u8>,
        plain: Vec<u8>,
        buffers: Rc<Buffers>,
    ) -> Self {
        let mut stream = Self {
            socket,
            records,
            kept,
            plain: Pending { bytes: plain, done: 0 },
            unsent: Pending::default(),
            peer_closed: false,
            closed: false,
            buffers,
            counted: 0,
        };
        stream.buffers.begin();
        stream.count();
        stream
    }

    /// Memory of what came and is not read yet, bytes: the begin of a record, and what is decrypted.
    pub(crate) fn unread_bytes(&self) -> usize {
        self.kept.capacity() + self.plain.bytes.capacity()
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn count(&mut self) {
        let now = self.kept.capacity() + self.plain.bytes.capacity() + self.unsent.bytes.capacity();
        self.buffers.kept_changed(self.counted, now);
        self.counted = now;
    }

    fn failed(&self, error: RecordError) -> io::Error {
        self.buffers.count_error();
        io::Error::new(io::ErrorKind::InvalidData, error)
    }

    fn read(&mut self, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.unsent.is_empty()
            && let Poll::Ready(Err(error)) = self.poll_unsent(context)
        {
            return Poll::Ready(Err(error));
        }
        let buffers = self.buffers.clone();
        for _ in 0..READS_PER_POLL {
            if !self.plain.is_empty() {
                let rest = self.plain.rest();
                let count = rest.len().min(into.remaining());
                into.put_slice(rest.get(..count).unwrap_or_default());
                self.plain.advance(count);
                return Poll::Ready(Ok(()));
            }
            if self.peer_closed {
                return Poll::Ready(Ok(()));
            }
            let mut room = buffers.incoming.borrow_mut();
            let kept = self.kept.len();
            // As many as fit when decrypted, which makes them fewer.
            let end = room.len().min(kept + into.remaining());
            let Some(room) = room.get_mut(..end).filter(|room| room.len() > kept) else {
                return Poll::Ready(Err(self.failed(RecordError::TooLarge)));
            };
            let mut read = ReadBuf::new(&mut room[kept..]);
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut read))?;
            let count = read.filled().len();
            if count == 0 {
                // An end that the peer has not announced may be somebody else's doing.
                self.buffers.count_error();
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            let room = &mut room[..kept + count];
            room[..kept].copy_from_slice(&self.kept);
            let filled = into.filled().len();
            self.decrypt(room, into, context)?;
            if into.filled().len() > filled {
                return Poll::Ready(Ok(()));
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Decrypt what is complete in `room` into `into`; keep what is not, and what does not fit.
    fn decrypt(&mut self, room: &mut [u8], into: &mut ReadBuf<'_>, context: &mut Context<'_>) -> io::Result<()> {
        let surplus = &mut self.plain.bytes;
        let mut sink = |bytes: &[u8]| {
            let (fits, rest) = bytes.split_at(bytes.len().min(into.remaining()));
            into.put_slice(fits);
            surplus.extend_from_slice(rest);
        };
        let taken = self.records.take(room, &mut sink, &mut self.unsent.bytes);
        if !self.unsent.is_empty()
            && let Poll::Ready(Err(error)) = self.poll_unsent(context)
        {
            return Err(error);
        }
        let taken = taken.map_err(|error| self.failed(error))?;
        self.peer_closed |= taken.peer_closed;
        self.kept = room.get(taken.bytes..).unwrap_or_default().to_vec();
        // The library keeps a message that is spread over several records until it is complete.
        if self.kept.len() > RECORD_BYTES_MAX {
            return Err(self.failed(RecordError::TooLarge));
        }
        Ok(())
    }

    /// Write what is encrypted already.
    fn poll_unsent(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let count = ready!(Pin::new(&mut self.socket).poll_write(context, self.unsent.rest()))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.advance(count);
        }
        Poll::Ready(Ok(()))
    }

    /// Encrypt by `encrypt` and write what the socket takes; the rest is kept. Before this, nothing is unsent.
    fn send(
        &mut self,
        context: &mut Context<'_>,
        encrypt: impl FnOnce(&mut Records, &mut [u8], &mut Vec<u8>, &mut [u8]) -> Result<usize, RecordError>,
    ) -> io::Result<()> {
        let buffers = self.buffers.clone();
        let mut out = buffers.outgoing.borrow_mut();
        let length = encrypt(&mut self.records, &mut self.kept, &mut self.unsent.bytes, &mut out)
            .map_err(|error| self.failed(error))?;
        let mut record = out.get(..length).unwrap_or_default();
        if self.unsent.is_empty() {
            while !record.is_empty() {
                let Poll::Ready(written) = Pin::new(&mut self.socket).poll_write(context, record) else { break };
                match written? {
                    0 => return Err(io::ErrorKind::WriteZero.into()),
                    count => record = record.get(count..).unwrap_or_default(),
                }
            }
        }
        self.unsent.bytes.extend_from_slice(record);
        Ok(())
    }
}

impl AsyncRead for EncryptedStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = this.read(context, into);
        this.count();
        result
    }
}

impl AsyncWrite for EncryptedStream {
    /// Takes one record's worth. What is taken is encrypted but may not be on its way: see `poll_flush`.
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_unsent(context))?;
        let plain = bytes.get(..PLAIN_BYTES_MAX).unwrap_or(bytes);
        this.send(context, |records, kept, before, out| records.encrypt(plain, kept, before, out))?;
        this.count();
        Poll::Ready(Ok(plain.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // One record for many short pieces; a long one needs no copy.
        match slices.iter().find(|slice| !slice.is_empty()) {
            None => Poll::Ready(Ok(0)),
            Some(first) if first.len() >= PLAIN_BYTES_MAX => self.poll_write(context, first),
            Some(_) => {
                let mut gathered = Vec::with_capacity(PLAIN_BYTES_MAX);
                for slice in slices {
                    let room = PLAIN_BYTES_MAX - gathered.len();
                    gathered.extend_from_slice(slice.get(..room).unwrap_or(slice));
                }
                self.poll_write(context, &gathered)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_unsent(context))?;
        this.count();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_unsent(context))?;
        if !this.closed {
            this.closed = true;
            this.send(context, |records, kept, before, out| records.close(kept, before, out))?;
            ready!(this.poll_unsent(context))?;
        }
        this.count();
        Pin::new(&mut this.socket).poll_shutdown(context)
    }
}

impl Drop for EncryptedStream {
    fn drop(&mut self) {
        // A peer that has taken its leave is wished farewell, if that needs no waiting (RFC 5246, 7.2.1).
        if self.peer_closed && !self.closed && self.unsent.is_empty() {
            let mut farewell = [0; FAREWELL_BYTES];
            let closing = self.records.close(&mut self.kept, &mut self.unsent.bytes, &mut farewell);
            if let Ok(Some(bytes)) = closing.map(|length| farewell.get(..length)) {
                // The socket may be gone.
                let _ = self.socket.try_write(bytes);
            }
        }
        self.buffers.end(self.counted);
    }
}
