//! Where the people who operate this machine are connected from: peers of established TCP connections to ports such as
//! SSH's.
//!
//! Read from `/proc/net/tcp` and `/proc/net/tcp6`, which any user may read.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufRead as _, BufReader},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Addresses that are remembered; a machine with more operators at once protects these.
const ADDRESSES_MAX: usize = 1024;
/// State of an established connection in those files.
const ESTABLISHED: &str = "01";

/// Peers of the established connections to these local ports.
///
/// # Errors
/// The kernel's list of connections cannot be read.
pub fn operator_sessions(ports: &[u16]) -> io::Result<Vec<IpAddr>> {
    let mut peers = BTreeSet::new();
    for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let file = match File::open(path) {
            Ok(file) => file,
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file).lines() {
            if peers.len() == ADDRESSES_MAX {
                break;
            }
            peers.extend(peer(&line?, ports));
        }
    }
    Ok(peers.into_iter().collect())
}

/// The peer of one line, when it is an established connection to one of the ports.
fn peer(line: &str, ports: &[u16]) -> Option<IpAddr> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    if state != ESTABLISHED {
        return None;
    }
    let (_, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let (address, _) = remote.split_once(':')?;
    if ports.contains(&port) { parse_address(address) } else { None }
}

/// Words of the address as hexadecimal numbers in the order of this machine, each of them in network order inside.
fn parse_address(text: &str) -> Option<IpAddr> {
    let mut words = Vec::with_capacity(4);
    for chunk in text.as_bytes().chunks(8) {
        let digits = std::str::from_utf8(chunk).ok()?;
        words.push(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes());
    }
    match (text.len(), words.as_slice()) {
        (8, [word]) => Some(IpAddr::V4(Ipv4Addr::from(*word))),
        (32, [a, b, c, d]) => {
            let mut bytes = [0; 16];
            for (to, from) in bytes.iter_mut().zip([a, b, c, d].into_iter().flatten()) {
                *to = *from;
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{TcpListener, TcpStream};

    const LINE: &str =
        "   1: 0100007F:0016 0702000A:D5F2 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0";
    const LINE_V6: &str = "   0: 0000000000000000FFFF00000100007F:0016 B80D0120000000000000000007000000:C2C1 01 0 0";

    #[test]
    #[cfg(target_endian = "little")]
    fn the_peer_of_an_established_connection_is_found() {
        assert_eq!(peer(LINE, &[80, 22]), Some("10.0.2.7".parse().unwrap()));
        assert_eq!(peer(LINE_V6, &[22]), Some("2001:db8::7".parse().unwrap()));
    }

    #[test]
    fn other_ports_and_other_states_are_not() {
        assert_eq!(peer(LINE, &[23]), None);
        assert_eq!(peer(&LINE.replace(" 01 ", " 06 "), &[22]), None);
        assert_eq!(peer("  sl  local_address rem_address   st", &[22]), None);
    }

    #[test]
    fn a_connection_of_this_test_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(operator_sessions(&[port]).unwrap(), Vec::<IpAddr>::new());
        let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let _server = listener.accept().unwrap();
        assert_eq!(operator_sessions(&[port]).unwrap(), [IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    }

    proptest! {
        #[test]
        fn no_line_panics(line in ".*") {
            let _ = peer(&line, &[22]);
        }

        #[test]
        fn no_line_that_looks_right_panics(line in "[0-9]+: [0-9A-Fé]{0,40}:[0-9A-F]{0,5} [0-9A-Fé]{0,40}:[0-9A-F]{0,5} 01") {
            let _ = peer(&line, &[22]);
        }
    }
}
