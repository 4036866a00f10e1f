//! What this box is called, and its addresses: the names of its certificate.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A certificate with hundreds of names fits into no client's buffer; boxes with so many addresses name theirs.
const ADDRESSES_MAX: usize = 32;

/// The name of the box; `selvedge` if it has none.
pub fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_ascii_lowercase();
    let fits = !name.is_empty()
        && name.len() <= 63
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    if fits { name } else { "selvedge".to_owned() }
}

/// Every name under which the box is reached, the own name first, `added` last.
pub fn all(added: &[String]) -> Vec<String> {
    let host = host();
    let mut names = vec![host.clone()];
    if !host.contains('.') {
        // Multicast DNS.
        names.push(format!("{host}.local"));
    }
    names.push("localhost".to_owned());
    names.extend(addresses().into_iter().map(|address| address.to_string()));
    for name in added {
        names.push(name.clone());
    }
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// Loopback, and what the kernel says of the interfaces, link-local addresses left out: they mean nothing without the interface.
fn addresses() -> Vec<IpAddr> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let v4 = local_v4(&read("/proc/net/fib_trie")).into_iter().map(IpAddr::V4);
    let v6 = local_v6(&read("/proc/net/if_inet6")).into_iter().map(IpAddr::V6);
    loopback.into_iter().chain(v4).chain(v6).take(ADDRESSES_MAX).collect()
}

/// `|-- 192.0.2.7` followed by `/32 host LOCAL`.
fn local_v4(trie: &str) -> BTreeSet<Ipv4Addr> {
    let mut last = None;
    let mut found = BTreeSet::new();
    for line in trie.lines() {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse::<Ipv4Addr>().ok();
        } else if line == "/32 host LOCAL" {
            found.extend(last.filter(|address| !address.is_loopback() && !address.is_link_local()));
        }
    }
    found
}

/// `20010db8000000000000000000000001 02 40 00 80 eth0`: address, index, prefix, scope, flags, name. Scope 00 is global.
fn local_v6(table: &str) -> BTreeSet<Ipv6Addr> {
    table
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let address = u128::from_str_radix(fields.next()?, 16).ok()?;
            (fields.nth(2)? == "00").then(|| Ipv6Addr::from(address))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_the_kernels_tables() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 127.0.0.1\n        \
                    /32 host LOCAL\n     |-- 192.0.2.7\n        /32 host LOCAL\n     |-- 192.0.2.255\n        /32 link BROADCAST\n";
        assert_eq!(local_v4(trie).into_iter().collect::<Vec<_>>(), [Ipv4Addr::new(192, 0, 2, 7)]);
        let table = "00000000000000000000000000000001 01 80 10 80 lo\n20010db8000000000000000000000001 02 40 00 80 eth0\n\
                     fe80000000000000000000000000000a 02 40 20 80 eth0\nbroken\n";
        assert_eq!(local_v6(table).into_iter().collect::<Vec<_>>(), ["2001:db8::1".parse::<Ipv6Addr>().unwrap()]);
    }

    #[test]
    fn the_own_name_is_first_and_every_name_is_there_once() {
        let names = all(&["localhost".to_owned(), "gw.example.com".to_owned()]);
        assert_eq!(names.first(), Some(&host()));
        assert_eq!(names.iter().filter(|name| *name == "localhost").count(), 1);
        for name in ["127.0.0.1", "::1", "gw.example.com"] {
            assert!(names.iter().any(|known| known == name), "{names:?}");
        }
    }
}
