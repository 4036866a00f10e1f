//! The ports that this node listens on, added to what ports are used for.

use std::net::SocketAddr;

use selvedge_ebpf::PortsConfig;

use crate::wiring::listen::Addresses;

/// One of the lists.
type Select = fn(&mut PortsConfig) -> &mut Vec<u16>;

/// Has the ports of `addresses` count as what they are, whatever the configuration says of them.
pub fn add(ports: &mut PortsConfig, addresses: &Addresses) {
    let own: [(Option<SocketAddr>, Select); 5] = [
        (addresses.mqtt, |ports| &mut ports.mqtt),
        (addresses.mqtts, |ports| &mut ports.mqtts),
        (addresses.websocket, |ports| &mut ports.websocket),
        (addresses.secure_websocket, |ports| &mut ports.websocket),
        (addresses.http, |ports| &mut ports.http),
    ];
    for (address, list) in own {
        let Some(port) = address.map(|address| address.port()) else { continue };
        for other in [&mut ports.mqtt, &mut ports.mqtts, &mut ports.websocket, &mut ports.http, &mut ports.dns] {
            other.retain(|known| *known != port);
        }
        list(ports).push(port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_the_node_listens_on_is_what_the_node_uses_it_for() {
        let mut ports = PortsConfig::default();
        let at = |port: u16| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        add(&mut ports, &Addresses { mqtt: at(8083), http: at(9000), ..Addresses::default() });
        assert_eq!(ports.mqtt, [1883, 8083]);
        assert_eq!(ports.websocket, [8080, 8084]);
        assert!(ports.http.ends_with(&[9000]));
    }
}
