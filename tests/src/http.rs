//! One HTTP request with nothing but a socket, for probes and metrics.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::Context as _;

use crate::PATIENCE;

/// What a server answered.
#[derive(Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header lines as sent.
    pub headers: String,
    /// Body, decoded when it came in chunks.
    pub body: String,
}

/// `GET path` on a connection of its own.
///
/// # Errors
/// There is no answer, or it is no HTTP.
pub fn get(address: SocketAddr, path: &str) -> anyhow::Result<Response> {
    let context = || format!("GET http://{address}{path}");
    let stream = TcpStream::connect_timeout(&address, PATIENCE).with_context(context)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    exchange(stream, request.as_bytes()).with_context(context)
}

/// A request with `headers` (each line with its end) and a body, on a connection of its own.
///
/// # Errors
/// As [`get`].
pub fn send(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> anyhow::Result<Response> {
    let context = || format!("{method} http://{address}{path}");
    let stream = TcpStream::connect_timeout(&address, PATIENCE).with_context(context)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    exchange(stream, request(address, method, path, headers, body).as_bytes()).with_context(context)
}

/// A request as it is sent.
pub fn request(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\n{headers}connection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

/// A request over a node's Unix socket, on a connection of its own.
///
/// # Errors
/// As [`get`].
pub fn over_socket(socket: &Path, method: &str, path: &str, body: impl AsRef<[u8]>) -> anyhow::Result<Response> {
    let context = || format!("{method} {path} over {}", socket.display());
    let stream = UnixStream::connect(socket).with_context(context)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = body.as_ref();
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    exchange(stream, &[head.as_bytes(), body].concat()).with_context(context)
}

fn exchange(mut stream: impl Read + Write, request: &[u8]) -> anyhow::Result<Response> {
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    parse(&answer).with_context(|| format!("read {answer:?}"))
}

fn parse(answer: &str) -> Option<Response> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let (status_line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = status_line.split(' ').nth(1)?.parse().ok()?;
    let chunked = headers.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { join_chunks(body)? } else { body.to_owned() };
    Some(Response { status, headers: headers.to_owned(), body })
}

fn join_chunks(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix("\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_chunks_is_joined() {
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        let response = parse(answer).unwrap();
        assert_eq!((response.status, response.body.as_str()), (200, "abcde"));
    }
}
