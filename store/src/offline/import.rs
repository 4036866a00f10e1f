//! A store from an exported file. The file is read to its end before anything is made, and the store is made beside
//! its place and renamed, so that there is never half of one.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

use thiserror::Error;

use super::export::{ExportReport, sync_directory_of};
use super::export_file::{EXPORT_VERSION, ReadFailure, Reader, Record};
use super::{OnProgress, Progress};
use crate::batch::Batch;
use crate::config::Config;
use crate::entry::{Commit, Entry, Urgency};
use crate::front::Moved;
use crate::health::CommitError;
use crate::index::Position;
use crate::open::OpenError;
use crate::record;
use crate::store::Store;

/// So many bytes are handed to the store at a time.
const PORTION_BYTES: usize = 1024 * 1024;

/// Why there is no store.
#[derive(Debug, Error)]
pub enum ImportError {
    /// Something is in the way.
    #[error("{} is not empty: a store is not overwritten", dir.display())]
    NotEmpty {
        /// The directory.
        dir: PathBuf,
    },
    /// An operation on the file or the directory failed.
    #[error("could not {attempted} {}", path.display())]
    Io {
        /// What was attempted, as a verb.
        attempted: &'static str,
        /// On what.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} is no exported store", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer program.
    #[error("{} has version {found}, this program knows versions up to {EXPORT_VERSION}: use the newer program", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The file is not what was written.
    #[error("{} is damaged at byte {offset}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where, in bytes.
        offset: u64,
    },
    /// The file ends before it should.
    #[error("{} is cut off at byte {offset}", path.display())]
    CutOff {
        /// The file.
        path: PathBuf,
        /// Where the record begins that is not all there, in bytes.
        offset: u64,
    },
    /// The new store could not be opened.
    #[error("could not make a store to import into")]
    Open(#[from] OpenError),
    /// The new store could not be written.
    #[error("could not write what is imported")]
    Commit(#[from] CommitError),
}

/// Makes a store in `dir`, which must be empty or not there, from the exported file `path`.
pub fn import(
    path: &Path,
    dir: &Path,
    config: &Config,
    progress: &mut OnProgress<'_>,
) -> Result<ExportReport, ImportError> {
    let is_empty = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(io_error("list", dir)(error)),
    };
    if !is_empty {
        return Err(ImportError::NotEmpty { dir: dir.to_path_buf() });
    }
    let bytes = fs::metadata(path).map_err(io_error("look at", path))?.len();
    let total = 2 * bytes;
    read(path, &mut |_, offset| {
        progress(Progress { done: offset, total });
        Ok(())
    })?;
    let mut beside = dir.as_os_str().to_owned();
    beside.push(".importing");
    let beside = PathBuf::from(beside);
    if beside.exists() {
        fs::remove_dir_all(&beside).map_err(io_error("remove", &beside))?;
    }
    let mut report = fill(path, &beside, config, &mut |offset| progress(Progress { done: bytes + offset, total }))?;
    report.bytes = bytes;
    if dir.exists() {
        fs::remove_dir(dir).map_err(io_error("replace the empty directory", dir))?;
    }
    fs::rename(&beside, dir).map_err(io_error("rename", &beside))?;
    sync_directory_of(dir).map_err(io_error("fsync the directory of", dir))?;
    progress(Progress { done: total, total });
    Ok(report)
}

fn fill(path: &Path, dir: &Path, config: &Config, on_offset: &mut dyn FnMut(u64)) -> Result<ExportReport, ImportError> {
    let store = Store::open(dir, config.clone())?;
    let mut import = Import::new(&store);
    read(path, &mut |record, offset| {
        on_offset(offset);
        import.take(record)
    })?;
    let report = import.end()?;
    drop(store);
    Ok(report)
}

type Answer = Result<(), CommitError>;

struct Import<'a> {
    store: &'a Store,
    report: ExportReport,
    batch: Batch,
    moved: Vec<Moved>,
    /// Bytes that were handed over since the last wait.
    bytes: usize,
    answers: (Sender<Answer>, Receiver<Answer>),
}

impl<'a> Import<'a> {
    fn new(store: &'a Store) -> Self {
        let report = ExportReport::default();
        Self { store, report, batch: Batch::new(), moved: Vec::new(), bytes: 0, answers: channel() }
    }

    fn take(&mut self, record: Record) -> Result<(), ImportError> {
        match record {
            Record::Batch { wall_ms, first_message, messages, records } => {
                self.report.batches += 1;
                self.report.messages += messages.len() as u64;
                let holds = (0..messages.len() as u64).map(|index| (first_message + index, 1)).collect();
                self.bytes += records.len();
                let entry = Entry { records, messages, first_message, holds, ..Entry::default() };
                let sender = self.answers.0.clone();
                self.store.append(entry, wall_ms, move |result| {
                    let _ = sender.send(result);
                });
            }
            Record::Numbers { next_message } => {
                self.store.shared().intake.with(|front| front.next_message = front.next_message.max(next_message));
            }
            Record::Message { number, message } => {
                self.report.messages += 1;
                self.bytes += message.len();
                let from = Position { segment: 0, offset: 0 };
                self.moved.push(Moved { number, from, message });
            }
            Record::Put { tree_key, value } => {
                if record::space_of(&tree_key).is_some() {
                    self.report.keys += 1;
                    self.bytes += tree_key.len() + value.len();
                    self.batch.push_stored(&tree_key, Some(&value));
                }
            }
        }
        if self.bytes >= PORTION_BYTES { self.hand_over() } else { Ok(()) }
    }

    /// Waits until everything so far is durable.
    fn hand_over(&mut self) -> Result<(), ImportError> {
        self.bytes = 0;
        let moved = std::mem::take(&mut self.moved);
        if !moved.is_empty() {
            self.store.shared().intake.push(None, |front| front.append_cleaned(Batch::new(), moved, Urgency::Lazy));
        }
        let batch = std::mem::take(&mut self.batch);
        let state = vec![Commit { batch, on_durable: Box::new(|_| {}) }];
        let sender = self.answers.0.clone();
        let entry = Entry { state, urgency: Urgency::Now, ..Entry::default() };
        self.store.append(entry, self.store.last_wall_ms(), move |result| {
            let _ = sender.send(result);
        });
        self.store.commit_blocking(Batch::new())?;
        self.answers.1.try_iter().collect::<Answer>()?;
        Ok(())
    }

    fn end(mut self) -> Result<ExportReport, ImportError> {
        self.hand_over()?;
        Ok(self.report)
    }
}

/// Reads all of the file, checked, and tells `on_record` of each record and the offset behind it.
fn read(path: &Path, on_record: &mut dyn FnMut(Record, u64) -> Result<(), ImportError>) -> Result<(), ImportError> {
    let file = File::open(path).map_err(io_error("open", path))?;
    let failure = |failure: ReadFailure| {
        let path = path.to_path_buf();
        match failure {
            ReadFailure::Io(source) => ImportError::Io { attempted: "read", path, source },
            ReadFailure::Foreign => ImportError::Foreign { path },
            ReadFailure::Newer(found) => ImportError::Newer { path, found },
            ReadFailure::Damaged(offset) => ImportError::Damaged { path, offset },
            ReadFailure::CutOff(offset) => ImportError::CutOff { path, offset },
        }
    };
    let mut reader = Reader::begin(BufReader::with_capacity(256 * 1024, file)).map_err(failure)?;
    while let Some(record) = reader.next().map_err(failure)? {
        on_record(record, reader.offset)?;
    }
    Ok(())
}

fn io_error(attempted: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ImportError {
    let path = path.to_path_buf();
    move |source| ImportError::Io { attempted, path, source }
}
