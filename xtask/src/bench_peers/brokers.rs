//! Starting and stopping the brokers that are compared.
//!
//! Invariant: a broker that was started is killed when its value goes away, and, where `setpriv` is there, by the kernel
//! when this process dies without getting to it.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::{process, repository};

/// How long a broker may take until it accepts connections.
const START_MAX: Duration = Duration::from_secs(20);

/// Pause between two tries to connect.
const RETRY: Duration = Duration::from_millis(20);

/// A program that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// This repository's.
    Selvedge,
    /// Debian's package.
    Mosquitto,
    /// `tests/peers`.
    Rumqttd,
    /// `selvedge bench relay`.
    Relay,
}

impl Kind {
    /// In the order of the table.
    pub const ALL: [Self; 4] = [Self::Selvedge, Self::Mosquitto, Self::Rumqttd, Self::Relay];

    /// In the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Selvedge => "selvedge",
            Self::Mosquitto => "mosquitto",
            Self::Rumqttd => "rumqttd",
            Self::Relay => "bare relay",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Relay => "relay",
            other => other.name(),
        })
    }
}

/// A folder for configuration, data and logs of one run, removed with it.
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Creates it below cargo's build folder.
    pub fn create() -> anyhow::Result<Self> {
        let path = repository::target_folder().join(format!("bench-peers/{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind lies in the build folder and harms nobody.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// A broker that accepts connections.
pub struct Broker {
    kind: Kind,
    port: u16,
    child: Child,
}

impl Broker {
    /// Starts one and waits until it accepts connections; `relay` is the command of the bare relay without its address.
    pub fn start(kind: Kind, protocol: u8, folder: &Folder, relay: &[String]) -> anyhow::Result<Self> {
        let port = free_port()?;
        let command = match kind {
            Kind::Selvedge => selvedge(port, &folder.path)?,
            Kind::Mosquitto => mosquitto(port, &folder.path)?,
            Kind::Rumqttd => rumqttd(port, protocol)?,
            Kind::Relay => relay.iter().cloned().chain([format!("127.0.0.1:{port}")]).collect(),
        };
        let log_path = folder.path.join(format!("{kind}.log"));
        let log = File::create(&log_path).with_context(|| format!("create {}", log_path.display()))?;
        let log_too = log.try_clone().with_context(|| format!("open {} again", log_path.display()))?;
        let mut words = Vec::new();
        if let Some(setpriv) = process::find(&["setpriv"]) {
            // It becomes the broker, so the process id stays the same.
            words.extend([setpriv, "--pdeathsig".to_owned(), "KILL".to_owned(), "--".to_owned()]);
        }
        words.extend(command);
        let child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too)
            .spawn()
            .with_context(|| format!("start {}", words.join(" ")))?;
        let mut broker = Self { kind, port, child };
        broker.wait_until_ready(&log_path)?;
        Ok(broker)
    }

    /// Which one it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_ready(&mut self, log: &Path) -> anyhow::Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let until = Instant::now() + START_MAX;
        while TcpStream::connect(address).is_err() {
            let ended = self.child.try_wait().with_context(|| format!("look after {}", self.kind))?;
            if ended.is_some() || Instant::now() > until {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                bail!("{} does not accept connections on {address}; it said: {}", self.kind, said.trim());
            }
            std::thread::sleep(RETRY);
        }
        Ok(())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where mosquitto is; not every `PATH` has its folder.
pub fn find_mosquitto() -> Option<String> {
    process::find(&["mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto"])
}

/// The built daemon.
pub fn selvedge_program() -> String {
    repository::target_folder().join("release/selvedge").to_string_lossy().into_owned()
}

fn selvedge(port: u16, folder: &Path) -> anyhow::Result<Vec<String>> {
    let data = folder.join("selvedge-data").to_string_lossy().into_owned();
    let mut command = vec![selvedge_program(), "run".to_owned(), "--data".to_owned(), data];
    command.extend(["--mqtt".to_owned(), format!("127.0.0.1:{port}")]);
    for other in ["--ws", "--http"] {
        command.extend([other.to_owned(), format!("127.0.0.1:{}", free_port()?)]);
    }
    Ok(command)
}

fn mosquitto(port: u16, folder: &Path) -> anyhow::Result<Vec<String>> {
    let program = find_mosquitto().context("find mosquitto: install Debian's package of that name")?;
    let path = folder.join("mosquitto.conf");
    // No limit on queues and in-flight messages: it would drop what the others deliver.
    let text = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\n\
         max_inflight_messages 0\nset_tcp_nodelay true\nlog_type error\n"
    );
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(vec![program, "-c".to_owned(), path.to_string_lossy().into_owned()])
}

fn rumqttd(port: u16, protocol: u8) -> anyhow::Result<Vec<String>> {
    let program = repository::root().join("tests/peers/target/release/selvedge-peers");
    let other = free_port()?.to_string();
    let (version_4, version_5) = if protocol == 4 { (port.to_string(), other) } else { (other, port.to_string()) };
    Ok(vec![program.to_string_lossy().into_owned(), version_4, version_5])
}

/// A port that nobody listens on; another program could still take it before the broker does, which then says so.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("look for a free port")?;
    Ok(listener.local_addr().context("look for a free port")?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_ends_at_once_is_told_with_what_it_said() {
        let folder = Folder::create().expect("a folder");
        let fails = ["sh", "-c", "echo no such luck; exit 1", "--"].map(str::to_owned);
        let error = Broker::start(Kind::Relay, 4, &folder, &fails).err().expect("it ends");
        assert!(error.to_string().contains("no such luck"), "{error}");
    }

    #[test]
    fn a_broker_is_killed_when_its_value_goes_away() {
        let child = Command::new("sleep").arg("600").spawn().expect("sleep starts");
        let broker = Broker { kind: Kind::Relay, port: 0, child };
        let process = PathBuf::from(format!("/proc/{}", broker.pid()));
        assert!(process.exists());
        drop(broker);
        assert!(!process.exists());
    }
}
