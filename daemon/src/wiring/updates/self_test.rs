//! Whether the node is well: it answers MQTT and HTTP, runs a function, reads a twin, and its store takes changes. What a new version
//! has to show, again and again, before it is confirmed. Looks at nothing beyond the machine.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use selvedge_broker::Handle;
use selvedge_functions::{InvocationContext, InvocationMessage, OfflineState, Qos, run_offline};
use selvedge_store::{Health, Store};

use crate::wiring::node_api::broker_answers;
use crate::wiring::settings;
use crate::wiring::twin_service::TwinService;

/// For each answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// A function whose result is known.
const FUNCTION: &[u8] = include_bytes!("../../../../examples/scale-transform/scale-transform.wasm");
const MANIFEST: &str = include_str!("../../../../examples/scale-transform/function.toml");
/// CONNECT of MQTT 3.1.1 with a clean session, without a name or a login.
const CONNECT: &[u8] = &[0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 30, 0, 0];

/// What is looked at.
pub struct SelfTest {
    /// MQTT, from inside.
    pub broker: Handle,
    /// MQTT over TCP, if it is on.
    pub mqtt: Option<SocketAddr>,
    /// HTTP.
    pub socket: PathBuf,
    /// Twins.
    pub twins: Arc<TwinService>,
    /// Durable state.
    pub store: Store,
    /// Settings of functions.
    pub functions: selvedge_functions::Config,
    /// For the native code of the function that is run.
    pub scratch: PathBuf,
    /// The function has run: once is enough, the rest is looked at again and again.
    pub function_ran: AtomicBool,
}

impl SelfTest {
    /// The first thing that is wrong.
    pub fn problem(&self) -> Option<String> {
        self.store().or_else(|| self.mqtt()).or_else(|| self.http()).or_else(|| self.twin()).or_else(|| self.function())
    }

    fn store(&self) -> Option<String> {
        match self.store.health() {
            // A disk that is full now was full for the version before too.
            Health::Good | Health::DiskFull { .. } => None,
            Health::Poisoned { cause } => Some(format!("the store cannot write: {cause}")),
        }
    }

    fn mqtt(&self) -> Option<String> {
        if !broker_answers(&self.broker) {
            return Some("the broker does not answer".to_owned());
        }
        let address = reachable(self.mqtt?);
        let connack = || -> io::Result<[u8; 4]> {
            let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
            stream.set_read_timeout(Some(ANSWER_MAX))?;
            stream.write_all(CONNECT)?;
            let mut answer = [0; 4];
            stream.read_exact(&mut answer)?;
            Ok(answer)
        };
        match connack() {
            // Let in or turned away for want of a login: it speaks MQTT.
            Ok([0x20, 2, _, _]) => None,
            Ok(other) => Some(format!("MQTT answers {other:02x?} at {address}")),
            Err(error) => Some(format!("MQTT does not answer at {address}: {error}")),
        }
    }

    fn http(&self) -> Option<String> {
        let answer = || -> io::Result<String> {
            let mut stream = UnixStream::connect(&self.socket)?;
            stream.set_read_timeout(Some(ANSWER_MAX))?;
            stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.take(4096).read_to_string(&mut answer)?;
            Ok(answer)
        };
        match answer() {
            Ok(text) if text.starts_with("HTTP/1.1 200 ") => None,
            Ok(text) => Some(format!("HTTP answers {:?}", text.lines().next().unwrap_or_default())),
            Err(error) => Some(format!("HTTP does not answer: {error}")),
        }
    }

    fn twin(&self) -> Option<String> {
        self.twins.twins().get("selvedge-probation").err().map(|error| format!("a twin cannot be read: {error}"))
    }

    fn function(&self) -> Option<String> {
        if self.function_ran.load(Ordering::Acquire) {
            return None;
        }
        let message = InvocationMessage {
            topic: "raw/probation".to_owned(),
            payload: b"213".to_vec(),
            qos: Qos::AtMostOnce,
            retain: false,
            properties: Default::default(),
        };
        let run = run_offline(
            &self.scratch,
            &settings::compile_child(),
            &self.functions,
            MANIFEST,
            FUNCTION,
            vec![(message, InvocationContext::default())],
            OfflineState::default(),
        );
        match run {
            Ok(report) => {
                let published = report.runs.first().and_then(|run| run.published.first());
                let is_right = published.is_some_and(|message| message.payload == b"21.3");
                self.function_ran.store(is_right, Ordering::Release);
                (!is_right).then(|| format!("a function gives another result: {:?}", report.runs))
            }
            Err(error) => Some(format!("a function cannot be run: {:#}", anyhow::Error::from(error))),
        }
    }
}

/// An address of all is reached over loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::new(Ipv6Addr::LOCALHOST.into(), address.port()),
        _ => address,
    }
}
