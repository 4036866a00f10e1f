//! The broker under test: a process on a data directory that outlives it.
//!
//! Invariant: a process never outlives its [`Running`], and it ends when the test says so.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::child::{Signal, TestChild};
use crate::node::{Node, Place};
use crate::{PATIENCE, installed};

/// How often a port is tried until mosquitto listens.
const CONNECT_POLL: Duration = Duration::from_millis(2);
/// Queues that a run cannot fill: a limit of the configuration is no loss.
const CONFIGURATION: &str = "[limits]\nqueue_messages_max = 1000000\nqueue_bytes_max = \"1GiB\"\n\
memory_bytes_max = \"4GiB\"\nretained_bytes_max = \"1GiB\"\nsys_interval = \"0s\"\n";

/// Which broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Product {
    /// This one.
    Selvedge,
    /// Debian's, with persistence and otherwise its defaults.
    Mosquitto,
}

/// A broker that can be started on its data.
#[derive(Debug, Clone)]
pub struct Broker {
    product: Product,
    place: Place,
}

/// A running broker.
#[derive(Debug)]
pub struct Running {
    process: Process,
    /// Where it serves MQTT.
    pub address: SocketAddr,
}

#[derive(Debug)]
enum Process {
    Selvedge(Box<Node>),
    Mosquitto(TestChild),
}

impl Broker {
    /// One with no data.
    ///
    /// # Errors
    /// No folder can be made.
    pub fn new(product: Product) -> anyhow::Result<Self> {
        let place = Place::with_configuration(CONFIGURATION)?;
        std::fs::create_dir(place.data()).context("make a data directory")?;
        Ok(Self { product, place })
    }

    /// Its data directory.
    pub fn data(&self) -> std::path::PathBuf {
        self.place.data()
    }

    /// Starts it and waits until it serves.
    ///
    /// # Errors
    /// It does not start; the text holds what it printed.
    pub fn start(&self) -> anyhow::Result<Running> {
        match self.product {
            Product::Selvedge => {
                let node = self.place.start()?;
                Ok(Running { address: node.mqtt(), process: Process::Selvedge(Box::new(node)) })
            }
            Product::Mosquitto => self.start_mosquitto(),
        }
    }

    fn start_mosquitto(&self) -> anyhow::Result<Running> {
        // It cannot choose a port of its own: this one was free a moment ago.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let configuration = format!(
            "user root\nallow_anonymous true\nset_tcp_nodelay true\nmax_queued_messages 0\n\
             persistence true\npersistence_location {}/\nlistener {} 127.0.0.1\n",
            self.data().display(),
            address.port()
        );
        let path = self.place.folder().join("mosquitto.conf");
        std::fs::write(&path, configuration).with_context(|| format!("write {}", path.display()))?;
        let mut command = Command::new(installed::program("mosquitto")?);
        command.arg("-c").arg(&path);
        let child = TestChild::start("mosquitto", command)?;
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            if Instant::now() > deadline {
                bail!("nothing listens at {address}\n{}", child.said());
            }
            std::thread::sleep(CONNECT_POLL);
        }
        Ok(Running { process: Process::Mosquitto(child), address })
    }
}

impl Running {
    /// Kills it.
    ///
    /// # Errors
    /// It does not die.
    pub fn kill(self) -> anyhow::Result<()> {
        match self.process {
            Process::Selvedge(node) => node.kill().map(drop),
            Process::Mosquitto(mut child) => {
                child.signal(Signal::KILL)?;
                child.wait(PATIENCE).map(drop)
            }
        }
    }

    /// Asks it to stop and waits for its end.
    ///
    /// # Errors
    /// It does not stop.
    pub fn terminate(self) -> anyhow::Result<()> {
        match self.process {
            Process::Selvedge(node) => node.stop().map(drop),
            Process::Mosquitto(mut child) => {
                child.signal(Signal::TERM)?;
                child.wait(PATIENCE).map(drop)
            }
        }
    }

    /// The node, if it is the product.
    pub fn node(&self) -> Option<&Node> {
        match &self.process {
            Process::Selvedge(node) => Some(node),
            Process::Mosquitto(_) => None,
        }
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        match &mut self.process {
            Process::Selvedge(node) => node.has_ended(),
            Process::Mosquitto(child) => child.has_ended(),
        }
    }

    /// Lines that the node logged so far; of another broker nothing is read.
    pub fn log(&self) -> Vec<String> {
        self.node().map(Node::log).unwrap_or_default()
    }

    /// What it printed.
    pub fn said(&self) -> String {
        match &self.process {
            Process::Selvedge(node) => node.said(),
            Process::Mosquitto(child) => child.said(),
        }
    }
}
