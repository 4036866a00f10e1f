//! Files and directories in memory: what each operation of a file system does to them.
//!
//! No FUSE, no counting, no clock but the times it is given. Invariant: what [`Tree::after_cut`] gives depends on the
//! operations, the mode and the seed alone, and everything in it is durable.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::io::Errno;

use super::content::Content;
use super::cut::{Cut, Fate, PAGE_BYTES};
use super::names::{Edit, Inode, Names};

/// The root's number, which FUSE prescribes.
pub const ROOT: Inode = 1;
/// Bytes of a disk for which nobody set a size.
pub const CAPACITY_BYTES: u64 = 16 << 30;

/// All files and directories of a disk.
#[derive(Debug, Clone)]
pub struct Tree {
    nodes: HashMap<Inode, Node>,
    names: Names,
    next: Inode,
    used_bytes: u64,
    /// More than this is ENOSPC.
    pub capacity_bytes: u64,
}

/// A file, directory, link or socket.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u16,
    /// Owner and group.
    pub owner: (u32, u32),
    /// When its content changed.
    pub modified: SystemTime,
    /// Names that programs see.
    pub links: u32,
    /// Open handles.
    pub handles: u32,
}

/// What a node is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A file.
    File(Content),
    /// A directory; its entries stand in [`Names`].
    Directory,
    /// A symbolic link.
    Symlink(PathBuf),
    /// A socket, which only has a name.
    Socket,
}

impl Default for Tree {
    fn default() -> Self {
        let mut tree = Self {
            nodes: HashMap::new(),
            names: Names::default(),
            next: ROOT,
            used_bytes: 0,
            capacity_bytes: CAPACITY_BYTES,
        };
        tree.add(Kind::Directory, 0o755, (0, 0));
        tree
    }
}

impl Tree {
    /// An empty disk of a size.
    pub fn of_capacity(bytes: u64) -> Self {
        Self { capacity_bytes: bytes, ..Self::default() }
    }

    /// A node.
    pub fn node(&self, inode: Inode) -> Result<&Node, Errno> {
        self.nodes.get(&inode).ok_or(Errno::NOENT)
    }

    /// A node, to change its mode, owner or time.
    pub fn node_mut(&mut self, inode: Inode) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&inode).ok_or(Errno::NOENT)
    }

    /// Where a name points.
    pub fn find(&self, directory: Inode, name: &OsStr) -> Result<Inode, Errno> {
        self.names.find(directory, name).ok_or(Errno::NOENT)
    }

    /// The names in a directory.
    pub fn entries(&self, directory: Inode) -> Result<&BTreeMap<OsString, Inode>, Errno> {
        self.names.entries(directory).ok_or(Errno::NOTDIR)
    }

    /// Bytes that are in use.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// Makes a node under a new name.
    pub fn create(
        &mut self,
        directory: Inode,
        name: &OsStr,
        kind: Kind,
        mode: u16,
        owner: (u32, u32),
    ) -> Result<Inode, Errno> {
        self.room(directory, name)?;
        let inode = self.add(kind, mode, owner);
        self.point(directory, name, inode)?;
        Ok(inode)
    }

    /// Gives a file another name.
    pub fn link(&mut self, inode: Inode, directory: Inode, name: &OsStr) -> Result<(), Errno> {
        self.room(directory, name)?;
        self.point(directory, name, inode)
    }

    /// Removes the name of a file.
    pub fn unlink(&mut self, directory: Inode, name: &OsStr) -> Result<(), Errno> {
        let inode = self.find(directory, name)?;
        if matches!(self.node(inode)?.kind, Kind::Directory) {
            return Err(Errno::ISDIR);
        }
        self.names.change(vec![Edit { directory, name: name.to_owned(), target: None }]);
        self.unnamed(inode)
    }

    /// Removes an empty directory.
    pub fn remove_directory(&mut self, directory: Inode, name: &OsStr) -> Result<(), Errno> {
        let inode = self.find(directory, name)?;
        if !self.entries(inode)?.is_empty() {
            return Err(Errno::NOTEMPTY);
        }
        self.names.change(vec![Edit { directory, name: name.to_owned(), target: None }]);
        self.unnamed(inode)
    }

    /// Moves a name, over another one if that is there.
    pub fn rename(&mut self, from: (Inode, &OsStr), to: (Inode, &OsStr)) -> Result<(), Errno> {
        let inode = self.find(from.0, from.1)?;
        let replaced = self.names.find(to.0, to.1);
        if replaced == Some(inode) {
            return Ok(());
        }
        if let Some(replaced) = replaced {
            let over_directory = matches!(self.node(replaced)?.kind, Kind::Directory);
            match (matches!(self.node(inode)?.kind, Kind::Directory), over_directory) {
                (true, false) => return Err(Errno::NOTDIR),
                (false, true) => return Err(Errno::ISDIR),
                (true, true) if !self.entries(replaced)?.is_empty() => return Err(Errno::NOTEMPTY),
                _ => {}
            }
        }
        self.entries(to.0)?;
        self.names.change(vec![
            Edit { directory: from.0, name: from.1.to_owned(), target: None },
            Edit { directory: to.0, name: to.1.to_owned(), target: Some(inode) },
        ]);
        replaced.map_or(Ok(()), |replaced| self.unnamed(replaced))
    }

    /// Writes to a file.
    pub fn write(&mut self, inode: Inode, offset: usize, data: &[u8], now: SystemTime) -> Result<(), Errno> {
        let end = offset.checked_add(data.len()).ok_or(Errno::FBIG)?;
        self.grow(inode, end)?;
        self.content(inode)?.write(offset, data);
        self.node_mut(inode)?.modified = now;
        Ok(())
    }

    /// Gives a file another size.
    pub fn resize(&mut self, inode: Inode, size: usize, now: SystemTime) -> Result<(), Errno> {
        self.grow(inode, size)?;
        let before = allocated(self.node(inode)?);
        self.content(inode)?.resize(size);
        let after = allocated(self.node(inode)?);
        self.used_bytes -= before.saturating_sub(after);
        self.node_mut(inode)?.modified = now;
        Ok(())
    }

    /// The content of a file.
    pub fn content(&mut self, inode: Inode) -> Result<&mut Content, Errno> {
        match &mut self.node_mut(inode)?.kind {
            Kind::File(content) => Ok(content),
            Kind::Directory => Err(Errno::ISDIR),
            Kind::Symlink(_) | Kind::Socket => Err(Errno::INVAL),
        }
    }

    /// A sync of a directory.
    pub fn sync_directory(&mut self, directory: Inode) {
        for inode in self.names.sync(directory) {
            self.forget_unless_needed(inode);
        }
    }

    /// A handle is closed.
    pub fn close(&mut self, inode: Inode) {
        let Some(node) = self.nodes.get_mut(&inode) else { return };
        node.handles = node.handles.saturating_sub(1);
        if node.handles == 0 && node.links == 0 {
            self.used_bytes -= allocated(&self.nodes[&inode]);
            self.forget_unless_needed(inode);
        }
    }

    /// What is left after a cut.
    pub fn after_cut(&self, cut: Cut, seed: u64) -> Self {
        let mut fate = Fate::new(cut, seed);
        let names = self.names.after_cut(fate.prefix(self.names.pending()));
        let mut left = Self { capacity_bytes: self.capacity_bytes, ..Self::default() };
        let mut copies = HashMap::from([(ROOT, ROOT)]);
        let mut directories = vec![ROOT];
        while let Some(directory) = directories.pop() {
            for (name, inode) in names.get(&directory).into_iter().flatten() {
                let Some(node) = self.nodes.get(inode) else { continue };
                let copy = *copies.entry(*inode).or_insert_with(|| {
                    let kind = match &node.kind {
                        Kind::File(content) => Kind::File(Content::durable(content.survives(&mut fate))),
                        Kind::Directory => {
                            directories.push(*inode);
                            Kind::Directory
                        }
                        other => other.clone(),
                    };
                    left.add(kind, node.mode, node.owner)
                });
                // Cannot fail: the directory was copied before its entries.
                left.point(copies[&directory], name, copy).ok();
            }
        }
        left.sync_names();
        left
    }

    /// Writes everything into a folder that exists.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write_to(&self, folder: &Path) -> std::io::Result<()> {
        self.write_directory(ROOT, folder)
    }

    /// The bytes of a file by its path from the root.
    pub fn file(&self, path: &str) -> Option<&[u8]> {
        let inode = Path::new(path).iter().try_fold(ROOT, |directory, name| self.names.find(directory, name))?;
        match &self.nodes.get(&inode)?.kind {
            Kind::File(content) => Some(content.bytes()),
            _ => None,
        }
    }

    fn write_directory(&self, directory: Inode, folder: &Path) -> std::io::Result<()> {
        for (name, inode) in self.names.entries(directory).into_iter().flatten() {
            let path = folder.join(name);
            match &self.nodes[inode].kind {
                Kind::File(content) => std::fs::write(&path, content.bytes())?,
                Kind::Directory => {
                    std::fs::create_dir(&path)?;
                    self.write_directory(*inode, &path)?;
                }
                Kind::Symlink(target) => std::os::unix::fs::symlink(target, &path)?,
                // Whoever owned it is dead.
                Kind::Socket => continue,
            }
            if !matches!(self.nodes[inode].kind, Kind::Symlink(_)) {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(self.nodes[inode].mode.into());
                std::fs::set_permissions(&path, mode)?;
            }
        }
        Ok(())
    }

    /// A sync of all directories.
    pub fn sync_names(&mut self) {
        let directories: Vec<Inode> = self.nodes.keys().copied().collect();
        for directory in directories {
            self.sync_directory(directory);
        }
    }

    fn add(&mut self, kind: Kind, mode: u16, owner: (u32, u32)) -> Inode {
        let inode = self.next;
        self.next += 1;
        let node = Node { kind, mode, owner, modified: SystemTime::now(), links: 0, handles: 0 };
        if matches!(node.kind, Kind::Directory) {
            self.names.add_directory(inode);
        }
        self.used_bytes += allocated(&node);
        self.nodes.insert(inode, node);
        inode
    }

    fn point(&mut self, directory: Inode, name: &OsStr, inode: Inode) -> Result<(), Errno> {
        self.node_mut(inode)?.links += 1;
        self.names.change(vec![Edit { directory, name: name.to_owned(), target: Some(inode) }]);
        Ok(())
    }

    fn room(&self, directory: Inode, name: &OsStr) -> Result<(), Errno> {
        self.entries(directory)?;
        if self.names.find(directory, name).is_some() {
            return Err(Errno::EXIST);
        }
        if self.used_bytes >= self.capacity_bytes { Err(Errno::NOSPC) } else { Ok(()) }
    }

    fn grow(&mut self, inode: Inode, end: usize) -> Result<(), Errno> {
        let before = self.content(inode)?.bytes().len();
        if end > before {
            let grown = pages(end) - pages(before);
            if self.used_bytes + grown > self.capacity_bytes {
                return Err(Errno::NOSPC);
            }
            self.used_bytes += grown;
        }
        Ok(())
    }

    fn unnamed(&mut self, inode: Inode) -> Result<(), Errno> {
        let node = self.node_mut(inode)?;
        node.links = node.links.saturating_sub(1);
        if node.links == 0 && node.handles == 0 {
            let freed = allocated(node);
            self.used_bytes -= freed;
            self.forget_unless_needed(inode);
        }
        Ok(())
    }

    fn forget_unless_needed(&mut self, inode: Inode) {
        let idle = self.nodes.get(&inode).is_some_and(|node| node.links == 0 && node.handles == 0);
        if idle && !self.names.may_name(inode) {
            self.nodes.remove(&inode);
            self.names.forget(inode);
        }
    }
}

fn allocated(node: &Node) -> u64 {
    match &node.kind {
        Kind::File(content) => pages(content.bytes().len()),
        _ => 0,
    }
}

fn pages(bytes: usize) -> u64 {
    (bytes.div_ceil(PAGE_BYTES) * PAGE_BYTES) as u64
}

#[cfg(test)]
#[path = "tree/tests.rs"]
mod tests;
