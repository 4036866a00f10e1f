//! One measured broker: its process, where it serves, and how long it took to be there.
//!
//! Invariant: the process is killed when its value goes away, and by the kernel when this process dies first, where
//! `setpriv` is there.

use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::configuration::{self, Mode, Room};
use super::{Programs, memory};
use crate::bench_peers;
use crate::process;

/// How long a broker may take until it accepts a client.
const START_MAX: Duration = Duration::from_secs(120);

/// Between two tries to connect; what a measured start may be wrong by.
const RETRY: Duration = Duration::from_millis(1);

/// CONNECT of a 3.1.1 client "first" with a clean session, and what a CONNACK begins with.
const CONNECT: &[u8] = b"\x10\x11\x00\x04MQTT\x04\x02\x00\x3c\x00\x05first";
const CONNACK: u8 = 0x20;

/// Where a broker's files are, and what it is told.
#[derive(Clone)]
pub struct Place {
    /// Its folder: data, configuration, log.
    pub folder: PathBuf,
    /// What it is.
    pub mode: Mode,
    /// Whether its binary knows `[durability]`.
    pub section: bool,
    /// What its sessions may hold.
    pub room: Room,
}

/// A broker that serves.
pub struct Node {
    child: Child,
    place: Place,
    port: u16,
    /// Where its counters are; mosquitto has none.
    http: Option<SocketAddr>,
    /// From starting the process to the line that says it is ready; mosquitto prints none.
    pub ready_after: Option<Duration>,
    /// From starting the process to the first CONNACK.
    pub answered_after: Duration,
}

impl Place {
    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts the broker and waits until a client is accepted.
    pub fn start(&self, programs: &Programs) -> anyhow::Result<Node> {
        let port = free_port()?;
        let words = self.command(programs, port)?;
        let log_path = self.folder.join("log");
        let log = File::create(&log_path).with_context(|| format!("create {}", log_path.display()))?;
        let mut guarded = Vec::new();
        if let Some(setpriv) = process::find(&["setpriv"]) {
            // It becomes the broker, so the process id stays the same.
            guarded.extend([setpriv, "--pdeathsig".to_owned(), "KILL".to_owned(), "--".to_owned()]);
        }
        guarded.extend(words);
        let started = Instant::now();
        let mut command = Command::new(&guarded[0]);
        command.args(&guarded[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().with_context(|| format!("start {}", guarded.join(" ")))?;
        // On a thread, because the first client must not wait for a line that is late.
        let stdout = child.stdout.take().context("read what the broker prints")?;
        let ready = std::thread::spawn(move || ready_line(BufReader::new(stdout), started));
        let mut node =
            Node { child, place: self.clone(), port, http: None, ready_after: None, answered_after: Duration::ZERO };
        node.answered_after = node.wait_for_connack(started, &log_path)?;
        if self.mode != Mode::Mosquitto {
            let (http, after) = ready.join().ok().flatten().context("read where the node serves")?;
            (node.http, node.ready_after) = (Some(http), Some(after));
        }
        Ok(node)
    }

    fn command(&self, programs: &Programs, port: u16) -> anyhow::Result<Vec<String>> {
        let data = self.data();
        std::fs::create_dir_all(&self.folder).with_context(|| format!("create {}", self.folder.display()))?;
        let (text, file) = match self.mode {
            Mode::Mosquitto => {
                std::fs::create_dir_all(&data).with_context(|| format!("create {}", data.display()))?;
                (configuration::mosquitto(&data, port), "mosquitto.conf")
            }
            mode => (configuration::selvedge(mode, self.section, &data, port, self.room), "selvedge.toml"),
        };
        let path = self.folder.join(file);
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        let path = path.to_string_lossy().into_owned();
        Ok(match self.mode {
            Mode::Mosquitto => {
                let program = bench_peers::find_mosquitto().context("find mosquitto: install Debian's package")?;
                vec![program, "-c".to_owned(), path]
            }
            _ => {
                let program = programs.selvedge.to_string_lossy().into_owned();
                [program.as_str(), "run", "--json", "--config", &path].map(str::to_owned).into()
            }
        })
    }
}

impl Node {
    /// What it is.
    pub fn mode(&self) -> Mode {
        self.place.mode
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Arguments of `selvedge bench` that lead to it and have it measured.
    pub fn arguments(&self) -> Vec<String> {
        let mut words = vec!["--port".to_owned(), self.port.to_string(), "--pid".to_owned(), self.pid().to_string()];
        if let Some(http) = self.http {
            words.extend(["--metrics".to_owned(), format!("http://{http}/metrics")]);
        }
        words
    }

    /// Its resident memory, in bytes.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        memory::resident_bytes(self.pid())
    }

    /// The most that it has been since the start, in bytes.
    pub fn peak_bytes(&self) -> anyhow::Result<u64> {
        memory::peak_bytes(self.pid())
    }

    /// Kills it as a crash of the process would; it can be started again at its place.
    pub fn kill(mut self) -> anyhow::Result<Place> {
        self.child.kill().context("kill the broker")?;
        self.child.wait().context("wait for the killed broker")?;
        Ok(self.place.clone())
    }

    fn wait_for_connack(&mut self, started: Instant, log: &Path) -> anyhow::Result<Duration> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        loop {
            if first_connack(address).is_some() {
                return Ok(started.elapsed());
            }
            let ended = self.child.try_wait().context("look after the broker")?;
            if ended.is_some() || started.elapsed() > START_MAX {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                bail!("{} accepts no client on {address}; it said: {}", self.place.mode.name(), said.trim());
            }
            std::thread::sleep(RETRY);
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Fails only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where HTTP is served, and when that was printed; reads on until the broker ends, so that it never waits for a reader.
fn ready_line(mut lines: impl std::io::BufRead + Send + 'static, started: Instant) -> Option<(SocketAddr, Duration)> {
    let mut line = String::new();
    while lines.read_line(&mut line).ok()? > 0 {
        let printed: Option<serde_json::Value> = serde_json::from_str(&line).ok();
        let http = printed.as_ref().and_then(|printed| printed.get("http")?.as_str()?.parse().ok());
        if let Some(http) = http {
            let after = started.elapsed();
            std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
            return Some((http, after));
        }
        line.clear();
    }
    None
}

fn first_connack(address: SocketAddr) -> Option<()> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(START_MAX)).ok()?;
    stream.write_all(CONNECT).ok()?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).ok()?;
    (answer[0] == CONNACK && answer[3] == 0).then_some(())
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
    fn the_line_that_says_where_http_is_served_is_found_behind_others() {
        let text = "hello\n{\"other\":1}\n{\"mqtt\":\"127.0.0.1:1\",\"http\":\"127.0.0.1:2\"}\nmore\n";
        let (http, _) = ready_line(BufReader::new(text.as_bytes()), Instant::now()).expect("it is there");
        assert_eq!(http.port(), 2);
        assert!(ready_line(BufReader::new(&b"nothing\n"[..]), Instant::now()).is_none());
    }

    #[test]
    fn the_first_client_takes_a_connack_and_nothing_else() {
        for (answer, accepted) in [(b"\x20\x02\x00\x00", true), (b"\x20\x02\x00\x05", false), (b"HTTP", false)] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            let address = listener.local_addr().expect("an address");
            let server = std::thread::spawn(move || {
                let (mut stream, _) = listener.accept().expect("a client");
                let mut asked = [0; CONNECT.len()];
                stream.read_exact(&mut asked).expect("a whole CONNECT");
                assert_eq!(usize::from(asked[1]) + 2, CONNECT.len());
                stream.write_all(answer).expect("the client listens");
            });
            assert_eq!(first_connack(address).is_some(), accepted, "{answer:?}");
            server.join().expect("the server ends well");
        }
    }
}
