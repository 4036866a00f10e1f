//! A cable to the board's second network card, whose other end is this test: whole Ethernet frames, which the emulator carries in
//! datagrams. Here a neighbour asks by multicast DNS, as the owner's computer would (RFC 6762), over IPv6, which needs no addresses.
//!
//! Not a network stack: it sends one kind of frame and knows the answer by what is in it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// Port and groups of multicast DNS (RFC 6762, 3), and the Ethernet address of the group (RFC 2464, 7).
const PORT: u16 = 5353;
const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
const GROUP_ETHERNET: [u8; 6] = [0x33, 0x33, 0, 0, 0, 0xfb];
/// Who asks.
const NEIGHBOUR: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x5e1f);
const NEIGHBOUR_ETHERNET: [u8; 6] = [0x02, 0, 0, 0, 0, 1];
const ETHERNET_BYTES: usize = 14;
const IPV6_BYTES: usize = 40;
const UDP_BYTES: usize = 8;
const UDP: u8 = 17;
const FRAME_BYTES_MAX: usize = 2048;
/// A question that got no answer is asked again.
const ASK_EVERY: Duration = Duration::from_secs(3);

/// This end of the cable.
#[derive(Debug)]
pub struct Lan {
    socket: UdpSocket,
    board: SocketAddr,
}

impl Lan {
    /// Both ends on ports of their own.
    pub fn new() -> anyhow::Result<Self> {
        let any = (Ipv4Addr::LOCALHOST, 0);
        let socket = UdpSocket::bind(any).context("open a cable")?;
        // The emulator's port: free now, and it takes it at once.
        let board = UdpSocket::bind(any)?.local_addr()?;
        socket.set_read_timeout(Some(ASK_EVERY))?;
        Ok(Self { socket, board })
    }

    /// For the emulator's command line.
    pub fn words(&self) -> anyhow::Result<[String; 4]> {
        let (here, there) = (self.socket.local_addr()?, self.board);
        let card = format!("socket,id=lan,udp={here},localaddr={there}");
        Ok(["-netdev".to_owned(), card, "-device".to_owned(), "virtio-net-pci,netdev=lan,romfile=".to_owned()])
    }

    /// Asks who has this name until the board answers; its address.
    pub fn resolve(&self, name: &str, longest: Duration) -> anyhow::Result<Ipv6Addr> {
        let question = question(name).with_context(|| format!("{name} is no name"))?;
        let frame = frame(&question);
        let deadline = Instant::now() + longest;
        while Instant::now() < deadline {
            // The board may have no power yet.
            let _ = self.socket.send_to(&frame, self.board);
            let asked = Instant::now();
            let mut buffer = [0; FRAME_BYTES_MAX];
            while asked.elapsed() < ASK_EVERY {
                let Ok(length) = self.socket.recv(&mut buffer) else { break };
                if let Some(address) = buffer.get(..length).and_then(|frame| answer(frame, &question)) {
                    return Ok(address);
                }
            }
        }
        bail!("nobody answers to {name}")
    }
}

/// The labels of a name, type AAAA, class IN (RFC 1035, 4.1.2).
fn question(name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).ok().filter(|length| (1..64).contains(length))?);
        bytes.extend(label.bytes());
    }
    bytes.extend([0, 0, 28, 0, 1]);
    Some(bytes)
}

/// A query to everybody.
fn frame(question: &[u8]) -> Vec<u8> {
    // Number and flags 0, one question.
    let message = [&[0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0], question].concat();
    let length = u16::try_from(UDP_BYTES + message.len()).unwrap_or(u16::MAX).to_be_bytes();
    let port = PORT.to_be_bytes();
    let mut datagram = [&port[..], &port, &length, &[0, 0], &message].concat();
    let addresses = [NEIGHBOUR.octets(), GROUP.octets()].concat();
    // The sum goes over a header that is not sent (RFC 8200, 8.1).
    let sum = checksum(&[&addresses, &[0, 0][..], &length, &[0, 0, 0, UDP], &datagram].concat());
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    let header = [&[0x60, 0, 0, 0], &length[..], &[UDP, 255], &addresses].concat();
    [&GROUP_ETHERNET[..], &NEIGHBOUR_ETHERNET, &[0x86, 0xdd], &header, &datagram].concat()
}

fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// The address in an answer to this question.
fn answer(frame: &[u8], question: &[u8]) -> Option<Ipv6Addr> {
    let is_udp = frame.get(12..14)? == [0x86, 0xdd] && *frame.get(ETHERNET_BYTES + 6)? == UDP;
    let datagram = frame.get(ETHERNET_BYTES + IPV6_BYTES..)?;
    let message = datagram.get(UDP_BYTES..)?;
    let is_response = message.get(2)? & 0x80 != 0;
    if !is_udp || datagram.get(..2)? != PORT.to_be_bytes() || !is_response {
        return None;
    }
    // Name and type as in the question; the class carries the bit of a record that replaces others (RFC 6762, 10.2).
    let record = question.strip_suffix(&[0, 1])?;
    let at = message.windows(record.len()).position(|window| window.eq_ignore_ascii_case(record))?;
    // Class, time to live, length, address.
    let rest = message.get(at + record.len()..)?;
    let is_address = rest.get(6..8)? == [0, 16];
    let octets: [u8; 16] = rest.get(8..24)?.try_into().ok()?;
    is_address.then(|| Ipv6Addr::from(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_a_frame_whose_sum_is_right() {
        let question = question("box.local").unwrap();
        assert_eq!(question, b"\x03box\x05local\0\0\x1c\0\x01");
        let frame = frame(&question);
        let datagram = &frame[ETHERNET_BYTES + IPV6_BYTES..];
        let length = u16::try_from(datagram.len()).unwrap().to_be_bytes();
        let whole = [&frame[ETHERNET_BYTES + 8..][..32], &[0, 0], &length, &[0, 0, 0, UDP], datagram].concat();
        assert_eq!(checksum(&whole), 0, "with its sum, what was summed gives nothing");
        assert_eq!(checksum(&[0x01]), !0x0100, "an odd byte is the upper one");
    }

    #[test]
    fn names_with_labels_that_are_none_are_refused() {
        assert_eq!(question("box..local"), None);
        assert_eq!(question(&"x".repeat(64)), None);
        assert!(question(&"x".repeat(63)).is_some());
    }

    #[test]
    fn an_address_is_read_from_an_answer_and_from_nothing_else() {
        let question = question("box.local").unwrap();
        let address = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 7);
        let record = b"\x03Box\x05local\0\0\x1c\x80\x01\0\0\0\x78\0\x10";
        let message = [&[0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0], &record[..], &address.octets()].concat();
        let mut told = frame(&question);
        assert_eq!(answer(&told, &question), None, "a question is no answer");
        told.truncate(ETHERNET_BYTES + IPV6_BYTES + UDP_BYTES);
        told.extend(message);
        assert_eq!(answer(&told, &question), Some(address));
        told.pop();
        assert_eq!(answer(&told, &question), None, "cut short");
    }
}
