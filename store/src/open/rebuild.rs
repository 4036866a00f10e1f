//! State from the journal, and journal from the state, while a store is opened.
//!
//! Two files in the data directory say what a next start has to finish: `state.condemned`, that the database holds
//! something corrupt; `journal.incomplete`, that the journal does not hold all of the state yet. Invariant: without
//! the second, everything in the state can be made again from the journal.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{OpenError, io_error};
use crate::batch::Batch;
use crate::config::Config;
use crate::disk::Disk;
use crate::engine::{Engine, Standing};
use crate::entry::{Entry, Replayed, Urgency};
use crate::front::{Front, unwatched};
use crate::health::CommitError;
use crate::journal::operations::OperationAt;
use crate::recovery::{self, JournalReport};
use crate::shared::journal_dir;
use crate::state::{EngineFailure, Room, State, StateEngine};
use crate::writer::Writer;

/// Operations are applied, and written to the journal, in portions of about so many bytes.
const PORTION_BYTES: usize = 256 * 1024;

fn condemned(dir: &Path) -> PathBuf {
    dir.join("state.condemned")
}

fn incomplete(dir: &Path) -> PathBuf {
    dir.join("journal.incomplete")
}

/// Whether the database is to be made again.
pub(super) fn is_condemned(dir: &Path) -> bool {
    condemned(dir).exists()
}

/// Says that the database is to be made again at the next start.
pub(crate) fn condemn(dir: &Path, disk: &dyn Disk) -> std::io::Result<()> {
    disk.create(&condemned(dir))?;
    disk.sync_directory(dir)
}

pub(super) fn remove_condemnation(dir: &Path, disk: &dyn Disk) -> Result<(), OpenError> {
    remove_mark(&condemned(dir), dir, disk)
}

fn remove_mark(path: &Path, dir: &Path, disk: &dyn Disk) -> Result<(), OpenError> {
    if path.exists() {
        disk.remove(path).map_err(io_error("remove", path))?;
        disk.sync_directory(dir).map_err(io_error("fsync the directory", dir))?;
    }
    Ok(())
}

/// Reads the journal: applies what the state does not have, and hands on the owner's records.
pub(crate) fn replay(
    dir: &Path,
    config: &Config,
    disk: &Arc<dyn Disk>,
    engine: &dyn StateEngine,
    replay: &mut dyn FnMut(Replayed<'_>),
) -> Result<(Front, JournalReport), OpenError> {
    let applied = engine.sequence();
    let mut late = Late { engine, dir, batch: Batch::new(), sequence: 0 };
    let mut on_batch = |recovered: &recovery::Recovered<'_>| {
        let (header, body) = (&recovered.header, recovered.body);
        if header.sequence > applied {
            late.take(header.sequence, &body.operations)?;
        }
        if !body.records.is_empty() {
            replay(Replayed {
                sequence: header.sequence,
                wall_ms: header.wall_ms,
                first_message: header.first_message,
                messages: &body.messages,
                records: body.records,
            });
        }
        Ok(())
    };
    let segment_bytes = config.segment_bytes_within_limits();
    let recovered = recovery::recover(&journal_dir(dir), &**disk, segment_bytes, &mut on_batch)?;
    late.apply()?;
    Ok(recovered)
}

/// Operations that the state does not have yet.
struct Late<'a> {
    engine: &'a dyn StateEngine,
    dir: &'a Path,
    batch: Batch,
    sequence: u64,
}

impl Late<'_> {
    fn take(&mut self, sequence: u64, operations: &[OperationAt<'_>]) -> Result<(), OpenError> {
        for OperationAt { tree_key, value } in operations {
            self.batch.push_stored(tree_key, *value);
            self.sequence = sequence;
        }
        if self.batch.bytes() >= PORTION_BYTES { self.apply() } else { Ok(()) }
    }

    fn apply(&mut self) -> Result<(), OpenError> {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        let operations: Vec<_> = batch.operations().iter().map(OperationAt::of).collect();
        self.engine.apply(&operations, self.sequence).map_err(|failure| database_error(self.dir, failure))
    }
}

/// Whether the state holds something that the journal does not.
pub(super) fn must_copy(dir: &Path, engine: &Engine, standing: Standing, front: &Front) -> bool {
    let has_keys = engine.keys().iter().any(|keys| *keys > 0);
    let unknown = standing == Standing::Unsequenced || front.segments.oldest().is_none();
    incomplete(dir).exists() || has_keys && unknown || engine.sequence() > front.last_sequence()
}

/// Writes every key and value of the state to the journal as an ordinary put.
pub(super) fn copy_state_to_journal(writer: &mut Writer) -> Result<(), OpenError> {
    let shared = writer.shared.clone();
    let dir = &*shared.dir;
    let database = |cause| OpenError::Database { dir: dir.to_path_buf(), cause };
    tracing::info!(dir = %dir.display(), "writing the state to the journal, which does not have all of it");
    let mark = incomplete(dir);
    shared.disk.create(&mark).map_err(io_error("create", &mark))?;
    shared.disk.sync_directory(dir).map_err(io_error("fsync the directory", dir))?;
    let last = shared.intake.with(|front| front.last_sequence());
    // Numbers go on from the journal's last, so the state must not say that it has applied later ones.
    shared.state.apply(&[], last, Room::Enough).map_err(database)?;
    sync(writer)?;
    let mut after = Bound::Unbounded;
    loop {
        let (batch, last_key) = next_portion(&shared.state, after).map_err(database)?;
        after = Bound::Excluded(last_key);
        if batch.is_empty() {
            break;
        }
        append_blocking(writer, batch)?;
    }
    sync(writer)?;
    remove_mark(&mark, dir, &*shared.disk)
}

fn sync(writer: &Writer) -> Result<(), OpenError> {
    let dir = writer.shared.dir.clone();
    match writer.shared.state.sync() {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err(OpenError::DiskFull { dir, cause: "the state cannot be written".to_owned() }),
        Err(cause) => Err(OpenError::Database { dir, cause }),
    }
}

/// What a failure of the engine means while a store is opened.
pub(super) fn database_error(dir: &Path, failure: EngineFailure) -> OpenError {
    let dir = dir.to_path_buf();
    match failure {
        EngineFailure::Full(cause) => OpenError::DiskFull { dir, cause },
        EngineFailure::Failed(cause) => OpenError::Database { dir, cause },
    }
}

/// The next keys and values, and the last of the keys. A value that is corrupt is left out: nobody can read it.
fn next_portion(state: &State, after: Bound<Vec<u8>>) -> Result<(Batch, Vec<u8>), String> {
    let mut batch = Batch::new();
    let mut position = after;
    while batch.bytes() < PORTION_BYTES {
        let Some(tree_key) = state.next_key(position.as_ref().map(Vec::as_slice))? else { break };
        if crate::record::space_of(&tree_key).is_some() {
            match state.read(&tree_key) {
                Ok(Some(value)) => batch.push_stored(&tree_key, Some(&value)),
                unreadable => {
                    tracing::error!(key = %tree_key.escape_ascii(), ?unreadable, "a value of the state is lost");
                }
            }
        }
        position = Bound::Excluded(tree_key);
    }
    match position {
        Bound::Excluded(key) => Ok((batch, key)),
        _ => Ok((batch, Vec::new())),
    }
}

fn append_blocking(writer: &mut Writer, batch: Batch) -> Result<(), OpenError> {
    let shared = writer.shared.clone();
    let (sender, result) = std::sync::mpsc::sync_channel(1);
    let mut commit = unwatched(batch);
    commit.on_durable = Box::new(move |result| {
        let _ = sender.send(result);
    });
    let entry = Entry { state: vec![commit], urgency: Urgency::Now, ..Entry::default() };
    shared.intake.with(|front| front.append(entry, front.last_wall_ms, Box::new(|_| {})));
    writer.round(Duration::ZERO);
    match result.try_recv() {
        Ok(Ok(())) => Ok(()),
        Ok(Err(CommitError::Poisoned { cause })) => {
            Err(OpenError::Database { dir: shared.dir.clone(), cause: cause.to_string() })
        }
        _ => Err(OpenError::DiskFull { dir: shared.dir.clone(), cause: "the journal cannot be written".to_owned() }),
    }
}
