//! The broker of a run: where it is, how to speak to it, and what measures it.
//! Invariant: a bare relay that was started for the run ends with it.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use selvedge_codec::ProtocolVersion;

use crate::connection::Wrapping;
use crate::encryption;
use crate::error::RunError;
use crate::exposition::Exposition;
use crate::options::TargetOptions;
use crate::plan::{LIMITS, in_range};
use crate::process::ProcessMeter;
use crate::relay::{Relay, RelayFaults, RelayThread};

/// A broker, found and ready to be connected to.
#[derive(Debug)]
pub(crate) struct Target {
    pub address: SocketAddr,
    /// What the report calls it.
    pub name: String,
    pub version: ProtocolVersion,
    pub username: Option<String>,
    pub password: Option<String>,
    pub meter: Option<ProcessMeter>,
    /// Where it shows its own counters.
    pub exposition: Option<Exposition>,
    /// What lies between TCP and MQTT.
    pub wrapping: Wrapping,
    /// How long nothing may happen.
    pub patience: Duration,
    _relay: Option<RelayThread>,
}

impl Target {
    /// Resolves the address, or starts the bare relay.
    pub fn find(options: &TargetOptions) -> Result<Self, RunError> {
        let patience = Duration::from_secs(in_range("timeout-s", options.timeout_s, 1, LIMITS.timeout_s)?);
        let version = if options.protocol == 4 { ProtocolVersion::V311 } else { ProtocolVersion::V5 };
        let (username, password) = (options.username.clone(), options.password.clone());
        if options.bare_relay {
            let relay = start_relay()?;
            return Ok(Self {
                address: relay.address(),
                name: "the bare relay".to_owned(),
                version,
                username,
                password,
                meter: Some(ProcessMeter::of_own_thread(relay.thread_id())),
                exposition: None,
                wrapping: Wrapping::default(),
                patience,
                _relay: Some(relay),
            });
        }
        let resolve = |source| RunError::Resolve { host: options.host.clone(), port: options.port, source };
        let mut addresses =
            (options.host.as_str(), options.port).to_socket_addrs().map_err(|source| resolve(Some(source)))?;
        Ok(Self {
            address: addresses.next().ok_or_else(|| resolve(None))?,
            name: format!("{}:{}", options.host, options.port),
            version,
            username,
            password,
            meter: options.pid.map(ProcessMeter::of_process),
            exposition: options.metrics.as_deref().map(Exposition::at).transpose()?,
            wrapping: Wrapping {
                encryption: encryption::prepare(options)?,
                websocket: options.websocket.clone().map(|path| (format!("{}:{}", options.host, options.port), path)),
            },
            patience,
            _relay: None,
        })
    }
}

fn start_relay() -> Result<RelayThread, RunError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let relay = Relay::bind(address, RelayFaults::default()).map_err(|source| RunError::Listen { address, source })?;
    relay.spawn().map_err(|source| RunError::System { what: "start the relay's thread", source })
}
