//! Requests that functions make to other machines. What may be asked is decided before; here it is asked, and no name leads to an
//! address that is not public.
//!
//! No proxy, no redirects, no cookies: what was granted is what is reached. The addresses of a name are looked at when they are used,
//! so a name that changes its mind in between is refused as well.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use selvedge_functions::{HostError, HttpReply, HttpRequest, is_public_address};
use ureq::config::Config;
use ureq::http::{Request, Uri};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error};

use super::web_authorities;

/// Connections that are kept for the next request, all functions together.
const IDLE_MAX: usize = 4;
const IDLE_AGE: Duration = Duration::from_secs(15);
const RESPONSE_HEADER_BYTES_MAX: usize = 16 * 1024;
/// Headers of a response that a function is given.
const RESPONSE_HEADERS_MAX: usize = 64;
/// Says that a name has no public address, through an error that has no place for it.
const NOT_PUBLIC: &str = "no public address";

/// The clients, made with the first request.
#[derive(Debug, Default)]
pub struct FunctionWeb {
    agents: OnceLock<Agents>,
}

#[derive(Debug)]
struct Agents {
    /// For names, and addresses that are public.
    public: Agent,
    /// For addresses that a grant names.
    named: Agent,
    /// Why https cannot be asked.
    authorities: Option<String>,
}

/// Finds only public addresses.
#[derive(Debug, Default)]
struct PublicOnly(DefaultResolver);

impl Resolver for PublicOnly {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.0.resolve(uri, config, timeout)?;
        let mut public = self.empty();
        for address in found.iter().filter(|address| is_public_address(address.ip())) {
            public.push(*address);
        }
        if public.is_empty() { Err(Error::Other(Box::new(io::Error::other(NOT_PUBLIC)))) } else { Ok(public) }
    }
}

impl FunctionWeb {
    /// Asks, and waits for the whole answer.
    ///
    /// # Errors
    /// `Invalid`: the name leads to no public address. `Unavailable`: no whole answer came in time.
    pub fn ask(&self, request: &HttpRequest) -> Result<HttpReply, HostError> {
        let agents = self.agents.get_or_init(Agents::new);
        if let Some(problem) = agents.authorities.as_ref().filter(|_| request.url.starts_with("https://")) {
            return Err(HostError::Unavailable(problem.clone()));
        }
        let agent = if request.may_be_private { &agents.named } else { &agents.public };
        ask(agent, request).map_err(|error| explain(&error, request))
    }
}

impl Agents {
    fn new() -> Self {
        let authorities = web_authorities::read("");
        let (roots, problem) = match authorities {
            Ok(authorities) => (authorities, None),
            Err((path, error)) => {
                let words = format!("certificates of web servers cannot be checked: {}: {error}", path.display());
                (Vec::new(), Some(words))
            }
        };
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::from(roots))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            // Through a proxy of the environment, any address would be reached.
            .proxy(None)
            .max_redirects(0)
            .http_status_as_error(false)
            .max_idle_connections(IDLE_MAX)
            .max_idle_age(IDLE_AGE)
            .max_response_header_size(RESPONSE_HEADER_BYTES_MAX)
            .user_agent(concat!("selvedge/", env!("CARGO_PKG_VERSION")))
            .build();
        let public = Agent::with_parts(config.clone(), DefaultConnector::default(), PublicOnly::default());
        Self { public, named: config.new_agent(), authorities: problem }
    }
}

fn ask(agent: &Agent, request: &HttpRequest) -> Result<HttpReply, Error> {
    let mut builder = Request::builder().method(request.method.as_str()).uri(request.url.as_str());
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    let timeout = Some(request.timeout);
    let mut response = match request.body.as_deref() {
        Some(body) => agent.run(agent.configure_request(builder.body(body)?).timeout_global(timeout).build())?,
        None => agent.run(agent.configure_request(builder.body(())?).timeout_global(timeout).build())?,
    };
    let headers = response.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let headers = headers.take(RESPONSE_HEADERS_MAX).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let status = response.status().as_u16();
    // It counts what it asks for as well, and so the end.
    let limit = request.response_bytes_max as u64 + 1;
    let body = response.body_mut().with_config().limit(limit).read_to_vec()?;
    Ok(HttpReply { status, headers, body })
}

fn explain(error: &Error, request: &HttpRequest) -> HostError {
    match error {
        Error::Other(other) if other.to_string() == NOT_PUBLIC => HostError::Invalid(format!(
            "{:?} leads to no public address; a grant that names the address itself lets a function ask it, such as http = [\"http://127.0.0.1:8080\"]",
            request.url
        )),
        Error::Timeout(_) => HostError::Unavailable(format!("no answer within {} ms", request.timeout.as_millis())),
        Error::BodyExceedsLimit(_) => {
            HostError::Unavailable(format!("the answer has more than {} bytes", request.response_bytes_max))
        }
        error => HostError::Unavailable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::thread::JoinHandle;

    use super::*;

    /// Answers once, and gives what it was asked.
    fn serve(answer: &'static [u8]) -> (SocketAddr, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = [0; 4096];
            let length = stream.read(&mut asked).unwrap();
            stream.write_all(answer).unwrap();
            String::from_utf8_lossy(&asked[..length]).into_owned()
        });
        (address, asked)
    }

    fn request(url: String) -> HttpRequest {
        HttpRequest {
            method: "GET".to_owned(),
            url,
            may_be_private: true,
            headers: vec![("idempotency-key".to_owned(), "f-1".to_owned())],
            body: None,
            timeout: Duration::from_secs(10),
            response_bytes_max: 5,
        }
    }

    #[test]
    fn an_answer_is_an_answer_whatever_its_status_and_a_redirect_is_not_followed() {
        let (address, asked) = serve(
            b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 5\r\nconnection: close\r\n\r\nthere",
        );
        let reply = FunctionWeb::default().ask(&request(format!("http://{address}/x?y"))).unwrap();
        assert_eq!((reply.status, reply.body.as_slice()), (302, &b"there"[..]));
        assert!(reply.headers.contains(&("location".to_owned(), "http://127.0.0.1:1/".to_owned())));
        let asked = asked.join().unwrap();
        assert!(asked.starts_with("GET /x?y HTTP/1.1\r\n") && asked.contains("idempotency-key: f-1\r\n"), "{asked}");
    }

    #[test]
    fn an_answer_that_is_too_long_is_none() {
        let (address, asked) = serve(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nlonger");
        let error = FunctionWeb::default().ask(&request(format!("http://{address}/"))).unwrap_err();
        assert_eq!(error, HostError::Unavailable("the answer has more than 5 bytes".to_owned()));
        asked.join().unwrap();
    }

    #[test]
    fn nobody_waits_longer_than_the_time_that_is_left() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let asked = HttpRequest { timeout: Duration::from_millis(50), ..request(url) };
        let error = FunctionWeb::default().ask(&asked).unwrap_err();
        assert_eq!(error, HostError::Unavailable("no answer within 50 ms".to_owned()));
    }

    #[test]
    fn names_and_addresses_that_are_not_public_are_refused_unless_a_grant_names_them() {
        for url in ["http://localhost:9/", "http://127.0.0.1:9/", "http://[::1]:9/", "http://169.254.169.254/latest"] {
            let asked = HttpRequest { may_be_private: false, ..request(url.to_owned()) };
            let error = FunctionWeb::default().ask(&asked).unwrap_err();
            assert!(
                matches!(&error, HostError::Invalid(words) if words.contains("no public address")),
                "{url}: {error}"
            );
        }
    }

    #[test]
    fn a_body_is_sent_with_its_length() {
        let (address, asked) = serve(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
        let body = Some(b"hello".to_vec());
        let asking = HttpRequest { method: "POST".to_owned(), body, ..request(format!("http://{address}/")) };
        assert_eq!(FunctionWeb::default().ask(&asking).unwrap().status, 204);
        assert!(asked.join().unwrap().contains("content-length: 5\r\n"));
    }
}
