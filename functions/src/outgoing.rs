//! Outgoing HTTP: which requests a function may make, and of what kind. Pure: what is asked, what is granted, which addresses count as
//! public. The request itself is the node's ([`Host::http`](crate::Host::http)).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::hex::{from_hex, to_hex};
use crate::http_response::is_header_name;

/// Longest address, bytes.
const URL_BYTES_MAX: usize = 2048;
/// Headers of one request, and the longest value, bytes.
const HEADERS_MAX: usize = 32;
const VALUE_BYTES_MAX: usize = 4096;
/// Longest body of a request and of a response, bytes.
pub(crate) const BODY_BYTES_MAX: usize = 1 << 20;
/// Requests of one invocation.
pub(crate) const REQUESTS_MAX: u32 = 16;
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// By these the node says how long a request is and whom it is for.
const NOT_ITS_OWN: [&str; 8] =
    ["connection", "content-length", "expect", "host", "proxy-authorization", "te", "transfer-encoding", "upgrade"];

/// A request that is granted and can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    /// In upper case.
    pub method: String,
    /// Absolute, `http` or `https`.
    pub url: String,
    /// The grant names the address itself, which may be a private one then.
    pub may_be_private: bool,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, if there is one.
    pub body: Option<Vec<u8>>,
    /// How long all of it may take.
    pub timeout: Duration,
    /// Longest body of the response.
    pub response_bytes_max: usize,
}

/// What was answered, whatever the status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpReply {
    /// The status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body; hexadecimal where it is written down.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub body: Vec<u8>,
}

/// Scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    is_secure: bool,
    /// In lower case; of an IPv6 address without brackets.
    host: String,
    port: u16,
}

impl Origin {
    /// `https://api.example.org`, `http://127.0.0.1:8080`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match split(text)? {
            (origin, "") => Ok(origin),
            (_, rest) => Err(format!("goes on after the host: leave {rest:?} out")),
        }
    }

    /// Does it name an address and not a name?
    pub(crate) fn is_address(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = if self.is_secure { ("https", 443) } else { ("http", 80) };
        let brackets = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(formatter, "{scheme}://{}{}{}", brackets.0, self.host, brackets.1)?;
        if self.port == usual { Ok(()) } else { write!(formatter, ":{}", self.port) }
    }
}

/// The origin of an absolute address, and the rest.
fn split(url: &str) -> Result<(Origin, &str), String> {
    if url.len() > URL_BYTES_MAX || !url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b'#') {
        return Err(format!("is no address of at most {URL_BYTES_MAX} visible ASCII characters without '#' and '\\'"));
    }
    let (is_secure, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
        (Some(rest), _) => (true, rest),
        (_, Some(rest)) => (false, rest),
        _ => return Err("does not begin with https:// or http://".to_owned()),
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let (host, port) = host_and_port(authority)?;
    let usual = if is_secure { 443 } else { 80 };
    let port = match port {
        "" => usual,
        port => port.parse().ok().filter(|port| *port != 0).ok_or_else(|| format!("has {port:?} as its port"))?,
    };
    Ok((Origin { is_secure, host, port }, rest))
}

fn host_and_port(authority: &str) -> Result<(String, &str), String> {
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']').ok_or("has a bracket that is not closed")?;
        let address: Ipv6Addr =
            host.parse().map_err(|_| format!("has {host:?} in brackets, which is no IPv6 address"))?;
        return match rest.strip_prefix(':') {
            Some(port) => Ok((address.to_string(), port)),
            None if rest.is_empty() => Ok((address.to_string(), "")),
            None => Err(format!("has {rest:?} after the address")),
        };
    }
    let (host, port) = authority.split_once(':').unwrap_or((authority, ""));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if host.is_empty() || host.len() > 253 || !host.bytes().all(is_plain) {
        return Err(format!("has {:?} as its host", crate::log_ring::cut(host, 80)));
    }
    Ok((host.to_ascii_lowercase(), port))
}

/// May a function with these grants ask for `url`? The error names the grant to add; gives whether it may be a private address.
pub(crate) fn check_url(granted: &[String], url: &str) -> Result<bool, Refused> {
    let (origin, _) = split(url).map_err(|problem| Refused::Invalid(format!("the address {problem}")))?;
    if granted.iter().any(|grant| Origin::parse(grant).is_ok_and(|grant| grant == origin)) {
        return Ok(origin.is_address());
    }
    let origin = origin.to_string();
    Err(Refused::Denied(format!(
        "asking {origin:?} is not granted; add it to grants.http, for example http = [{origin:?}]"
    )))
}

/// Why a request is not made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Invalid(String),
    Denied(String),
}

/// Can a request be sent like that?
pub(crate) fn check_request(method: &str, headers: &[(String, String)], body: Option<&[u8]>) -> Result<(), String> {
    if !METHODS.contains(&method) {
        return Err(format!("the method is one of {}", METHODS.join(", ")));
    }
    if headers.len() > HEADERS_MAX {
        return Err(format!("{} headers, allowed are {HEADERS_MAX}", headers.len()));
    }
    for (name, value) in headers {
        if !is_header_name(name) || NOT_ITS_OWN.contains(&name.as_str()) {
            return Err(format!(
                "{:?} is no name of a header in lower case that a function can set",
                crate::log_ring::cut(name, 80)
            ));
        }
        if value.len() > VALUE_BYTES_MAX || !value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) {
            return Err(format!("the value of {name} is not at most {VALUE_BYTES_MAX} visible ASCII characters"));
        }
    }
    match body {
        Some(body) if body.len() > BODY_BYTES_MAX => {
            Err(format!("the body has {} bytes, allowed are {BODY_BYTES_MAX}", body.len()))
        }
        Some(_) if matches!(method, "GET" | "HEAD") => Err(format!("{method} has no body")),
        _ => Ok(()),
    }
}

/// Is it an address of the internet, and not one of this machine, its networks, or a group? What carries an IPv4 address inside counts
/// as that.
pub fn is_public_address(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.segments() {
            // NAT64 and 6to4.
            [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
                let [a, b] = high.to_be_bytes();
                let [c, d] = low.to_be_bytes();
                is_public_v4(Ipv4Addr::new(a, b, c, d))
            }
            // Documentation and Teredo.
            [0x2001, 0xdb8, ..] | [0x2001, 0, ..] => false,
            // What was given out as global unicast.
            [first, ..] => (0x2000..0x4000).contains(&first),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = matches!(
        (a, b, c),
        (0 | 10 | 127 | 224..=255, ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !is_special
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(granted: &str, url: &str) -> Result<bool, Refused> {
        check_url(&[granted.to_owned()], url)
    }

    #[test]
    fn a_grant_opens_its_scheme_host_and_port_and_nothing_else() {
        for (grant, url, is_granted) in [
            ("https://api.example.org", "https://api.example.org/v1?x=1", true),
            ("https://api.example.org", "https://API.example.org:443?x", true),
            ("https://api.example.org", "http://api.example.org/", false),
            ("https://api.example.org", "https://api.example.org:8443/", false),
            ("https://api.example.org", "https://api.example.org.evil.example/", false),
            ("https://api.example.org:8443", "https://api.example.org:8443/", true),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/x", true),
            ("http://[::1]:8080", "http://[0:0::1]:8080/x", true),
        ] {
            assert_eq!(check(grant, url).is_ok(), is_granted, "{grant} for {url}");
        }
        assert_eq!(check("http://127.0.0.1:8080", "http://127.0.0.1:8080"), Ok(true), "an address may be private");
        assert_eq!(check("http://localhost:8080", "http://localhost:8080"), Ok(false), "a name may not");
        let Err(Refused::Denied(words)) = check("https://a.example", "https://b.example/x") else { panic!() };
        assert!(words.contains("add it to grants.http, for example http = [\"https://b.example\"]"), "{words}");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in [
            "",
            "example.org",
            "ftp://example.org",
            "https://",
            "https://user@example.org",
            "https://example.org\\@evil.example",
            "https://example.org#x",
            "https://exa mple.org",
            "https://example.org:0",
            "https://example.org:65536",
            "https://[::1",
            "https://[::1]x",
            "https://ex\u{e4}mple.org",
        ] {
            assert!(matches!(check("https://example.org", url), Err(Refused::Invalid(_))), "{url:?}");
        }
        assert!(Origin::parse("https://example.org/").is_err(), "a grant has no path");
    }

    #[test]
    fn requests_that_would_say_something_else_on_the_wire_are_refused() {
        let header = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        assert_eq!(check_request("POST", &header("x-key", "v"), Some(b"body")), Ok(()));
        assert!(check_request("CONNECT", &[], None).is_err());
        assert!(check_request("GET", &[], Some(b"")).is_err());
        for (name, value) in [("host", "x"), ("content-length", "1"), ("X-Key", "v"), ("x", "a\r\nhost: b"), ("", "v")]
        {
            assert!(check_request("GET", &header(name, value), None).is_err(), "{name}: {value:?}");
        }
        let body = vec![0; BODY_BYTES_MAX + 1];
        assert!(
            check_request("POST", &[], Some(&body[1..])).is_ok() && check_request("POST", &[], Some(&body)).is_err()
        );
    }

    #[test]
    fn addresses_of_the_machine_and_its_networks_are_not_public() {
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
        ] {
            assert!(!is_public_address(address.parse().unwrap()), "{address}");
        }
        for address in ["1.1.1.1", "172.15.0.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "64:ff9b::101:101"] {
            assert!(is_public_address(address.parse().unwrap()), "{address}");
        }
    }

    proptest! {
        #[test]
        fn no_address_panics_and_what_is_granted_is_what_was_written(url in "\\PC{0,60}") {
            if let Ok((origin, _)) = split(&url) {
                prop_assert_eq!(Origin::parse(&origin.to_string()), Ok(origin));
            }
        }
    }
}
