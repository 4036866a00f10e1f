//! What the broker counts itself, read from its `/metrics` in the Prometheus text format, and how it grew.
//! Plain HTTP/1.1 on a connection of its own. Invariant: what is not a number there is left out, never taken for zero.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use thiserror::Error;

/// How long the broker may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// Reading the counters failed.
#[derive(Debug, Error)]
pub enum ExpositionError {
    /// The address is not one of this program.
    #[error("--metrics is {url}, allowed is http://HOST:PORT/PATH")]
    Url {
        /// As given.
        url: String,
    },
    /// Nobody answers there.
    #[error("could not read the broker's counters from {url}")]
    Read {
        /// As given.
        url: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The answer is none with counters.
    #[error("{url} answered {answer:?} instead of counters")]
    Answer {
        /// As given.
        url: String,
        /// Its first line.
        answer: String,
    },
}

/// Where the counters are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exposition {
    url: String,
    authority: String,
    path: String,
}

/// Every `_total` of one reading, with its labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counters(BTreeMap<String, f64>);

impl Exposition {
    /// Takes the address apart.
    pub fn at(url: &str) -> Result<Self, ExpositionError> {
        let wrong = || ExpositionError::Url { url: url.to_owned() };
        let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/metrics"),
        };
        let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        port.ok_or_else(wrong)?;
        Ok(Self { url: url.to_owned(), authority: authority.to_owned(), path: path.to_owned() })
    }

    /// Reads the counters now.
    pub fn read(&self) -> Result<Counters, ExpositionError> {
        let text = self.fetch().map_err(|source| ExpositionError::Read { url: self.url.clone(), source })?;
        let first = text.lines().next().unwrap_or_default();
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body);
        match body {
            Some(body) if first.split(' ').nth(1) == Some("200") => Ok(Counters::parse(body)),
            _ => Err(ExpositionError::Answer { url: self.url.clone(), answer: first.to_owned() }),
        }
    }

    fn fetch(&self) -> io::Result<String> {
        let address = self.authority.to_socket_addrs()?.next();
        let address = address.ok_or_else(|| io::Error::other("the host has no address"))?;
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        // HTTP/1.0, so that the end of the answer is the end of the connection and nothing is chunked.
        let request = format!("GET {} HTTP/1.0\r\nHost: {}\r\n\r\n", self.path, self.authority);
        stream.write_all(request.as_bytes())?;
        let mut text = String::new();
        stream.take(ANSWER_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    }
}

impl Counters {
    fn parse(body: &str) -> Self {
        let samples = body.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let (name, value) = line.trim_end().rsplit_once(' ')?;
            let bare = name.split('{').next().unwrap_or(name);
            bare.ends_with("_total").then_some((name.to_owned(), value.parse().ok()?))
        });
        Self(samples.collect())
    }

    /// What grew since an earlier reading, and by how much.
    pub fn since(&self, earlier: &Self) -> BTreeMap<String, f64> {
        let grown = self.0.iter().map(|(name, value)| {
            let before = earlier.0.get(name).copied().unwrap_or(0.0);
            (name.clone(), value - before)
        });
        grown.filter(|(_, difference)| *difference != 0.0).collect()
    }
}

/// The sum of all counters whose name, without its labels, ends so; `None` if none grew.
pub(crate) fn sum_of(counters: &BTreeMap<String, f64>, ending: &str) -> Option<f64> {
    let bare = |name: &str| name.split('{').next().unwrap_or(name).ends_with(ending);
    let mut values = counters.iter().filter(|(name, _)| bare(name)).map(|(_, value)| *value).peekable();
    values.peek()?;
    Some(values.sum())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_address_has_a_scheme_and_a_port_and_by_default_the_usual_path() {
        let whole = Exposition::at("http://127.0.0.1:7883/other").expect("an address");
        assert_eq!((whole.authority.as_str(), whole.path.as_str()), ("127.0.0.1:7883", "/other"));
        assert_eq!(Exposition::at("http://[::1]:80").expect("an address").path, "/metrics");
        for wrong in ["127.0.0.1:7883", "https://a:1/metrics", "http://a/metrics"] {
            let error = Exposition::at(wrong).expect_err("no address");
            assert!(error.to_string().contains(wrong), "{error}");
        }
    }

    #[test]
    fn only_counters_that_grew_are_in_the_difference() {
        let before =
            Counters::parse("# TYPE a_total counter\na_total 1\nb_total{x=\"y z\"} 5\ngauge 7\nbad_total nan?\n");
        let after = Counters::parse("a_total 1\nb_total{x=\"y z\"} 7.5\ngauge 9\nnew_total 2\n");
        let grown = after.since(&before);
        assert_eq!(grown, BTreeMap::from([("b_total{x=\"y z\"}".to_owned(), 2.5), ("new_total".to_owned(), 2.0)]));
        assert_eq!((sum_of(&grown, "b_total"), sum_of(&grown, "a_total")), (Some(2.5), None));
    }

    #[test]
    fn an_answer_that_is_not_ok_is_told_with_its_first_line() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let server = std::thread::spawn(move || {
            for answer in ["HTTP/1.0 404 Not Found\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nfsyncs_total 3\n"] {
                let (mut stream, _) = listener.accept().expect("a client");
                let mut asked = [0; 512];
                assert!(stream.read(&mut asked).is_ok_and(|count| count > 0));
                stream.write_all(answer.as_bytes()).expect("the client listens");
            }
        });
        let exposition = Exposition::at(&format!("http://{address}/metrics")).expect("an address");
        let error = exposition.read().expect_err("not found");
        assert!(error.to_string().contains("404 Not Found"), "{error}");
        let counters = exposition.read().expect("counters");
        assert_eq!(sum_of(&counters.since(&Counters::default()), "fsyncs_total"), Some(3.0));
        server.join().expect("the server ends well");
    }
}
