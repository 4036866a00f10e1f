//! Giving back the disk space of what is dead, without a node running.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use thiserror::Error;

use super::{JournalOwner, OnProgress, Progress};
use crate::config::Config;
use crate::disk::LocalDisk;
use crate::entry::{Entry, Urgency};
use crate::health::{CommitError, Health};
use crate::open::OpenError;
use crate::store::Store;

/// How often the journal is looked at while it is cleaned.
const PAUSE: Duration = Duration::from_millis(5);

/// What compacting came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompactReport {
    /// Bytes of the journal before.
    pub bytes_before: u64,
    /// Bytes of the journal after.
    pub bytes_after: u64,
}

/// Why a store was not compacted. What was done stays done.
#[derive(Debug, Error)]
pub enum CompactError {
    /// It could not be opened.
    #[error("could not open the store to compact")]
    Open(#[from] OpenError),
    /// Nobody knows what is alive. Nothing was done.
    #[error("could not tell what is alive: {cause}")]
    Owner {
        /// What the owner said.
        cause: String,
    },
    /// The image of what the owner knows could not be written.
    #[error("could not write an image of what is alive")]
    Image(#[source] CommitError),
    /// A write failed, or the disk is full.
    #[error("could not compact the store: {cause}")]
    Stopped {
        /// What happened.
        cause: String,
    },
}

/// Cleans the journal of the store in `dir` of everything that is dead. Without its owner only segments in front of the
/// first records of the owner are cleaned, because nobody can say which records are needed.
pub fn compact(
    dir: &Path,
    config: &Config,
    mut owner: Option<&mut dyn JournalOwner>,
    progress: &mut OnProgress<'_>,
) -> Result<CompactReport, CompactError> {
    let store = Store::open_with(dir, config.clone(), Arc::new(LocalDisk), &mut |replayed| {
        if let Some(owner) = &mut owner {
            owner.replay(replayed);
        }
    })?;
    let bytes_before = store.usage().journal_bytes;
    match owner {
        Some(owner) => {
            let holds = owner.holds().map_err(|cause| CompactError::Owner { cause })?;
            store.adopt(&mut holds.into_iter());
            store.compact();
            write_image(&store, owner.image())?;
        }
        None => store.compact_state(),
    }
    let first = store.oldest_segment();
    let until = store.compacting_until();
    while store.is_compacting() {
        if let Health::Poisoned { cause } = store.health() {
            return Err(CompactError::Stopped { cause: cause.to_string() });
        }
        if store.is_cleaning_stopped() {
            return Err(CompactError::Stopped { cause: "a segment of the journal is damaged".to_owned() });
        }
        let total = until.saturating_sub(first) + 1;
        progress(Progress { done: store.oldest_segment().saturating_sub(first).min(total), total });
        std::thread::sleep(PAUSE);
    }
    Ok(CompactReport { bytes_before, bytes_after: store.usage().journal_bytes })
}

fn write_image(store: &Store, image: Vec<Vec<u8>>) -> Result<(), CompactError> {
    let wall_ms = store.last_wall_ms();
    let mut began = None;
    for records in image {
        let (sender, result) = sync_channel(1);
        let entry = Entry { records, urgency: Urgency::Now, ..Entry::default() };
        let sequence = store.append(entry, wall_ms, move |result| {
            let _ = sender.send(result);
        });
        began.get_or_insert(sequence);
        let lost = || CompactError::Stopped { cause: "the writer thread ended".to_owned() };
        result.recv().map_err(|_| lost())?.map_err(CompactError::Image)?;
    }
    // An owner that knows nothing needs none of its records.
    let after_all = store.append(Entry::default(), wall_ms, |_| {}) + 1;
    store.image_complete(began.unwrap_or(after_all));
    Ok(())
}
