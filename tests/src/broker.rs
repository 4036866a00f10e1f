//! The broker that the client tests talk to: the product, or mosquitto to test the tests.

use std::net::SocketAddr;

use crate::client::Transport;
use crate::mosquitto::Mosquitto;
use crate::node::Node;

/// A running broker with both transports.
#[derive(Debug)]
pub enum TestBroker {
    /// The product.
    Selvedge(Node),
    /// Debian's mosquitto, chosen with `SELVEDGE_TEST_BROKER=mosquitto`.
    Mosquitto(Mosquitto),
}

impl TestBroker {
    /// Starts the broker that the environment chooses, on free ports, with an empty state.
    ///
    /// # Errors
    /// It is not there or does not come up.
    pub fn start() -> anyhow::Result<Self> {
        match std::env::var("SELVEDGE_TEST_BROKER").as_deref() {
            Ok("mosquitto") => Mosquitto::start().map(Self::Mosquitto),
            Ok(other) => anyhow::bail!("SELVEDGE_TEST_BROKER is {other}; allowed is mosquitto"),
            Err(_) => Node::start().map(Self::Selvedge),
        }
    }

    /// Where MQTT is served over that transport.
    pub fn address(&self, transport: Transport) -> SocketAddr {
        match (self, transport) {
            (Self::Selvedge(node), Transport::Tcp) => node.mqtt(),
            (Self::Selvedge(node), Transport::Ws) => node.websocket(),
            (Self::Mosquitto(mosquitto), Transport::Tcp) => mosquitto.mqtt(),
            (Self::Mosquitto(mosquitto), Transport::Ws) => mosquitto.websocket(),
        }
    }

    /// What the broker printed, for failure messages.
    pub fn said(&self) -> String {
        match self {
            Self::Selvedge(node) => node.said(),
            Self::Mosquitto(mosquitto) => mosquitto.said(),
        }
    }
}
