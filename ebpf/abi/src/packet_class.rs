//! The few kinds that packets are sorted into. Each fits the bits that [`crate::FlowShape`] and [`crate::TotalKey`]
//! have for it.

macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $number:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[repr(u8)]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_meta])* $variant = $number),+ }

        impl $name {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The one with this number, if there is one.
            #[inline(always)]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number {
                    $($number => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

numbered! {
    /// Which way a packet crosses the interface, seen from this machine.
    Direction {
        /// Received.
        In = 0,
        /// Sent.
        Out = 1,
    }
}

numbered! {
    /// Version of the Internet protocol; [`IpVersion::None`] for ARP, LLDP and whatever else is no IP.
    IpVersion {
        /// IPv4.
        V4 = 0,
        /// IPv6.
        V6 = 1,
        /// No IP packet.
        None = 2,
    }
}

numbered! {
    /// What an IP packet carries.
    Protocol {
        /// TCP.
        Tcp = 0,
        /// UDP.
        Udp = 1,
        /// ICMP in IPv4, ICMPv6 in IPv6.
        Icmp = 2,
        /// Anything else, and what is too broken to tell.
        Other = 3,
    }
}

numbered! {
    /// What a port of TCP or UDP is used for, as configured.
    PortClass {
        /// None of the below.
        Other = 0,
        /// MQTT over TCP.
        Mqtt = 1,
        /// MQTT over TLS.
        MqttTls = 2,
        /// MQTT over WebSocket, with or without TLS.
        WebSocket = 3,
        /// HTTP, with or without TLS.
        Http = 4,
        /// DNS.
        Dns = 5,
    }
}

/// How many port classes there are.
pub const PORT_CLASSES: u32 = 6;

impl PortClass {
    /// Whether connections to such a port speak MQTT: a SYN to it is a connection attempt.
    #[inline(always)]
    pub const fn is_mqtt(self) -> bool {
        matches!(self, Self::Mqtt | Self::MqttTls | Self::WebSocket)
    }
}
