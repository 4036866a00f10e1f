//! Where the node listens.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;

use super::durability::ListenerDurability;
use super::quantity::{ByteSize, Period};

const LISTEN_ALLOWED: &str =
    "ADDRESS:PORT such as \"127.0.0.1:1883\" or \"[::1]:1883\" (port 0: any free one), or \"off\"";

/// An address to listen on, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// This listener is not started.
    Off,
    /// Port 0 lets the kernel choose.
    At(SocketAddr),
}

/// Why a text is no listening address; the text says what is allowed.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("expected {LISTEN_ALLOWED}")]
pub struct ListenError;

/// MQTT 3.1.1 and 5 over TCP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttConfig {
    /// Address and port, or `off`.
    pub listen: Listen,
    /// Lets clients in without a login, from other machines, too.
    pub allow_anonymous: bool,
    /// How safe messages are kept that come in here.
    pub durability: ListenerDurability,
}

/// MQTT 3.1.1 and 5 over WebSocket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebSocketConfig {
    /// Address and port, or `off`.
    pub listen: Listen,
    /// Request path of the upgrade.
    pub path: String,
    /// Lets clients in without a login, from other machines, too.
    pub allow_anonymous: bool,
    /// How safe messages are kept that come in here.
    pub durability: ListenerDurability,
}

/// MQTT 3.1.1 and 5 over TLS.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MqttsConfig {
    /// Address and port, or `off`.
    pub listen: Listen,
    /// Lets clients in without a login, from other machines, too.
    pub allow_anonymous: bool,
    /// How safe messages are kept that come in here.
    pub durability: ListenerDurability,
}

/// MQTT 3.1.1 and 5 over WebSocket over TLS; the path is that of `[websocket]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SecureWebSocketConfig {
    /// Address and port, or `off`.
    pub listen: Listen,
    /// Lets clients in without a login, from other machines, too.
    pub allow_anonymous: bool,
    /// How safe messages are kept that come in here.
    pub durability: ListenerDurability,
}

/// Probes, metrics and the reading half of the API. What changes state goes over the Unix socket only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// Address and port, or `off`; the Unix socket is there in any case.
    pub listen: Listen,
    /// Lets anyone read twins, functions and metrics without a login, from other machines, too.
    pub allow_anonymous: bool,
    /// Connections at once, TCP and Unix socket each. A quarter of them may be watched twins and followed logs.
    pub connections_max: u32,
    /// Request line and headers together.
    pub header_bytes_max: ByteSize,
    /// Body of a request; a deployed function is the largest.
    pub body_bytes_max: ByteSize,
    /// Body of a request for a function (`/fn/NAME`).
    pub function_body_bytes_max: ByteSize,
    /// From the first byte of a request to its last, and again from there to the response. Followed logs and twins are exempt.
    /// The head of a request, also the next one on an open connection, has 5 s of it.
    pub request_timeout: Period,
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self { listen: Listen::loopback(1883), allow_anonymous: false, durability: ListenerDurability::Default }
    }
}

impl Default for WebSocketConfig {
    fn default() -> Self {
        Self {
            listen: Listen::loopback(8083),
            path: "/mqtt".to_owned(),
            allow_anonymous: false,
            durability: ListenerDurability::Default,
        }
    }
}

impl Default for MqttsConfig {
    fn default() -> Self {
        Self { listen: Listen::Off, allow_anonymous: false, durability: ListenerDurability::Default }
    }
}

impl Default for SecureWebSocketConfig {
    fn default() -> Self {
        Self { listen: Listen::Off, allow_anonymous: false, durability: ListenerDurability::Default }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: Listen::loopback(7883),
            allow_anonymous: false,
            connections_max: 64,
            header_bytes_max: ByteSize::kib(16),
            body_bytes_max: ByteSize::mib(33),
            function_body_bytes_max: ByteSize::mib(1),
            request_timeout: Period::seconds(30),
        }
    }
}

impl Listen {
    /// `127.0.0.1:port`.
    pub const fn loopback(port: u16) -> Self {
        Self::At(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }

    /// The address, if there is one.
    pub const fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::At(address) => Some(address),
        }
    }

    /// Whether another machine could connect.
    pub fn is_exposed(self) -> bool {
        self.address().is_some_and(|address| !address.ip().to_canonical().is_loopback())
    }
}

impl FromStr for Listen {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, ListenError> {
        match text {
            "off" => Ok(Self::Off),
            _ => text.parse().map(Self::At).map_err(|_| ListenError),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => address.fmt(f),
        }
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Listen;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(LISTEN_ALLOWED)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Listen, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_not_exposed() {
        for near in ["off", "127.0.0.1:1", "127.9.9.9:0", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert!(!near.parse::<Listen>().unwrap().is_exposed(), "{near}");
        }
        for far in ["0.0.0.0:1", "[::]:1", "192.168.1.1:1", "[::ffff:10.0.0.1]:1"] {
            assert!(far.parse::<Listen>().unwrap().is_exposed(), "{far}");
        }
    }
}
