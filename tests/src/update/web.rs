//! A web server for a repository: GET of files, with ETags and ranges as any server has them. It counts what it sends.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::Context as _;

use crate::PATIENCE;

/// Most header lines that are read.
const HEADERS_MAX: usize = 64;

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct WebServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    folder: PathBuf,
    stopping: AtomicBool,
    sent_bytes: AtomicU64,
    requests: Mutex<Vec<String>>,
}

impl WebServer {
    /// Serves the files in `folder`.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen for a web server")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { folder: folder.to_owned(), ..Shared::default() });
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.stopping.load(Ordering::Acquire) {
                    return;
                }
                let serving = Arc::clone(&serving);
                // A client that goes away ends its own connection only.
                std::thread::spawn(move || drop(serve(&serving, &stream)));
            }
        });
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// Its address, as a configuration wants it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Bytes of bodies that were sent.
    pub fn sent_bytes(&self) -> u64 {
        self.shared.sent_bytes.load(Ordering::Relaxed)
    }

    /// Paths that were asked for, each with the status.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for WebServer {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        // Wakes the thread; when this fails, it has ended.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// What a request asks for, of what is looked at.
#[derive(Debug, Default)]
struct Wanted {
    path: String,
    known_etag: Option<String>,
    from: Option<u64>,
}

/// Requests of one connection, one after the other.
fn serve(shared: &Shared, stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(wanted) = read_request(&mut reader)? {
        let status = answer(shared, stream, &wanted)?;
        let line = format!("{status} {}", wanted.path);
        shared.requests.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
    Ok(())
}

fn read_request(reader: &mut BufReader<&TcpStream>) -> std::io::Result<Option<Wanted>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut wanted = Wanted { path: line.split(' ').nth(1).unwrap_or_default().to_owned(), ..Wanted::default() };
    for _ in 0..HEADERS_MAX {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "if-none-match" => wanted.known_etag = Some(value.trim().to_owned()),
            "range" => {
                let from = value.trim().strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
                wanted.from = from.and_then(|from| from.parse().ok());
            }
            _ => {}
        }
    }
    Ok(Some(wanted))
}

fn answer(shared: &Shared, mut stream: &TcpStream, wanted: &Wanted) -> std::io::Result<u16> {
    let relative = Path::new(wanted.path.trim_start_matches('/'));
    let inside = relative.components().all(|component| matches!(component, Component::Normal(_)));
    let file = if inside { File::open(shared.folder.join(relative)).ok() } else { None };
    let about = file.as_ref().and_then(|file| file.metadata().ok()).filter(std::fs::Metadata::is_file);
    let (Some(mut file), Some(about)) = (file, about) else {
        stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")?;
        return Ok(404);
    };
    let changed = about.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let etag = format!("\"{:x}-{:x}\"", about.len(), changed.map_or(0, |since| since.as_nanos()));
    if wanted.known_etag.as_ref() == Some(&etag) {
        stream.write_all(format!("HTTP/1.1 304 Not Modified\r\netag: {etag}\r\n\r\n").as_bytes())?;
        return Ok(304);
    }
    let from = wanted.from.filter(|from| *from < about.len());
    let length = about.len() - from.unwrap_or(0);
    let (status, range) = match from {
        Some(from) => (206, format!("content-range: bytes {from}-{}/{}\r\n", about.len() - 1, about.len())),
        None => (200, String::new()),
    };
    file.seek(SeekFrom::Start(from.unwrap_or(0)))?;
    let head = format!("HTTP/1.1 {status} OK\r\ncontent-length: {length}\r\netag: {etag}\r\n{range}\r\n");
    stream.write_all(head.as_bytes())?;
    let sent = std::io::copy(&mut file.take(length), &mut stream)?;
    shared.sent_bytes.fetch_add(sent, Ordering::Relaxed);
    Ok(status)
}
