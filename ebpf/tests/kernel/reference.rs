//! What has to be counted of a frame, said once more and differently: by cutting slices, as RFC 791, 8200, 9293 and 768
//! read.

use std::net::{IpAddr, Ipv6Addr};

use selvedge_ebpf_abi::{
    Direction, FlowDetails, FlowKey, FlowShape, Happened, IpVersion, Peer, PortClass, Protocol, TotalKey,
};

/// What has to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    pub total: TotalKey,
    pub flow: Option<FlowKey>,
    pub happened: Happened,
}

/// Classes as the tests configure them.
pub fn class(port: u16) -> PortClass {
    match port {
        1883 => PortClass::Mqtt,
        8883 => PortClass::MqttTls,
        8083 => PortClass::WebSocket,
        80 => PortClass::Http,
        53 => PortClass::Dns,
        _ => PortClass::Other,
    }
}

/// What is known once IP is read.
struct Ip<'f> {
    peer: IpAddr,
    number: u8,
    /// The transport's bytes as IP's lengths say, or none when IP's headers do not hold together.
    transport: Option<&'f [u8]>,
    fragment: bool,
    first: bool,
}

/// What a frame, as the kernel gives it at the hook, has to be counted as on interface `interface`.
pub fn expect(frame: &[u8], direction: Direction, interface: u32) -> Expected {
    let (ether_type, packet, whole) = untag(u16::from_be_bytes([frame[12], frame[13]]), &frame[14..]);
    let (version, ip) = match ether_type {
        0x0800 if whole => (IpVersion::V4, ipv4(packet, direction)),
        0x86dd if whole => (IpVersion::V6, ipv6(packet, direction)),
        _ => {
            let happened = if whole { Happened::NOTHING } else { Happened::MALFORMED };
            let (protocol, class) = (Protocol::Other, PortClass::Other);
            let total = TotalKey { direction, version: IpVersion::None, protocol, class };
            return Expected { total, flow: None, happened };
        }
    };
    let Some(ip) = ip else {
        let total = TotalKey { direction, version, protocol: Protocol::Other, class: PortClass::Other };
        return Expected { total, flow: None, happened: Happened::MALFORMED };
    };
    transport(&ip, version, direction, interface)
}

fn untag(mut ether_type: u16, mut packet: &[u8]) -> (u16, &[u8], bool) {
    for _ in 0..2 {
        if ![0x8100, 0x88a8, 0x9100].contains(&ether_type) {
            break;
        }
        let Some((tag, rest)) = packet.split_first_chunk::<4>() else {
            return (ether_type, packet, false);
        };
        ether_type = u16::from_be_bytes([tag[2], tag[3]]);
        packet = rest;
    }
    (ether_type, packet, true)
}

fn ipv4(packet: &[u8], direction: Direction) -> Option<Ip<'_>> {
    let header = packet.first_chunk::<20>()?;
    let header_length = usize::from(header[0] & 15) * 4;
    let stated = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let total = if stated == 0 { packet.len() } else { stated };
    if header[0] >> 4 != 4 || header_length < 20 || header_length > total || total > packet.len() {
        return None;
    }
    let address: [u8; 4] = match direction {
        Direction::In => header[12..16].try_into().unwrap(),
        Direction::Out => header[16..20].try_into().unwrap(),
    };
    let fragment = u16::from_be_bytes([header[6], header[7]]);
    Some(Ip {
        peer: IpAddr::from(address),
        number: header[9],
        transport: Some(&packet[header_length..total]),
        fragment: fragment & 0x3fff != 0,
        first: fragment & 0x1fff == 0,
    })
}

fn ipv6(packet: &[u8], direction: Direction) -> Option<Ip<'_>> {
    let (header, rest) = packet.split_first_chunk::<40>()?;
    let stated = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let payload = if stated == 0 { rest.len() } else { stated };
    if header[0] >> 4 != 6 || payload > rest.len() {
        return None;
    }
    let address: [u8; 16] = match direction {
        Direction::In => header[8..24].try_into().unwrap(),
        Direction::Out => header[24..40].try_into().unwrap(),
    };
    let peer = IpAddr::V6(Ipv6Addr::from(address));
    let mut ip = Ip { peer, number: header[6], transport: Some(&rest[..payload]), fragment: false, first: true };
    for _ in 0..6 {
        let Some(bytes) = ip.transport else { break };
        // The helper that copies sees the whole frame; only the sizes are held against what IP says.
        let offset = payload - bytes.len();
        let seen = &rest[offset..];
        let size = match ip.number {
            0 | 43 | 60 | 135 | 139 | 140 if seen.len() >= 2 => (usize::from(seen[1]) + 1) * 8,
            51 if seen.len() >= 2 => (usize::from(seen[1]) + 2) * 4,
            44 if seen.len() >= 8 => {
                ip.fragment = true;
                ip.first = u16::from_be_bytes([seen[2], seen[3]]) & 0xfff8 == 0;
                8
            }
            0 | 43 | 44 | 51 | 60 | 135 | 139 | 140 => {
                ip.transport = None;
                break;
            }
            _ => break,
        };
        ip.number = seen[0];
        ip.transport = bytes.get(size..);
        if !ip.first {
            break;
        }
    }
    Some(ip)
}

fn transport(ip: &Ip<'_>, version: IpVersion, direction: Direction, interface: u32) -> Expected {
    let known = match (version, ip.number) {
        (_, 6) => Protocol::Tcp,
        (_, 17) => Protocol::Udp,
        (IpVersion::V4, 1) | (IpVersion::V6, 58) => Protocol::Icmp,
        _ => Protocol::Other,
    };
    // Where a chain of headers breaks, what the last one announces is not believed.
    let protocol = if ip.transport.is_none() { Protocol::Other } else { known };
    let mut happened = if ip.fragment { Happened::FRAGMENT } else { Happened::NOTHING };
    let (mut class_found, mut peer_port) = (PortClass::Other, 0);
    match ip.transport {
        None => happened |= Happened::MALFORMED,
        Some(_) if !ip.first => {}
        Some(bytes) => match ports(protocol, bytes, ip.fragment) {
            Err(()) => happened |= Happened::MALFORMED,
            Ok(None) => {}
            Ok(Some((source, destination, flags))) => {
                let (local, remote) = match direction {
                    Direction::In => (destination, source),
                    Direction::Out => (source, destination),
                };
                class_found = if class(local) == PortClass::Other { class(remote) } else { class(local) };
                if protocol == Protocol::Tcp {
                    happened |= flags_of(flags, class(destination));
                    if flags & 2 == 0 && class(local).is_mqtt() {
                        peer_port = remote;
                    }
                }
            }
        },
    }
    let peer = match ip.peer {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let shape = FlowShape::new(direction, version, class_found);
    let details = FlowDetails::new(interface, peer_port, shape, protocol);
    let flow = Some(FlowKey { peer: Peer::from_bytes(peer.octets()), details });
    Expected { total: TotalKey { direction, version, protocol, class: class_found }, flow, happened }
}

type Ports = Option<(u16, u16, u8)>;

fn ports(protocol: Protocol, bytes: &[u8], fragment: bool) -> Result<Ports, ()> {
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    match protocol {
        Protocol::Tcp => {
            let words = usize::from(bytes.get(12).ok_or(())? >> 4);
            if words < 5 || words * 4 > bytes.len() { Err(()) } else { Ok(Some((port(0), port(2), bytes[13]))) }
        }
        Protocol::Udp => {
            if bytes.len() < 8 {
                return Err(());
            }
            let stated = usize::from(port(4));
            let long = stated == 0 && bytes.len() > 0xffff;
            if (stated < 8 && !long) || (!fragment && stated > bytes.len()) {
                return Err(());
            }
            Ok(Some((port(0), port(2), 0)))
        }
        Protocol::Icmp if bytes.len() < 4 => Err(()),
        Protocol::Icmp | Protocol::Other => Ok(None),
    }
}

fn flags_of(flags: u8, destination: PortClass) -> Happened {
    let mut happened = Happened::NOTHING;
    match (flags & 2 != 0, flags & 16 != 0) {
        (true, true) => happened |= Happened::SYN_ACK,
        (true, false) => {
            happened |= Happened::SYN;
            if destination.is_mqtt() {
                happened |= Happened::MQTT_ATTEMPT;
            }
        }
        _ => {}
    }
    if flags & 4 != 0 {
        happened |= Happened::RESET;
    }
    if flags & 1 != 0 {
        happened |= Happened::FINISH;
    }
    happened
}
