//! Binding the node's ports, with errors that say who is in the way and which flag changes the port.

use std::io;
use std::net::{SocketAddr, TcpListener};

use selvedge_broker::{Listener, Transport};
use thiserror::Error;

use super::port_holder;
use crate::config::Config;

/// A port that cannot be had.
#[derive(Debug, Error)]
pub enum ListenError {
    /// Somebody listens there.
    #[error(
        "{what}: {address} is in use by {holder}; choose another with {flag} ADDRESS:PORT, or turn it off with {flag} off"
    )]
    InUse {
        /// Which listener.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Who, as far as it can be found.
        holder: String,
        /// What changes it.
        flag: &'static str,
    },
    /// The system refused otherwise.
    #[error("{what}: listen on {address} (change it with {flag} ADDRESS:PORT)")]
    Refused {
        /// Which listener.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// What changes it.
        flag: &'static str,
        /// Cause.
        source: io::Error,
    },
}

/// Sockets that listen and are not served yet: connections wait in the kernel.
#[derive(Debug)]
pub struct Bound {
    /// MQTT over TCP and WebSocket, in this order, as far as they are on.
    pub mqtt: Vec<Listener>,
    /// HTTP.
    pub http: Option<TcpListener>,
    /// Where they are.
    pub addresses: Addresses,
}

/// Where the node listens; none is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// MQTT over TCP.
    pub mqtt: Option<SocketAddr>,
    /// MQTT over WebSocket.
    pub websocket: Option<SocketAddr>,
    /// HTTP.
    pub http: Option<SocketAddr>,
}

/// Binds everything that is configured, or nothing.
///
/// # Errors
/// The first port that cannot be had.
pub fn bind(config: &Config) -> Result<Bound, ListenError> {
    let mut bound = Bound { mqtt: Vec::new(), http: None, addresses: Addresses::default() };
    if let Some(address) = config.mqtt.listen.address() {
        let listener =
            Listener::bind(address, Transport::Tcp).map_err(|error| refused("MQTT", address, "--mqtt", error))?;
        bound.addresses.mqtt = listener.socket.local_addr().ok();
        bound.mqtt.push(listener);
    }
    if let Some(address) = config.websocket.listen.address() {
        let listener = Listener::bind(address, Transport::WebSocket)
            .map_err(|error| refused("WebSocket", address, "--ws", error))?;
        bound.addresses.websocket = listener.socket.local_addr().ok();
        bound.mqtt.push(listener);
    }
    if let Some(address) = config.http.listen.address() {
        let listener = TcpListener::bind(address).map_err(|error| refused("HTTP", address, "--http", error))?;
        bound.addresses.http = listener.local_addr().ok();
        bound.http = Some(listener);
    }
    Ok(bound)
}

fn refused(what: &'static str, address: SocketAddr, flag: &'static str, source: io::Error) -> ListenError {
    if source.kind() == io::ErrorKind::AddrInUse {
        let holder = port_holder::find(address.port()).unwrap_or_else(|| "another process".to_owned());
        return ListenError::InUse { what, address, holder, flag };
    }
    ListenError::Refused { what, address, flag, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Listen;

    #[test]
    fn a_port_in_use_is_told_with_its_holder_and_the_flag() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = holder.local_addr().unwrap();
        let mut config = Config::default();
        config.mqtt.listen = Listen::loopback(0);
        config.websocket.listen = Listen::At(address);
        config.http.listen = Listen::Off;
        let error = bind(&config).unwrap_err().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("--ws"), "{error}");
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    }

    #[test]
    fn what_is_off_is_not_bound_and_port_0_gets_a_number() {
        let mut config = Config::default();
        config.mqtt.listen = Listen::loopback(0);
        config.websocket.listen = Listen::Off;
        config.http.listen = Listen::loopback(0);
        let bound = bind(&config).unwrap();
        assert_eq!(bound.mqtt.len(), 1);
        assert!(bound.addresses.mqtt.is_some_and(|address| address.port() != 0));
        assert_eq!(bound.addresses.websocket, None);
        assert!(bound.addresses.http.is_some());
    }
}
