//! The exchange of twins with other nodes.

use serde::{Deserialize, Serialize};

use super::quantity::Period;

/// The exchange of twins with other nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyncConfig {
    /// The broker over which the nodes of the group talk: `mqtt://host:port` or `mqtts://host:port`. Empty: no exchange.
    pub broker: String,
    /// The group's public key, 64 hexadecimal digits.
    pub group_key: String,
    /// User at the broker; empty: none.
    pub username: String,
    /// File with the password; empty: none.
    pub password_file: String,
    /// Certificates (PEM) that the broker is checked with; empty: those of the system.
    pub ca: String,
    /// Certificate (PEM) that the node shows the broker; empty: none.
    pub certificate: String,
    /// Its key.
    pub key: String,
    /// What the topics begin with.
    pub topic_prefix: String,
    /// How often the node tells the others what it has.
    pub heartbeat: Period,
    /// A member that is silent for longer does not hold up the forgetting of removals; it takes over the whole state when it is
    /// back.
    pub lease: Period,
    /// Messages that wait for the connection; more are left out, and made good for by the next heartbeat.
    pub outbox_messages_max: u32,
    /// Writes of clocks far ahead that are held until this node's clock has come there.
    pub far_writes_max: u32,
    /// Removals that are remembered for members that have not seen them.
    pub removals_max: u32,
}

impl Default for SyncConfig {
    fn default() -> Self {
        Self {
            broker: String::new(),
            group_key: String::new(),
            username: String::new(),
            password_file: String::new(),
            ca: String::new(),
            certificate: String::new(),
            key: String::new(),
            topic_prefix: "selvedge/sync".to_owned(),
            heartbeat: Period::seconds(30),
            lease: Period::seconds(14 * 86_400),
            outbox_messages_max: 256,
            far_writes_max: 1_024,
            removals_max: 100_000,
        }
    }
}

/// Where a broker is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerAddress {
    /// Whether the connection is encrypted.
    pub is_encrypted: bool,
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl BrokerAddress {
    /// From `mqtt://host[:port]` or `mqtts://host[:port]`; an IPv6 address stands in brackets.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let (is_encrypted, usual) = match scheme {
            "mqtt" => (false, 1883),
            "mqtts" => (true, 8883),
            _ => return None,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[') {
            Some(inner) => {
                let (host, after) = inner.split_once(']')?;
                (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
            }
            None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let is_name = !host.is_empty() && !host.contains(['/', '@', '[', ']', ' ']);
        let port = port.map_or(Some(usual), |port| port.parse().ok().filter(|port| *port > 0))?;
        is_name.then(|| Self { is_encrypted, host: host.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_has_a_scheme_a_host_and_maybe_a_port() {
        let parse = |text| BrokerAddress::parse(text).map(|at| (at.is_encrypted, at.host, at.port));
        assert_eq!(parse("mqtt://hub"), Some((false, "hub".to_owned(), 1883)));
        assert_eq!(parse("mqtts://hub.example:18883/"), Some((true, "hub.example".to_owned(), 18883)));
        assert_eq!(parse("mqtts://[2001:db8::1]"), Some((true, "2001:db8::1".to_owned(), 8883)));
        assert_eq!(parse("mqtt://[::1]:1884"), Some((false, "::1".to_owned(), 1884)));
        for wrong in [
            "hub",
            "http://hub",
            "mqtt://",
            "mqtt://hub:0",
            "mqtt://hub:x",
            "mqtt://a@b",
            "mqtt://[::1]x",
            "mqtt://h/t",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
