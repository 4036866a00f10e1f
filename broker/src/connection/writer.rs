//! Writing what is unsent: once per turn for every connection that got something, and whenever a full socket has
//! room again.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::io::AsyncWrite;

use super::{Connection, Phase, Resources};

impl Connection {
    /// Write as much as the socket takes. If it does not take all, the connection is `blocked` and its task will be
    /// woken; if the socket is broken, the connection has `Failed`.
    pub(crate) fn flush(&mut self, resources: &mut Resources) {
        if self.phase == Phase::Failed {
            return;
        }
        let before = self.outbox.pending();
        self.outbox.seal();
        let result = self.write_all(resources);
        resources.statistics.outbox_changed(before, self.outbox.pending());
        if let Err(error) = result {
            tracing::debug!(%error, "writing to a connection failed");
            self.fail(resources);
        }
    }

    fn write_all(&mut self, resources: &mut Resources) -> io::Result<()> {
        let mut context = Context::from_waker(self.waker.as_ref().unwrap_or(Waker::noop()));
        self.blocked = false;
        while !self.outbox.is_empty() {
            match self.outbox.poll_write(&mut self.stream, &mut context) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    resources.statistics.writes += 1;
                    resources.statistics.bytes_out += count as u64;
                    self.bytes_out += count as u64;
                    self.outbox.consume(count, &mut resources.pool);
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    resources.statistics.writes_blocked += 1;
                    self.blocked = true;
                    return Ok(());
                }
            }
        }
        // An encrypted stream may have taken what its socket has not.
        match Pin::new(&mut self.stream).poll_flush(&mut context) {
            Poll::Ready(flushed) => flushed,
            Poll::Pending => {
                resources.statistics.writes_blocked += 1;
                self.blocked = true;
                Ok(())
            }
        }
    }
}
