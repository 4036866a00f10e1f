//! A node: the real binary on free ports with a data directory of its own, which can be stopped, killed and restarted.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::child::{Signal, TestChild};
use crate::wire::Wire;
use crate::{PATIENCE, installed};

/// A running node.
#[derive(Debug)]
pub struct Node {
    child: TestChild,
    listeners: Listeners,
    place: Place,
}

/// Data directory and configuration of a node; outlives its processes.
#[derive(Debug, Clone)]
pub struct Place {
    folder: Arc<tempfile::TempDir>,
}

/// What a node prints when it is ready (`selvedge run --json`).
#[derive(Debug, Clone, Deserialize)]
struct Listeners {
    mqtt: SocketAddr,
    websocket: SocketAddr,
    http: SocketAddr,
    #[serde(default)]
    mqtts: Option<SocketAddr>,
    #[serde(default)]
    secure_websocket: Option<SocketAddr>,
}

impl Node {
    /// Starts a node with the defaults and an empty data directory.
    ///
    /// # Errors
    /// The binary is missing or the node does not become ready; the text holds what it printed.
    pub fn start() -> anyhow::Result<Self> {
        Place::new()?.start()
    }

    /// As [`Node::start`] with a configuration file of this text.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start_with(configuration: &str) -> anyhow::Result<Self> {
        Place::with_configuration(configuration)?.start()
    }

    /// Where MQTT over TCP is served.
    pub fn mqtt(&self) -> SocketAddr {
        self.listeners.mqtt
    }

    /// Where MQTT over WebSocket is served.
    pub fn websocket(&self) -> SocketAddr {
        self.listeners.websocket
    }

    /// Where MQTT over TLS is served, if it is.
    pub fn mqtts(&self) -> Option<SocketAddr> {
        self.listeners.mqtts
    }

    /// Where MQTT over WebSocket over TLS is served, if it is.
    pub fn secure_websocket(&self) -> Option<SocketAddr> {
        self.listeners.secure_websocket
    }

    /// Where probes and metrics are served.
    pub fn http(&self) -> SocketAddr {
        self.listeners.http
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its data directory and configuration.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Runs a command of the binary that talks to this node's socket, and waits for it.
    ///
    /// # Errors
    /// The command cannot be started.
    pub fn cli(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        self.place.command(arguments)?.output().context("run selvedge")
    }

    /// As [`Node::cli`]; a command that fails is an error, else its standard output is given.
    ///
    /// # Errors
    /// The command fails; the text holds both outputs.
    pub fn cli_succeeds(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.cli(arguments)?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "`selvedge {}` ended with {}\n{stdout}{}\n{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr),
            self.said()
        );
        Ok(stdout)
    }

    /// Asks the node to stop and gives its exit status.
    ///
    /// # Errors
    /// It does not stop in time.
    pub fn stop(mut self) -> anyhow::Result<ExitStatus> {
        self.child.signal(Signal::TERM)?;
        self.child.wait(PATIENCE)
    }

    /// Asks the node to stop; [`Node::wait`] gives its exit status.
    ///
    /// # Errors
    /// It has ended.
    pub fn terminate(&self) -> anyhow::Result<()> {
        self.child.signal(Signal::TERM)
    }

    /// Waits for the end of the process.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        self.child.wait(PATIENCE)
    }

    /// Whether the process has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.has_ended()
    }

    /// Kills the process as a crash would, if it has not ended by itself, and gives the place in which it can be started again.
    ///
    /// # Errors
    /// It does not die.
    pub fn kill(mut self) -> anyhow::Result<Place> {
        if !self.child.has_ended() {
            self.child.signal(Signal::KILL)?;
        }
        self.child.wait(PATIENCE)?;
        Ok(self.place)
    }

    /// Lines that the node logged so far.
    pub fn log(&self) -> Vec<String> {
        self.child.stderr()
    }

    /// What the node printed, for failure messages.
    pub fn said(&self) -> String {
        self.child.said()
    }
}

impl Place {
    /// A place with the defaults.
    ///
    /// # Errors
    /// No temporary folder can be made.
    pub fn new() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("selvedge-").tempdir().context("make a folder for a node")?;
        Ok(Self { folder: Arc::new(folder) })
    }

    /// A place with a configuration file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn with_configuration(configuration: &str) -> anyhow::Result<Self> {
        let place = Self::new()?;
        let path = place.configuration();
        std::fs::write(&path, configuration).with_context(|| format!("write {}", path.display()))?;
        Ok(place)
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The socket of the node that runs here.
    pub fn socket(&self) -> PathBuf {
        self.data().join("control.sock")
    }

    /// A folder for files of the test, deleted with the place.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a node here and waits until it is ready.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start(&self) -> anyhow::Result<Node> {
        let mut command = self.command(&["run", "--json", "--mqtt", ANY_PORT, "--ws", ANY_PORT, "--http", ANY_PORT])?;
        let configuration = self.configuration();
        if configuration.is_file() {
            command.arg("--config").arg(configuration);
        }
        let child = TestChild::start("selvedge run", command)?;
        let listeners = child.wait_for_line(0, PATIENCE, |line| serde_json::from_str::<Listeners>(line).ok())?;
        Ok(Node { child, listeners, place: self.clone() })
    }

    /// Starts a node at its end of `wire`, as the configuration file says; `through` is a program with arguments that starts it.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start_on(&self, wire: &Wire, through: &[&str]) -> anyhow::Result<Node> {
        self.start_through(through, &|command| wire.at_node(command))
    }

    /// Starts a node as the configuration file says; `placed` puts the command where it belongs.
    ///
    /// # Errors
    /// As [`Node::start`].
    pub fn start_in(&self, placed: &dyn Fn(&Command) -> Command) -> anyhow::Result<Node> {
        self.start_through(&[], placed)
    }

    fn start_through(&self, through: &[&str], placed: &dyn Fn(&Command) -> Command) -> anyhow::Result<Node> {
        let run = self.command(&["run", "--json"])?;
        let words = through.iter().map(OsString::from).chain([run.get_program().to_owned()]);
        let words: Vec<OsString> = words.chain(run.get_args().map(OsString::from)).collect();
        let mut command = Command::new(words.first().context("a program")?);
        command.args(words.iter().skip(1)).arg("--config").arg(self.configuration());
        command.env("SELVEDGE_DATA", self.data()).current_dir(self.folder());
        let child = TestChild::start("selvedge run", placed(&command))?;
        let listeners = child.wait_for_line(0, PATIENCE, |line| serde_json::from_str::<Listeners>(line).ok())?;
        Ok(Node { child, listeners, place: self.clone() })
    }

    /// A command of the binary whose data directory is this place's, in a clean environment.
    ///
    /// # Errors
    /// The binary is missing.
    pub fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(installed::selvedge()?);
        let inherited = std::env::vars_os().map(|(name, _)| name);
        for name in inherited.filter(|name| name.to_string_lossy().starts_with("SELVEDGE_")) {
            command.env_remove(name);
        }
        command
            .args(arguments.iter().map(OsString::from))
            .env("SELVEDGE_DATA", self.data())
            // The interfaces of this machine are not the test's; those of a test in namespaces are.
            .env("SELVEDGE_NET", "off")
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        Ok(command)
    }

    fn configuration(&self) -> PathBuf {
        self.folder.path().join("selvedge.toml")
    }
}

/// The kernel chooses a free port; the node prints which.
const ANY_PORT: &str = "127.0.0.1:0";
