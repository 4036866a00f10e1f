//! HTTP over the node's Unix socket, one request at a time, and its answers as JSON.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use thiserror::Error;

use crate::arguments::SocketArguments;
use crate::config::data_directory;
use crate::http::control_socket;

/// `StateDirectory=selvedge` of the system's service.
const SYSTEM_DATA: &str = "/var/lib/selvedge";
/// Largest answer that is read whole.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Of a file that is sent, at once.
const PIECE_BYTES: usize = 64 << 10;
/// Largest event of a stream.
const EVENT_BYTES_MAX: usize = 4 << 20;

/// Why the node gave no answer.
#[derive(Debug, Error)]
pub enum CallError {
    /// Nobody listens on the socket.
    #[error(
        "no node runs with {socket}: start one with `selvedge run`, or name its data directory with --data DIR",
        socket = socket.display()
    )]
    NoNode {
        /// The socket.
        socket: PathBuf,
    },
    /// The socket is somebody else's.
    #[error("the node at {socket} belongs to another user: ask as that user or as root", socket = socket.display())]
    NotAllowed {
        /// The socket.
        socket: PathBuf,
    },
    /// The connection failed.
    #[error("talk to the node at {socket}", socket = socket.display())]
    Io {
        /// The socket.
        socket: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// A file that was to be sent.
    #[error("read {path}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The node said no.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The node's words.
        message: String,
    },
    /// The node's answer is none.
    #[error("the node's answer cannot be understood: {0}")]
    Answer(String),
}

/// A way to the node.
#[derive(Debug)]
pub struct NodeClient {
    socket: PathBuf,
    runtime: tokio::runtime::Runtime,
}

impl NodeClient {
    /// For the node that the flags name, or the one in the default data directory.
    ///
    /// # Errors
    /// The event loop cannot be made.
    pub fn new(arguments: &SocketArguments) -> io::Result<Self> {
        let socket = match (&arguments.socket, &arguments.data) {
            (Some(socket), _) => socket.clone(),
            (None, Some(data)) => data.join(control_socket::FILE_NAME),
            (None, None) => usual_socket(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { socket, runtime })
    }

    /// Asks and gives the whole answer.
    ///
    /// # Errors
    /// No node, or it refused.
    pub fn call(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Value, CallError> {
        self.runtime.block_on(async {
            let response = self.send(method, path, Full::new(Bytes::from(body))).await?;
            let bytes = self.whole(response).await?;
            serde_json::from_slice(&bytes).map_err(|error| CallError::Answer(error.to_string()))
        })
    }

    /// Sends a file as it is read, and gives the whole answer.
    ///
    /// # Errors
    /// The file cannot be read, no node, or it refused.
    pub fn send_file(&self, method: Method, path: &str, file: &Path) -> Result<Value, CallError> {
        let failed = |source| CallError::File { path: file.to_owned(), source };
        self.runtime.block_on(async {
            let opened = std::fs::File::open(file).map_err(failed)?;
            let pieces =
                futures_util::stream::unfold((opened, vec![0; PIECE_BYTES]), |(mut opened, mut buffer)| async {
                    match opened.read(&mut buffer) {
                        Ok(0) => None,
                        Ok(read) => {
                            let piece = Bytes::copy_from_slice(buffer.get(..read).unwrap_or_default());
                            Some((Ok(Frame::data(piece)), (opened, buffer)))
                        }
                        Err(error) => Some((Err(error), (opened, buffer))),
                    }
                });
            let response = self.send(method, path, StreamBody::new(Box::pin(pieces))).await?;
            let bytes = self.whole(response).await?;
            serde_json::from_slice(&bytes).map_err(|error| CallError::Answer(error.to_string()))
        })
    }

    /// Asks and gives each event of the stream to `each`, until the stream ends or `each` says false.
    ///
    /// # Errors
    /// No node, or it refused, or the stream broke.
    pub fn follow(&self, path: &str, mut each: impl FnMut(Value) -> bool) -> Result<(), CallError> {
        self.runtime.block_on(async {
            let mut response = self.send(Method::GET, path, Full::new(Bytes::new())).await?;
            let mut events = EventBuffer::default();
            while let Some(frame) = response.frame().await {
                let frame = frame.map_err(|error| self.broken(error))?;
                let Ok(data) = frame.into_data() else { continue };
                for event in events.push(&data)? {
                    if !each(event) {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
    }

    async fn send<B>(&self, method: Method, path: &str, body: B) -> Result<Response<Incoming>, CallError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let stream = tokio::net::UnixStream::connect(&self.socket).await.map_err(|error| self.not_connected(error))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| self.broken(error))?;
        // Ends with the connection; its error is also the request's.
        tokio::spawn(async move { drop(connection.await) });
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(hyper::header::HOST, "localhost")
            .body(body)
            .map_err(|error| CallError::Answer(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(|error| self.broken(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let bytes = self.whole(response).await?;
        Err(refused(status, &bytes))
    }

    async fn whole(&self, response: Response<Incoming>) -> Result<Bytes, CallError> {
        let limited = http_body_util::Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        match limited.collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) => Err(CallError::Answer(error.to_string())),
        }
    }

    fn not_connected(&self, source: io::Error) -> CallError {
        let socket = self.socket.clone();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => CallError::NoNode { socket },
            io::ErrorKind::PermissionDenied => CallError::NotAllowed { socket },
            _ => CallError::Io { socket, source },
        }
    }

    fn broken(&self, error: hyper::Error) -> CallError {
        CallError::Io { socket: self.socket.clone(), source: io::Error::other(error) }
    }
}

/// Where a node of this user has its socket; where there is none, that of the one that systemd runs.
fn usual_socket() -> PathBuf {
    let own = data_directory::locate("").join(control_socket::FILE_NAME);
    let system = Path::new(SYSTEM_DATA).join(control_socket::FILE_NAME);
    if !own.exists() && system.exists() { system } else { own }
}

fn refused(status: StatusCode, body: &[u8]) -> CallError {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let words = value.pointer("/error/message").and_then(Value::as_str).map(str::to_owned);
    CallError::Refused {
        status: status.as_u16(),
        message: words.unwrap_or_else(|| format!("the node answered {status}")),
    }
}

/// Server-sent events, from pieces.
#[derive(Default)]
struct EventBuffer {
    bytes: Vec<u8>,
}

impl EventBuffer {
    /// The events that are complete now.
    fn push(&mut self, piece: &[u8]) -> Result<Vec<Value>, CallError> {
        self.bytes.extend_from_slice(piece);
        let mut events = Vec::new();
        while let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.bytes.drain(..=end).collect();
            // One value is one line; comments keep the connection alive.
            if let Some(data) = line.strip_prefix(b"data:") {
                events.push(serde_json::from_slice(data).map_err(|error| CallError::Answer(error.to_string()))?);
            }
        }
        if self.bytes.len() > EVENT_BYTES_MAX {
            return Err(CallError::Answer("an event has no end".to_owned()));
        }
        Ok(events)
    }
}

/// `text` as one segment of a path.
pub fn segment(text: &str) -> String {
    text.bytes().fold(String::new(), |mut path, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => path.push(byte as char),
            other => path.push_str(&format!("%{other:02X}")),
        }
        path
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_come_whole_however_they_are_cut() {
        let text = b": keep\n\ndata: {\"a\":1}\n\ndata:{\"b\":2}\n\n";
        for size in 1..text.len() {
            let mut buffer = EventBuffer::default();
            let events: Vec<_> = text.chunks(size).flat_map(|piece| buffer.push(piece).unwrap()).collect();
            assert_eq!(events, [json!({ "a": 1 }), json!({ "b": 2 })], "{size}");
        }
        assert!(EventBuffer::default().push(b"data: no json\n").is_err());
        assert!(EventBuffer::default().push(&vec![b'x'; EVENT_BYTES_MAX]).is_ok());
        assert!(EventBuffer::default().push(&vec![b'x'; EVENT_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn names_are_one_segment() {
        assert_eq!(segment("pump-1:a_b.c~"), "pump-1:a_b.c~");
        assert_eq!(segment("a/b ?#ü"), "a%2Fb%20%3F%23%C3%BC");
    }

    #[test]
    fn without_a_node_the_error_says_how_to_start_one() {
        let directory = tempfile::tempdir().unwrap();
        let arguments = SocketArguments { data: Some(directory.path().to_owned()), socket: None };
        let client = NodeClient::new(&arguments).unwrap();
        let error = client.call(Method::GET, "/v1/status", Vec::new()).unwrap_err().to_string();
        assert!(
            error.contains("selvedge run") && error.contains("--data") && error.contains("control.sock"),
            "{error}"
        );
        // A socket that nobody serves any more says the same.
        drop(std::os::unix::net::UnixListener::bind(&client.socket).unwrap());
        assert!(matches!(client.call(Method::GET, "/v1/status", Vec::new()), Err(CallError::NoNode { .. })));
    }

    #[test]
    fn a_refusal_has_the_nodes_words() {
        let error = refused(StatusCode::CONFLICT, b"{\"error\": {\"message\": \"the version is 2, not 1\"}}");
        assert_eq!(error.to_string(), "the version is 2, not 1");
        assert_eq!(refused(StatusCode::BAD_GATEWAY, b"x").to_string(), "the node answered 502 Bad Gateway");
    }
}
