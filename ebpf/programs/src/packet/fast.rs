//! The packets that nearly all packets are: IPv4 without options, IPv6 without extension headers, whole, and in front
//! of them TCP, UDP, ICMP or something without ports. Direct loads, no call.
//!
//! Whatever is not clearly that is left to the careful reader.

use core::arch::asm;

use selvedge_ebpf_abi::{IpVersion, Peer, Protocol};

use super::{ICMP, ICMP_V6, Packet, TCP, TYPE_ARP, TYPE_IPV4, TYPE_IPV6, UDP};

/// Loads a number at a constant place of the packet. A plain load would promise the compiler an alignment that the
/// packet does not have, and an unaligned one becomes a load for each byte.
macro_rules! load {
    ($size:literal, $data:expr, $place:expr) => {{
        let value: u64;
        // SAFETY: reads only; the verifier accepts it only where the place was shown to be inside the packet.
        unsafe {
            asm!(
                concat!("{value} = *(", $size, " *)({data} + {place})"),
                value = out(reg) value,
                data = in(reg) $data,
                place = const $place,
                options(pure, readonly, nostack)
            );
        }
        value
    }};
}

const IPV4: usize = 20;
const IPV6: usize = 40;
/// Header of UDP, and the part of TCP's that holds both ports.
const UDP_HEADER: usize = 8;
const TCP_HEADER: usize = 20;
/// More fragments, or an offset (RFC 791, 3.1).
const FRAGMENT: u16 = 0x3fff;

/// Part of the packet that can be loaded directly.
#[derive(Clone, Copy)]
pub struct Direct {
    pub data: usize,
    pub end: usize,
}

/// Reads a packet with `LINK` bytes of link header, or leaves it to the careful reader.
#[inline(always)]
pub fn read<const LINK: usize, const OUT: bool>(direct: Direct, ether_type: u16, length: u32) -> Option<Packet> {
    match ether_type {
        TYPE_IPV4 => ipv4::<LINK, OUT>(direct, length),
        TYPE_IPV6 => ipv6::<LINK, OUT>(direct, length),
        TYPE_ARP => Some(Packet::unread(IpVersion::None)),
        _ => None,
    }
}

#[inline(always)]
fn ipv4<const LINK: usize, const OUT: bool>(Direct { data, end }: Direct, length: u32) -> Option<Packet> {
    if data + LINK + IPV4 + UDP_HEADER > end {
        return None;
    }
    // Version 4 with five words of header.
    if load!("u8", data, LINK) != 0x45 {
        return None;
    }
    let total = u16::from_be(load!("u16", data, LINK + 2) as u16) as u32;
    let whole = u16::from_be(load!("u16", data, LINK + 6) as u16) & FRAGMENT == 0;
    if !whole || total < (IPV4 + UDP_HEADER) as u32 || total + LINK as u32 > length {
        return None;
    }
    let protocol = load!("u8", data, LINK + 9) as u8;
    let peer = if OUT { load!("u32", data, LINK + 16) } else { load!("u32", data, LINK + 12) } as u32;
    let packet = Packet::from_peer(IpVersion::V4, Peer::from_ipv4(peer));
    match protocol {
        TCP => {
            if data + LINK + IPV4 + TCP_HEADER > end {
                return None;
            }
            let source = load!("u16", data, LINK + IPV4) as u16;
            let destination = load!("u16", data, LINK + IPV4 + 2) as u16;
            let words = load!("u8", data, LINK + IPV4 + 12) as u8;
            let flags = load!("u8", data, LINK + IPV4 + 13) as u8;
            tcp::<OUT>(packet, (LINK + IPV4) as u32, total - IPV4 as u32, [source, destination], words, flags)
        }
        UDP => {
            let source = load!("u16", data, LINK + IPV4) as u16;
            let destination = load!("u16", data, LINK + IPV4 + 2) as u16;
            let stated = load!("u16", data, LINK + IPV4 + 4) as u16;
            udp::<OUT>(packet, (LINK + IPV4) as u32, total - IPV4 as u32, [source, destination], stated)
        }
        ICMP => Some(Packet { protocol: Protocol::Icmp, ..packet }),
        _ => Some(packet),
    }
}

#[inline(always)]
fn ipv6<const LINK: usize, const OUT: bool>(Direct { data, end }: Direct, length: u32) -> Option<Packet> {
    if data + LINK + IPV6 + UDP_HEADER > end {
        return None;
    }
    if load!("u8", data, LINK) >> 4 != 6 {
        return None;
    }
    let payload = u16::from_be(load!("u16", data, LINK + 4) as u16) as u32;
    if payload < UDP_HEADER as u32 || payload + (LINK + IPV6) as u32 > length {
        return None;
    }
    let next = load!("u8", data, LINK + 6) as u8;
    let peer = if OUT {
        Peer([load!("u64", data, LINK + 24), load!("u64", data, LINK + 32)])
    } else {
        Peer([load!("u64", data, LINK + 8), load!("u64", data, LINK + 16)])
    };
    let packet = Packet::from_peer(IpVersion::V6, peer);
    match next {
        TCP => {
            if data + LINK + IPV6 + TCP_HEADER > end {
                return None;
            }
            let source = load!("u16", data, LINK + IPV6) as u16;
            let destination = load!("u16", data, LINK + IPV6 + 2) as u16;
            let words = load!("u8", data, LINK + IPV6 + 12) as u8;
            let flags = load!("u8", data, LINK + IPV6 + 13) as u8;
            tcp::<OUT>(packet, (LINK + IPV6) as u32, payload, [source, destination], words, flags)
        }
        UDP => {
            let source = load!("u16", data, LINK + IPV6) as u16;
            let destination = load!("u16", data, LINK + IPV6 + 2) as u16;
            let stated = load!("u16", data, LINK + IPV6 + 4) as u16;
            udp::<OUT>(packet, (LINK + IPV6) as u32, payload, [source, destination], stated)
        }
        ICMP_V6 => Some(Packet { protocol: Protocol::Icmp, ..packet }),
        _ => None,
    }
}

/// `words` is the byte that has the length of the header in its upper half; ports are in the order of the network.
#[inline(always)]
fn tcp<const OUT: bool>(
    mut packet: Packet,
    before: u32,
    length: u32,
    [source, destination]: [u16; 2],
    words: u8,
    flags: u8,
) -> Option<Packet> {
    let header = (words >> 4) as u32 * 4;
    if header < TCP_HEADER as u32 || header > length {
        return None;
    }
    packet.protocol = Protocol::Tcp;
    packet.headers = before + header;
    packet.sort_by_ports::<OUT>(u16::from_be(source), u16::from_be(destination), flags);
    Some(packet)
}

#[inline(always)]
fn udp<const OUT: bool>(
    mut packet: Packet,
    before: u32,
    length: u32,
    [source, destination]: [u16; 2],
    stated: u16,
) -> Option<Packet> {
    let stated = u16::from_be(stated) as u32;
    if stated < UDP_HEADER as u32 || stated > length {
        return None;
    }
    packet.protocol = Protocol::Udp;
    packet.headers = before + UDP_HEADER as u32;
    packet.sort_by_ports::<OUT>(u16::from_be(source), u16::from_be(destination), 0);
    Some(packet)
}
