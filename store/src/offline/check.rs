//! Reading everything and changing nothing: what is there, and what is wrong with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{OnProgress, Progress};
use crate::batch::Space;
use crate::config::Config;
use crate::disk::{Disk, LocalDisk};
use crate::engine::{Engine, Standing};
use crate::format::{self, Found};
use crate::journal::file_name;
use crate::open::{OpenError, io_error, take_lock};
use crate::recovery::{self, JournalReport};
use crate::shared::journal_dir;
use crate::state::StateEngine;

/// What is in a data directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Version of the directory; `None` if it cannot be read.
    pub format: Option<u32>,
    /// The journal. What would be dropped at the next start is still there.
    pub journal: JournalReport,
    /// Batches with records of the owner.
    pub batches_with_records: u64,
    /// Messages in the journal, held or not.
    pub messages: u64,
    /// Changes of the state in the journal.
    pub operations: u64,
    /// Keys of each space in the state, indexed by [`Space::index`].
    pub keys: [u64; Space::ALL.len()],
    /// What is wrong with the state: it would be made again from the journal at the next start.
    pub state_problem: Option<String>,
    /// What earlier starts set aside.
    pub set_aside: Vec<PathBuf>,
}

impl CheckReport {
    /// Whether a start would find everything in order. The torn end of a power cut is in order.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let journal = self.journal.dropped.as_ref().is_none_or(|dropped| !dropped.damage);
        journal && self.state_problem.is_none() && self.format.is_some() && self.journal.headers_damaged.is_empty()
    }
}

/// Reads all of the store in `dir`, which must not be open. Nothing in the journal is changed; sled may tidy up its own
/// files when it opens them.
pub fn check(dir: &Path, config: &Config, progress: &mut OnProgress<'_>) -> Result<CheckReport, OpenError> {
    let disk: Arc<dyn Disk> = Arc::new(LocalDisk);
    let _lock = take_lock(dir)?;
    let format = match format::read(dir).map_err(io_error("read the format version in", dir))? {
        Found::Version(found) if found > format::FORMAT_VERSION => {
            return Err(OpenError::Newer { dir: dir.to_path_buf(), found });
        }
        Found::Version(version) => Some(version),
        Found::Nothing | Found::Damaged => None,
    };
    let mut report = CheckReport { format, ..CheckReport::default() };
    let journal = journal_dir(dir);
    let mut journal_end = 0;
    let mut oldest = None;
    if journal.exists() {
        oldest = recovery::oldest_state_sequence(&journal, &*disk)?;
        journal_end = check_journal(&journal, &*disk, &mut report, progress)?;
    }
    check_state(dir, config, disk, (oldest, journal_end), &mut report);
    Ok(report)
}

fn check_journal(
    journal: &Path,
    disk: &dyn Disk,
    report: &mut CheckReport,
    progress: &mut OnProgress<'_>,
) -> Result<u64, OpenError> {
    let names = disk.list(journal).map_err(io_error("list", journal))?;
    let lengths = names.iter().filter(|name| file_name::segment_in(name).is_some());
    let lengths = lengths.filter_map(|name| std::fs::metadata(journal.join(name)).ok());
    let total = lengths.map(|metadata| metadata.len()).sum();
    let set_aside = names.iter().filter(|name| file_name::damaged_segment_in(name).is_some());
    report.set_aside = set_aside.map(|name| journal.join(name)).collect();
    report.set_aside.sort();

    let mut done = 0;
    let scan = recovery::scan(journal, disk, 0, &mut |recovered| {
        report.batches_with_records += u64::from(!recovered.body.records.is_empty());
        report.operations += recovered.body.operations.len() as u64;
        done += recovered.bytes;
        progress(Progress { done, total });
        Ok(())
    })?;
    report.messages = scan.front.index.live() as u64;
    report.journal = scan.report;
    Ok(scan.front.last_sequence())
}

fn check_state(
    dir: &Path,
    config: &Config,
    disk: Arc<dyn Disk>,
    (oldest, journal_end): (Option<u64>, u64),
    report: &mut CheckReport,
) {
    let path = dir.join("state");
    if !path.exists() {
        report.state_problem = Some("it is missing".to_owned());
        return;
    }
    let (engine, standing) = match Engine::open(&path, config.cache_bytes, disk) {
        Ok(opened) => opened,
        Err(failure) => {
            report.state_problem = Some(failure.to_string());
            return;
        }
    };
    report.keys = engine.keys();
    report.state_problem = match (standing, oldest) {
        (Standing::Unsequenced, _) if report.format == Some(1) => None,
        (Standing::Unsequenced, Some(_)) => Some("it does not say what is in it".to_owned()),
        (Standing::Sequenced, Some(oldest)) if engine.sequence() < oldest => {
            Some("it is older than the journal".to_owned())
        }
        (Standing::Sequenced, _) if engine.sequence() > journal_end => Some("it is ahead of the journal".to_owned()),
        (Standing::Sequenced, _) => engine.verify().err(),
        (Standing::Empty | Standing::Unsequenced, _) => None,
    };
}
