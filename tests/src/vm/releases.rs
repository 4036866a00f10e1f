//! Versions for the board: signed here, pushed to it by its own command.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::Looked;
use super::board::Board;
use crate::child::TestChild;
use crate::update::{Publisher, marked};

/// What the updater calls the board's processor.
const ARCHITECTURE: &str = "aarch64";
/// From a push to the end of a probation.
const UPDATE_MAX: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Where the board keeps a bundle for as long as it has power.
const PUSH: &str = "cat >/run/update && selvedge ota apply /run/update && rm /run/update";
/// Ready for all questions before it is tried, and then ends at once.
const BROKEN: &str = "#!/bin/sh\ncase \"$*\" in *internal-preflight*) exit 0 ;; esac\nexit 3\n";

/// A publisher, and how many versions it has made.
pub struct Releases {
    publisher: Publisher,
    program: PathBuf,
    made: u32,
}

/// A version that can be pushed.
pub struct Release {
    pub version: String,
    pub bundle: PathBuf,
}

impl Releases {
    /// Of the program that the board's package has.
    pub fn new(program: &Path) -> anyhow::Result<Self> {
        let publisher = Publisher::new()?.of_architecture(ARCHITECTURE);
        Ok(Self { publisher, program: program.to_owned(), made: 1 })
    }

    /// As good as the package, with other bytes.
    pub fn good(&mut self) -> anyhow::Result<Release> {
        let version = self.next_version();
        let program = marked(&self.program, self.publisher.folder(), &version)?;
        let release = self.publish(&program, version)?;
        fs::remove_file(&program).with_context(|| format!("remove {}", program.display()))?;
        Ok(release)
    }

    /// One that ends as soon as it is started.
    pub fn broken(&mut self) -> anyhow::Result<Release> {
        let program = self.publisher.folder().join("broken");
        fs::write(&program, BROKEN).with_context(|| format!("write {}", program.display()))?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        let version = self.next_version();
        self.publish(&program, version)
    }

    fn next_version(&mut self) -> String {
        self.made += 1;
        format!("{}.0.0", self.made)
    }

    fn publish(&self, program: &Path, version: String) -> anyhow::Result<Release> {
        self.publisher.add_program(program, &version, &[])?;
        self.publisher.publish()?;
        let bundle = self.publisher.bundle("update.selvedge", &[])?;
        Ok(Release { version, bundle })
    }
}

/// Sends a bundle; the update begins when it is there.
pub fn push(board: &Board, release: &Release) -> anyhow::Result<TestChild> {
    board.begin(PUSH, &release.bundle)
}

/// What the node says of updates.
pub fn status(board: &Board) -> anyhow::Result<Value> {
    let text = board.shell("selvedge ota status --json")?;
    serde_json::from_str(&text).with_context(|| format!("read {text:?}"))
}

/// The version that runs.
pub fn running(status: &Value) -> String {
    match (status["version"].as_str(), status["slot"].as_str()) {
        (Some(version), Some("a" | "b")) => version.to_owned(),
        _ => "package".to_owned(),
    }
}

/// Waits until nothing is on probation; how it ended.
pub fn until_decided(board: &Board) -> anyhow::Result<Value> {
    let deadline = Instant::now() + UPDATE_MAX;
    let mut last = Value::Null;
    while Instant::now() < deadline {
        // A node that starts again does not answer.
        if let Ok(status) = status(board) {
            if status["on_trial"].is_null() {
                return Ok(status);
            }
            last = status;
        }
        std::thread::sleep(LOOK_EVERY);
    }
    bail!("still on probation: {last}")
}

/// Trusts the publisher, gets a version that holds and one that does not; how long the first took.
pub fn check(board: &Board, releases: &mut Releases, looked: &mut Looked<'_>) -> Duration {
    let mut took = UPDATE_MAX / 10;
    let trust = releases.publisher.root();
    looked.at("it trusts a publisher", || {
        board.put(&trust, "/run/root.json")?;
        board.shell("selvedge ota trust /run/root.json")
    });
    looked.at("a signed version is pushed, holds and is confirmed", || {
        let release = releases.good()?;
        let started = Instant::now();
        let ended = end_of(board, &release)?;
        took = started.elapsed();
        ensure!(ended["last_trial"]["outcome"] == "committed" && running(&ended) == release.version, "{ended}");
        Ok(format!("{} from slot {}", running(&ended), ended["slot"]))
    });
    looked.at("a version that ends at once is taken back", || {
        let before = running(&status(board)?);
        let release = releases.broken()?;
        let ended = end_of(board, &release)?;
        ensure!(ended["last_trial"]["outcome"] == "rolled-back" && running(&ended) == before, "{ended}");
        let reason = ended["last_trial"]["reason"].as_str().unwrap_or_default();
        ensure!(!reason.is_empty(), "nobody says why: {ended}");
        Ok(format!("{}: {reason}", running(&ended)))
    });
    took
}

fn end_of(board: &Board, release: &Release) -> anyhow::Result<Value> {
    // The shell's connection may end with the node's answer still on its way.
    let mut pushed = push(board, release)?;
    let status = pushed.wait(UPDATE_MAX)?;
    ensure!(status.success(), "the push ended with {status}\n{}", pushed.said());
    let deadline = Instant::now() + UPDATE_MAX;
    loop {
        let ended = until_decided(board)?;
        if ended["last_trial"]["version"] == release.version.as_str() {
            return Ok(ended);
        }
        ensure!(Instant::now() < deadline, "{} was never tried: {ended}", release.version);
        std::thread::sleep(LOOK_EVERY);
    }
}
