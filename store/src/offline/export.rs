//! Everything that is alive, in one file that can be restored on another box.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::export_file::{Record, Writer};
use super::{JournalOwner, OnProgress, Progress};
use crate::batch::{Space, tree_key};
use crate::config::Config;
use crate::disk::LocalDisk;
use crate::entry::Replayed;
use crate::open::OpenError;
use crate::state::ReadError;
use crate::store::Store;

/// What is in an exported file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExportReport {
    /// Batches of the owner's records.
    pub batches: u64,
    /// Messages, in those batches or beside them.
    pub messages: u64,
    /// Keys of the state.
    pub keys: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Why there is no file. What was written of it was removed.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The store could not be opened.
    #[error("could not open the store to export")]
    Open(#[from] OpenError),
    /// Something is in the way.
    #[error("{} is there already and is not overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// An operation on the file failed.
    #[error("could not {attempted} {}", path.display())]
    Io {
        /// What was attempted, as a verb.
        attempted: &'static str,
        /// On what.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Nobody knows what is alive.
    #[error("could not tell what is alive: {cause}")]
    Owner {
        /// What the owner said.
        cause: String,
    },
    /// A value of the state cannot be read.
    #[error("could not read the state to export")]
    State(#[from] ReadError),
    /// The disk cannot be read now; the message may be whole.
    #[error("could not read message {number} to export")]
    Unreadable {
        /// Its number.
        number: u64,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A message is damaged.
    #[error("message {number} is damaged and cannot be exported")]
    Message {
        /// Its number.
        number: u64,
    },
}

/// Writes everything that is alive in the store in `dir` into the new file `path`. Without the owner: all its records
/// and messages that are there, needed or not. With it: an image of what it knows, and the messages that are held.
pub fn export(
    dir: &Path,
    config: &Config,
    path: &Path,
    owner: Option<&mut dyn JournalOwner>,
    progress: &mut OnProgress<'_>,
) -> Result<ExportReport, ExportError> {
    if path.exists() {
        return Err(ExportError::Exists { path: path.to_path_buf() });
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let result = write(dir, config, &partial, owner, progress).and_then(|report| {
        fs::rename(&partial, path).map_err(io_error("rename", &partial))?;
        sync_directory_of(path).map_err(io_error("fsync the directory of", path))?;
        Ok(report)
    });
    if result.is_err() {
        let _ = fs::remove_file(&partial);
    }
    result
}

fn write(
    dir: &Path,
    config: &Config,
    partial: &Path,
    owner: Option<&mut dyn JournalOwner>,
    progress: &mut OnProgress<'_>,
) -> Result<ExportReport, ExportError> {
    let file = File::create(partial).map_err(io_error("create", partial))?;
    let writer = Writer::begin(BufWriter::new(file)).map_err(io_error("write", partial))?;
    let mut export =
        Export { writer, path: partial, report: ExportReport::default(), ranges: Vec::new(), failed: None };
    let store = match owner {
        Some(owner) => export.of_owner(dir, config, owner)?,
        None => {
            let replay = &mut |replayed: Replayed<'_>| export.batch(&replayed);
            Store::open_with(dir, config.clone(), Arc::new(LocalDisk), replay)?
        }
    };
    if let Some(error) = export.failed.take() {
        return Err(error);
    }
    export.record(&Record::Numbers { next_message: store.next_message() })?;
    let usage = store.usage();
    let total = usage.journal_live_bytes.max(export.writer.bytes);
    export.messages(&store, total, progress)?;
    export.state(&store, total, progress)?;
    let mut report = export.report;
    let file = export.writer.end().map_err(io_error("write", partial))?;
    let file = file.into_inner().map_err(|error| io_error("write", partial)(error.into_error()))?;
    file.sync_all().map_err(io_error("fsync", partial))?;
    report.bytes = file.metadata().map_err(io_error("look at", partial))?.len();
    progress(Progress { done: total, total });
    Ok(report)
}

struct Export<'a> {
    writer: Writer<BufWriter<File>>,
    path: &'a Path,
    report: ExportReport,
    /// Numbers of the messages in the batches that were written: first, and the one after the last; ascending.
    ranges: Vec<(u64, u64)>,
    /// What went wrong while the journal was replayed.
    failed: Option<ExportError>,
}

impl Export<'_> {
    /// An image instead of the records.
    fn of_owner(&mut self, dir: &Path, config: &Config, owner: &mut dyn JournalOwner) -> Result<Store, ExportError> {
        let replay = &mut |replayed: Replayed<'_>| owner.replay(replayed);
        let store = Store::open_with(dir, config.clone(), Arc::new(LocalDisk), replay)?;
        let holds = owner.holds().map_err(|cause| ExportError::Owner { cause })?;
        store.adopt(&mut holds.into_iter());
        let (wall_ms, first_message) = (store.last_wall_ms(), 0);
        for records in owner.image() {
            self.report.batches += 1;
            self.record(&Record::Batch { wall_ms, first_message, messages: Vec::new(), records })?;
        }
        Ok(store)
    }

    fn batch(&mut self, replayed: &Replayed<'_>) {
        let count = replayed.messages.len() as u64;
        if count > 0 {
            self.ranges.push((replayed.first_message, replayed.first_message + count));
        }
        self.report.batches += 1;
        self.report.messages += count;
        let record = Record::Batch {
            wall_ms: replayed.wall_ms,
            first_message: replayed.first_message,
            messages: replayed.messages.to_vec(),
            records: replayed.records.to_vec(),
        };
        if self.failed.is_none() {
            self.failed = self.record(&record).err();
        }
    }

    /// Messages that are in none of the batches.
    fn messages(&mut self, store: &Store, total: u64, progress: &mut OnProgress<'_>) -> Result<(), ExportError> {
        for number in store.shared().intake.with(|front| front.index.numbers()) {
            let after = self.ranges.partition_point(|(first, _)| *first <= number);
            if after.checked_sub(1).is_some_and(|at| number < self.ranges[at].1) {
                continue;
            }
            let loaded = store.load_blocking(number).map_err(|source| ExportError::Unreadable { number, source })?;
            let message = loaded.ok_or(ExportError::Message { number })?;
            self.report.messages += 1;
            self.record(&Record::Message { number, message })?;
            progress(Progress { done: self.writer.bytes.min(total), total });
        }
        Ok(())
    }

    fn state(&mut self, store: &Store, total: u64, progress: &mut OnProgress<'_>) -> Result<(), ExportError> {
        for space in Space::ALL {
            for entry in store.scan(space, b"", None, usize::MAX) {
                let (key, value) = entry?;
                self.report.keys += 1;
                self.record(&Record::Put { tree_key: tree_key(space, &key), value })?;
                progress(Progress { done: self.writer.bytes.min(total), total });
            }
        }
        Ok(())
    }

    fn record(&mut self, record: &Record) -> Result<(), ExportError> {
        self.writer.write(record).map_err(io_error("write", self.path))
    }
}

pub(super) fn sync_directory_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

fn io_error(attempted: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ExportError {
    let path = path.to_path_buf();
    move |source| ExportError::Io { attempted, path, source }
}
