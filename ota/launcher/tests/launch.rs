//! The real launcher with real processes: what it starts, how often, and what it makes of programs that do not hold.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use selvedge_ota_slots::{LocalDisk, Lock, Outcome, Slot, Slots, WayBack};

/// For anything to happen that has to.
const PATIENCE: Duration = Duration::from_secs(60);

struct Gateway {
    folder: tempfile::TempDir,
    slots: Slots,
}

impl Gateway {
    /// A gateway with a package that runs well.
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let ota = folder.path().join("ota");
        fs::create_dir(&ota).expect("folder");
        let gateway = Self { slots: Slots::new(Arc::new(LocalDisk), &ota), folder };
        let package = gateway.package();
        fs::write(&package, gateway.program("well")).expect("package");
        fs::set_permissions(&package, fs::Permissions::from_mode(0o755)).expect("mode");
        gateway
    }

    fn package(&self) -> PathBuf {
        self.folder.path().join("selvedge")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What ran so far: slot, behaviour and arguments of each start.
    fn starts(&self) -> Vec<String> {
        fs::read_to_string(self.log()).unwrap_or_default().lines().map(|line| line.trim().to_owned()).collect()
    }

    fn program(&self, behaviour: &str) -> String {
        format!("#!/bin/sh\nexec {} {} {behaviour} \"$@\"\n", pretend_node().display(), self.log().display())
    }

    /// An update to a program that behaves so, ready to be tried.
    fn update(&self, behaviour: &str) -> Slot {
        let slot = self.slots.fill(self.program(behaviour).as_bytes(), behaviour, 1).expect("fill");
        self.slots.put_on_trial(slot, 3).expect("trial");
        slot
    }

    fn launcher(&self, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_selvedge-launch"));
        command.arg("--folder").arg(self.slots.folder()).arg("--package").arg(self.package());
        command.args(options).args(["--", "run", "--data", "x y"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn launch(&self) -> Output {
        self.launcher(&[]).output().expect("launch")
    }

    fn supervise(&self) -> Supervised {
        let options = ["--supervise", "--ready-within", "0.5", "--watchdog", "0.5"];
        Supervised(Some(self.launcher(&options).spawn().expect("launch")))
    }

    fn wait_for(&self, what: &str, condition: impl Fn(&[String]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(&self.starts()) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.starts());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn reason(&self) -> String {
        let ended = self.slots.record().expect("record").ended.expect("a trial has ended");
        assert_eq!(ended.outcome, Outcome::RolledBack);
        ended.reason
    }
}

/// A launcher that stays; killed with its node at the end.
struct Supervised(Option<Child>);

impl Supervised {
    fn signal(&self, signal: &str) {
        let process = self.0.as_ref().expect("running").id().to_string();
        assert!(Command::new("kill").args([signal, &process]).status().expect("kill").success());
    }

    fn end(mut self) -> Output {
        self.signal("-TERM");
        self.0.take().expect("running").wait_with_output().expect("end")
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.signal("-TERM");
            let _ = self.0.take().map(|mut child| child.wait());
        }
    }
}

fn pretend_node() -> PathBuf {
    let launcher = Path::new(env!("CARGO_BIN_EXE_selvedge-launch"));
    let program = launcher.with_file_name("examples").join("pretend_node");
    assert!(program.is_file(), "{} is not built", program.display());
    program
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_launcher_becomes_the_program_with_its_arguments() {
    let gateway = Gateway::new();
    gateway.update("crash");
    let output = gateway.launch();
    assert_eq!(output.status.code(), Some(9), "{}", errors(&output));
    assert_eq!(gateway.starts(), ["a crash run --data x y"]);
}

#[test]
fn a_program_that_crashes_at_once_is_given_up_after_three_starts() {
    let gateway = Gateway::new();
    let slot = gateway.update("die");
    gateway.launch();
    gateway.slots.commit(WayBack::Keep, 1).expect("commit");
    assert_eq!(gateway.update("crash"), slot.other());
    for _ in 0..3 {
        assert_eq!(gateway.launch().status.code(), Some(9));
    }
    let output = gateway.launch();
    assert_eq!(output.status.code(), Some(8), "the good one runs");
    assert!(
        errors(&output).contains("the update in slot b is given up: it was started 3 times and never confirmed"),
        "{}",
        errors(&output)
    );
    assert_eq!(gateway.starts().iter().filter(|start| start.starts_with("b crash")).count(), 3);
}

#[test]
fn with_nothing_to_start_it_says_what_is_wrong_with_each() {
    let gateway = Gateway::new();
    gateway.update("crash");
    fs::OpenOptions::new()
        .append(true)
        .open(gateway.slots.program(Slot::A))
        .and_then(|mut file| file.write_all(b"#"))
        .expect("damage");
    fs::remove_file(gateway.package()).expect("no package");
    let output = gateway.launch();
    assert_eq!(output.status.code(), Some(1));
    let text = errors(&output);
    assert!(text.contains("no program can be started: slot a is damaged: it has "), "{text}");
    assert!(text.ends_with("is not there; install the package again\n"), "{text}");
}

#[test]
fn a_start_waits_for_an_update_that_is_being_written() {
    let gateway = Gateway::new();
    gateway.update("crash");
    let lock = Lock::take(gateway.slots.folder()).expect("free");
    let launcher = gateway.launcher(&[]).spawn().expect("launch");
    // Long enough to start ten times.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(gateway.starts(), Vec::<String>::new());
    drop(lock);
    assert_eq!(launcher.wait_with_output().expect("end").status.code(), Some(9));
}

#[test]
fn a_supervised_program_that_dies_hangs_or_falls_silent_gives_way_to_the_package() {
    for behaviour in ["crash", "die", "hang", "silent"] {
        let gateway = Gateway::new();
        gateway.update(behaviour);
        let supervised = gateway.supervise();
        gateway.wait_for(behaviour, |starts| starts.iter().any(|start| start.starts_with("package well")));
        assert_eq!(gateway.starts().len(), 4, "{behaviour}: {:?}", gateway.starts());
        assert_eq!(gateway.reason(), "it was started 3 times and never confirmed");
        let text = errors(&supervised.end());
        let says = match behaviour {
            "hang" => "the node did not get ready within 0.5 s and is killed",
            "silent" => "the node fell silent within 0.5 s and is killed",
            "die" => "the node ended (exit status: 8); it is started again",
            _ => "the node ended (exit status: 9); it is started again",
        };
        assert!(text.contains(says), "{behaviour}: {text}");
    }
}

#[test]
fn a_supervised_program_that_is_well_runs_until_a_signal() {
    let gateway = Gateway::new();
    let supervised = gateway.supervise();
    gateway.wait_for("start", |starts| !starts.is_empty());
    // Longer than it may be silent, and than it may take to get ready.
    std::thread::sleep(Duration::from_millis(1500));
    let output = supervised.end();
    assert_eq!(gateway.starts(), ["package well run --data x y"], "{}", errors(&output));
}
