//! A file system of the tests' own with a volatile write cache, mounted by FUSE: it can be cut at any operation, fails on
//! command, takes as long for an fsync as flash does, and counts.
//!
//! The model is what the standard and `man fsync` promise, and not more:
//! - What is written to a file, and its size, become durable by a successful fsync or fdatasync of that file (after that has
//!   taken the configured delay). Closing, renaming and time make nothing durable.
//! - Names (of a new file too), renames and removals become durable by an fsync of their directory. A rename happens as a
//!   whole or not at all, also across directories. A new directory's own name needs an fsync of its parent.
//! - With [`NamesKept::Journaled`] each sync of a file keeps all names as well, as ext4 does; a program that is only safe
//!   there is told from one that is safe everywhere.
//! - After a failed fsync the pages stay visible, but no later fsync makes them durable unless they are written again.
//! - A cut in mode *drop* takes all that is not durable. In mode *mix* each unsynced 4 KiB page is kept or lost by itself, the
//!   size of a file is one that it had since its last fsync, and the changes of names survive up to a random one (they stay
//!   in order over all directories, as in a journaling file system).
//!
//! Known to be milder than real disks: a page is never torn, an older version of an unsynced page never survives, and
//! what fsync made durable never rots. Known to be harsher: new sizes can survive without the pages below them (zeros),
//! and fsync of a file does not keep its new name, which ext4 and xfs do in most cases.
//!
//! Writes reach this file system one by one (no write-back cache in the kernel), `sync_file_range` does nothing, and locks
//! are the kernel's. Preallocation counts as growing the file.
//!
//! Invariant: after the cut no operation succeeds any more, so that what a program was told before it is all that it was told.

mod content;
mod cut;
mod mounted;
mod names;
mod plan;
mod tree;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;

pub use self::cut::{Cut, PAGE_BYTES};
pub use self::plan::{Counters, CutPoint, Fault, Operation, Which};
pub use self::tree::{CAPACITY_BYTES, Tree};
use crate::siege::wire::wait_until;

/// Threads that serve the kernel: one may wait for the delay of an fsync while others write.
const THREADS: usize = 3;

/// How a disk behaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// What each fsync takes; fsyncs wait for each other, as in a flash chip.
    pub sync_delay: Duration,
    /// Syncs that succeed and do nothing, to see that a test notices.
    pub ignored: Ignored,
    /// What a sync of a file does for names.
    pub names: NamesKept,
}

/// What a sync of a file makes durable beside that file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum NamesKept {
    /// Nothing: what the standard promises, and what f2fs and btrfs come near to.
    #[default]
    Strict,
    /// All names as they were, because a sync commits one journal for all: ext4, xfs.
    Journaled,
}

/// Which syncs a disk only pretends to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Ignored {
    /// It does all of them.
    #[default]
    Nothing,
    /// Those of files.
    #[value(name = "fsync")]
    FileSyncs,
    /// Those of directories.
    #[value(name = "directory-fsync")]
    DirectorySyncs,
    /// All.
    #[value(name = "every-fsync")]
    Syncs,
}

/// A mounted disk; unmounted when it is dropped.
#[derive(Debug)]
pub struct VolatileDisk {
    shared: Arc<Shared>,
    session: Option<fuser::BackgroundSession>,
    folder: PathBuf,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Held by the fsync that is in progress.
    device: Mutex<()>,
    options: Options,
}

#[derive(Debug)]
struct State {
    tree: Tree,
    plan: plan::Plan,
}

impl VolatileDisk {
    /// Mounts `tree` at `folder`, which exists.
    ///
    /// # Errors
    /// This machine has no FUSE, or this user may not mount.
    pub fn mount(tree: Tree, options: Options, folder: &Path) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State { tree, plan: plan::Plan::default() }),
            changed: Condvar::new(),
            device: Mutex::new(()),
            options,
        });
        let session = mounted::mount(Arc::clone(&shared), folder)
            .with_context(|| format!("mount a volatile disk at {}", folder.display()))?;
        Ok(Self { shared, session: Some(session), folder: folder.to_owned() })
    }

    /// Why no disk can be mounted here, if so.
    pub fn unavailable() -> Option<String> {
        let tried = tempfile::tempdir()
            .map_err(anyhow::Error::from)
            .and_then(|folder| Self::mount(Tree::default(), Options::default(), folder.path()).map(drop));
        tried.err().map(|error| format!("no FUSE here: {error:#}"))
    }

    /// Where it is mounted.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.shared.lock().plan.counters()
    }

    /// Operations that failed on command.
    pub fn injected(&self) -> u64 {
        self.shared.lock().plan.injected
    }

    /// Cuts the power at an operation to come.
    pub fn cut_at(&self, point: CutPoint) {
        self.shared.lock().plan.cut_at(point);
    }

    /// Lets an operation to come fail.
    pub fn fail_at(&self, fault: Fault) {
        self.shared.lock().plan.fail_at(fault);
    }

    /// Takes back all that [`VolatileDisk::cut_at`] and [`VolatileDisk::fail_at`] planned.
    pub fn disarm(&self) {
        self.shared.lock().plan.disarm();
    }

    /// From now on so much fits.
    pub fn set_capacity(&self, bytes: u64) {
        self.shared.lock().tree.capacity_bytes = bytes;
    }

    /// Cuts the power now.
    pub fn cut(&self) {
        self.shared.lock().plan.freeze();
        self.shared.changed.notify_all();
    }

    /// Whether the power is cut.
    pub fn is_cut(&self) -> bool {
        self.shared.lock().plan.is_frozen()
    }

    /// Waits for the cut; false if it does not come in time.
    pub fn wait_for_cut(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        let mut state = self.shared.lock();
        while !state.plan.is_frozen() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// What is left when the power is cut here.
    pub fn survivors(&self, cut: Cut, seed: u64) -> Tree {
        self.shared.lock().tree.after_cut(cut, seed)
    }

    /// Everything, as a program sees it: what is left when a process is killed and the machine goes on.
    pub fn contents(&self) -> Tree {
        self.shared.lock().tree.clone()
    }

    /// Unmounts it.
    ///
    /// # Errors
    /// A process goes on having a file open.
    pub fn unmount(mut self) -> anyhow::Result<()> {
        // A process that another test is just starting has a copy of every file that this one has open, until it begins.
        let mut is_unmounted = false;
        wait_until(
            "nobody has a file of the disk open",
            || match rustix::mount::unmount(&self.folder, rustix::mount::UnmountFlags::empty()) {
                Err(rustix::io::Errno::BUSY) => Ok(false),
                // One who is not root may not, and the session knows another way.
                Err(rustix::io::Errno::PERM) => Ok(true),
                Ok(()) => {
                    is_unmounted = true;
                    Ok(true)
                }
                Err(error) => Err(error).with_context(|| format!("unmount {}", self.folder.display())),
            },
            || self.folder.display().to_string(),
        )?;
        let session = self.session.take().context("unmount twice")?;
        // To unmount it again would be an error.
        let ended = if is_unmounted { session.join() } else { session.umount_and_join() };
        ended.with_context(|| format!("unmount {}", self.folder.display()))
    }
}

impl Drop for VolatileDisk {
    fn drop(&mut self) {
        // Detached even where a dying process still holds a file.
        if self.session.is_some() {
            rustix::mount::unmount(&self.folder, rustix::mount::UnmountFlags::DETACH).ok();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "volatile_disk/tests.rs"]
mod tests;
