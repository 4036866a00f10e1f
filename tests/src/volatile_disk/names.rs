//! Names in directories, and which changes of them are durable.
//!
//! Changes of all directories stand in one list, oldest first, as a journaling file system commits them. A sync of a
//! directory makes its changes durable and, because a rename is one change of two directories, whatever came before in the
//! other one. Invariant: `durable` of all directories with all pending changes applied is `live` of all directories.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};

/// Number of a file or directory.
pub type Inode = u64;

type Entries = BTreeMap<OsString, Inode>;

/// A name that points somewhere else, or nowhere any more.
#[derive(Debug, Clone)]
pub struct Edit {
    /// In which directory.
    pub directory: Inode,
    /// Which name.
    pub name: OsString,
    /// Where it points now.
    pub target: Option<Inode>,
}

/// Edits that happen together or not at all.
type Change = Vec<Edit>;

/// The names of all directories.
#[derive(Debug, Clone, Default)]
pub struct Names {
    live: HashMap<Inode, Entries>,
    durable: HashMap<Inode, Entries>,
    pending: Vec<Change>,
}

impl Names {
    /// Adds an empty directory; that it has a name is another change.
    pub fn add_directory(&mut self, directory: Inode) {
        self.live.insert(directory, Entries::new());
        self.durable.insert(directory, Entries::new());
    }

    /// What programs see.
    pub fn entries(&self, directory: Inode) -> Option<&Entries> {
        self.live.get(&directory)
    }

    /// Where a name points.
    pub fn find(&self, directory: Inode, name: &OsStr) -> Option<Inode> {
        self.live.get(&directory)?.get(name).copied()
    }

    /// Changes names for all programs; durable later.
    pub fn change(&mut self, edits: Change) {
        for edit in &edits {
            apply(&mut self.live, edit);
        }
        self.pending.push(edits);
    }

    /// A sync of `directory`; gives those that lost a durable name.
    pub fn sync(&mut self, directory: Inode) -> Vec<Inode> {
        let mut synced = BTreeSet::from([directory]);
        let mut due = vec![false; self.pending.len()];
        for (change, due) in self.pending.iter().zip(&mut due).rev() {
            if change.iter().any(|edit| synced.contains(&edit.directory)) {
                *due = true;
                synced.extend(change.iter().map(|edit| edit.directory));
            }
        }
        let mut unnamed = Vec::new();
        let mut due = due.into_iter();
        for change in std::mem::take(&mut self.pending) {
            if due.next() == Some(true) {
                unnamed.extend(change.iter().filter_map(|edit| apply(&mut self.durable, edit)));
            } else {
                self.pending.push(change);
            }
        }
        unnamed
    }

    /// All names as after a cut that keeps the first `kept` changes.
    pub fn after_cut(&self, kept: usize) -> HashMap<Inode, Entries> {
        let mut entries = self.durable.clone();
        for edit in self.pending.iter().take(kept).flatten() {
            apply(&mut entries, edit);
        }
        entries
    }

    /// Changes that are not durable.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Whether a cut may bring back a name of it, or it has one.
    pub fn may_name(&self, inode: Inode) -> bool {
        let pending = self.pending.iter().flatten().any(|edit| edit.target == Some(inode));
        let named =
            |all: &HashMap<Inode, Entries>| all.values().flat_map(Entries::values).any(|target| *target == inode);
        pending || named(&self.durable) || named(&self.live)
    }

    /// Forgets a directory that nothing names any more.
    pub fn forget(&mut self, directory: Inode) {
        self.live.remove(&directory);
        self.durable.remove(&directory);
    }
}

/// Gives where the name pointed before, if that is elsewhere.
fn apply(all: &mut HashMap<Inode, Entries>, edit: &Edit) -> Option<Inode> {
    let entries = all.entry(edit.directory).or_default();
    let before = match edit.target {
        Some(target) => entries.insert(edit.name.clone(), target),
        None => entries.remove(&edit.name),
    };
    before.filter(|before| edit.target != Some(*before))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(directory: Inode, name: &str, target: Option<Inode>) -> Edit {
        Edit { directory, name: name.into(), target }
    }

    #[test]
    fn a_sync_of_one_directory_leaves_the_others_alone() {
        let mut names = Names::default();
        names.change(vec![edit(1, "a", Some(10))]);
        names.change(vec![edit(2, "b", Some(11))]);
        names.sync(1);
        let left = names.after_cut(0);
        assert_eq!(left[&1].len(), 1);
        assert!(!left.contains_key(&2));
    }

    #[test]
    fn a_rename_across_directories_is_never_half_done() {
        let mut names = Names::default();
        names.change(vec![edit(1, "a", Some(10))]);
        names.change(vec![edit(1, "a", None), edit(2, "b", Some(10))]);
        names.sync(2);
        for kept in 0..=names.pending() {
            let left = names.after_cut(kept);
            assert!(left[&1].is_empty());
            assert_eq!(left[&2].len(), 1);
        }
    }
}
