//! From the bytes of a packet to what is counted.
//!
//! Two readers: `fast` takes the packets that nearly all packets are, by direct loads at constant places; `careful`
//! takes any packet, with a helper call for each piece. What the fast one does not take (options, extension headers,
//! tags, fragments, anything odd) goes to the careful one, which alone decides what is malformed.

pub mod careful;
pub mod fast;

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::{__sk_buff, xdp_md},
    helpers::generated::{bpf_skb_load_bytes, bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
};
use selvedge_ebpf_abi::{Happened, IpVersion, Peer, PortClass, Protocol};

use crate::maps::port_class;

/// Length of an Ethernet header.
pub const ETHERNET: u32 = 14;

/// EtherTypes.
pub const TYPE_ARP: u16 = 0x0806;
pub const TYPE_IPV4: u16 = 0x0800;
pub const TYPE_IPV6: u16 = 0x86dd;
/// IEEE 802.1Q, 802.1ad, and the number that 802.1ad had before it was one.
pub const TYPES_OF_TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];

/// Protocol numbers (IANA).
pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMP_V6: u8 = 58;

/// Flags of TCP (RFC 9293, 3.1).
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// What is known of a packet once it is read.
///
/// A multiple of 8 long and aligned so, or the compiler fills it with a loop, which the verifier does not take from a
/// loader without CAP_PERFMON. And no word begins with anything that is written by itself: for such a loader, kernel
/// 6.1 takes a number that is written to the beginning of a word for a register that was put aside, and refuses every
/// later write to a piece of that word.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct Packet {
    /// Its peer; meaningless unless `has_peer`.
    pub peer: Peer,
    padding: u8,
    /// The header of IP holds, so the peer's address is one.
    pub has_peer: bool,
    /// Port of the peer, where it belongs into the key of the flow.
    pub peer_port: u16,
    /// Bytes up to the payload of the transport, as far as they were read; for the number of segments.
    pub headers: u32,
    more_padding: u8,
    pub version: IpVersion,
    pub protocol: Protocol,
    pub class: PortClass,
    pub happened: Happened,
}

impl Packet {
    /// A packet of which only the version is known.
    #[inline(always)]
    pub fn unread(version: IpVersion) -> Self {
        Self {
            peer: Peer([0; 2]),
            padding: 0,
            has_peer: false,
            peer_port: 0,
            headers: 0,
            more_padding: 0,
            version,
            protocol: Protocol::Other,
            class: PortClass::Other,
            happened: Happened::NOTHING,
        }
    }

    /// One for the careful reader to fill. All zero, because the compiler writes it in whole words, and words that are
    /// not zero could not be written in pieces later.
    #[inline(always)]
    pub fn blank() -> Self {
        Self { protocol: Protocol::Tcp, ..Self::unread(IpVersion::V4) }
    }

    /// One whose IP header holds.
    #[inline(always)]
    pub fn from_peer(version: IpVersion, peer: Peer) -> Self {
        Self { peer, has_peer: true, ..Self::unread(version) }
    }

    /// Sorts by ports. `source` and `destination` are in the order of the machine; flags are 0 for UDP.
    #[inline(always)]
    pub fn sort_by_ports<const OUT: bool>(&mut self, source: u16, destination: u16, flags: u8) {
        let (local, remote) = if OUT { (source, destination) } else { (destination, source) };
        let class_local = class_of(local);
        let is_local = !matches!(class_local, PortClass::Other);
        self.class = if is_local { class_local } else { class_of(remote) };

        if !matches!(self.protocol, Protocol::Tcp) {
            return;
        }
        if flags & SYN == 0 {
            if is_local && self.class.is_mqtt() {
                self.peer_port = remote;
            }
        } else if flags & ACK != 0 {
            self.happened |= Happened::SYN_ACK;
        } else {
            self.happened |= Happened::SYN;
            let class_destination = match (OUT, is_local) {
                (false, _) => class_local,
                (true, false) => self.class,
                (true, true) => class_of(remote),
            };
            if class_destination.is_mqtt() {
                self.happened |= Happened::MQTT_ATTEMPT;
            }
        }
        if flags & RST != 0 {
            self.happened |= Happened::RESET;
        }
        if flags & FIN != 0 {
            self.happened |= Happened::FINISH;
        }
    }
}

#[inline(always)]
fn class_of(port: u16) -> PortClass {
    PortClass::from_number(port_class(port)).unwrap_or(PortClass::Other)
}

/// Something that a packet is read from.
pub trait Source: Copy {
    /// Bytes of the packet, link header included.
    fn length(self) -> u32;
    /// `N` bytes from a place on; none when the packet ends before.
    fn load<const N: usize>(self, at: u32) -> Option<[u8; N]>;
}

/// A buffer at the tc hook.
#[derive(Clone, Copy)]
pub struct Buffer(pub *mut __sk_buff);

impl Source for Buffer {
    #[inline(always)]
    fn length(self) -> u32 {
        // SAFETY: the kernel's context, valid for as long as the program runs.
        unsafe { (*self.0).len }
    }

    #[inline(always)]
    fn load<const N: usize>(self, at: u32) -> Option<[u8; N]> {
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        // SAFETY: the helper writes N bytes, which is what the array has.
        let failed = unsafe { bpf_skb_load_bytes(self.0.cast(), at, bytes.as_mut_ptr().cast(), N as u32) };
        // SAFETY: it has written them.
        if failed == 0 { Some(unsafe { bytes.assume_init() }) } else { None }
    }
}

/// A frame at the XDP hook.
#[derive(Clone, Copy)]
pub struct Frame(pub *mut xdp_md);

impl Source for Frame {
    #[inline(always)]
    fn length(self) -> u32 {
        // SAFETY: the kernel's context, valid for as long as the program runs.
        unsafe { bpf_xdp_get_buff_len(self.0) as u32 }
    }

    #[inline(always)]
    fn load<const N: usize>(self, at: u32) -> Option<[u8; N]> {
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        // SAFETY: the helper writes N bytes, which is what the array has.
        let failed = unsafe { bpf_xdp_load_bytes(self.0, at, bytes.as_mut_ptr().cast(), N as u32) };
        // SAFETY: it has written them.
        if failed == 0 { Some(unsafe { bytes.assume_init() }) } else { None }
    }
}
