use std::io::Write;

use super::*;
use crate::batch::{Batch, Space};
use crate::disk::LocalDisk;
use crate::disk::tests::FaultyDisk;
use crate::store::Store;

fn failure(kind: io::ErrorKind) -> OpenFailure {
    OpenFailure::Sled(sled::Error::Io(kind.into()))
}

fn corruption() -> OpenFailure {
    OpenFailure::Sled(sled::Error::Corruption { at: None, bt: () })
}

fn open_store(dir: &Path) -> Store {
    Store::open(dir, Config::default()).unwrap()
}

fn put(store: &Store, key: &[u8]) {
    let mut batch = Batch::new();
    batch.put(Space::Node, key, b"value").unwrap();
    store.commit_blocking(batch).unwrap();
}

/// Runs the remedies on `dir` with an opener that gives these results in turn.
fn try_open(
    dir: &Path,
    disk: &dyn Disk,
    mut results: Vec<Result<(), OpenFailure>>,
) -> (Result<(), OpenError>, Option<Quarantine>, bool) {
    let state = dir.join(STATE);
    let config = Config::default();
    results.reverse();
    let mut remedies = Remedies { dir, state: &state, config: &config, disk, quarantine: None, released: false };
    let result = remedies.open(&mut || results.pop().expect("one more try than expected"));
    assert!(results.is_empty(), "fewer tries than expected");
    (result, remedies.quarantine, remedies.released)
}

#[test]
fn each_failure_has_its_remedy() {
    use io::ErrorKind::{InvalidData, NotFound, PermissionDenied, ReadOnlyFilesystem, StorageFull, UnexpectedEof};
    const PLENTY: Option<u64> = Some(1 << 30);
    const SCARCE: Option<u64> = Some(1000);
    let mfile = || OpenFailure::Sled(sled::Error::Io(io::Error::from_raw_os_error(Errno::MFILE.raw_os_error())));
    let locked = || OpenFailure::Sled(sled::Error::Io(io::Error::other("could not acquire lock on \"db\"")));
    let panicked = || OpenFailure::Panic("index out of bounds".to_owned());
    let cases = [
        (failure(StorageFull), PLENTY, true, Remedy::ReleaseBallast),
        (failure(StorageFull), SCARCE, false, Remedy::DiskFull),
        (panicked(), SCARCE, true, Remedy::ReleaseBallast),
        (corruption(), SCARCE, true, Remedy::ReleaseBallast),
        (panicked(), SCARCE, false, Remedy::SetAside),
        (panicked(), PLENTY, true, Remedy::SetAside),
        (corruption(), PLENTY, true, Remedy::SetAside),
        (corruption(), None, true, Remedy::SetAside),
        (failure(InvalidData), PLENTY, true, Remedy::SetAside),
        (failure(UnexpectedEof), PLENTY, true, Remedy::SetAside),
        (failure(NotFound), PLENTY, true, Remedy::SetAside),
        (failure(PermissionDenied), PLENTY, true, Remedy::GiveUp),
        (failure(ReadOnlyFilesystem), PLENTY, true, Remedy::GiveUp),
        (mfile(), PLENTY, true, Remedy::GiveUp),
        (locked(), PLENTY, true, Remedy::GiveUp),
    ];
    for (failure, free_bytes, has_ballast, expected) in cases {
        let found = remedy(&failure, free_bytes, 1 << 20, has_ballast);
        assert_eq!(found, expected, "{failure} {free_bytes:?} {has_ballast}");
    }
}

#[test]
fn a_full_disk_takes_the_ballast_and_then_opens() {
    let dir = tempfile::tempdir().unwrap();
    ballast::keep(dir.path(), 4096, &LocalDisk);
    let results = vec![Err(failure(io::ErrorKind::StorageFull)), Ok(())];
    let (result, quarantine, released) = try_open(dir.path(), &LocalDisk, results);
    assert!(result.is_ok() && released && quarantine.is_none());
    assert!(!ballast::exists(dir.path()));
}

#[test]
fn a_full_disk_without_ballast_is_said_and_nothing_is_set_aside() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(STATE)).unwrap();
    let (result, quarantine, _) = try_open(dir.path(), &LocalDisk, vec![Err(failure(io::ErrorKind::StorageFull))]);
    assert!(matches!(result, Err(OpenError::DiskFull { .. })) && quarantine.is_none());
    assert!(dir.path().join(STATE).exists());
}

#[test]
fn a_panic_sets_the_database_aside_once_and_then_gives_up() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(STATE)).unwrap();
    let results = vec![Err(OpenFailure::Panic("oh".to_owned())), Err(corruption())];
    let (result, quarantine, _) = try_open(dir.path(), &LocalDisk, results);
    assert!(matches!(result, Err(OpenError::Database { .. })));
    let quarantine = quarantine.unwrap();
    assert_eq!(quarantine.cause, "panic: oh");
    assert!(quarantine.path.exists() && !dir.path().join(STATE).exists());
}

#[test]
fn a_failing_rename_while_setting_aside_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(STATE)).unwrap();
    let disk = FaultyDisk::default();
    disk.fail("rename");
    let (result, ..) = try_open(dir.path(), &disk, vec![Err(corruption())]);
    assert!(matches!(result, Err(OpenError::Io { attempted: "set aside", .. })));
}

#[test]
fn a_database_of_garbage_is_set_aside_and_the_store_works_on() {
    let garbage: [(&str, &[u8]); 2] = [("conf", b"segment_size: 12\nnonsense"), ("conf", &[0xff; 64])];
    for (file, bytes) in garbage {
        let dir = tempfile::tempdir().unwrap();
        put(&open_store(dir.path()), b"before");
        fs::write(dir.path().join(STATE).join(file), bytes).unwrap();
        let store = open_store(dir.path());
        let quarantine = store.report().quarantine.clone().expect("it was set aside");
        assert_eq!(quarantine.path, dir.path().join("state.quarantine-1"));
        assert_eq!(fs::read(quarantine.path.join(file)).unwrap(), bytes);
        assert!(store.report().state_rebuilt);
        assert_eq!(store.get(Space::Node, b"before"), Ok(Some(b"value".to_vec())));
        put(&store, b"after");
        drop(store);
        let store = open_store(dir.path());
        assert_eq!((store.report().quarantine.clone(), store.report().created), (None, false));
        assert_eq!(store.get(Space::Node, b"after"), Ok(Some(b"value".to_vec())));
    }
}

#[test]
fn a_damaged_database_file_never_stops_the_store_from_opening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_store(dir.path());
    (0..200_u32).for_each(|index| put(&store, &index.to_be_bytes()));
    drop(store);
    let database = dir.path().join(STATE).join("db");
    let whole = fs::read(&database).unwrap();
    for (from, to) in [(0, 64), (100, 4000), (0, whole.len()), (whole.len() / 2, whole.len())] {
        let mut damaged = whole.clone();
        damaged[from..to].fill(0xa5);
        fs::write(&database, &damaged).unwrap();
        let store = open_store(dir.path());
        for index in 0..200_u32 {
            assert_eq!(store.get(Space::Node, &index.to_be_bytes()), Ok(Some(b"value".to_vec())), "{index}");
        }
        put(&store, b"works");
    }
}

/// How many bytes of the database a run of the tests damages; every one if there are fewer.
const BYTES_VARIABLE: &str = "SELVEDGE_STORE_DAMAGED_BYTES";
const BYTES: usize = 100;

#[test]
fn a_damaged_byte_anywhere_in_the_database_loses_nothing_and_gives_no_wrong_value() {
    let whole = tempfile::tempdir().unwrap();
    let store = open_store(whole.path());
    (0..8_u32).for_each(|index| put(&store, &index.to_be_bytes()));
    let mut long = Batch::new();
    long.put(Space::Twin, b"long", &[5; 9_000]).unwrap();
    store.commit_blocking(long).unwrap();
    drop(store);
    let database = whole.path().join(STATE);
    let files: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(&database)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect();
    let bytes: usize = files.iter().map(|(_, content)| content.len()).sum();
    let wanted = std::env::var(BYTES_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(BYTES);
    // A stride without a factor in common with sled's sizes, so that runs hit different fields.
    let stride = (bytes / wanted).max(1) | 1;
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in &files {
        for at in (0..content.len()).step_by(stride) {
            let _ = fs::remove_dir_all(dir.path().join(STATE));
            copy_files(whole.path(), dir.path());
            let mut damaged = content.clone();
            damaged[at] ^= 0x55;
            let name = path.file_name().unwrap();
            fs::write(dir.path().join(STATE).join(name), damaged).unwrap();
            let store = Store::open(dir.path(), Config { ballast_bytes: 0, ..Config::default() });
            let store = store.unwrap_or_else(|error| panic!("{name:?} byte {at}: {error}"));
            for index in 0..8_u32 {
                let value = store.get(Space::Node, &index.to_be_bytes());
                assert_eq!(value, Ok(Some(b"value".to_vec())), "{name:?} byte {at}");
            }
            assert_eq!(store.get(Space::Twin, b"long"), Ok(Some(vec![5; 9_000])), "{name:?} byte {at}");
            assert_eq!(store.metrics().keys, [1, 0, 0, 8]);
        }
    }
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy_files(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn a_second_store_in_the_same_directory_is_refused_by_name_and_process() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_store(dir.path());
    let error = Store::open(dir.path(), Config::default()).unwrap_err();
    let expected = format!("the data directory {} is in use by process {}", dir.path().display(), std::process::id());
    assert_eq!(error.to_string(), expected);
    drop(store);
    open_store(dir.path());
}

#[test]
fn a_newer_format_is_refused_in_words_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    put(&open_store(dir.path()), b"key");
    fs::write(dir.path().join("format"), format!("selvedge-store {}\n", FORMAT_VERSION + 1)).unwrap();
    let error = Store::open(dir.path(), Config::default()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found, .. } if found == FORMAT_VERSION + 1));
    assert!(error.to_string().contains("run the newer program"), "{error}");
    fs::write(dir.path().join("format"), format!("selvedge-store {FORMAT_VERSION}\n")).unwrap();
    assert!(open_store(dir.path()).get(Space::Node, b"key").unwrap().is_some());
}

#[test]
fn a_damaged_format_file_is_written_again_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    put(&open_store(dir.path()), b"key");
    fs::write(dir.path().join("format"), b"").unwrap();
    let store = open_store(dir.path());
    assert!(store.report().format_repaired);
    assert!(store.get(Space::Node, b"key").unwrap().is_some());
    drop(store);
    assert!(!open_store(dir.path()).report().format_repaired);
}

#[test]
fn the_ballast_has_its_size_follows_the_configuration_and_may_be_missing() {
    let dir = tempfile::tempdir().unwrap();
    let size = || fs::metadata(dir.path().join("ballast")).ok().map(|metadata| metadata.len());
    let ballast = |bytes: u64| {
        let config = Config { ballast_bytes: bytes, ..Config::default() };
        Store::open(dir.path(), config).unwrap().report().ballast
    };
    assert_eq!((ballast(5000), size()), (Ballast::Present, Some(5000)));
    assert_eq!((ballast(9000), size()), (Ballast::Present, Some(9000)));
    assert_eq!((ballast(0), size()), (Ballast::Off, None));
    let disk = FaultyDisk::default();
    disk.fail("allocate");
    assert_eq!((ballast::keep(dir.path(), 5000, &disk), size()), (Ballast::Missing, None));
}

#[test]
fn creation_that_cannot_be_made_durable_is_an_error() {
    for operation in ["sync_file", "sync_directory", "rename"] {
        let dir = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::default();
        disk.fail(operation);
        let opened = Store::open_on(dir.path(), Config::default(), Arc::new(disk));
        assert!(matches!(opened, Err(OpenError::Io { .. })), "{operation}");
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"x").unwrap();
    let error = Store::open(&file.path().join("data"), Config::default()).unwrap_err();
    assert!(error.to_string().starts_with("could not create the directory"), "{error}");
}
