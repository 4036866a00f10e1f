//! A payload becomes an image: the header is compared with what was signed, the stream is followed, the result is hashed.
//!
//! Takes a payload from any reader and writes to any writer, front to back. What was written before a refusal is to be thrown
//! away: write to a place that nothing uses yet. To stop early, let the reader or the writer fail.
//!
//! Invariant: at most the signed length is written, and `Ok` means that it was exactly the signed image.

use std::io::{self, ErrorKind, Read, Write};

use thiserror::Error;

use crate::base::{BASE_CHUNK_BYTES, CheckedBase};
use crate::digest::{Digest, RunningDigest};
use crate::header::expected::{Expected, Mismatch};
use crate::header::{HEADER_BYTES, Header, HeaderError};
use crate::inflate::{Inflate, InflateError};
use crate::instruction::{Cursor, INSTRUCTION_BYTES, Instruction, InstructionProblem};
use crate::progress::{Progress, Reporter, Stage};

/// Most memory that [`apply`] holds, in bytes: the window of 8 MiB, and 1 MiB for the decoder's state and three buffers.
pub const APPLY_BYTES_MAX: usize = 9 * 1024 * 1024;

/// Bytes of the result that are made at once.
const RESULT_CHUNK_BYTES: usize = BASE_CHUNK_BYTES;

/// Why no image came out.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// The payload could not be read within its header.
    #[error("cannot read the payload's header")]
    ReadHeader(#[source] io::Error),
    /// The payload ends within its header.
    #[error("the payload is truncated: it ends within its header of {HEADER_BYTES} bytes")]
    TruncatedHeader,
    /// The header is refused by itself.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The header is not what was signed.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// A patch, and no base was given.
    #[error("the payload is a patch and there is no base to apply it to; deliver the full image")]
    NoBase,
    /// The base that was checked is another one.
    #[error("the patch is for a base of {wanted} and the one given has {found}; deliver the full image")]
    OtherBase {
        /// What was checked.
        found: Digest,
        /// What the patch is for.
        wanted: Digest,
    },
    /// The base could not be read.
    #[error("cannot read the base at byte {offset}")]
    ReadBase {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The result could not be written.
    #[error("cannot write the new image at byte {offset}")]
    Write {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The stream cannot be read to its end.
    #[error(transparent)]
    Inflate(#[from] InflateError),
    /// An instruction is refused.
    #[error("the instruction at byte {offset} of the payload's inflated stream is wrong: {problem}")]
    Instruction {
        /// Where its numbers begin.
        offset: u64,
        /// What is wrong.
        problem: InstructionProblem,
    },
    /// The instructions end before the result is complete.
    #[error("the payload makes {made} bytes and its header says {declared}")]
    ResultTooShort {
        /// Length of what came out.
        made: u64,
        /// Length of the result by the header.
        declared: u64,
    },
    /// Another image came out.
    #[error(
        "what came out has {found}, signed is {signed}: the payload or the base is damaged; deliver the full image"
    )]
    ResultHash {
        /// What came out.
        found: Digest,
        /// What was signed.
        signed: Digest,
    },
}

/// Makes the image of `payload` and writes it to `output`, which is flushed at the end but not made durable.
///
/// `base` is for patches and may be given for full images too.
///
/// # Errors
/// What was wrong first, in the order header, header against `expected`, base, stream, result. What was written must then be
/// thrown away.
pub fn apply(
    payload: &mut dyn Read,
    base: Option<&CheckedBase<'_>>,
    output: &mut dyn Write,
    expected: &Expected,
    report: &mut dyn FnMut(Progress),
) -> Result<(), ApplyError> {
    apply_as(Stage::Apply, payload, base, output, expected, report)
}

/// [`apply`], reported as `stage`.
pub(crate) fn apply_as(
    stage: Stage,
    payload: &mut dyn Read,
    base: Option<&CheckedBase<'_>>,
    output: &mut dyn Write,
    expected: &Expected,
    report: &mut dyn FnMut(Progress),
) -> Result<(), ApplyError> {
    let header = read_header(payload)?;
    expected.compare(&header)?;
    let reporter = Reporter::start(report, stage, header.result.length);
    let mut stream = Inflate::new(payload, header.window_log, header.stream_bytes)?;
    let mut result = ResultWriter { output, sum: RunningDigest::default(), reporter };
    match header.base {
        None => copy_stream(&mut stream, &mut result)?,
        Some(wanted) => {
            let base = base.ok_or(ApplyError::NoBase)?;
            let found = base.digest();
            if found != wanted {
                return Err(ApplyError::OtherBase { found, wanted });
            }
            follow_instructions(&mut stream, base, &mut result, header.result.length)?;
        }
    }
    stream.finish()?;
    result.finish(&expected.result)
}

fn read_header(payload: &mut dyn Read) -> Result<Header, ApplyError> {
    let mut bytes = [0; HEADER_BYTES];
    payload.read_exact(&mut bytes).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => ApplyError::TruncatedHeader,
        _ => ApplyError::ReadHeader(error),
    })?;
    Ok(Header::decode(&bytes)?)
}

/// The stream of a full payload; its header was only taken because stream and result have the same length.
fn copy_stream(stream: &mut Inflate<'_>, result: &mut ResultWriter<'_>) -> Result<(), ApplyError> {
    let mut chunks = Chunks::new();
    while let Some(chunk) = chunks.next_of(stream.remaining()) {
        stream.fill(chunk)?;
        result.write(chunk)?;
    }
    Ok(())
}

fn follow_instructions(
    stream: &mut Inflate<'_>,
    base: &CheckedBase<'_>,
    result: &mut ResultWriter<'_>,
    result_bytes: u64,
) -> Result<(), ApplyError> {
    let mut cursor = Cursor::new(base.digest().length, result_bytes);
    let (mut chunks, mut base_chunks) = (Chunks::new(), Chunks::new());
    while stream.remaining() > 0 {
        let offset = stream.inflated();
        let wrong = |problem| ApplyError::Instruction { offset, problem };
        if stream.remaining() < INSTRUCTION_BYTES as u64 {
            return Err(wrong(InstructionProblem::CutShort));
        }
        let mut numbers = [0; INSTRUCTION_BYTES];
        stream.fill(&mut numbers)?;
        let instruction = Instruction::decode(&numbers).map_err(wrong)?;
        let mut base_offset = cursor.admit(&instruction).map_err(wrong)?;
        // The cursor has checked that the sum does not overflow.
        if instruction.mix + instruction.copy > stream.remaining() {
            return Err(wrong(InstructionProblem::CutShort));
        }
        let mut mix = instruction.mix;
        while let (Some(chunk), Some(old)) = (chunks.next_of(mix), base_chunks.next_of(mix)) {
            stream.fill(chunk)?;
            base.read_exact_at(old, base_offset)
                .map_err(|source| ApplyError::ReadBase { offset: base_offset, source })?;
            for (byte, old) in chunk.iter_mut().zip(old) {
                *byte = byte.wrapping_add(*old);
            }
            result.write(chunk)?;
            base_offset += chunk.len() as u64;
            mix -= chunk.len() as u64;
        }
        let mut copy = instruction.copy;
        while let Some(chunk) = chunks.next_of(copy) {
            stream.fill(chunk)?;
            result.write(chunk)?;
            copy -= chunk.len() as u64;
        }
    }
    if cursor.made() < result_bytes {
        return Err(ApplyError::ResultTooShort { made: cursor.made(), declared: result_bytes });
    }
    Ok(())
}

/// A buffer that is used again and again for the next piece of something.
struct Chunks(Box<[u8]>);

impl Chunks {
    fn new() -> Self {
        Self(vec![0; RESULT_CHUNK_BYTES].into_boxed_slice())
    }

    /// Room for the next piece where `remaining` bytes are left, `None` where none are.
    fn next_of(&mut self, remaining: u64) -> Option<&mut [u8]> {
        let bytes = usize::try_from(remaining).unwrap_or(usize::MAX).min(self.0.len());
        self.0.get_mut(..bytes).filter(|chunk| !chunk.is_empty())
    }
}

/// Where the image goes, and its hash.
struct ResultWriter<'a> {
    output: &'a mut dyn Write,
    sum: RunningDigest,
    reporter: Reporter<'a>,
}

impl ResultWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), ApplyError> {
        let offset = self.sum.length();
        self.output.write_all(bytes).map_err(|source| ApplyError::Write { offset, source })?;
        self.sum.add(bytes);
        self.reporter.add(bytes.len() as u64);
        Ok(())
    }

    fn finish(self, signed: &Digest) -> Result<(), ApplyError> {
        let offset = self.sum.length();
        self.output.flush().map_err(|source| ApplyError::Write { offset, source })?;
        let found = self.sum.finish();
        if found != *signed {
            return Err(ApplyError::ResultHash { found, signed: *signed });
        }
        self.reporter.finish();
        Ok(())
    }
}
