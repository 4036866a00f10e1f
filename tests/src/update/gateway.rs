//! A gateway: the launcher under a supervisor, with a data directory and ports of its own.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::{Publisher, package};
use crate::client::{Transport, Version};
use crate::client_packet::Connect;
use crate::node::Place;
use crate::peer::{Peer, Route};
use crate::server_packet::ConnAck;
use crate::supervisor::{Happening, Supervisor, Unit};
use crate::{PATIENCE, installed};

/// Between two looks at a node.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Where a gateway serves.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// MQTT over TCP.
    pub mqtt: SocketAddr,
    /// MQTT over WebSocket.
    pub websocket: SocketAddr,
    /// HTTP.
    pub http: SocketAddr,
}

/// From where HTTP is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// From this machine.
    Loopback,
    /// From other machines: with a login only.
    Everywhere,
}

/// A gateway that runs.
#[derive(Debug)]
pub struct Gateway {
    supervisor: Supervisor,
    place: Place,
    ports: Ports,
}

impl Gateway {
    /// Starts one with this configuration and waits until it is ready. Its launcher has no slots yet: the package runs.
    ///
    /// # Errors
    /// A program is missing or the node does not get ready; the text holds what was printed.
    pub fn start(configuration: &str, unit: Unit) -> anyhow::Result<Self> {
        Self::start_in(Place::with_configuration(configuration)?, unit, Reach::Loopback)
    }

    /// As [`Gateway::start`], for a place whose configuration has to name files in it.
    ///
    /// # Errors
    /// As [`Gateway::start`].
    pub fn start_in(place: Place, unit: Unit, reach: Reach) -> anyhow::Result<Self> {
        let (package, launcher) = (package()?, launcher()?);
        let ports = Ports { mqtt: free_port()?, websocket: free_port()?, http: free_port()? };
        // systemd makes it, as StateDirectory.
        std::fs::create_dir_all(place.data()).context("make the data directory")?;
        let of_command = place.clone();
        let supervisor = Supervisor::start(&place.folder().join("notify"), unit, move || {
            launch(&launcher, &package, &of_command, ports, reach)
        })?;
        supervisor.wait_for(&Happening::Ready, 1)?;
        Ok(Self { supervisor, place, ports })
    }

    /// Where it serves.
    pub fn ports(&self) -> Ports {
        self.ports
    }

    /// Its data directory and configuration.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Who looks after it.
    pub fn supervisor(&self) -> &Supervisor {
        &self.supervisor
    }

    /// Runs a command of the binary beside this gateway.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn cli(&self, words: &[&str]) -> anyhow::Result<Output> {
        self.place.command(words)?.output().context("run selvedge")
    }

    /// As [`Gateway::cli`]; gives what it prints.
    ///
    /// # Errors
    /// It fails; the text holds what everybody said.
    pub fn cli_succeeds(&self, words: &[&str]) -> anyhow::Result<String> {
        let output = self.cli(words)?;
        let said = said(&output);
        ensure!(output.status.success(), "`selvedge {}`: {said}\n{}", words.join(" "), self.supervisor.said());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// As [`Gateway::cli`] for a command that has to fail; gives its words.
    ///
    /// # Errors
    /// It succeeds.
    pub fn cli_fails(&self, words: &[&str]) -> anyhow::Result<String> {
        let output = self.cli(words)?;
        let said = said(&output);
        ensure!(!output.status.success(), "`selvedge {}` succeeds: {said}", words.join(" "));
        Ok(said)
    }

    /// `selvedge ota trust`, of this publisher.
    ///
    /// # Errors
    /// It fails.
    pub fn trust(&self, publisher: &Publisher) -> anyhow::Result<()> {
        self.cli_succeeds(&["ota", "trust", &publisher.root().to_string_lossy()]).map(drop)
    }

    /// `selvedge ota apply`; gives the answer.
    ///
    /// # Errors
    /// It fails.
    pub fn apply(&self, bundle: &Path) -> anyhow::Result<Value> {
        let text = self.cli_succeeds(&["ota", "apply", &bundle.to_string_lossy(), "--json"])?;
        serde_json::from_str(&text).with_context(|| format!("read {text:?}"))
    }

    /// `selvedge ota status --json`.
    ///
    /// # Errors
    /// The node does not answer.
    pub fn status(&self) -> anyhow::Result<Value> {
        let text = self.cli_succeeds(&["ota", "status", "--json"])?;
        serde_json::from_str(&text).with_context(|| format!("read {text:?}"))
    }

    /// Waits until the node says this of updates; a node that is away meanwhile is waited for.
    ///
    /// # Errors
    /// It does not in time; the text holds what everybody said.
    pub fn wait_until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        let mut last = Value::Null;
        while Instant::now() < deadline {
            let output = self.cli(&["ota", "status", "--json"])?;
            if let Ok(status) = serde_json::from_slice::<Value>(&output.stdout) {
                if is_so(&status) {
                    return Ok(status);
                }
                last = status;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!("{what}: not in time; last {last}\n{}", self.supervisor.said())
    }

    /// Waits until a trial has ended like this, `committed` or `rolled-back`, for this version.
    ///
    /// # Errors
    /// It does not in time.
    pub fn wait_for_end(&self, version: &str, outcome: &str) -> anyhow::Result<Value> {
        self.wait_until(&format!("{version} is {outcome}"), |status| {
            status["on_trial"].is_null()
                && status["last_trial"]["version"] == version
                && status["last_trial"]["outcome"] == outcome
        })
    }

    /// Connects a client.
    ///
    /// # Errors
    /// It is not let in.
    pub fn connect(&self, connect: &Connect) -> anyhow::Result<(Peer, ConnAck)> {
        let route =
            Route { address: self.ports.mqtt, transport: Transport::Tcp, patience: PATIENCE, must_say_why: false };
        Peer::connect(route, connect).with_context(|| self.supervisor.said())
    }

    /// Shows that MQTT is served.
    ///
    /// # Errors
    /// It is not.
    pub fn serves(&self) -> anyhow::Result<()> {
        let (mut peer, _) = self.connect(&Connect::new(Version::V5, "looks-in"))?;
        peer.settle()
    }

    /// Ends the service and gives the place.
    ///
    /// # Errors
    /// It had to be killed.
    pub fn stop(self) -> anyhow::Result<Place> {
        self.supervisor.stop()?;
        Ok(self.place)
    }
}

/// `POST path` over TCP with a body and further header lines, each with its line end; status and the rest of the answer.
///
/// # Errors
/// There is no answer.
pub fn http_post(address: SocketAddr, path: &str, headers: &str, body: &[u8]) -> anyhow::Result<(u16, String)> {
    let context = || format!("POST http://{address}{path}");
    let mut stream = TcpStream::connect(address).with_context(context)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).with_context(context)?;
    // A server that has refused already may have closed; its answer is read all the same.
    let sent = stream.write_all(body);
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.with_context(|| format!("{}: {sent:?}, {read:?}, {text:?}", context()))?;
    Ok((status, text))
}

fn launch(launcher: &Path, package: &Path, place: &Place, ports: Ports, reach: Reach) -> anyhow::Result<Command> {
    // For its clean environment.
    let clean = place.command(&[])?;
    let mut command = Command::new(launcher);
    for (name, value) in clean.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(place.folder()).stdin(Stdio::null());
    command.arg("--folder").arg(place.data().join("ota")).arg("--package").arg(package);
    command.args(["--", "run", "--json"]);
    command.args(["--mqtt", &ports.mqtt.to_string(), "--ws", &ports.websocket.to_string()]);
    let http = match reach {
        Reach::Loopback => ports.http,
        Reach::Everywhere => SocketAddr::from((Ipv4Addr::UNSPECIFIED, ports.http.port())),
    };
    command.args(["--http", &http.to_string()]);
    command.arg("--data").arg(place.data()).arg("--config").arg(place.folder().join("selvedge.toml"));
    Ok(command)
}

/// `selvedge-launch`: `SELVEDGE_LAUNCH_BIN`, else beside the node's binary.
fn launcher() -> anyhow::Result<PathBuf> {
    let path = match std::env::var_os("SELVEDGE_LAUNCH_BIN") {
        Some(path) => PathBuf::from(path),
        None => installed::selvedge()?.with_file_name("selvedge-launch"),
    };
    ensure!(path.is_file(), "{} is missing; run `cargo build -p selvedge-launch`", path.display());
    Ok(path)
}

/// A port that stays free between two starts of a node: below those that the kernel gives to others.
///
/// # Errors
/// None is free.
pub fn free_port() -> anyhow::Result<SocketAddr> {
    const FIRST: u16 = 18_000;
    const COUNT: u16 = 14_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes of tests that run at once start at different places.
    let from_process = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(COUNT)).unwrap_or(0);
    for _ in 0..COUNT {
        let number = from_process.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + number));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    bail!("no port is free")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
