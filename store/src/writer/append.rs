//! Writing: batches go where they were placed, many with one call, and a new segment begins only when the one before
//! is durable.

use std::sync::Arc;
use std::time::Instant;

use super::Writer;
use crate::disk::{self, DiskFile};
use crate::front::Place;
use crate::journal::file_name;
use crate::journal::segment_header::SegmentHeader;

/// Bytes that are gathered for one write call.
const WRITE_BYTES_MAX: usize = 1024 * 1024;
/// Records from this size on are written from where they are instead of being gathered.
const DIRECT_BYTES: usize = 128 * 1024;

/// The segment that is being written.
pub(super) struct Head {
    segment: u64,
    file: Arc<dyn DiskFile>,
}

/// Why something was not written.
pub(super) enum WriteFailure {
    /// There is no room, which may pass.
    Full,
    /// Anything else.
    Failed(String),
}

/// What goes into one write call: the first so many of what is pending.
struct Gathered {
    count: usize,
    /// Where the bytes go, unless there are none.
    offset: Option<u64>,
    /// The records of the last one are written directly.
    direct: bool,
}

impl Writer {
    /// Writes everything that is pending. What a failure leaves behind is cut off, and it stays pending.
    pub(super) fn write(&mut self) -> Result<(), WriteFailure> {
        while !self.pending.is_empty() {
            let first = self.pending.iter().find_map(|pending| pending.place.as_ref());
            if let Some(header) = first.and_then(|place| place.opens) {
                self.begin_segment(&header)?;
            }
            let gathered = self.gather();
            if let Some(offset) = gathered.offset {
                self.write_gathered(&gathered, offset)?;
            }
            self.take_as_written(gathered.count);
        }
        self.buffer.shrink_to(2 * WRITE_BYTES_MAX);
        Ok(())
    }

    /// Makes what is written durable.
    pub(super) fn sync(&mut self) -> Result<(), String> {
        if self.directory_dirty {
            let synced = self.shared.disk.sync_directory(&self.shared.journal_dir);
            synced.map_err(|error| format!("fsync of the journal's directory: {error}"))?;
            self.directory_dirty = false;
        }
        if self.dirty
            && let Some(head) = &self.head
        {
            let started = Instant::now();
            head.file.sync().map_err(|error| format!("fsync of the journal: {error}"))?;
            self.shared.counters.fsync_done(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
            self.dirty = false;
        }
        self.durable = self.written;
        self.lazy_since = None;
        self.sync_wanted = false;
        Ok(())
    }

    /// Creates the file of a segment, unless an earlier try did. Everything before it is durable then.
    fn begin_segment(&mut self, header: &SegmentHeader) -> Result<(), WriteFailure> {
        if self.head.as_ref().is_some_and(|head| head.segment == header.segment) {
            return Ok(());
        }
        self.sync().map_err(WriteFailure::Failed)?;
        let path = self.shared.journal_dir.join(file_name::of_segment(header.segment));
        match self.shared.disk.create(&path) {
            Ok(file) => self.head = Some(Head { segment: header.segment, file }),
            Err(error) if disk::is_full(&error) => return Err(WriteFailure::Full),
            Err(error) => return Err(WriteFailure::Failed(format!("creating a segment of the journal: {error}"))),
        }
        self.directory_dirty = true;
        Ok(())
    }

    /// Encodes as many batches into the buffer as are written with one call.
    fn gather(&mut self) -> Gathered {
        self.buffer.clear();
        let mut gathered = Gathered { count: 0, offset: None, direct: false };
        for pending in &self.pending {
            let Some(place) = &pending.place else {
                gathered.count += 1;
                continue;
            };
            if gathered.offset.is_some() && (place.opens.is_some() || self.buffer.len() >= WRITE_BYTES_MAX) {
                break;
            }
            if let Some(header) = &place.opens {
                header.encode(&mut self.buffer);
            }
            gathered.offset.get_or_insert(place.offset - self.buffer.len() as u64);
            pending.encode(place, self.durable, &mut self.buffer);
            gathered.count += 1;
            gathered.direct = pending.records.bytes.len() >= DIRECT_BYTES;
            if gathered.direct {
                break;
            }
            self.buffer.extend_from_slice(&pending.records.bytes);
        }
        gathered
    }

    fn write_gathered(&mut self, gathered: &Gathered, offset: u64) -> Result<(), WriteFailure> {
        let Some(head) = &self.head else { return Err(WriteFailure::Failed("no segment is begun".to_owned())) };
        let records = match gathered.count.checked_sub(1).filter(|_| gathered.direct) {
            Some(last) => &self.pending[last].records.bytes[..],
            None => &[],
        };
        let mut result = head.file.write_at(&self.buffer, offset);
        if result.is_ok() && !records.is_empty() {
            result = head.file.write_at(records, offset + self.buffer.len() as u64);
        }
        let Err(error) = result else {
            self.shared.counters.journal_written((self.buffer.len() + records.len()) as u64);
            self.dirty = true;
            return Ok(());
        };
        if !disk::is_full(&error) {
            return Err(WriteFailure::Failed(format!("writing the journal: {error}")));
        }
        let cut = head.file.set_len(offset);
        cut.map_err(|error| WriteFailure::Failed(format!("cutting off what was half written: {error}")))?;
        Err(WriteFailure::Full)
    }

    fn take_as_written(&mut self, count: usize) {
        let last = self.pending.iter().take(count).filter_map(|pending| pending.place.as_ref()).next_back();
        if let Some(Place { sequence, .. }) = last {
            self.written = *sequence;
            self.shared.intake.with(|front| front.written(*sequence));
        }
        // Lazy entries may wait for long: their bytes are on the disk, or in its cache, and not needed here any more.
        let written = self.pending.drain(..count).map(|mut pending| {
            pending.records = self.no_records.clone();
            pending
        });
        self.unsynced.extend(written);
    }
}
