//! Runs rumqttd as a peer broker for `cargo xtask bench-peers`: one listener for MQTT 3.1.1, one for MQTT 5, loopback only.
//! Not a broker of the product and never shipped. Invariant: settings are rumqttd's own example configuration, except for
//! limits that would refuse the load, and its console, WebSocket and metrics servers, which are not started.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, bail};
use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(version_4), Some(version_5), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        bail!("usage: selvedge-peers PORT_FOR_MQTT_3_1_1 PORT_FOR_MQTT_5");
    };
    let config = Config {
        router: RouterConfig {
            max_connections: 10_010,
            max_outgoing_packet_count: 200,
            max_segment_size: 104_857_600,
            max_segment_count: 10,
            ..RouterConfig::default()
        },
        v4: Some(listener("v4", &version_4)?),
        v5: Some(listener("v5", &version_5)?),
        ..Config::default()
    };
    Broker::new(config).start().context("rumqttd ended")
}

fn listener(name: &str, port: &str) -> anyhow::Result<HashMap<String, ServerSettings>> {
    let port: u16 = port.parse().with_context(|| format!("reading {port:?} as a port"))?;
    let settings = ServerSettings {
        name: name.to_owned(),
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        tls: None,
        next_connection_delay_ms: 1,
        connections: ConnectionSettings {
            connection_timeout_ms: 60_000,
            max_payload_size: 1_048_576,
            max_inflight_count: 100,
            auth: None,
            external_auth: None,
            dynamic_filters: true,
        },
    };
    Ok(HashMap::from([(name.to_owned(), settings)]))
}
