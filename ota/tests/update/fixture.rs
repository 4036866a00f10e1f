//! A publisher, a repository in a folder, and a node on a simulated disk.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use selvedge_ota::publisher::{self, Addition, Days, Keys, PublishOptions, Published, Repository, create};
use selvedge_ota::source::folder::Folder;
use selvedge_ota::source::{FetchError, Opened, Source};
use selvedge_ota::{Agent, AgentLimits, Event, Facts, Host, Occasion, OnTrial, Report, Run, Thing, UpdateError};
use selvedge_ota_metadata::{Architecture, Clock, Content, Kind};
use selvedge_ota_slots::simulation::SimulatedDisk;
use selvedge_ota_slots::{Digest, Disk, ReadAt, Start, WayBack, next_start};

/// 2027-01-15T08:00:00Z.
pub const NOW: i64 = 1_800_000_000;
pub const DAY: i64 = 86_400;
pub const FOLDER: &str = "/data/ota";
pub const DAEMON: &str = "daemon/x86_64/selvedge";

/// Bytes that look like a program: mostly the same from version to version.
pub fn program(version: u8) -> Vec<u8> {
    let mut state = 1_u32;
    let mut bytes: Vec<u8> = (0..20_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // A few values only, so that it can be compressed as a program can.
            state.to_be_bytes()[0] % 11
        })
        .collect();
    for place in (0..bytes.len()).step_by(997) {
        bytes[place] = version;
    }
    bytes.extend(vec![version; usize::from(version) * 10]);
    bytes
}

pub fn content(bytes: &[u8]) -> Content {
    let digest = Digest::of(bytes);
    Content { length: digest.length, sha256: digest.sha256 }
}

pub fn daemon(version: &str) -> Kind {
    Kind::Daemon {
        version: version.to_owned(),
        architecture: Architecture::X86_64,
        data_format: 1,
        security_floor: 0,
        rollout: None,
        paused: false,
    }
}

/// The publisher's machine.
pub struct Publisher {
    pub folder: tempfile::TempDir,
    seeds: u8,
}

impl Publisher {
    pub fn new() -> Self {
        let mut publisher = Self { folder: tempfile::tempdir().expect("folder"), seeds: 0 };
        let (repository, keys) = (publisher.repository(), publisher.keys_folder());
        create(&repository, &keys, &Days::default(), NOW, &mut || publisher.seed()).expect("create");
        publisher
    }

    pub fn seed(&mut self) -> [u8; 32] {
        self.seeds += 1;
        [self.seeds; 32]
    }

    pub fn repository(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    pub fn keys_folder(&self) -> PathBuf {
        self.folder.path().join("keys")
    }

    pub fn keys(&self) -> Keys {
        Keys::read(&self.keys_folder()).expect("keys")
    }

    pub fn open(&self) -> Repository {
        Repository::open(&self.repository()).expect("repository")
    }

    pub fn add(&self, path: &str, bytes: &[u8], kind: Kind) {
        let file = self.folder.path().join("content");
        std::fs::write(&file, bytes).expect("write");
        self.open().add(&Addition { file: &file, path, kind, role: "targets" }).expect("add");
    }

    pub fn publish(&self) -> Published {
        self.publish_at(NOW)
    }

    pub fn publish_at(&self, now: i64) -> Published {
        let options = PublishOptions { level: 3, ..PublishOptions::default() };
        self.open().publish(&self.keys(), &options, now, &mut |_| {}).expect("publish")
    }

    /// Publishes that version of the daemon.
    pub fn release(&self, version: u8) -> Published {
        self.add(DAEMON, &program(version), daemon(&format!("{version}.0.0")));
        self.publish()
    }

    pub fn root(&self) -> Vec<u8> {
        std::fs::read(self.repository().join("metadata/1.root.json")).expect("root")
    }

    /// A second repository of the same keys that goes its own way from here.
    pub fn fork(&self) -> Self {
        let fork = Self { folder: tempfile::tempdir().expect("folder"), seeds: self.seeds };
        copy_folder(self.folder.path(), fork.folder.path());
        fork
    }
}

pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("folder");
    for entry in std::fs::read_dir(from).expect("list") {
        let entry = entry.expect("entry");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("copy");
        }
    }
}

/// What the node of the tests has been asked to do, and what it runs.
#[derive(Default)]
pub struct FakeHost {
    pub running: Option<Vec<u8>>,
    pub placed: RefCell<BTreeMap<String, (String, Vec<u8>)>>,
    pub refuses: RefCell<Option<String>>,
    pub disk: Option<SimulatedDisk>,
}

impl Host for FakeHost {
    fn put_in_place(&self, thing: &Thing, version: &str, file: &Path) -> Result<(), String> {
        if let Some(reason) = self.refuses.borrow().clone() {
            return Err(reason);
        }
        let name = match thing {
            Thing::Function { name, manifest } => format!("function {name} {manifest}"),
            Thing::File { name } => format!("file {name}"),
            Thing::Daemon { .. } => return Err("the program has slots".to_owned()),
        };
        let disk = self.disk.as_ref().expect("a disk");
        let bytes = disk.read(file, 1 << 20).map_err(|error| error.to_string())?;
        self.placed.borrow_mut().insert(name, (version.to_owned(), bytes));
        Ok(())
    }

    fn open_base(&self, _thing: &Thing, wanted: Content) -> Option<Box<dyn ReadAt>> {
        let placed = self.placed.borrow();
        let (_, bytes) = placed.values().find(|(_, bytes)| content(bytes) == wanted)?;
        Some(Box::new(bytes.clone()))
    }

    fn open_running(&self) -> Option<Box<dyn ReadAt>> {
        self.running.clone().map(|bytes| Box::new(bytes) as _)
    }

    fn preflight(&self, _program: &Path) -> Result<(), String> {
        self.refuses.borrow().clone().map_or(Ok(()), Err)
    }
}

/// A gateway.
pub struct Node {
    pub disk: SimulatedDisk,
    pub host: FakeHost,
    pub events: RefCell<Vec<Event>>,
    pub facts: Facts,
    pub occasion: Occasion,
    pub clock: Clock,
}

impl Node {
    /// One that trusts the publisher and runs version 1, which came with the package.
    pub fn new(publisher: &Publisher) -> Self {
        let disk = SimulatedDisk::new(Path::new(FOLDER));
        let node = Self::on(disk);
        node.agent().pin(&publisher.root()).expect("pin");
        node
    }

    pub fn on(disk: SimulatedDisk) -> Self {
        let running = program(1);
        let facts = Facts {
            node_id: "gateway-7".to_owned(),
            architecture: Architecture::X86_64,
            running: Some(content(&running)),
            on_trial: OnTrial::No,
            files: ["settings".to_owned()].into(),
            windows: Vec::new(),
            now_unix_s: u64::try_from(NOW).ok(),
        };
        Self {
            host: FakeHost { running: Some(running), disk: Some(disk.clone()), ..FakeHost::default() },
            disk,
            events: RefCell::default(),
            facts,
            occasion: Occasion::ByItself,
            clock: Clock::trusted(NOW),
        }
    }

    pub fn agent(&self) -> Agent {
        Agent::new(Arc::new(self.disk.clone()), Path::new(FOLDER), AgentLimits::default())
    }

    pub fn update(&self, publisher: &Publisher) -> Result<Report, UpdateError> {
        self.update_from(&mut Folder::new(&publisher.repository()))
    }

    pub fn update_from(&self, source: &mut dyn Source) -> Result<Report, UpdateError> {
        self.agent().update(&mut Run {
            source,
            host: &self.host,
            facts: self.facts.clone(),
            occasion: self.occasion,
            clock: self.clock,
            events: &mut |event| self.events.borrow_mut().push(event),
        })
    }

    /// What the launcher starts now.
    pub fn start(&self) -> Start {
        let package = tempfile::NamedTempFile::new().expect("package");
        next_start(self.agent().slots(), Some(package.path()), 1).expect("something starts")
    }

    /// Starts again; the program that starts is what runs.
    pub fn restart(&mut self) -> Vec<u8> {
        let start = self.start();
        let bytes = self.disk.read(&start.program, 1 << 20).unwrap_or_else(|_| program(1));
        self.facts.running = Some(content(&bytes));
        self.host.running = Some(bytes.clone());
        bytes
    }

    pub fn commit(&self) {
        self.agent().slots().commit(WayBack::Keep, 1).expect("commit");
    }

    /// Why each target was left or failed, and what was installed.
    pub fn outcome(&self, publisher: &Publisher) -> Vec<String> {
        let report = self.update(publisher).expect("update");
        let mut lines: Vec<String> =
            report.installed.iter().map(|(path, version)| format!("{path} {version}")).collect();
        lines.extend(report.left.iter().map(|(path, _, why)| format!("{path}: {why}")));
        lines.extend(report.failed.iter().map(|(path, _, error)| format!("{path}: {}", with_causes(error))));
        lines
    }

    /// Which payload was fetched last.
    pub fn fetched(&self) -> Option<String> {
        self.events.borrow().iter().rev().find_map(|event| match event {
            Event::Download { path, .. } => Some(path.clone()),
            _ => None,
        })
    }
}

pub use selvedge_ota_slots::with_causes;

/// What comes instead of a file, by its path; nothing: it is not there.
pub type Change<'t> = &'t dyn Fn(&str, Vec<u8>) -> Option<Vec<u8>>;

/// A source that gives something else for some files.
pub struct Tampered<'t> {
    pub inner: Folder,
    pub change: Change<'t>,
}

impl<'t> Tampered<'t> {
    pub fn new(publisher: &Publisher, change: Change<'t>) -> Self {
        Self { inner: Folder::new(&publisher.repository()), change }
    }
}

impl Source for Tampered<'_> {
    fn open(&mut self, path: &str, from: u64, bytes_max: u64) -> Result<Option<Opened<'_>>, FetchError> {
        let mut bytes = Vec::new();
        if let Some(mut opened) = self.inner.open(path, 0, bytes_max)? {
            std::io::Read::read_to_end(&mut opened.reader, &mut bytes).expect("read");
        }
        let Some(bytes) = (self.change)(path, bytes) else { return Ok(None) };
        let from = usize::try_from(from).expect("small").min(bytes.len());
        let starts_at = from as u64;
        Ok(Some(Opened { reader: Box::new(std::io::Cursor::new(bytes[from..].to_vec())), starts_at }))
    }

    fn name(&self) -> String {
        "the mirror".to_owned()
    }
}

pub use publisher::RootChange;
