//! Any packet: tags, options, extension headers, fragments, and whatever contradicts itself.
//!
//! Every piece is copied by a helper, because its place depends on the packet. What is repeated is written out and not
//! a loop: for a loader without CAP_PERFMON the verifier also follows what the processor might do speculatively, and
//! finds no end of a loop there.

use selvedge_ebpf_abi::{Happened, IpVersion, Peer, Protocol};

use super::{ICMP, ICMP_V6, Packet, Source, TCP, TYPE_IPV4, TYPE_IPV6, TYPES_OF_TAGS, UDP};

/// Extension headers (IANA), by how their length is written.
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;
const MOBILITY: u8 = 135;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;

/// What is left to look at, once the header of IP is read.
struct Transport {
    number: u8,
    at: u32,
    length: u32,
    /// Not the first fragment: no header of the transport is here.
    continues: bool,
}

/// Reads any packet whose IP header (or first tag) is at `at` into a [`Packet::blank`].
///
/// A function of its own in the kernel too: it is long, and called twice.
#[inline(never)]
pub fn read<S: Source, const OUT: bool>(source: S, ether_type: u16, at: u32, packet: &mut Packet) {
    (packet.version, packet.protocol) = (IpVersion::None, Protocol::Other);
    let transport = match skip_tags(source, ether_type, at) {
        Some((TYPE_IPV4, at)) => ipv4::<S, OUT>(source, at, packet),
        Some((TYPE_IPV6, at)) => ipv6::<S, OUT>(source, at, packet),
        Some(_) => return,
        None => None,
    };
    let sorted = transport.is_some_and(|transport| transport.continues || sort::<S, OUT>(source, &transport, packet));
    if !sorted {
        packet.happened |= Happened::MALFORMED;
    }
}

/// EtherType and place behind two tags at most, a third one makes the packet no IP; none when the packet ends inside
/// one.
#[inline(always)]
fn skip_tags<S: Source>(source: S, ether_type: u16, at: u32) -> Option<(u16, u32)> {
    let (ether_type, at) = skip_tag(source, ether_type, at)?;
    skip_tag(source, ether_type, at)
}

#[inline(always)]
fn skip_tag<S: Source>(source: S, ether_type: u16, at: u32) -> Option<(u16, u32)> {
    let [first, second, third] = TYPES_OF_TAGS;
    if ether_type != first && ether_type != second && ether_type != third {
        return Some((ether_type, at));
    }
    let tag = source.load::<4>(at)?;
    Some((u16::from_be_bytes([tag[2], tag[3]]), at + 4))
}

/// RFC 791, 3.1.
#[inline(always)]
fn ipv4<S: Source, const OUT: bool>(source: S, at: u32, packet: &mut Packet) -> Option<Transport> {
    packet.version = IpVersion::V4;
    let header = source.load::<20>(at)?;
    let header_length = (header[0] & 0x0f) as u32 * 4;
    let available = source.length().wrapping_sub(at);
    // The kernel writes 0 where a buffer is longer than the field can say.
    let total = match u16::from_be_bytes([header[2], header[3]]) {
        0 => available,
        total => total as u32,
    };
    if header[0] >> 4 != 4 || header_length < 20 || header_length > total || total > available {
        return None;
    }
    let address = if OUT {
        [header[16], header[17], header[18], header[19]]
    } else {
        [header[12], header[13], header[14], header[15]]
    };
    packet.peer = Peer::from_ipv4(u32::from_ne_bytes(address));
    packet.has_peer = true;

    packet.protocol = protocol(IpVersion::V4, header[9]);
    let fragment = u16::from_be_bytes([header[6], header[7]]);
    if fragment & 0x3fff != 0 {
        packet.happened |= Happened::FRAGMENT;
    }
    let continues = fragment & 0x1fff != 0;
    Some(Transport { number: header[9], at: at + header_length, length: total - header_length, continues })
}

/// RFC 8200, 3 and 4.
#[inline(always)]
fn ipv6<S: Source, const OUT: bool>(source: S, at: u32, packet: &mut Packet) -> Option<Transport> {
    packet.version = IpVersion::V6;
    let header = source.load::<40>(at)?;
    let available = source.length().wrapping_sub(at).wrapping_sub(40);
    // 0 where the length stands in an option (RFC 2675), or nowhere: buffers of the kernel longer than the field can
    // say.
    let payload = match u16::from_be_bytes([header[4], header[5]]) {
        0 => available,
        payload => payload as u32,
    };
    if header[0] >> 4 != 6 || payload > available {
        return None;
    }
    let address = if OUT { source.load::<16>(at + 24)? } else { source.load::<16>(at + 8)? };
    packet.peer = Peer::from_bytes(address);
    packet.has_peer = true;
    let transport = Transport { number: header[6], at: at + 40, length: payload, continues: false };
    skip_extensions(source, transport, packet)
}

/// Looks through six extension headers at most, as many as RFC 8200, 4.1 lists before the transport; what follows then
/// is `Other`. None when the packet ends inside one.
#[inline(always)]
fn skip_extensions<S: Source>(source: S, transport: Transport, packet: &mut Packet) -> Option<Transport> {
    let transport = skip_extension(source, transport, packet)?;
    let transport = skip_extension(source, transport, packet)?;
    let transport = skip_extension(source, transport, packet)?;
    let transport = skip_extension(source, transport, packet)?;
    let transport = skip_extension(source, transport, packet)?;
    let transport = skip_extension(source, transport, packet)?;
    packet.protocol = protocol(IpVersion::V6, transport.number);
    Some(transport)
}

#[inline(always)]
fn skip_extension<S: Source>(source: S, mut transport: Transport, packet: &mut Packet) -> Option<Transport> {
    if transport.continues {
        return Some(transport);
    }
    let size = match transport.number {
        HOP_BY_HOP | ROUTING | DESTINATION | MOBILITY | HOST_IDENTITY | SHIM6 => {
            let [next, words] = source.load::<2>(transport.at)?;
            transport.number = next;
            (words as u32 + 1) * 8
        }
        AUTHENTICATION => {
            let [next, words] = source.load::<2>(transport.at)?;
            transport.number = next;
            (words as u32 + 2) * 4
        }
        FRAGMENT => {
            let header = source.load::<8>(transport.at)?;
            transport.number = header[0];
            transport.continues = u16::from_be_bytes([header[2], header[3]]) & 0xfff8 != 0;
            packet.happened |= Happened::FRAGMENT;
            8
        }
        _ => return Some(transport),
    };
    if size > transport.length {
        return None;
    }
    transport.at += size;
    transport.length -= size;
    Some(transport)
}

#[inline(always)]
fn protocol(version: IpVersion, number: u8) -> Protocol {
    match (version, number) {
        (_, TCP) => Protocol::Tcp,
        (_, UDP) => Protocol::Udp,
        (IpVersion::V4, ICMP) | (IpVersion::V6, ICMP_V6) => Protocol::Icmp,
        _ => Protocol::Other,
    }
}

/// Looks at the header of the transport; false when it contradicts itself or is not all there.
#[inline(always)]
fn sort<S: Source, const OUT: bool>(source: S, transport: &Transport, packet: &mut Packet) -> bool {
    let Transport { at, length, .. } = *transport;
    let whole = !packet.happened.has(Happened::FRAGMENT);
    match packet.protocol {
        Protocol::Tcp => {
            let Some(header) = source.load::<14>(at) else {
                return false;
            };
            let header_length = (header[12] >> 4) as u32 * 4;
            if header_length < 20 || header_length > length {
                return false;
            }
            packet.headers = at + header_length;
            let ports = [u16::from_be_bytes([header[0], header[1]]), u16::from_be_bytes([header[2], header[3]])];
            packet.sort_by_ports::<OUT>(ports[0], ports[1], header[13]);
            true
        }
        Protocol::Udp => {
            let Some(header) = source.load::<8>(at) else {
                return false;
            };
            let stated = u16::from_be_bytes([header[4], header[5]]) as u32;
            // 0: longer than the field can say (RFC 2675, 4).
            let long = stated == 0 && length > 0xffff;
            if length < 8 || (stated < 8 && !long) || (whole && stated > length) {
                return false;
            }
            packet.headers = at + 8;
            let ports = [u16::from_be_bytes([header[0], header[1]]), u16::from_be_bytes([header[2], header[3]])];
            packet.sort_by_ports::<OUT>(ports[0], ports[1], 0);
            true
        }
        Protocol::Icmp => length >= 4,
        Protocol::Other => true,
    }
}
