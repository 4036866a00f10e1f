//! The zstd stream of a payload, read piece by piece in bounded memory.
//!
//! Knows nothing of instructions. Invariant: gives at most the declared number of bytes, and the end is only taken for the end
//! when the frame is complete, has exactly that many bytes, and nothing follows it.

use std::io::{self, ErrorKind, Read};

use thiserror::Error;
use zstd::zstd_safe::{DCtx, DParameter, ErrorCode, InBuffer, OutBuffer, get_error_name, zstd_sys::ZSTD_ErrorCode};

/// Bytes of the payload that are read at once.
pub(crate) const INPUT_CHUNK_BYTES: usize = 64 * 1024;

/// Why the stream cannot be read to its end.
#[derive(Debug, Error)]
pub enum InflateError {
    /// The decoder could not be made.
    #[error("there is not enough memory for the decoder of the payload")]
    OutOfMemory,
    /// The payload could not be read.
    #[error("cannot read the payload at byte {inflated} of its inflated stream")]
    Read {
        /// How much of the stream was inflated.
        inflated: u64,
        /// Why.
        source: io::Error,
    },
    /// The payload ends too early.
    #[error("the payload is truncated: it ends after {inflated} of {declared} bytes of its inflated stream")]
    Truncated {
        /// How much of the stream was inflated.
        inflated: u64,
        /// How long the stream is by the header.
        declared: u64,
    },
    /// The stream wants more memory than the header says.
    #[error("the payload's stream needs a window larger than the 2^{window_log} bytes that its header says")]
    WindowTooLarge {
        /// log2 of the window in the header.
        window_log: u8,
    },
    /// The stream is no zstd, or damaged.
    #[error("the payload's stream is damaged after byte {inflated} of the inflated stream: {reason}")]
    Damaged {
        /// How much of the stream was inflated.
        inflated: u64,
        /// What zstd says.
        reason: &'static str,
    },
    /// The stream is complete and shorter than the header says.
    #[error("the payload's stream has {found} bytes and its header says {declared}")]
    TooShort {
        /// How long it is.
        found: u64,
        /// How long it is by the header.
        declared: u64,
    },
    /// The stream goes on after what the header says.
    #[error("the payload's stream is longer than the {declared} bytes that its header says")]
    TooLong {
        /// How long it is by the header.
        declared: u64,
    },
    /// Something follows the stream.
    #[error("the payload goes on after the end of its stream")]
    TrailingBytes,
}

/// The inflated stream of `input`.
pub(crate) struct Inflate<'a> {
    input: &'a mut dyn Read,
    decoder: DCtx<'static>,
    window_log: u8,
    buffer: Box<[u8]>,
    /// What of `buffer` is read and not inflated.
    unread: std::ops::Range<usize>,
    input_ended: bool,
    frame_ended: bool,
    declared: u64,
    inflated: u64,
}

impl<'a> Inflate<'a> {
    pub(crate) fn new(input: &'a mut dyn Read, window_log: u8, declared: u64) -> Result<Self, InflateError> {
        let mut decoder = DCtx::try_create().ok_or(InflateError::OutOfMemory)?;
        decoder
            .set_parameter(DParameter::WindowLogMax(u32::from(window_log)))
            .map_err(|code| InflateError::Damaged { inflated: 0, reason: get_error_name(code) })?;
        Ok(Self {
            input,
            decoder,
            window_log,
            buffer: vec![0; INPUT_CHUNK_BYTES].into_boxed_slice(),
            unread: 0..0,
            input_ended: false,
            frame_ended: false,
            declared,
            inflated: 0,
        })
    }

    /// Bytes of the inflated stream that were given out.
    pub(crate) fn inflated(&self) -> u64 {
        self.inflated
    }

    /// Bytes that the header says are still to come.
    pub(crate) fn remaining(&self) -> u64 {
        self.declared.saturating_sub(self.inflated)
    }

    /// Fills `output`, which must be no longer than [`Self::remaining`].
    pub(crate) fn fill(&mut self, output: &mut [u8]) -> Result<(), InflateError> {
        let mut filled = 0;
        while let Some(rest) = output.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            if self.frame_ended {
                return Err(InflateError::TooShort { found: self.inflated, declared: self.declared });
            }
            let bytes = self.step(rest)?;
            filled += bytes;
            self.inflated = self.inflated.saturating_add(bytes as u64);
        }
        Ok(())
    }

    /// Goes to the end of the payload, after all declared bytes.
    pub(crate) fn finish(mut self) -> Result<(), InflateError> {
        while !self.frame_ended {
            if self.step(&mut [0])? > 0 {
                return Err(InflateError::TooLong { declared: self.declared });
            }
        }
        self.refill()?;
        if self.unread.is_empty() { Ok(()) } else { Err(InflateError::TrailingBytes) }
    }

    /// Memory that the decoder and the buffer take, in bytes.
    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> usize {
        self.decoder.sizeof() + self.buffer.len()
    }

    /// Inflates something into `output`, maybe nothing, and goes on in the input or ends the frame then.
    fn step(&mut self, output: &mut [u8]) -> Result<usize, InflateError> {
        self.refill()?;
        let mut source = InBuffer::around(self.buffer.get(self.unread.clone()).unwrap_or_default());
        let mut target = OutBuffer::around(output);
        let hint = self.decoder.decompress_stream(&mut target, &mut source);
        let (consumed, made) = (source.pos(), target.pos());
        self.unread.start += consumed;
        self.frame_ended = hint.map_err(|code| self.failure(code))? == 0;
        if consumed == 0 && made == 0 && self.input_ended && !self.frame_ended {
            return Err(InflateError::Truncated { inflated: self.inflated, declared: self.declared });
        }
        Ok(made)
    }

    /// Reads on when everything that was read is used up.
    fn refill(&mut self) -> Result<(), InflateError> {
        while self.unread.is_empty() && !self.input_ended {
            match self.input.read(&mut self.buffer) {
                Ok(0) => self.input_ended = true,
                // A reader that claims more than it was given room for would else make the range point outside.
                Ok(bytes) => self.unread = 0..bytes.min(self.buffer.len()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(source) => return Err(InflateError::Read { inflated: self.inflated, source }),
            }
        }
        Ok(())
    }

    fn failure(&self, code: ErrorCode) -> InflateError {
        let is = |error: ZSTD_ErrorCode| code == (error as usize).wrapping_neg();
        if is(ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge) {
            InflateError::WindowTooLarge { window_log: self.window_log }
        } else if is(ZSTD_ErrorCode::ZSTD_error_memory_allocation) {
            InflateError::OutOfMemory
        } else {
            InflateError::Damaged { inflated: self.inflated, reason: get_error_name(code) }
        }
    }
}

#[cfg(test)]
mod tests;
