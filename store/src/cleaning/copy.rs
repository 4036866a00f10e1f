//! Reading a segment bit by bit and appending again what is still wanted of it.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use super::salvage::Salvage;
use crate::batch::Batch;
use crate::disk::DiskFile;
use crate::entry::Urgency;
use crate::front::{Front, Moved};
use crate::index::Position;
use crate::journal::batch_header::{BATCH_HEADER_BYTES, BatchHeader};
use crate::journal::body::{self, Body};
use crate::journal::file_name;
use crate::journal::locator::LOCATOR_BYTES;
use crate::journal::operations::OperationAt;
use crate::journal::segment_header::SEGMENT_HEADER_BYTES;
use crate::segments::Segment;
use crate::state::State;
use crate::writer::Writer;

/// One step ends when it has read or has to write about so much.
const READ_BYTES: u64 = 512 * 1024;
const COPY_BYTES: usize = 128 * 1024;

/// How far a segment was gone through.
pub(super) struct Cursor {
    segment: u64,
    /// It is damaged: what is wanted of it is told without reading it in turn.
    salvage: Option<Salvage>,
    file: Option<Arc<dyn DiskFile>>,
    offset: u64,
    end: u64,
    /// The last batch that was appended when the end was reached: in or before it are all copies, and everything that
    /// made something not worth a copy.
    needed_until: Option<u64>,
    buffer: Vec<u8>,
}

/// What one step found worth copying.
#[derive(Default)]
pub(super) struct Found {
    puts: Vec<(Vec<u8>, Vec<u8>)>,
    keys: HashSet<Vec<u8>>,
    moved: Vec<Moved>,
    bytes: usize,
}

impl Cursor {
    /// For a segment of which nothing is wanted.
    pub(super) fn at_end(segment: &Segment) -> Self {
        Self {
            segment: segment.number,
            salvage: None,
            file: None,
            offset: 0,
            end: 0,
            needed_until: None,
            buffer: Vec::new(),
        }
    }

    pub(super) fn open(segment: &Segment, writer: &Writer) -> io::Result<Self> {
        let path = writer.shared.journal_dir.join(file_name::of_segment(segment.number));
        let file = Some(writer.shared.disk.open(&path)?);
        Ok(Self { file, offset: SEGMENT_HEADER_BYTES, end: segment.bytes, ..Self::at_end(segment) })
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.salvage.as_ref().map_or(self.offset >= self.end, Salvage::is_at_end)
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.salvage.is_some()
    }

    /// At the end: the batch that must be durable before the segment may go. `last` is the last one that was appended.
    pub(super) fn needed_until(&mut self, last: u64) -> u64 {
        *self.needed_until.get_or_insert(last)
    }

    /// Goes on a little. The state must have applied everything that the writer thread has taken.
    pub(super) fn step(&mut self, writer: &Writer) -> Result<(), String> {
        let mut found = Found::default();
        if let Some(salvage) = &mut self.salvage {
            salvage.step(&writer.shared, &mut found)?;
        } else if let Err(error) = self.gather(writer, &mut found) {
            tracing::error!(segment = self.segment, %error, "a segment of the journal is damaged: saving what is wanted of it");
            self.salvage = Some(Salvage::begin(self.segment, &writer.shared));
            return Ok(());
        }
        if !found.puts.is_empty() || !found.moved.is_empty() {
            writer.shared.intake.with(|front| append(front, found));
        }
        Ok(())
    }

    /// Reads on and takes what is wanted. `Err`: the segment cannot be read, or is not what was written.
    fn gather(&mut self, writer: &Writer, found: &mut Found) -> io::Result<()> {
        let begun = self.offset;
        while !self.is_at_end() && self.offset - begun < READ_BYTES && !found.is_full() {
            let (header, body_bytes) = self.read_batch()?;
            let body = body::decode(&self.buffer[BATCH_HEADER_BYTES as usize..]).map_err(|_| damaged())?;
            found.look_at_puts(&body, &writer.shared.state);
            let body_at = self.offset + BATCH_HEADER_BYTES;
            writer.shared.intake.with(|front| found.look_at_messages(&body, &header, self.segment, body_at, front));
            self.offset += BATCH_HEADER_BYTES + body_bytes;
        }
        Ok(())
    }

    /// Reads the next batch into the buffer and checks it.
    fn read_batch(&mut self) -> io::Result<(BatchHeader, u64)> {
        let file = self.file.as_ref().ok_or_else(damaged)?;
        self.buffer.resize(BATCH_HEADER_BYTES as usize, 0);
        let read = file.read_at(&mut self.buffer, self.offset)?;
        let (_, body_len) = BatchHeader::peek(&self.buffer[..read]).ok_or_else(damaged)?;
        let bytes = BATCH_HEADER_BYTES + u64::from(body_len);
        if bytes > self.end - self.offset {
            return Err(damaged());
        }
        self.buffer.resize(bytes as usize, 0);
        let read = file.read_at(&mut self.buffer, self.offset)?;
        let (header, _) = BatchHeader::decode(self.segment, &self.buffer[..read]).map_err(|_| damaged())?;
        Ok((header, u64::from(body_len)))
    }
}

impl Found {
    /// Whether it is enough for one step.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= COPY_BYTES
    }

    pub(super) fn take_put(&mut self, tree_key: &[u8], value: &[u8]) {
        self.bytes += tree_key.len() + value.len();
        self.keys.insert(tree_key.to_vec());
        self.puts.push((tree_key.to_vec(), value.to_vec()));
    }

    pub(super) fn take_message(&mut self, number: u64, from: Position, message: Vec<u8>) {
        self.bytes += message.len();
        self.moved.push(Moved { number, from, message });
    }

    /// Takes the puts that are what the state says now, or may be as far as one can tell.
    fn look_at_puts(&mut self, body: &Body<'_>, state: &State) {
        for OperationAt { tree_key, value } in &body.operations {
            let Some(value) = value.filter(|_| !self.keys.contains(*tree_key)) else { continue };
            if state.read(tree_key).map_or(true, |current| current.as_deref() == Some(value)) {
                self.take_put(tree_key, value);
            }
        }
    }

    /// Takes the messages that are found nowhere else.
    fn look_at_messages(&mut self, body: &Body<'_>, header: &BatchHeader, segment: u64, body_at: u64, front: &Front) {
        let position = |in_body: usize| Position { segment: segment as u32, offset: (body_at + in_body as u64) as u32 };
        let own = body.messages.iter().enumerate().map(|(index, range)| {
            let message = &body.records[range.start as usize..range.end as usize];
            (header.first_message + index as u64, body.locators_at + index * LOCATOR_BYTES, message)
        });
        let moved = body.moved.iter().map(|moved| (moved.number, moved.locator_at, moved.message));
        for (number, locator_at, message) in own.chain(moved) {
            let from = position(locator_at);
            if front.index.position(number) == Some(from) {
                self.take_message(number, from, message.to_vec());
            }
        }
    }
}

/// Appends at the head, except puts of keys that something which waits is going to change: what is there then comes
/// later in the journal anyway.
fn append(front: &mut Front, mut found: Found) {
    for operation in front.waiting().iter().flat_map(|pending| pending.operations()) {
        found.keys.remove(&operation.tree_key);
    }
    let mut batch = Batch::new();
    for (tree_key, value) in found.puts.iter().filter(|(tree_key, _)| found.keys.contains(tree_key)) {
        batch.push_stored(tree_key, Some(value));
    }
    if !batch.is_empty() || !found.moved.is_empty() {
        front.append_cleaned(batch, found.moved, Urgency::Lazy);
    }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a batch in it is damaged")
}
