//! Binding the node's ports, or taking over those that the service manager has bound, with errors that say who is in the way and
//! which flag changes the port.

use std::io;
use std::net::{SocketAddr, TcpListener};

use selvedge_broker::{Listener, TlsSettings, Transport};
use thiserror::Error;

use super::handed_over::HandedOver;
use super::port_holder;
use super::settings::listener_durability;
use crate::config::durability::ListenerDurability;
use crate::config::{Config, Listen};

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
    /// Its clients would wait for ever.
    #[error(
        "the service manager listens on {address}, and no listener of the configuration does; both have to name the same addresses"
    )]
    NobodyServes {
        /// Where.
        address: SocketAddr,
    },
}

/// Sockets that listen and are not served yet: connections wait in the kernel.
#[derive(Debug)]
pub struct Bound {
    /// MQTT over TCP, TLS, WebSocket and WebSocket over TLS, in this order, as far as they are on.
    pub mqtt: Vec<Listener>,
    /// For each of them, whether clients may come in without a login.
    pub lets_anonymous_in: Vec<bool>,
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
    /// MQTT over TLS.
    pub mqtts: Option<SocketAddr>,
    /// MQTT over WebSocket.
    pub websocket: Option<SocketAddr>,
    /// MQTT over WebSocket over TLS.
    pub secure_websocket: Option<SocketAddr>,
    /// HTTP.
    pub http: Option<SocketAddr>,
}

/// One listener of MQTT, as it is configured.
struct Wanted {
    what: &'static str,
    flag: &'static str,
    listen: Listen,
    allow_anonymous: bool,
    durability: ListenerDurability,
    transport: Transport,
    tls: Option<TlsSettings>,
}

/// Binds everything that is configured and not among what was `handed_over`, or nothing. `tls` is what the encrypted listeners use;
/// without it they are not bound.
///
/// # Errors
/// The first port that cannot be had, or one that was handed over for nobody.
pub fn bind(config: &Config, tls: Option<&TlsSettings>, mut handed_over: HandedOver) -> Result<Bound, ListenError> {
    let mut bound =
        Bound { mqtt: Vec::new(), lets_anonymous_in: Vec::new(), http: None, addresses: Addresses::default() };
    let addresses = &mut bound.addresses;
    let wanted = wanted(config, tls);
    let places = [&mut addresses.mqtt, &mut addresses.mqtts, &mut addresses.websocket, &mut addresses.secure_websocket];
    for (wanted, place) in wanted.into_iter().zip(places) {
        let Some(address) = wanted.listen.address() else { continue };
        let mut listener = match handed_over.at(address) {
            Some(socket) => Listener::on(socket, wanted.transport),
            None => Listener::bind(address, wanted.transport)
                .map_err(|error| refused(wanted.what, address, wanted.flag, error))?,
        };
        listener.tls = wanted.tls;
        listener.durability = listener_durability(wanted.durability);
        *place = listener.socket.local_addr().ok();
        bound.mqtt.push(listener);
        // Anonymous clients come in over loopback, or where that was asked for in so many words.
        bound.lets_anonymous_in.push(wanted.allow_anonymous || !wanted.listen.is_exposed());
    }
    if let Some(address) = config.http.listen.address() {
        let listener = match handed_over.at(address) {
            Some(socket) => socket,
            None => TcpListener::bind(address).map_err(|error| refused("HTTP", address, "--http", error))?,
        };
        bound.addresses.http = listener.local_addr().ok();
        bound.http = Some(listener);
    }
    match handed_over.left() {
        Some(address) => Err(ListenError::NobodyServes { address }),
        None => Ok(bound),
    }
}

fn wanted(config: &Config, tls: Option<&TlsSettings>) -> [Wanted; 4] {
    let plain = |what, flag, listen, (allow_anonymous, durability), transport| Wanted {
        what,
        flag,
        listen,
        allow_anonymous,
        durability,
        transport,
        tls: None,
    };
    let encrypted = |wanted: Wanted| Wanted {
        listen: if tls.is_some() { wanted.listen } else { Listen::Off },
        tls: tls.cloned(),
        ..wanted
    };
    let (mqtt, mqtts) = (&config.mqtt, &config.mqtts);
    let (websocket, secure) = (&config.websocket, &config.secure_websocket);
    [
        plain("MQTT", "--mqtt", mqtt.listen, (mqtt.allow_anonymous, mqtt.durability), Transport::Tcp),
        encrypted(plain(
            "MQTT over TLS",
            "--mqtts",
            mqtts.listen,
            (mqtts.allow_anonymous, mqtts.durability),
            Transport::Tcp,
        )),
        plain(
            "WebSocket",
            "--ws",
            websocket.listen,
            (websocket.allow_anonymous, websocket.durability),
            Transport::WebSocket,
        ),
        encrypted(plain(
            "secure WebSocket",
            "--wss",
            secure.listen,
            (secure.allow_anonymous, secure.durability),
            Transport::WebSocket,
        )),
    ]
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

    #[test]
    fn a_port_in_use_is_told_with_its_holder_and_the_flag() {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = holder.local_addr().unwrap();
        let mut config = Config::default();
        config.mqtt.listen = Listen::loopback(0);
        config.websocket.listen = Listen::At(address);
        config.http.listen = Listen::Off;
        let error = bind(&config, None, HandedOver::default()).unwrap_err().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("--ws"), "{error}");
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    }

    #[test]
    fn what_is_off_is_not_bound_and_port_0_gets_a_number() {
        let mut config = Config::default();
        config.mqtt.listen = Listen::loopback(0);
        config.websocket.listen = Listen::Off;
        config.http.listen = Listen::loopback(0);
        let bound = bind(&config, None, HandedOver::default()).unwrap();
        assert_eq!(bound.mqtt.len(), 1);
        assert!(bound.addresses.mqtt.is_some_and(|address| address.port() != 0));
        assert_eq!(bound.addresses.websocket, None);
        assert!(bound.addresses.http.is_some());
    }
}
