//! A disk that cannot be read for a while: nothing is given up because of it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use selvedge_store::{Config, Disk, DiskFile, Entry, LocalDisk, Store, Urgency};

/// What a process is told that has too many files open.
const TOO_MANY_FILES: i32 = 24;

/// Opens no file while it is shy.
#[derive(Default)]
struct ShyDisk {
    is_shy: AtomicBool,
}

impl Disk for ShyDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        LocalDisk.create(path)
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        if self.is_shy.load(Ordering::Relaxed) {
            return Err(io::Error::from_raw_os_error(TOO_MANY_FILES));
        }
        LocalDisk.open(path)
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        LocalDisk.create_directory(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        LocalDisk.list(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        LocalDisk.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        LocalDisk.rename(from, to)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        LocalDisk.sync_directory(path)
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        LocalDisk.sync_file(file)
    }

    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        LocalDisk.allocate(file, bytes)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        LocalDisk.free_bytes(path)
    }
}

fn open(dir: &Path, disk: &Arc<ShyDisk>) -> Store {
    Store::open_with(dir, Config { ballast_bytes: 0, ..Config::default() }, disk.clone(), &mut |_| {}).unwrap()
}

fn append(store: &Store, number: u64) {
    let records = format!("message {number}").into_bytes();
    let messages = std::iter::once(0..records.len() as u32).collect();
    let holds = vec![(number, 1)];
    let entry = Entry { messages, records, first_message: number, holds, urgency: Urgency::Now, ..Entry::default() };
    let (sender, durable) = channel();
    store.append(entry, 1, move |result| sender.send(result).unwrap());
    durable.recv().unwrap().unwrap();
}

#[test]
fn a_message_that_cannot_be_read_now_is_read_later() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(ShyDisk::default());
    let store = open(dir.path(), &disk);
    (1..=3).for_each(|number| append(&store, number));
    disk.is_shy.store(true, Ordering::Relaxed);
    let (sender, answers) = channel();
    for numbers in [vec![1, 2], vec![3]] {
        let sender = sender.clone();
        store.load(numbers, move |messages| sender.send(messages).unwrap());
    }
    assert!(answers.recv_timeout(Duration::from_millis(300)).is_err(), "nobody is told that they are lost");
    let error = store.load_blocking(1).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(TOO_MANY_FILES));
    disk.is_shy.store(false, Ordering::Relaxed);
    let message = |number: u64| Some(format!("message {number}").into_bytes());
    assert_eq!(answers.recv_timeout(Duration::from_secs(10)).unwrap(), [message(1), message(2)]);
    assert_eq!(answers.recv_timeout(Duration::from_secs(10)).unwrap(), [message(3)]);
    assert_eq!(store.metrics().messages_damaged, 0);
}

#[test]
fn a_store_that_waits_for_its_disk_can_be_closed() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Arc::new(ShyDisk::default());
    let store = open(dir.path(), &disk);
    append(&store, 1);
    disk.is_shy.store(true, Ordering::Relaxed);
    let (sender, answer) = channel();
    store.load(vec![1], move |messages| sender.send(messages).unwrap());
    drop(store);
    assert!(answer.recv().is_err(), "it is not answered");
    disk.is_shy.store(false, Ordering::Relaxed);
    assert_eq!(open(dir.path(), &disk).load_blocking(1).unwrap(), Some(b"message 1".to_vec()));
}
