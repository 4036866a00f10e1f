//! The kernel's requests, answered from a [`Tree`](super::Tree).
//!
//! Invariant: every operation that changes something passes `Shared::admit` before it happens, in the same critical section.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, KernelConfig, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate,
    ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};
use rustix::io::Errno;

use super::content::Content;
use super::cut::PAGE_BYTES;
use super::names::Inode;
use super::plan::Operation;
use super::tree::Kind;
use super::{Ignored, NamesKept, Shared, State};

/// Nothing changes behind the kernel's back.
const VALID: Duration = Duration::from_secs(3600);
/// The only generation of a number: none is used twice.
const GENERATION: Generation = Generation(0);

/// Mounts it and serves it from threads of its own.
pub fn mount(shared: Arc<Shared>, folder: &Path) -> std::io::Result<BackgroundSession> {
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("volatile-disk".to_owned()), MountOption::NoAtime];
    config.n_threads = Some(super::THREADS);
    fuser::spawn_mount(Mounted { shared }, folder, &config)
}

struct Mounted {
    shared: Arc<Shared>,
}

impl Shared {
    /// Does `act` if `operation` may happen.
    fn admit<T>(
        &self,
        operation: Operation,
        bytes: usize,
        act: impl FnOnce(&mut State) -> Result<T, Errno>,
    ) -> Result<T, fuser::Errno> {
        let mut state = self.lock();
        let admitted = state.plan.admit(operation, bytes);
        if state.plan.is_frozen() {
            self.changed.notify_all();
        }
        admitted.and_then(|()| act(&mut state)).map_err(told)
    }

    /// As [`Shared::admit`], for what a frozen disk refuses and nobody counts.
    fn look<T>(&self, act: impl FnOnce(&mut State) -> Result<T, Errno>) -> Result<T, fuser::Errno> {
        let mut state = self.lock();
        if state.plan.is_frozen() {
            return Err(fuser::Errno::EIO);
        }
        act(&mut state).map_err(told)
    }

    /// One sync after the other; what is written meanwhile is not part of it.
    fn sync(
        &self,
        operation: Operation,
        begin: impl FnOnce(&mut State) -> Result<(), Errno>,
        end: impl FnOnce(&mut State) -> Result<(), Errno>,
    ) -> Result<(), fuser::Errno> {
        let _busy = self.device.lock().unwrap_or_else(PoisonError::into_inner);
        self.admit(operation, 0, begin)?;
        if !self.options.sync_delay.is_zero() {
            std::thread::sleep(self.options.sync_delay);
        }
        self.look(end)
    }

    fn sync_file(&self, inode: Inode) -> Result<(), fuser::Errno> {
        let ignored = matches!(self.options.ignored, Ignored::FileSyncs | Ignored::Syncs);
        let begin = |state: &mut State| match ignored {
            true => Ok(()),
            false => state.tree.content(inode).map(Content::sync_begins),
        };
        let end = |state: &mut State| {
            if !ignored && self.options.names == NamesKept::Journaled {
                state.tree.sync_names();
            }
            state.tree.content(inode).map(Content::sync_ends)
        };
        let synced = self.sync(Operation::FileSync, begin, end);
        if synced.is_err() {
            let mut state = self.lock();
            if let (false, Ok(content)) = (state.plan.is_frozen(), state.tree.content(inode)) {
                content.sync_fails();
            }
        }
        synced
    }

    fn sync_directory(&self, inode: Inode) -> Result<(), fuser::Errno> {
        let ignored = matches!(self.options.ignored, Ignored::DirectorySyncs | Ignored::Syncs);
        let end = |state: &mut State| {
            if !ignored {
                state.tree.sync_directory(inode);
            }
            Ok(())
        };
        self.sync(Operation::DirectorySync, |_| Ok(()), end)
    }

    fn create(
        &self,
        operation: Operation,
        parent: INodeNo,
        name: &OsStr,
        kind: Kind,
        mode: u32,
        request: &Request,
    ) -> Result<FileAttr, fuser::Errno> {
        self.admit(operation, 0, |state| {
            let inode = state.tree.create(parent.0, name, kind, permissions(mode), (request.uid(), request.gid()))?;
            attributes(state, inode)
        })
    }
}

fn told(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno.raw_os_error())
}

fn permissions(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).unwrap_or(0)
}

fn size(bytes: u64) -> Result<usize, Errno> {
    usize::try_from(bytes).map_err(|_| Errno::FBIG)
}

fn attributes(state: &State, inode: Inode) -> Result<FileAttr, Errno> {
    let node = state.tree.node(inode)?;
    let (kind, size) = match &node.kind {
        Kind::File(content) => (FileType::RegularFile, content.bytes().len() as u64),
        Kind::Directory => (FileType::Directory, 0),
        Kind::Symlink(target) => (FileType::Symlink, target.as_os_str().len() as u64),
        Kind::Socket => (FileType::Socket, 0),
    };
    let time = node.modified;
    Ok(FileAttr {
        ino: INodeNo(inode),
        size,
        blocks: size.div_ceil(512),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind,
        perm: node.mode,
        nlink: node.links.max(1),
        uid: node.owner.0,
        gid: node.owner.1,
        rdev: 0,
        blksize: u32::try_from(PAGE_BYTES).unwrap_or(512),
        flags: 0,
    })
}

/// Answers an operation that gives nothing but success.
fn answer(reply: ReplyEmpty, result: Result<(), fuser::Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

fn answer_entry(reply: ReplyEntry, result: Result<FileAttr, fuser::Errno>) {
    match result {
        Ok(attributes) => reply.entry(&VALID, &attributes, GENERATION),
        Err(errno) => reply.error(errno),
    }
}

impl Filesystem for Mounted {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        // Truncating opens arrive as one operation; where the kernel cannot, they arrive as two.
        config.add_capabilities(InitFlags::FUSE_ATOMIC_O_TRUNC).ok();
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.shared.look(|state| attributes(state, state.tree.find(parent.0, name)?));
        answer_entry(reply, found);
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.shared.look(|state| attributes(state, inode.0)) {
            Ok(attributes) => reply.attr(&VALID, &attributes),
            Err(errno) => reply.error(errno),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        new_size: Option<u64>,
        _: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let resized = match new_size {
            Some(bytes) => self
                .shared
                .admit(Operation::Resize, 0, |state| state.tree.resize(inode.0, size(bytes)?, SystemTime::now())),
            None => Ok(()),
        };
        let changed = resized.and_then(|()| {
            self.shared.look(|state| {
                let node = state.tree.node_mut(inode.0)?;
                node.mode = mode.map_or(node.mode, permissions);
                node.owner = (uid.unwrap_or(node.owner.0), gid.unwrap_or(node.owner.1));
                match modified {
                    Some(TimeOrNow::SpecificTime(time)) => node.modified = time,
                    Some(TimeOrNow::Now) => node.modified = SystemTime::now(),
                    None => {}
                }
                attributes(state, inode.0)
            })
        });
        match changed {
            Ok(attributes) => reply.attr(&VALID, &attributes),
            Err(errno) => reply.error(errno),
        }
    }

    fn readlink(&self, _: &Request, inode: INodeNo, reply: ReplyData) {
        let target = self.shared.look(|state| match &state.tree.node(inode.0)?.kind {
            Kind::Symlink(target) => Ok(target.as_os_str().as_encoded_bytes().to_vec()),
            _ => Err(Errno::INVAL),
        });
        match target {
            Ok(target) => reply.data(&target),
            Err(errno) => reply.error(errno),
        }
    }

    fn mknod(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, _: u32, reply: ReplyEntry) {
        let kind = match rustix::fs::FileType::from_raw_mode(mode) {
            rustix::fs::FileType::RegularFile => Kind::File(Content::default()),
            rustix::fs::FileType::Socket => Kind::Socket,
            _ => return reply.error(fuser::Errno::EPERM),
        };
        answer_entry(reply, self.shared.create(Operation::Create, parent, name, kind, mode, request));
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, reply: ReplyEntry) {
        let made = self.shared.create(Operation::MakeDirectory, parent, name, Kind::Directory, mode, request);
        answer_entry(reply, made);
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let kind = Kind::Symlink(target.to_owned());
        answer_entry(reply, self.shared.create(Operation::Create, parent, name, kind, 0o777, request));
    }

    fn link(&self, _: &Request, inode: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let linked = self.shared.admit(Operation::Create, 0, |state| {
            state.tree.link(inode.0, parent.0, name)?;
            attributes(state, inode.0)
        });
        answer_entry(reply, linked);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(reply, self.shared.admit(Operation::Unlink, 0, |state| state.tree.unlink(parent.0, name)));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed =
            self.shared.admit(Operation::RemoveDirectory, 0, |state| state.tree.remove_directory(parent.0, name));
        answer(reply, removed);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let renamed = self.shared.admit(Operation::Rename, 0, |state| {
            let kept = flags.contains(RenameFlags::RENAME_NOREPLACE);
            if kept && state.tree.find(new_parent.0, new_name).is_ok() {
                return Err(Errno::EXIST);
            }
            if !(flags - RenameFlags::RENAME_NOREPLACE).is_empty() {
                return Err(Errno::INVAL);
            }
            state.tree.rename((parent.0, name), (new_parent.0, new_name))
        });
        answer(reply, renamed);
    }

    fn open(&self, _: &Request, inode: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let truncates =
            rustix::fs::OFlags::from_bits_retain(flags.0.cast_unsigned()).contains(rustix::fs::OFlags::TRUNC);
        let opened = self.shared.admit(Operation::Open, 0, |state| {
            state.tree.node_mut(inode.0)?.handles += 1;
            Ok(())
        });
        let opened = opened.and_then(|()| {
            if !truncates {
                return Ok(());
            }
            self.shared.admit(Operation::Resize, 0, |state| state.tree.resize(inode.0, 0, SystemTime::now()))
        });
        match opened {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH),
            Err(errno) => reply.error(errno),
        }
    }

    fn create(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, _: i32, reply: ReplyCreate) {
        let created = self.shared.admit(Operation::Create, 0, |state| {
            let (kind, owner) = (Kind::File(Content::default()), (request.uid(), request.gid()));
            let inode = state.tree.create(parent.0, name, kind, permissions(mode), owner)?;
            state.tree.node_mut(inode)?.handles += 1;
            attributes(state, inode)
        });
        match created {
            Ok(attributes) => {
                let flags = FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_NOFLUSH;
                reply.created(&VALID, &attributes, GENERATION, FileHandle(0), flags);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self.shared.admit(Operation::Read, length as usize, |state| {
            Ok(state.tree.content(inode.0)?.read(size(offset)?, length as usize).to_vec())
        });
        match read {
            Ok(bytes) => reply.data(&bytes),
            Err(errno) => reply.error(errno),
        }
    }

    fn write(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.shared.admit(Operation::Write, data.len(), |state| {
            state.tree.write(inode.0, size(offset)?, data, SystemTime::now())
        });
        match written {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(errno) => reply.error(errno),
        }
    }

    fn fallocate(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        if mode != 0 {
            return reply.error(fuser::Errno::EOPNOTSUPP);
        }
        let grown = self.shared.admit(Operation::Resize, 0, |state| {
            let end = size(offset.saturating_add(length))?;
            let before = state.tree.content(inode.0)?.bytes().len();
            state.tree.resize(inode.0, end.max(before), SystemTime::now())
        });
        answer(reply, grown);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        inode: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.shared.lock().tree.close(inode.0);
        reply.ok();
    }

    fn fsync(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer(reply, self.shared.sync_file(inode.0));
    }

    fn fsyncdir(&self, _: &Request, inode: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer(reply, self.shared.sync_directory(inode.0));
    }

    fn readdir(&self, _: &Request, inode: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = self.shared.look(|state| {
            let directory = FileType::Directory;
            let dots = [(inode.0, directory, ".".into()), (super::tree::ROOT, directory, "..".into())];
            let mut all: Vec<(Inode, FileType, std::ffi::OsString)> = dots.into();
            for (name, target) in state.tree.entries(inode.0)? {
                all.push((*target, attributes(state, *target)?.kind, name.clone()));
            }
            Ok(all)
        });
        match listed {
            Ok(all) => {
                for (index, (inode, kind, name)) in all.into_iter().enumerate().skip(size(offset).unwrap_or(0)) {
                    if reply.add(INodeNo(inode), index as u64 + 1, kind, name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let state = self.shared.lock();
        let page = PAGE_BYTES as u64;
        let total = state.tree.capacity_bytes / page;
        let free = state.tree.capacity_bytes.saturating_sub(state.tree.used_bytes()) / page;
        let bytes = u32::try_from(page).unwrap_or(512);
        reply.statfs(total, free, free, 1 << 20, 1 << 20, bytes, 255, bytes);
    }

    fn access(&self, _: &Request, _: INodeNo, _: fuser::AccessFlags, reply: ReplyEmpty) {
        reply.ok();
    }
}
