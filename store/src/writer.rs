//! The writer thread: takes all commits that wait, applies them, flushes, fsyncs once, then runs the callbacks
//! in order. It never waits for anything but the queue and the disk.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::health::CommitError;
use crate::queue::Commit;
use crate::store::Shared;

/// Batches are applied to sled in portions of about this many bytes: readers wait while one is applied.
const PORTION_BYTES: usize = 256 * 1024;

/// Runs until the queue is closed and empty.
pub(crate) fn run(shared: &Arc<Shared>, database: &File) {
    shared.queue.claim_writer();
    while let Some(group) = shared.queue.take() {
        let result = write_group(shared, database, &group);
        let bytes: usize = group.iter().map(|commit| commit.batch.bytes()).sum();
        shared.counters.group_done(group.len() as u64, bytes as u64, result.is_ok());
        shared.look_at_free_space();
        for commit in group {
            let callback = AssertUnwindSafe(|| (commit.on_durable)(result.clone()));
            if catch_unwind(callback).is_err() {
                tracing::error!("a completion callback of the store panicked");
            }
        }
    }
}

fn write_group(shared: &Shared, database: &File, group: &[Commit]) -> Result<(), CommitError> {
    shared.poison.check()?;
    make_durable(shared, database, group).map_err(|cause| {
        tracing::error!(dir = %shared.dir.display(), cause, "the store could not write and refuses commits from now on");
        shared.poison.set(&cause)
    })
}

fn make_durable(shared: &Shared, database: &File, group: &[Commit]) -> Result<(), String> {
    let mut written = false;
    let mut rest = group;
    while !rest.is_empty() {
        let (portion, later) = rest.split_at(portion_length(rest));
        let batches = portion.iter().map(|commit| &commit.batch);
        written |= shared.engine.apply(batches).map_err(|cause| format!("applying to sled: {cause}"))?;
        rest = later;
    }
    if !written {
        return Ok(());
    }
    shared.engine.flush().map_err(|cause| format!("flushing sled: {cause}"))?;
    // sled's flush ends at sync_file_range, which leaves the data in the drive's cache and the file's length unwritten.
    let started = Instant::now();
    shared.disk.sync_file(database).map_err(|error| format!("fsync of the database file: {error}"))?;
    shared.counters.fsync_done(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
    Ok(())
}

/// How many commits make up the next portion: at least one.
fn portion_length(commits: &[Commit]) -> usize {
    let mut bytes = 0;
    let fitting = commits.iter().take_while(|commit| {
        bytes += commit.batch.bytes();
        bytes <= PORTION_BYTES
    });
    fitting.count().max(1)
}
