//! Starting and stopping the brokers that are compared.
//!
//! Invariant: a broker that was started is killed when its value goes away, and, where `setpriv` is there, by the kernel
//! when this process dies without getting to it.

use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::rows::{Row, Transport};
use crate::{process, repository};

/// How long a broker may take until it accepts connections.
const START_MAX: Duration = Duration::from_secs(20);

/// Pause between two tries to connect.
const RETRY: Duration = Duration::from_millis(20);

/// Who the generator's clients are; the bare relay and rumqttd let everybody in.
const USER: &str = "bench";
const PASSWORD: &str = "bench-password";

/// What they may do at Selvedge; mosquitto's rules say the same.
const RULES: &str = "[[rule]]\nusers = [\"bench\"]\npublish = [\"bench/#\"]\nsubscribe = [\"bench/#\"]\n";

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

impl Folder {
    /// Selvedge's data directory, whose certificates all brokers use.
    fn data(&self) -> PathBuf {
        self.path.join("selvedge-data")
    }

    fn authority(&self) -> PathBuf {
        self.data().join("tls/ca.pem")
    }

    /// Makes the certificates.
    pub fn certify(&self) -> anyhow::Result<()> {
        let data = self.data();
        selvedge_command(&["cert", "create", "--data", &data.to_string_lossy(), "--name", "127.0.0.1"], "")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind lies in the build folder and harms nobody.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Where a broker listens, on 127.0.0.1. A broker that has no users or listens on TCP only ignores the others.
#[derive(Clone, Copy, Debug)]
struct Ports {
    tcp: u16,
    tls: u16,
    websocket: u16,
}

/// A broker that accepts connections.
pub struct Broker {
    kind: Kind,
    ports: Ports,
    /// The certificate authority that its TLS listener's certificate comes from.
    authority: PathBuf,
    child: Child,
}

impl Broker {
    /// Starts one and waits until it accepts connections; `relay` is the command of the bare relay without its address.
    pub fn start(kind: Kind, protocol: u8, folder: &Folder, relay: &[String]) -> anyhow::Result<Self> {
        let ports = Ports { tcp: free_port()?, tls: free_port()?, websocket: free_port()? };
        let command = match kind {
            Kind::Selvedge => selvedge(ports, folder)?,
            Kind::Mosquitto => mosquitto(ports, folder)?,
            Kind::Rumqttd => rumqttd(ports.tcp, protocol)?,
            Kind::Relay => relay.iter().cloned().chain([format!("127.0.0.1:{}", ports.tcp)]).collect(),
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
        let mut broker = Self { kind, ports, authority: folder.authority(), child };
        broker.wait_until_ready(&log_path)?;
        Ok(broker)
    }

    /// Which one it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it can play its part in a row.
    pub fn can_run(&self, row: &Row) -> bool {
        match self.kind {
            Kind::Selvedge | Kind::Mosquitto => true,
            Kind::Rumqttd => row.transport == Transport::Tcp,
            Kind::Relay => row.transport == Transport::Tcp && row.relay,
        }
    }

    /// Arguments of `selvedge bench` that lead to it; every client logs in.
    pub fn address_of(&self, transport: Transport) -> anyhow::Result<Vec<String>> {
        let authority = self.authority.to_str().context("name the build folder in UTF-8")?;
        let (port, more) = match transport {
            Transport::Tcp => (self.ports.tcp, Vec::new()),
            Transport::Tls => (self.ports.tls, vec!["--cafile", authority]),
            Transport::WebSocket => (self.ports.websocket, vec!["--websocket"]),
        };
        let mut words = vec!["--port".to_owned(), port.to_string()];
        words.extend(more.into_iter().chain(["--username", USER, "--password", PASSWORD]).map(str::to_owned));
        Ok(words)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn wait_until_ready(&mut self, log: &Path) -> anyhow::Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.tcp));
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

/// Runs Selvedge's own program to its end.
fn selvedge_command(words: &[&str], input: &str) -> anyhow::Result<()> {
    let program = selvedge_program();
    let mut child = Command::new(&program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("start {program}"))?;
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    written.transpose().with_context(|| format!("answer {program}"))?;
    let status = child.wait().with_context(|| format!("wait for {program}"))?;
    if !status.success() {
        bail!("{program} {} ended with {status}", words.join(" "));
    }
    Ok(())
}

/// With users, rules that name the topics of the generator, and all limits as they are by default, except for the one on how fast
/// one address connects: all connections of the storm come from one.
fn selvedge(ports: Ports, folder: &Folder) -> anyhow::Result<Vec<String>> {
    let data = folder.data();
    let data_text = data.to_string_lossy();
    selvedge_command(&["user", "add", USER, "--data", &data_text, "--stdin"], PASSWORD)?;
    write(&data.join("access/rules.toml"), RULES)?;
    let text = format!(
        "data = \"{data_text}\"\n[mqtt]\nlisten = \"127.0.0.1:{}\"\n[mqtts]\nlisten = \"127.0.0.1:{}\"\n\
         [websocket]\nlisten = \"127.0.0.1:{}\"\n[http]\nlisten = \"127.0.0.1:0\"\n\
         [limits]\nconnect_burst_per_address = 100000\n",
        ports.tcp, ports.tls, ports.websocket
    );
    let path = folder.path.join("selvedge.toml");
    write(&path, &text)?;
    Ok(vec![selvedge_program(), "run".to_owned(), "--config".to_owned(), path.to_string_lossy().into_owned()])
}

/// With a password file, access rules, and no limit on queues and in-flight messages: it would drop what the others deliver.
fn mosquitto(ports: Ports, folder: &Folder) -> anyhow::Result<Vec<String>> {
    let program = find_mosquitto().context("find mosquitto: install Debian's package of that name")?;
    let (passwords, rules) = (folder.path.join("passwords"), folder.path.join("rules"));
    write(&passwords, "")?;
    process::run("mosquitto_passwd", &["-b", &passwords.to_string_lossy(), USER, PASSWORD])?;
    write(&rules, &format!("user {USER}\ntopic readwrite bench/#\n"))?;
    let tls = folder.data().join("tls");
    let text = format!(
        "per_listener_settings false\nallow_anonymous false\npassword_file {}\nacl_file {}\npersistence false\n\
         max_queued_messages 0\nmax_inflight_messages 0\nset_tcp_nodelay true\nlog_type error\nuser root\n\
         listener {} 127.0.0.1\nlistener {} 127.0.0.1\ncertfile {}\nkeyfile {}\n\
         listener {} 127.0.0.1\nprotocol websockets\n",
        passwords.display(),
        rules.display(),
        ports.tcp,
        ports.tls,
        tls.join("server.pem").display(),
        tls.join("server.key").display(),
        ports.websocket,
    );
    let path = folder.path.join("mosquitto.conf");
    write(&path, &text)?;
    Ok(vec![program, "-c".to_owned(), path.to_string_lossy().into_owned()])
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
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
        let broker = Broker {
            kind: Kind::Relay,
            ports: Ports { tcp: 0, tls: 0, websocket: 0 },
            authority: PathBuf::new(),
            child,
        };
        let process = PathBuf::from(format!("/proc/{}", broker.pid()));
        assert!(process.exists());
        drop(broker);
        assert!(!process.exists());
    }
}
