//! Frames, built from what is in them.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::network::{HERE, HERE_MAC, HERE_V6, PEER, PEER_MAC, PEER_V6};

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Peer,
    Here,
}

/// A frame with only a link header.
pub fn ethernet(from: From, ether_type: u16) -> Vec<u8> {
    let (source, destination) = match from {
        From::Peer => (PEER_MAC, HERE_MAC),
        From::Here => (HERE_MAC, PEER_MAC),
    };
    [&destination[..], &source[..], &ether_type.to_be_bytes()].concat()
}

/// Puts a tag of IEEE 802.1Q (or of another type) into a frame.
pub fn tagged(frame: &[u8], tag_type: u16, vlan: u16) -> Vec<u8> {
    [&frame[..12], &tag_type.to_be_bytes(), &vlan.to_be_bytes(), &frame[12..]].concat()
}

/// An IPv4 packet. `options` is a multiple of 4 long; `fragment` is the field with flags and offset.
pub fn ipv4_with(from: From, protocol: u8, options: &[u8], fragment: u16, payload: &[u8]) -> Vec<u8> {
    let (source, destination): (Ipv4Addr, Ipv4Addr) = match from {
        From::Peer => (PEER, HERE),
        From::Here => (HERE, PEER),
    };
    let words = 5 + options.len() / 4;
    let mut header = vec![0x40 | words as u8, 0];
    header.extend(((words * 4 + payload.len()) as u16).to_be_bytes());
    header.extend([0x12, 0x34]);
    header.extend(fragment.to_be_bytes());
    header.extend([64, protocol, 0, 0]);
    header.extend(source.octets());
    header.extend(destination.octets());
    header.extend(options);
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [ethernet(from, 0x0800), header, payload.to_vec()].concat()
}

pub fn ipv4(from: From, protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_with(from, protocol, &[], 0, payload)
}

/// An IPv6 packet; `next` is the first header of the payload.
pub fn ipv6(from: From, next: u8, payload: &[u8]) -> Vec<u8> {
    let (source, destination): (Ipv6Addr, Ipv6Addr) = match from {
        From::Peer => (PEER_V6, HERE_V6),
        From::Here => (HERE_V6, PEER_V6),
    };
    let mut frame = ethernet(from, 0x86dd);
    frame.extend([0x60, 0, 0, 0]);
    frame.extend((payload.len() as u16).to_be_bytes());
    frame.extend([next, 64]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    frame.extend(payload);
    frame
}

pub fn tcp(source: u16, destination: u16, flags: u8) -> Vec<u8> {
    let mut bytes = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 5 << 4, flags, 0xff, 0xff, 0, 0, 0, 0]);
    bytes
}

pub fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    bytes.extend((8 + payload.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    bytes
}

/// An extension header of IPv6 whose length is written in units of 8 bytes: hop-by-hop, routing, destination options.
pub fn extension(next: u8, units: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![next, units];
    bytes.resize((usize::from(units) + 1) * 8, 0);
    bytes.extend(rest);
    bytes
}

/// A fragment header of IPv6; the offset is in bytes.
pub fn fragment_v6(next: u8, offset: u16, more: bool, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![next, 0];
    bytes.extend((offset & 0xfff8 | u16::from(more)).to_be_bytes());
    bytes.extend([0, 0, 0, 9]);
    bytes.extend(rest);
    bytes
}

fn checksum(header: &[u8]) -> u16 {
    let mut sum: u32 = header.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
