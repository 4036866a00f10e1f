//! The kinds that packets are sorted into, as they are written in reports and configurations.

use selvedge_ebpf_abi as abi;
use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$variant_meta])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As it is written: in reports, labels of metrics, topics.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.text())
            }
        }

        impl From<abi::$name> for $name {
            fn from(kind: abi::$name) -> Self {
                match kind { $(abi::$name::$variant => Self::$variant),+ }
            }
        }

        impl From<$name> for abi::$name {
            fn from(kind: $name) -> Self {
                match kind { $($name::$variant => Self::$variant),+ }
            }
        }
    };
}

kinds! {
    /// Which way a packet crosses the interface, seen from this machine.
    Direction {
        /// Received.
        In "in",
        /// Sent.
        Out "out",
    }
}

kinds! {
    /// Version of the Internet protocol.
    IpVersion {
        /// IPv4.
        V4 "ipv4",
        /// IPv6.
        V6 "ipv6",
        /// No IP: ARP, LLDP and the like.
        None "none",
    }
}

kinds! {
    /// What an IP packet carries.
    Protocol {
        /// TCP.
        Tcp "tcp",
        /// UDP.
        Udp "udp",
        /// ICMP or ICMPv6.
        Icmp "icmp",
        /// Anything else.
        Other "other",
    }
}

kinds! {
    /// What a port of TCP or UDP is used for, as configured in [`crate::PortsConfig`].
    PortClass {
        /// None of the below.
        Other "other",
        /// MQTT over TCP.
        Mqtt "mqtt",
        /// MQTT over TLS.
        MqttTls "mqtts",
        /// MQTT over WebSocket.
        WebSocket "websocket",
        /// HTTP.
        Http "http",
        /// DNS.
        Dns "dns",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_comes_back_from_the_kernel_as_it_went() {
        for &class in PortClass::ALL {
            assert_eq!(PortClass::from(abi::PortClass::from(class)), class);
        }
        for &version in IpVersion::ALL {
            assert_eq!(IpVersion::from(abi::IpVersion::from(version)), version);
        }
    }

    #[test]
    fn a_kind_is_written_as_it_is_read() {
        for &class in PortClass::ALL {
            assert_eq!(serde_json::to_value(class).unwrap(), class.text());
            assert_eq!(class.to_string(), class.text());
        }
        assert_eq!(serde_json::from_str::<Direction>("\"in\"").unwrap(), Direction::In);
    }
}
