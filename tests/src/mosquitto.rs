//! Debian's mosquitto on free ports, in memory: a peer for the command line and a check of the tests themselves.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::child::TestChild;
use crate::{PATIENCE, installed};

/// How often a port is tried until the broker listens.
const CONNECT_POLL: Duration = Duration::from_millis(10);

/// A running mosquitto.
#[derive(Debug)]
pub struct Mosquitto {
    child: TestChild,
    mqtt: SocketAddr,
    websocket: SocketAddr,
    // Deleted with the broker.
    _folder: tempfile::TempDir,
}

impl Mosquitto {
    /// Starts a broker and waits until both ports answer.
    ///
    /// # Errors
    /// It is not installed or does not come up.
    pub fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("make a folder for mosquitto")?;
        let (mqtt, websocket) = free_addresses()?;
        let configuration = format!(
            "allow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 10000\nlistener {} 127.0.0.1\n\
             listener {} 127.0.0.1\nprotocol websockets\n",
            mqtt.port(),
            websocket.port()
        );
        let path = folder.path().join("mosquitto.conf");
        std::fs::write(&path, configuration).with_context(|| format!("write {}", path.display()))?;
        let mut command = Command::new(installed::program("mosquitto")?);
        command.arg("-c").arg(&path);
        let child = TestChild::start("mosquitto", command)?;
        let mosquitto = Self { child, mqtt, websocket, _folder: folder };
        for address in [mqtt, websocket] {
            let deadline = Instant::now() + PATIENCE;
            while TcpStream::connect(address).is_err() {
                if Instant::now() > deadline {
                    bail!("nothing listens at {address}\n{}", mosquitto.said());
                }
                std::thread::sleep(CONNECT_POLL);
            }
        }
        Ok(mosquitto)
    }

    /// Where MQTT over TCP is served.
    pub fn mqtt(&self) -> SocketAddr {
        self.mqtt
    }

    /// Where MQTT over WebSocket is served.
    pub fn websocket(&self) -> SocketAddr {
        self.websocket
    }

    /// What it printed.
    pub fn said(&self) -> String {
        self.child.said()
    }
}

/// Two ports that were free a moment ago: mosquitto cannot choose its own.
fn free_addresses() -> anyhow::Result<(SocketAddr, SocketAddr)> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("find a free port");
    let (first, second) = (bind()?, bind()?);
    Ok((first.local_addr()?, second.local_addr()?))
}
