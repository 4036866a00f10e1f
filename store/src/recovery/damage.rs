//! What becomes of everything from the first broken batch on.

use std::path::{Path, PathBuf};

use super::{Dropped, io_error, read};
use crate::disk::Disk;
use crate::journal::batch_header::{BATCH_HEADER_BYTES, BatchHeader};
use crate::journal::file_name;
use crate::journal::segment_header::SEGMENT_HEADER_BYTES;
use crate::open::OpenError;

/// A sequence number that is ahead by more is no reason to look whether a checksum is right.
const AHEAD_MAX: u64 = 1 << 32;

/// Where the journal breaks off.
pub(super) struct Found {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) cause: &'static str,
    /// The sequence number of the batch that should be there.
    pub(super) expected: u64,
    /// All of the segment.
    pub(super) bytes: Vec<u8>,
    /// The segments after it.
    pub(super) later: Vec<u64>,
}

/// Whole batches in some bytes.
#[derive(Default)]
struct Behind {
    batches: u64,
    /// One of them was written when the broken one was durable.
    counted_on_it: bool,
}

/// Says what everything from the break on is.
pub(super) fn judge(dir: &Path, disk: &dyn Disk, found: &Found) -> Result<Dropped, OpenError> {
    let mut behind = look_behind(found.segment, &found.bytes, found.offset, found.expected);
    let mut bytes = found.bytes.len() as u64 - found.offset;
    let mut buffer = Vec::new();
    for number in &found.later {
        read(disk, &dir.join(file_name::of_segment(*number)), &mut buffer)?;
        bytes += buffer.len() as u64;
        let here = look_behind(*number, &buffer, 0, found.expected);
        behind.batches += here.batches;
        // A segment begins only when the one before it is durable, so one with anything in it counted on that.
        behind.counted_on_it |= here.counted_on_it || here.batches > 0;
    }
    Ok(Dropped {
        segment: found.segment,
        offset: found.offset,
        bytes,
        cause: found.cause.to_owned(),
        damage: behind.counted_on_it,
        batches_behind: behind.batches,
        set_aside: Vec::new(),
    })
}

/// Cuts off a torn tail; sets aside what is behind damage.
pub(super) fn mend(dir: &Path, disk: &dyn Disk, found: &Found) -> Result<Dropped, OpenError> {
    let mut dropped = judge(dir, disk, found)?;
    if dropped.damage {
        dropped.set_aside = set_aside(dir, disk, found)?;
        tracing::error!(
            dir = %dir.display(), segment = found.segment, offset = found.offset, bytes = dropped.bytes,
            batches_behind = dropped.batches_behind, cause = found.cause, set_aside = ?dropped.set_aside,
            "the journal is damaged: what stands behind the damage was set aside and is lost to the node"
        );
    } else {
        for number in found.later.iter().rev() {
            remove(dir, disk, *number)?;
        }
        tracing::warn!(
            dir = %dir.display(), segment = found.segment, offset = found.offset, bytes = dropped.bytes,
            cause = found.cause, "the journal ended in something half written, which was cut off"
        );
    }
    cut(dir, disk, found)?;
    Ok(dropped)
}

/// Copies what is behind the break, and renames the later segments; the last first, so that a second try finds the same.
fn set_aside(dir: &Path, disk: &dyn Disk, found: &Found) -> Result<Vec<PathBuf>, OpenError> {
    let mut paths = Vec::new();
    for number in found.later.iter().rev() {
        let (from, to) = (dir.join(file_name::of_segment(*number)), free_name(dir, disk, *number, 0)?);
        disk.rename(&from, &to).map_err(io_error("set aside", &from))?;
        paths.push(to);
    }
    let to = free_name(dir, disk, found.segment, found.offset)?;
    let file = disk.create(&to).map_err(io_error("create", &to))?;
    file.write_at(&found.bytes[found.offset as usize..], 0).map_err(io_error("write", &to))?;
    file.sync().map_err(io_error("fsync", &to))?;
    paths.push(to);
    disk.sync_directory(dir).map_err(io_error("fsync the directory", dir))?;
    paths.reverse();
    Ok(paths)
}

/// A name for what is set aside that no file has.
fn free_name(dir: &Path, disk: &dyn Disk, segment: u64, offset: u64) -> Result<PathBuf, OpenError> {
    let names = disk.list(dir).map_err(io_error("list", dir))?;
    let free = (1..).map(|attempt| file_name::of_damaged(segment, offset, attempt)).find(|name| !names.contains(name));
    Ok(dir.join(free.unwrap_or_default()))
}

/// Ends the segment where it breaks off, or removes it if nothing of it is left.
fn cut(dir: &Path, disk: &dyn Disk, found: &Found) -> Result<(), OpenError> {
    if found.offset <= SEGMENT_HEADER_BYTES {
        return remove(dir, disk, found.segment);
    }
    let path = dir.join(file_name::of_segment(found.segment));
    let file = disk.open(&path).map_err(io_error("open", &path))?;
    file.set_len(found.offset).and_then(|()| file.sync()).map_err(io_error("cut off the torn end of", &path))
}

fn remove(dir: &Path, disk: &dyn Disk, segment: u64) -> Result<(), OpenError> {
    let path = dir.join(file_name::of_segment(segment));
    disk.remove(&path).map_err(io_error("remove", &path))
}

/// Whole batches from `offset` on that come after the one that is expected, or are it.
fn look_behind(segment: u64, bytes: &[u8], offset: u64, expected: u64) -> Behind {
    let mut behind = Behind::default();
    let mut at = offset as usize;
    while let Some((sequence, body_len)) = bytes.get(at..).and_then(BatchHeader::peek) {
        let end = at as u64 + BATCH_HEADER_BYTES + u64::from(body_len);
        let plausible = sequence >= expected && sequence - expected < AHEAD_MAX && end <= bytes.len() as u64;
        if plausible && let Ok((header, _)) = BatchHeader::decode(segment, &bytes[at..]) {
            behind.batches += 1;
            behind.counted_on_it |= header.durable >= expected;
            at = end as usize;
        } else {
            at += 1;
        }
    }
    behind
}
