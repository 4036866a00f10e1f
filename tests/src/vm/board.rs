//! The board: an emulator on the disk, its ports on this machine, and a shell on it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::Plan;
use super::lan::Lan;
use crate::child::{Signal, TestChild};
use crate::update::free_port;
use crate::{PATIENCE, raw_mqtt};

/// For the answer to one CONNECT: the emulator's network takes a connection before the board is there.
const ANSWER_MAX: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What stays over all starts.
#[derive(Debug)]
pub struct Machine {
    emulator: Vec<String>,
    disk: PathBuf,
    key: PathBuf,
    /// Holds the key of the board's SSH server from the first start on: another one is refused.
    folder: tempfile::TempDir,
    mqtt: SocketAddr,
    ssh: SocketAddr,
    lan: Arc<Lan>,
}

/// A board that has power.
#[derive(Debug)]
pub struct Board {
    emulator: TestChild,
    mqtt: SocketAddr,
    ssh: Vec<String>,
    lan: Arc<Lan>,
    started: Instant,
}

impl Machine {
    /// With ports of its own.
    pub fn new(plan: &Plan) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("make a folder")?;
        let (mqtt, ssh) = (free_port()?, free_port()?);
        let (emulator, disk, key) = (plan.emulator.clone(), plan.disk.clone(), plan.key.clone());
        ensure!(!emulator.is_empty(), "no emulator was named");
        Ok(Self { emulator, disk, key, folder, mqtt, ssh, lan: Arc::new(Lan::new()?) })
    }

    /// Where MQTT is served, while there is power.
    pub fn mqtt(&self) -> SocketAddr {
        self.mqtt
    }

    /// Switches it on.
    pub fn start(&self) -> anyhow::Result<Board> {
        let mut command = Command::new(&self.emulator[0]);
        command.args(&self.emulator[1..]);
        command.arg("-drive").arg(format!("file={},format=raw,if=virtio", self.disk.display()));
        command.arg("-netdev").arg(format!("user,id=net,hostfwd=tcp:{}-:1883,hostfwd=tcp:{}-:22", self.mqtt, self.ssh));
        command.args(["-device", "virtio-net-pci,netdev=net,romfile="]);
        command.args(self.lan.words()?);
        let emulator = TestChild::start("the board", command)?;
        Ok(Board { emulator, mqtt: self.mqtt, ssh: self.shell(), lan: Arc::clone(&self.lan), started: Instant::now() })
    }

    fn shell(&self) -> Vec<String> {
        let option = |text: String| ["-o".to_owned(), text];
        let mut words =
            vec!["-i".to_owned(), self.key.display().to_string(), "-p".to_owned(), self.ssh.port().to_string()];
        words.extend(option(format!("UserKnownHostsFile={}", self.folder.path().join("known_hosts").display())));
        for text in [
            "StrictHostKeyChecking=accept-new",
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "ConnectTimeout=60",
            "ServerAliveInterval=20",
            "LogLevel=ERROR",
        ] {
            words.extend(option(text.to_owned()));
        }
        words.push(format!("root@{}", self.ssh.ip()));
        words
    }
}

impl Board {
    /// Where MQTT is served.
    pub fn mqtt(&self) -> SocketAddr {
        self.mqtt
    }

    /// The cable to its second network card.
    pub fn lan(&self) -> &Lan {
        &self.lan
    }

    /// Waits until a client is let in; how long it took since power came.
    pub fn until_ready(&mut self, longest: Duration) -> anyhow::Result<Duration> {
        while self.started.elapsed() < longest && !self.has_ended() {
            if is_let_in(self.mqtt) {
                return Ok(self.started.elapsed());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        bail!("nobody is let in after {:?}\n{}", self.started.elapsed(), self.emulator.said())
    }

    /// What happened from power to the first client, as the board itself says.
    pub fn startup(&self) -> String {
        let times = "systemctl show selvedge --property ExecMainStartTimestampMonotonic --property ActiveEnterTimestampMonotonic --value";
        let kernel = self.shell(times).unwrap_or_default();
        let micros: Vec<u64> = kernel.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let own = match micros.as_slice() {
            [one, other] => format!("; the node {:.1} s of that", one.abs_diff(*other) as f64 / 1e6),
            _ => String::new(),
        };
        let systemd = self.shell("systemd-analyze time").unwrap_or_default();
        format!("{}{own}", systemd.lines().next().unwrap_or_default().trim())
    }

    /// Runs a line of the shell on the board; what it prints.
    pub fn shell(&self, line: &str) -> anyhow::Result<String> {
        self.shell_with(line, Vec::new())
    }

    /// As [`Board::shell`], with something to read.
    pub fn shell_with(&self, line: &str, input: Vec<u8>) -> anyhow::Result<String> {
        let mut child = self.command(line).spawn().context("start ssh")?;
        let mut stdin = child.stdin.take().context("ssh has an input")?;
        // A line that ends without reading everything is judged by its exit code.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().context("wait for ssh")?;
        drop(writer.join());
        ensure!(output.status.success(), "`{line}` ended with {}: {}", output.status, said(&output));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts a line of the shell that reads a file of this machine, and does not wait for it.
    pub fn begin(&self, line: &str, input: &Path) -> anyhow::Result<TestChild> {
        // A process of a test has an input of its own, so a shell here opens the file.
        let mut words = vec!["-c".to_owned(), "file=$1; shift; exec ssh \"$@\" <\"$file\"".to_owned(), "sh".to_owned()];
        words.push(input.display().to_string());
        words.extend(self.ssh.iter().cloned());
        words.push(line.to_owned());
        let mut command = Command::new("sh");
        command.args(words);
        TestChild::start("a shell on the board", command)
    }

    /// Puts a file of this machine on the board.
    pub fn put(&self, file: &Path, place: &str) -> anyhow::Result<()> {
        let bytes = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
        self.shell_with(&format!("mkdir -p $(dirname {place}) && cat >{place}"), bytes).map(drop)
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("ssh");
        command.args(&self.ssh).arg(line).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Pulls the plug.
    pub fn cut(mut self) -> anyhow::Result<()> {
        self.emulator.signal(Signal::KILL)?;
        self.emulator.wait(PATIENCE).map(drop)
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.emulator.has_ended()
    }

    /// The end of its console.
    pub fn said(&self) -> String {
        self.emulator.said()
    }
}

/// Whether a CONNECT is answered with a good CONNACK.
fn is_let_in(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<[u8; 4]> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.write_all(&raw_mqtt::connect(4, "looks-in"))?;
        let mut connack = [0; 4];
        stream.read_exact(&mut connack)?;
        Ok(connack)
    };
    ask().is_ok_and(|connack| connack == [0x20, 2, 0, 0])
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
