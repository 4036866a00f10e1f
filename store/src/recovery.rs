//! Reading the journal back: all segments in order, up to the first batch that is not what was written.
//!
//! What comes after that is never read as part of the journal. If something behind it counted on it, it had been
//! durable: it is damage, and what is behind is set aside in files that nobody removes. Otherwise it is the tail that
//! a power cut tore, and is cut off. Both are reported. Invariant: when this returns, everything in the journal's
//! segments is whole and durable, and what it says is there is there.

mod damage;
mod segment;

use std::io;
use std::path::{Path, PathBuf};

use crate::disk::{self, Disk};
use crate::front::Front;
use crate::index::Position;
use crate::journal::batch_header::{BATCH_HEADER_BYTES, BatchHeader};
use crate::journal::body::Body;
use crate::journal::file_name;
use crate::journal::locator::LOCATOR_BYTES;
use crate::journal::operations::OperationAt;
use crate::open::OpenError;
use crate::segments::{Addition, Segment};
use segment::{Break, SegmentReader, Whole};

/// What reading the journal found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalReport {
    /// Segments that were read.
    pub segments: u64,
    /// Whole batches in them.
    pub batches: u64,
    /// Bytes of those segments.
    pub bytes: u64,
    /// What was not whole.
    pub dropped: Option<Dropped>,
    /// Segments whose header was damaged, which costs nothing.
    pub headers_damaged: Vec<u64>,
}

/// The end of what could be read, if it is not the end of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The segment in which it is.
    pub segment: u64,
    /// Offset in the segment of the first byte that was dropped.
    pub offset: u64,
    /// Bytes from there on, in this segment and all later ones.
    pub bytes: u64,
    /// What was found there.
    pub cause: String,
    /// What was dropped had been durable: this is damage, and acknowledged entries are lost. Otherwise it is what was
    /// being written when the power went, which nobody had been told about.
    pub damage: bool,
    /// Whole batches that were dropped because of what stands before them.
    pub batches_behind: u64,
    /// Where it is now, if it was set aside.
    pub set_aside: Vec<PathBuf>,
}

/// One batch as it was read.
pub(crate) struct Recovered<'a> {
    pub(crate) header: BatchHeader,
    pub(crate) body: &'a Body<'a>,
    /// Bytes of all of it in the journal.
    pub(crate) bytes: u64,
}

/// Told about every batch.
pub(crate) type OnBatch<'a> = dyn FnMut(&Recovered<'_>) -> Result<(), OpenError> + 'a;

/// Sequence number of the last batch with state operations before the oldest segment: a state that has applied less
/// cannot be brought up to date by the journal. `None`: there is no journal.
pub(crate) fn oldest_state_sequence(dir: &Path, disk: &dyn Disk) -> Result<Option<u64>, OpenError> {
    let Some(oldest) = segments_in(dir, disk)?.first().copied() else { return Ok(None) };
    let path = dir.join(file_name::of_segment(oldest));
    let mut bytes = Vec::new();
    read(disk, &path, &mut bytes)?;
    let reader = SegmentReader::new(oldest, &bytes, None, &path)?;
    Ok(Some(reader.state_sequence()))
}

/// What reading found, before anything is mended.
pub(crate) struct Scan {
    pub(crate) front: Front,
    pub(crate) report: JournalReport,
    broken: Option<damage::Found>,
}

/// Reads everything in `dir`, tells `on_batch`, and mends what has to be.
pub(crate) fn recover(
    dir: &Path,
    disk: &dyn Disk,
    segment_bytes: u64,
    on_batch: &mut OnBatch<'_>,
) -> Result<(Front, JournalReport), OpenError> {
    let Scan { front, mut report, broken } = scan(dir, disk, segment_bytes, on_batch)?;
    if let Some(found) = broken {
        report.dropped = Some(damage::mend(dir, disk, &found)?);
    }
    make_durable(dir, disk, &front)?;
    Ok((front, report))
}

/// Reads everything in `dir`, tells `on_batch`, and changes nothing. The report says what [`recover`] would drop.
pub(crate) fn scan(
    dir: &Path,
    disk: &dyn Disk,
    segment_bytes: u64,
    on_batch: &mut OnBatch<'_>,
) -> Result<Scan, OpenError> {
    let mut front = Front::new(segment_bytes, next_segment(dir, disk)?);
    let mut report = JournalReport::default();
    let numbers = segments_in(dir, disk)?;
    let mut buffer = Vec::new();
    let mut expected = None;
    let mut broken = None;
    for (at, number) in numbers.iter().enumerate() {
        let path = dir.join(file_name::of_segment(*number));
        read(disk, &path, &mut buffer)?;
        let mut reader = SegmentReader::new(*number, &buffer, expected, &path)?;
        if at == 0 {
            front.state_sequence = reader.state_sequence();
        }
        let mut segment = Segment::new(*number, reader.expected());
        while let Some(whole) = reader.next(front.next_message)? {
            add(&mut front, &mut segment, &whole);
            on_batch(&Recovered { header: whole.header, body: &whole.body, bytes: whole.bytes })?;
            report.batches += 1;
        }
        if reader.header_is_damaged() && reader.broken().is_none_or(|broken| broken.offset > 0) {
            report.headers_damaged.push(*number);
        }
        let next = reader.expected();
        expected = Some(next);
        if segment.last_sequence > 0 {
            report.segments += 1;
            report.bytes += segment.bytes;
            front.segments.push(segment);
        }
        if let Some(Break { offset, cause }) = reader.broken() {
            let later = numbers[at + 1..].to_vec();
            let bytes = std::mem::take(&mut buffer);
            let found = damage::Found { segment: *number, offset, cause, expected: next, bytes, later };
            report.dropped = Some(damage::judge(dir, disk, &found)?);
            broken = Some(found);
            break;
        }
    }
    front.next_sequence = expected.unwrap_or(1);
    Ok(Scan { front, report, broken })
}

/// Operations of one batch, and its sequence number.
pub(crate) type OnOperations<'a> = dyn FnMut(&[OperationAt<'_>], u64) + 'a;

/// Reads the state operations of all batches after `after` up to `until` again, while the store is open, beginning in
/// the segment `first`. They are durable, so an end before `until` is an error.
pub(crate) fn read_operations(
    dir: &Path,
    disk: &dyn Disk,
    first: u64,
    (after, until): (u64, u64),
    on_operations: &mut OnOperations<'_>,
) -> Result<(), OpenError> {
    let mut buffer = Vec::new();
    let mut expected = None;
    for number in segments_in(dir, disk)?.into_iter().filter(|number| *number >= first) {
        let path = dir.join(file_name::of_segment(number));
        read(disk, &path, &mut buffer)?;
        let mut reader = SegmentReader::new(number, &buffer, expected, &path)?;
        while let Some(whole) = reader.next(0)? {
            let sequence = whole.header.sequence;
            if sequence > after && sequence <= until && !whole.body.operations.is_empty() {
                on_operations(&whole.body.operations, sequence);
            }
        }
        expected = Some(reader.expected());
        if let Some(broken) = reader.broken().filter(|_| reader.expected() <= until) {
            let source = io::Error::new(io::ErrorKind::InvalidData, broken.cause);
            return Err(OpenError::Io { attempted: "read again", path, source });
        }
    }
    Ok(())
}

/// What was read may stand in a cache only, if the process was killed that wrote it. Every segment but the last is
/// durable, because the next one began after it.
fn make_durable(dir: &Path, disk: &dyn Disk, front: &Front) -> Result<(), OpenError> {
    if let Some(newest) = front.segments.newest() {
        let path = dir.join(file_name::of_segment(newest.number));
        disk.open(&path).and_then(|file| file.sync()).map_err(io_error("fsync", &path))?;
    }
    disk.sync_directory(dir).map_err(io_error("fsync the directory", dir))
}

/// Takes over what a batch says.
fn add(front: &mut Front, segment: &mut Segment, whole: &Whole<'_>) {
    let Whole { header, body, offset, bytes } = whole;
    let number = segment.number as u32;
    let position =
        |in_body: usize| Position { segment: number, offset: (offset + BATCH_HEADER_BYTES + in_body as u64) as u32 };
    segment.add(&Addition {
        sequence: header.sequence,
        bytes: *bytes,
        records_bytes: body.records.len() as u64,
        operations: body.operations.len() as u64,
        puts: body.operations.iter().filter(|operation| operation.value.is_some()).count() as u64,
        messages: body.messages.len() as u64,
        message_bytes: body.messages.iter().map(|range| u64::from(range.end - range.start)).sum(),
    });
    for index in 0..body.messages.len() {
        front.index.recover(header.first_message + index as u64, position(body.locators_at + index * LOCATOR_BYTES));
    }
    for moved in &body.moved {
        segment.add_messages(1, moved.message.len() as u64);
        let before = front.index.recover(moved.number, position(moved.locator_at));
        match before {
            Some(before) if before.segment == number => segment.messages_live -= 1,
            Some(before) => front.segments.message_gone(before.segment),
            None => {}
        }
    }
    front.next_message = header.first_message + body.messages.len() as u64;
    front.last_wall_ms = header.wall_ms;
    if !body.operations.is_empty() {
        front.state_sequence = header.sequence;
    }
}

/// The numbers of all segments, ascending.
fn segments_in(dir: &Path, disk: &dyn Disk) -> Result<Vec<u64>, OpenError> {
    let names = disk.list(dir).map_err(io_error("list", dir))?;
    let mut numbers: Vec<u64> = names.iter().filter_map(|name| file_name::segment_in(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// A number that no segment has, also none that was set aside.
fn next_segment(dir: &Path, disk: &dyn Disk) -> Result<u64, OpenError> {
    let names = disk.list(dir).map_err(io_error("list", dir))?;
    let number = |name: &String| file_name::segment_in(name).or_else(|| file_name::damaged_segment_in(name));
    Ok(names.iter().filter_map(number).max().map_or(1, |last| last + 1))
}

fn read(disk: &dyn Disk, path: &Path, buffer: &mut Vec<u8>) -> Result<(), OpenError> {
    let file = disk.open(path).map_err(io_error("open", path))?;
    disk::read_whole(&*file, buffer).map_err(io_error("read", path))
}

fn io_error(attempted: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_path_buf();
    move |source| OpenError::Io { attempted, path, source }
}
