//! Loading messages by number: from memory while they are not written, from the disk later. The thread `store-read`
//! does it for those who must not wait.
//!
//! Invariant: bytes are given out only if they are the message with that number, by its checksum.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use crate::disk::DiskFile;
use crate::front::Found;
use crate::index::Position;
use crate::journal::file_name;
use crate::journal::locator::{LOCATOR_BYTES, Locator};
use crate::shared::Shared;

/// Bytes that are read at once, so that messages side by side, and those of one session among others', cost one read.
const LOCATOR_BLOCK_BYTES: usize = 8 * 1024;
const MESSAGE_BLOCK_BYTES: usize = 64 * 1024;
/// How often a message that is moved while it is read is looked for again.
const TRIES_MAX: usize = 4;

/// What runs with the loaded messages.
pub(crate) type Answer = Box<dyn FnOnce(Vec<Option<Vec<u8>>>) + Send>;

/// Messages that someone wants.
pub(crate) struct Request {
    pub(crate) numbers: Vec<u64>,
    pub(crate) answer: Answer,
}

/// Runs until the last sender of requests is gone.
pub(crate) fn run(shared: &Shared, requests: &Receiver<Request>) {
    for Request { numbers, answer } in requests {
        let mut loader = Loader::new(shared);
        let loaded = numbers.into_iter().map(|number| loader.load(number)).collect();
        if catch_unwind(AssertUnwindSafe(|| answer(loaded))).is_err() {
            tracing::error!("the answer of a load from the store panicked");
        }
    }
}

/// Loads some messages and keeps what it has just read.
pub(crate) struct Loader<'a> {
    shared: &'a Shared,
    file: Option<OpenFile>,
    /// Around the locators that were read last, which stand together in front of their messages.
    locators: Block,
    messages: Block,
}

struct OpenFile {
    segment: u32,
    file: Arc<dyn DiskFile>,
    length: u64,
}

/// Bytes of a segment.
#[derive(Default)]
struct Block {
    segment: u32,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Loader<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self { shared, file: None, locators: Block::default(), messages: Block::default() }
    }

    /// `None`: it is not there, dead, or damaged.
    pub(crate) fn load(&mut self, number: u64) -> Option<Vec<u8>> {
        let mut tried = None;
        for _ in 0..TRIES_MAX {
            let position = match self.shared.intake.with(|front| front.find(number)) {
                Found::Nowhere => return None,
                Found::Memory(records, range) => return Some(records.bytes[range].to_vec()),
                Found::Disk(position) => position,
            };
            // It is where it was and could not be read there, also not afresh.
            if tried == Some(position) {
                break;
            }
            let mut loaded = self.read(number, position);
            if loaded.is_err() {
                self.forget();
                loaded = self.read(number, position);
            }
            match loaded {
                Ok(message) => return Some(message),
                Err(error) => {
                    self.forget();
                    tracing::debug!(number, %error, "a message could not be read where it should be");
                    tried = Some(position);
                }
            }
        }
        self.shared.counters.message_damaged();
        tracing::error!(number, "a message in the journal is damaged");
        if let Some(Position { segment, .. }) = tried {
            self.shared.intake.push(None, |front| front.segment_damaged(segment));
        }
        None
    }

    fn read(&mut self, number: u64, position: Position) -> io::Result<Vec<u8>> {
        self.open(position.segment)?;
        let Some(open) = &self.file else { return Err(io::ErrorKind::NotFound.into()) };
        let at = u64::from(position.offset);
        let locator = Locator::decode(self.locators.read(open, at, LOCATOR_BYTES, LOCATOR_BLOCK_BYTES)?);
        let locator = locator.ok_or(io::ErrorKind::InvalidData)?;
        let message_at = at + u64::from(locator.distance);
        let length = locator.length as usize;
        if message_at + length as u64 > open.length {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let message = self.messages.read(open, message_at, length, MESSAGE_BLOCK_BYTES)?;
        if locator.fits(number, message) { Ok(message.to_vec()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    fn open(&mut self, segment: u32) -> io::Result<()> {
        if self.file.as_ref().is_none_or(|open| open.segment != segment) {
            let path = self.shared.journal_dir.join(file_name::of_segment(u64::from(segment)));
            let file = self.shared.disk.open(&path)?;
            let length = file.length()?;
            self.file = Some(OpenFile { segment, file, length });
        }
        Ok(())
    }

    fn forget(&mut self) {
        self.file = None;
        self.locators.bytes.clear();
        self.messages.bytes.clear();
    }
}

impl Block {
    /// `length` bytes at `at`, with what follows up to `ahead` bytes kept for the next call.
    fn read(&mut self, open: &OpenFile, at: u64, length: usize, ahead: usize) -> io::Result<&[u8]> {
        let end = self.start + self.bytes.len() as u64;
        if self.segment != open.segment || at < self.start || at + length as u64 > end {
            self.bytes.resize(length.max(ahead), 0);
            let read = open.file.read_at(&mut self.bytes, at)?;
            self.bytes.truncate(read);
            (self.segment, self.start) = (open.segment, at);
            if read < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let start = (at - self.start) as usize;
        Ok(&self.bytes[start..start + length])
    }
}
