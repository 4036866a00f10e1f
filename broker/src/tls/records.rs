//! The records of one encrypted connection: bytes of the network in, plain bytes out, and the other way round. No socket.
//!
//! A thin layer over the unbuffered connection of rustls, which keeps nothing between calls but keys: whoever calls keeps
//! the rest of a begun record, and gives it again with what came after it.
//!
//! Invariant: whatever a peer sends, nothing here panics, and nothing grows.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use rustls::{
    HandshakeKind, ServerConfig,
    server::{ServerConnectionData, UnbufferedServerConnection},
    unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic},
};

/// Why a connection's records cannot be read or written any further.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordError {
    #[error("TLS record or handshake refused")]
    Refused(#[from] rustls::Error),
    #[error("TLS message is larger than any that is expected")]
    TooLarge,
    #[error("TLS keys are used up")]
    KeysUsedUp,
    #[error("TLS library is in a state that it should not be in")]
    Unexpected,
}

/// What became of bytes from the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// So many at the front are done with. What follows is the begin of a record or of a message.
    pub(crate) bytes: usize,
    /// The peer will send no more (close_notify).
    pub(crate) peer_closed: bool,
}

/// Largest record on the wire (RFC 5246, 6.2.3; RFC 8446, 5.2 allows less).
pub(crate) const RECORD_BYTES_MAX: usize = 5 + 16 * 1024 + 2048;
/// Plain bytes of one record.
pub(crate) const PLAIN_BYTES_MAX: usize = 16 * 1024;

/// See the module.
pub(crate) struct Records {
    session: UnbufferedServerConnection,
}

impl std::fmt::Debug for Records {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Records").field("version", &self.session.protocol_version()).finish_non_exhaustive()
    }
}

impl Records {
    pub(crate) fn new(config: Arc<ServerConfig>) -> Result<Self, RecordError> {
        Ok(Self { session: UnbufferedServerConnection::new(config)? })
    }

    /// Whether the handshake is still going on.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.session.is_handshaking()
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.session.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The certificate that the peer has proved to own, DER.
    pub(crate) fn peer_certificate(&self) -> Option<&[u8]> {
        self.session.peer_certificates()?.first().map(AsRef::as_ref)
    }

    /// Take what is complete off the front of `incoming`. Plain bytes go to `plain`, what must be sent is appended to `out`, also
    /// after an error (an alert), after which nothing more can be read.
    pub(crate) fn take(
        &mut self,
        incoming: &mut [u8],
        plain: &mut dyn FnMut(&[u8]),
        out: &mut Vec<u8>,
    ) -> Result<Taken, RecordError> {
        self.run(incoming, plain, out, &mut |_| Ok(()))
    }

    /// Encrypt `plain`, at most [`PLAIN_BYTES_MAX`], into `out`, which has room for a record and a bit. `kept` is what the last
    /// [`Records::take`] has not taken; what must be sent first is appended to `before`. Gives how many bytes of `out` are to
    /// be sent.
    pub(crate) fn encrypt(
        &mut self,
        plain: &[u8],
        kept: &mut [u8],
        before: &mut Vec<u8>,
        out: &mut [u8],
    ) -> Result<usize, RecordError> {
        self.write(kept, before, &mut |traffic| traffic.encrypt(plain, out))
    }

    /// Say that nothing more will be sent (close_notify); arguments as for [`Records::encrypt`].
    pub(crate) fn close(
        &mut self,
        kept: &mut [u8],
        before: &mut Vec<u8>,
        out: &mut [u8],
    ) -> Result<usize, RecordError> {
        self.write(kept, before, &mut |traffic| traffic.queue_close_notify(out))
    }

    fn write(
        &mut self,
        kept: &mut [u8],
        before: &mut Vec<u8>,
        write: &mut dyn FnMut(&mut Traffic<'_>) -> Result<usize, EncryptError>,
    ) -> Result<usize, RecordError> {
        let mut written = None;
        // The library must see what it has begun to read even when nothing is to be read.
        let taken = self.run(kept, &mut |_| (), before, &mut |traffic| {
            written = Some(write(traffic).map_err(|error| match error {
                EncryptError::EncryptExhausted => RecordError::KeysUsedUp,
                EncryptError::InsufficientSize(_) => RecordError::TooLarge,
            })?);
            Ok(())
        })?;
        // `take` goes on until nothing is left to take.
        written.filter(|_| taken.bytes == 0).ok_or(RecordError::Unexpected)
    }

    fn run(
        &mut self,
        incoming: &mut [u8],
        plain: &mut dyn FnMut(&[u8]),
        out: &mut Vec<u8>,
        write: &mut dyn FnMut(&mut Traffic<'_>) -> Result<(), RecordError>,
    ) -> Result<Taken, RecordError> {
        // A client must not be able to end the node by an error in the library.
        catch_unwind(AssertUnwindSafe(|| self.steps(incoming, plain, out, write)))
            .unwrap_or(Err(RecordError::Unexpected))
    }

    fn steps(
        &mut self,
        incoming: &mut [u8],
        plain: &mut dyn FnMut(&[u8]),
        out: &mut Vec<u8>,
        write: &mut dyn FnMut(&mut Traffic<'_>) -> Result<(), RecordError>,
    ) -> Result<Taken, RecordError> {
        let mut taken = Taken { bytes: 0, peer_closed: false };
        loop {
            let rest = incoming.get_mut(taken.bytes..).ok_or(RecordError::Unexpected)?;
            let UnbufferedStatus { mut discard, state } = self.session.process_tls_records(rest);
            let finished = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record?;
                        discard += record.discard;
                        plain(record.payload);
                    }
                    false
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    encode(out, |room| data.encode(room))?;
                    false
                }
                Ok(ConnectionState::TransmitTlsData(data)) => {
                    data.done();
                    false
                }
                Ok(ConnectionState::PeerClosed) => {
                    taken.peer_closed = true;
                    false
                }
                Ok(ConnectionState::Closed) => {
                    taken.peer_closed = true;
                    true
                }
                Ok(ConnectionState::BlockedHandshake) => true,
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    write(&mut traffic)?;
                    true
                }
                // Early data is turned off.
                Ok(_) => return Err(RecordError::Unexpected),
                Err(error) => {
                    self.take_alert(rest, out);
                    return Err(RecordError::Refused(error));
                }
            };
            taken.bytes += discard;
            if finished {
                return Ok(taken);
            }
        }
    }

    /// Append the alert that tells the peer of an error, if there is one. What is to be sent comes before `rest` is looked at.
    fn take_alert(&mut self, rest: &mut [u8], out: &mut Vec<u8>) {
        while self.session.wants_write() {
            let Ok(ConnectionState::EncodeTlsData(mut data)) = self.session.process_tls_records(rest).state else {
                return;
            };
            if encode(out, |room| data.encode(room)).is_err() {
                return;
            }
        }
    }
}

type Traffic<'a> = WriteTraffic<'a, ServerConnectionData>;

/// Append what `encode` writes to `out`, with as much room as it says that it needs.
fn encode(
    out: &mut Vec<u8>,
    mut encode: impl FnMut(&mut [u8]) -> Result<usize, EncodeError>,
) -> Result<(), RecordError> {
    let start = out.len();
    let required = match encode(&mut []) {
        Ok(_) => return Ok(()),
        Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => required_size,
        Err(EncodeError::AlreadyEncoded) => return Err(RecordError::Unexpected),
    };
    out.resize(start + required, 0);
    let written = encode(out.get_mut(start..).unwrap_or_default()).map_err(|_| RecordError::Unexpected)?;
    out.truncate(start + written);
    Ok(())
}

#[cfg(test)]
mod tests;
