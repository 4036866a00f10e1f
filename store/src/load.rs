//! Loading messages by number: from memory while they are not written, from the disk later. The thread `store-read`
//! does it for those who must not wait.
//!
//! A disk that does not let itself be read now, because files run out or for whatever reason, is no reason to give up a
//! message: it is asked again, without end if the segment cannot be opened, and a few times if it cannot be read.
//!
//! Invariant: bytes are given out only if they are the message with that number, by its checksum; a message is said to be
//! lost only if it was looked at and is not there.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

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

/// How often a segment is read again that can be opened and not read.
const READS_MAX: u32 = 8;
/// Before the first of these, and before any later one at most.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// For how long a caller waits that cannot wait for ever.
const CALLER_PATIENCE: Duration = Duration::from_secs(3);

/// What runs with the loaded messages.
pub(crate) type Answer = Box<dyn FnOnce(Vec<Option<Vec<u8>>>) + Send>;

/// Messages that someone wants.
pub(crate) struct Request {
    pub(crate) numbers: Vec<u64>,
    pub(crate) answer: Answer,
}

/// Why a message cannot be loaded now.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// The segment could not even be opened.
    opening: bool,
    pub(crate) source: io::Error,
}

/// Runs until the last sender of requests is gone.
pub(crate) fn run(shared: &Shared, requests: &Receiver<Request>) {
    let mut waiting = VecDeque::new();
    loop {
        let request = match waiting.pop_front() {
            Some(request) => request,
            None => match requests.recv() {
                Ok(request) => request,
                Err(_) => return,
            },
        };
        let Request { numbers, answer } = request;
        let mut loader = Loader::new(shared);
        let mut loaded = Vec::with_capacity(numbers.len());
        for number in numbers {
            let mut tries = Tries::default();
            loop {
                match loader.load(number) {
                    Ok(message) => {
                        loaded.push(message);
                        break;
                    }
                    Err(unreadable) => match tries.next(&unreadable) {
                        Some(pause) if !wait(pause, requests, &mut waiting) => return,
                        Some(_) => {}
                        None => {
                            loader.give_up(number);
                            loaded.push(None);
                            break;
                        }
                    },
                }
            }
        }
        if catch_unwind(AssertUnwindSafe(|| answer(loaded))).is_err() {
            tracing::error!("the answer of a load from the store panicked");
        }
    }
}

/// Waits, and takes in what comes meanwhile. False: the last sender has gone.
fn wait(pause: Duration, requests: &Receiver<Request>, waiting: &mut VecDeque<Request>) -> bool {
    let end = Instant::now() + pause;
    loop {
        match requests.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(request) => waiting.push_back(request),
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

/// Loads one message on the calling thread, which waits a little if it cannot be read now.
pub(crate) fn blocking(shared: &Shared, number: u64) -> io::Result<Option<Vec<u8>>> {
    let began = Instant::now();
    let mut tries = Tries::default();
    loop {
        match Loader::new(shared).load(number) {
            Ok(message) => return Ok(message),
            Err(unreadable) => match tries.next(&unreadable) {
                Some(pause) if began.elapsed() + pause <= CALLER_PATIENCE => std::thread::sleep(pause),
                _ => return Err(unreadable.source),
            },
        }
    }
}

/// How often one message was tried, and what comes next.
#[derive(Default)]
struct Tries {
    count: u32,
    reads: u32,
}

impl Tries {
    /// The pause until the next; `None`: there is none.
    fn next(&mut self, unreadable: &Unreadable) -> Option<Duration> {
        if self.count == 0 {
            tracing::warn!(error = %unreadable.source, "a message cannot be read now, and is tried again");
        }
        self.reads += u32::from(!unreadable.opening);
        let pause = (PAUSE_MIN * 2_u32.saturating_pow(self.count.min(10))).min(PAUSE_MAX);
        self.count += 1;
        (self.reads < READS_MAX).then_some(pause)
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
    pub(crate) fn load(&mut self, number: u64) -> Result<Option<Vec<u8>>, Unreadable> {
        let mut tried = None;
        for _ in 0..TRIES_MAX {
            let position = match self.shared.intake.with(|front| front.find(number)) {
                Found::Nowhere => return Ok(None),
                Found::Memory(records, range) => return Ok(Some(records.bytes[range].to_vec())),
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
                Ok(message) => return Ok(Some(message)),
                Err(error) => {
                    self.forget();
                    if !is_about_content(&error.source) {
                        return Err(error);
                    }
                    tracing::debug!(number, error = %error.source, "a message could not be read where it should be");
                    tried = Some(position);
                }
            }
        }
        self.damaged(number, tried);
        Ok(None)
    }

    /// What cannot be read however often it is tried counts as damaged.
    fn give_up(&self, number: u64) {
        let position = match self.shared.intake.with(|front| front.find(number)) {
            Found::Disk(position) => Some(position),
            Found::Nowhere | Found::Memory(..) => None,
        };
        self.damaged(number, position);
    }

    fn damaged(&self, number: u64, position: Option<Position>) {
        self.shared.counters.message_damaged();
        tracing::error!(number, "a message in the journal is damaged");
        if let Some(Position { segment, .. }) = position {
            self.shared.intake.push(None, |front| front.segment_damaged(segment));
        }
    }

    fn read(&mut self, number: u64, position: Position) -> Result<Vec<u8>, Unreadable> {
        self.open(position.segment).map_err(|source| Unreadable { opening: true, source })?;
        self.read_opened(number, position).map_err(|source| Unreadable { opening: false, source })
    }

    fn read_opened(&mut self, number: u64, position: Position) -> io::Result<Vec<u8>> {
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

/// Whether an error says what is on the disk, and not that the disk cannot be asked.
fn is_about_content(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::NotFound)
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
