//! What handles, scans and the threads of a store share. Built without any of them, so that a simulation can
//! drive it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::config::Config;
use crate::disk::Disk;
use crate::front::Front;
use crate::health::Poison;
use crate::intake::Intake;
use crate::lock::DirectoryLock;
use crate::metrics::Counters;
use crate::state::State;

/// Called when the owner should write an image of its state.
pub(crate) type ImageWanted = Arc<dyn Fn() + Send + Sync>;

pub(crate) struct Shared {
    pub(crate) state: State,
    pub(crate) intake: Intake,
    pub(crate) poison: Poison,
    pub(crate) counters: Counters,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
    pub(crate) journal_dir: PathBuf,
    pub(crate) config: Config,
    pub(crate) image_wanted: Mutex<Option<ImageWanted>>,
    free_bytes: AtomicU64,
    /// Set while writes fail because there is no room.
    stuck: std::sync::atomic::AtomicBool,
    state_bytes: AtomicU64,
    /// The last: it is released after sled has closed.
    _lock: Option<DirectoryLock>,
}

impl Shared {
    pub(crate) fn new(
        dir: &Path,
        config: Config,
        disk: Arc<dyn Disk>,
        front: Front,
        state: State,
        lock: Option<DirectoryLock>,
    ) -> Self {
        let shared = Self {
            state,
            intake: Intake::new(front, config.queue_bytes_max),
            poison: Poison::default(),
            counters: Counters::default(),
            disk,
            dir: dir.to_path_buf(),
            journal_dir: journal_dir(dir),
            config,
            image_wanted: Mutex::new(None),
            free_bytes: AtomicU64::new(u64::MAX),
            stuck: false.into(),
            state_bytes: AtomicU64::new(0),
            _lock: lock,
        };
        shared.look_at_free_space();
        shared.look_at_state_bytes();
        shared
    }

    /// Remembers how much space is left. An unreadable file system counts as not full: writes will say so.
    pub(crate) fn look_at_free_space(&self) {
        let free = self.disk.free_bytes(&self.dir).unwrap_or(u64::MAX);
        self.free_bytes.store(free, Ordering::Relaxed);
    }

    /// Bytes that were free when someone looked last.
    pub(crate) fn free_bytes(&self) -> u64 {
        self.free_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.is_stuck() || self.free_bytes() < self.config.free_bytes_min
    }

    /// Whether writes fail because there is no room.
    pub(crate) fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed)
    }

    pub(crate) fn set_stuck(&self, stuck: bool) {
        self.stuck.store(stuck, Ordering::Relaxed);
    }

    /// Remembers how large the state is on the disk.
    pub(crate) fn look_at_state_bytes(&self) {
        self.state_bytes.store(self.state.disk_bytes(), Ordering::Relaxed);
    }

    pub(crate) fn state_bytes(&self) -> u64 {
        self.state_bytes.load(Ordering::Relaxed)
    }
}

/// The directory of the journal's segments.
pub(crate) fn journal_dir(dir: &Path) -> PathBuf {
    dir.join("journal")
}
