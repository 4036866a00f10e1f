//! Ordinary programs on a mounted disk.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;

use super::*;

/// A mounted disk, or nothing with the reason printed.
fn disk(options: Options) -> Option<(VolatileDisk, tempfile::TempDir)> {
    if let Some(reason) = VolatileDisk::unavailable() {
        // Not `println!`, which nobody sees of a test that passes.
        let _ = writeln!(std::io::stdout(), "SKIPPED volatile disk: {reason}");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    Some((VolatileDisk::mount(Tree::default(), options, folder.path()).unwrap(), folder))
}

fn sync_directory(folder: &Path) {
    File::open(folder).unwrap().sync_all().unwrap();
}

#[test]
fn a_program_finds_after_a_cut_what_it_synced_and_nothing_else() {
    let Some((disk, folder)) = disk(Options::default()) else { return };
    let mut file = File::create(folder.path().join("a")).unwrap();
    file.write_all(b"synced").unwrap();
    file.sync_data().unwrap();
    sync_directory(folder.path());
    file.write_all(b", not synced").unwrap();
    std::fs::write(folder.path().join("b"), "lost").unwrap();
    assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"synced, not synced");
    disk.cut();
    assert!(file.write_all(b"x").is_err());
    let left = disk.survivors(Cut::Drop, 0);
    assert_eq!((left.file("a"), left.file("b")), (Some(&b"synced"[..]), None));
    drop(file);
    disk.unmount().unwrap();
    let plain = tempfile::tempdir().unwrap();
    left.write_to(plain.path()).unwrap();
    assert_eq!(std::fs::read(plain.path().join("a")).unwrap(), b"synced");
    let again = VolatileDisk::mount(left, Options::default(), folder.path()).unwrap();
    assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"synced");
    again.unmount().unwrap();
}

#[test]
fn a_planned_cut_comes_at_its_operation() {
    let Some((disk, folder)) = disk(Options::default()) else { return };
    let file = File::create(folder.path().join("a")).unwrap();
    sync_directory(folder.path());
    disk.cut_at(CutPoint { which: Which::Only(Operation::FileSync), nth: 2 });
    for round in 0..2_u64 {
        file.write_all_at(&[1], round).unwrap();
        assert_eq!(file.sync_data().is_ok(), round == 0);
    }
    assert!(disk.wait_for_cut(Duration::ZERO));
    assert_eq!(disk.survivors(Cut::Drop, 0).file("a"), Some(&[1][..]));
}

#[test]
fn a_disk_that_ignores_syncs_loses_what_was_synced() {
    let Some((disk, folder)) = disk(Options { ignored: Ignored::FileSyncs, ..Options::default() }) else { return };
    let mut file = File::create(folder.path().join("a")).unwrap();
    file.write_all(b"x").unwrap();
    file.sync_all().unwrap();
    sync_directory(folder.path());
    assert_eq!(disk.survivors(Cut::Drop, 0).file("a"), Some(&b""[..]));
}

#[test]
fn a_fault_and_a_full_disk_reach_the_program() {
    let Some((disk, folder)) = disk(Options::default()) else { return };
    let file = File::create(folder.path().join("a")).unwrap();
    let errno = rustix::io::Errno::NOSPC;
    disk.fail_at(Fault { which: Which::Only(Operation::Write), nth: 2, errno, lasting: false });
    assert!(file.write_all_at(b"x", 0).is_ok());
    assert_eq!(file.write_all_at(b"x", 1).unwrap_err().raw_os_error(), Some(errno.raw_os_error()));
    assert!(file.write_all_at(b"x", 1).is_ok());
    assert_eq!(disk.injected(), 1);
    disk.set_capacity(2 * PAGE_BYTES as u64);
    assert_eq!(file.write_all_at(&[0; 3 * PAGE_BYTES], 0).unwrap_err().raw_os_error(), Some(errno.raw_os_error()));
    let free = rustix::fs::statvfs(folder.path()).unwrap();
    assert!(free.f_bfree * free.f_frsize <= PAGE_BYTES as u64);
}

#[test]
fn locks_renames_links_and_truncating_opens_work_as_elsewhere() {
    let Some((disk, folder)) = disk(Options::default()) else { return };
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("d")).unwrap();
    std::fs::write(path("d/a"), "content").unwrap();
    std::fs::rename(path("d/a"), path("d/b")).unwrap();
    std::fs::hard_link(path("d/b"), path("c")).unwrap();
    std::os::unix::fs::symlink("c", path("s")).unwrap();
    let (first, second) = (File::open(path("c")).unwrap(), File::open(path("c")).unwrap());
    first.try_lock().unwrap();
    assert!(second.try_lock().is_err());
    assert_eq!(std::fs::read(path("s")).unwrap(), b"content");
    OpenOptions::new().append(true).open(path("d/b")).unwrap().write_all(b"!").unwrap();
    assert_eq!(std::fs::read(path("c")).unwrap(), b"content!");
    std::fs::write(path("c"), "").unwrap();
    assert_eq!(std::fs::metadata(path("d/b")).unwrap().len(), 0);
    first.set_len(5).unwrap_err();
    File::create(path("e")).unwrap().set_len(5).unwrap();
    assert_eq!(std::fs::read(path("e")).unwrap(), [0; 5]);
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["c", "d", "e", "s"]);
    assert!(std::fs::remove_dir(path("d")).is_err());
    std::fs::remove_dir_all(path("d")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    std::os::unix::net::UnixStream::connect(path("socket")).unwrap();
    drop((first, second, socket));
    disk.unmount().unwrap();
}

#[test]
fn a_sync_takes_as_long_as_was_asked_for() {
    let sync_delay = Duration::from_millis(20);
    let Some((_disk, folder)) = disk(Options { sync_delay, ..Options::default() }) else { return };
    let file = File::create(folder.path().join("a")).unwrap();
    let started = Instant::now();
    file.sync_all().unwrap();
    assert!(started.elapsed() >= sync_delay);
}
