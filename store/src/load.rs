//! Loading messages by number: from memory while they are not written, from the disk later. The thread `store-read`
//! does it for those who must not wait.
//!
//! Invariant: bytes are given out only if they are the message with that number, by its checksum.

use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use crate::disk::DiskFile;
use crate::front::Found;
use crate::index::Position;
use crate::journal::file_name;
use crate::journal::locator::{LOCATOR_BYTES, Locator};
use crate::shared::Shared;

/// Bytes that are read at once, so that messages side by side cost one read.
const BLOCK_BYTES: usize = 32 * 1024;
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
    file: Option<(u32, Arc<dyn DiskFile>)>,
    block: Vec<u8>,
    block_at: (u32, u64),
}

impl<'a> Loader<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self { shared, file: None, block: Vec::new(), block_at: (0, 0) }
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
        let at = u64::from(position.offset);
        let range = self.fill(position.segment, at, LOCATOR_BYTES)?;
        let locator = Locator::decode(&self.block[range]).ok_or(io::ErrorKind::InvalidData)?;
        let message_at = at + u64::from(locator.distance);
        let length = locator.length as usize;
        if message_at + length as u64 > self.file(position.segment)?.length()? {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let range = self.fill(position.segment, message_at, length)?;
        let message = &self.block[range];
        if locator.fits(number, message) { Ok(message.to_vec()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    /// Where in the block the bytes are, after reading them if they are not there.
    fn fill(&mut self, segment: u32, at: u64, length: usize) -> io::Result<Range<usize>> {
        let (block_segment, start) = self.block_at;
        let inside = block_segment == segment && at >= start && at + length as u64 <= start + self.block.len() as u64;
        if !inside {
            let file = self.file(segment)?;
            self.block.resize(length.max(BLOCK_BYTES), 0);
            let read = file.read_at(&mut self.block, at)?;
            self.block.truncate(read);
            self.block_at = (segment, at);
            if read < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let start = (at - self.block_at.1) as usize;
        Ok(start..start + length)
    }

    fn file(&mut self, segment: u32) -> io::Result<Arc<dyn DiskFile>> {
        match &self.file {
            Some((open, file)) if *open == segment => Ok(file.clone()),
            _ => {
                let path = self.shared.journal_dir.join(file_name::of_segment(u64::from(segment)));
                let file = self.shared.disk.open(&path)?;
                self.file = Some((segment, file.clone()));
                Ok(file)
            }
        }
    }

    fn forget(&mut self) {
        self.file = None;
        self.block.clear();
    }
}
