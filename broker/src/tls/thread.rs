//! The thread of the TLS handshakes: a handshake costs as much time as hundreds of messages, which the reactor must not spend.
//!
//! A handshake begins with a socket and ends with a socket and its keys, or with an alert. It ends at once when nobody waits
//! for it any more: time-outs are kept where it is waited for. Invariant: no more handshakes than places, no more bytes than
//! the limit that all unfinished connections share.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustls::ServerConfig;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    runtime::Builder,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
};

use super::records::{RecordError, Records};
use crate::{authentication::PeerCertificate, config::Config};

/// Why a handshake did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsHandshakeError {
    #[error("TLS handshake failed")]
    Records(#[from] RecordError),
    #[error("connection lost during the TLS handshake")]
    Lost(#[from] io::Error),
    #[error("peer closed the connection during the TLS handshake")]
    Closed,
    #[error("unfinished handshakes take too much memory")]
    TooManyBytes,
    #[error("the thread of the TLS handshakes is gone")]
    Stopped,
}

/// A connection whose handshake succeeded, and what was read beyond it.
#[derive(Debug)]
pub(crate) struct Established {
    pub(crate) socket: std::net::TcpStream,
    pub(crate) records: Records,
    /// Begin of a record.
    pub(crate) kept: Vec<u8>,
    /// Decrypted already.
    pub(crate) plain: Vec<u8>,
    pub(crate) certificate: Option<Arc<PeerCertificate>>,
}

type Outcome = Result<Established, TlsHandshakeError>;

struct Job {
    socket: std::net::TcpStream,
    config: Arc<ServerConfig>,
    answer: oneshot::Sender<Outcome>,
    _place: OwnedSemaphorePermit,
}

/// A way to the thread, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct HandshakeThread {
    jobs: mpsc::UnboundedSender<Job>,
    places: Arc<Semaphore>,
}

/// Bytes that one handshake reads at once, and so at most reads beyond its end.
const READ_BYTES: usize = 4 * 1024;
/// What a handshake keeps beside what it has read: keys, a transcript, the server's certificates. An estimate.
const FIXED_BYTES: usize = 4 * 1024;
/// A message is kept as it came, and by the library until its hash is known.
const COPIES: usize = 2;
/// One that floods the node with handshakes must not take the processor from those who are connected.
const NICE: i32 = 5;

impl HandshakeThread {
    /// `bytes` is what all unfinished connections keep, which this thread adds to.
    pub(crate) fn start(config: &Config, bytes: Arc<AtomicUsize>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let (jobs, mut queue) = mpsc::unbounded_channel::<Job>();
        let limits = Limits { one: config.connect_bytes_max as usize, all: config.half_open_bytes_max };
        std::thread::Builder::new().name("tls-handshake".to_owned()).spawn(move || {
            selvedge_priority::make_way(NICE);
            runtime.block_on(async {
                while let Some(job) = queue.recv().await {
                    let kept = Kept { all: bytes.clone(), mine: 0, limits };
                    tokio::spawn(run(job, kept));
                }
            });
        })?;
        Ok(Self { jobs, places: Arc::new(Semaphore::new(config.half_open_max.min(Semaphore::MAX_PERMITS))) })
    }

    /// Lead `socket` through the handshake. Dropping the future ends it.
    pub(crate) async fn establish(&self, socket: TcpStream, config: Arc<ServerConfig>) -> Outcome {
        // Those that were given up have a place until the thread comes to them; who comes meanwhile waits, within the deadline.
        let place = self.places.clone().acquire_owned().await.map_err(|_| TlsHandshakeError::Stopped)?;
        let (answer, outcome) = oneshot::channel();
        let job = Job { socket: socket.into_std()?, config, answer, _place: place };
        self.jobs.send(job).map_err(|_| TlsHandshakeError::Stopped)?;
        outcome.await.map_err(|_| TlsHandshakeError::Stopped)?
    }
}

async fn run(mut job: Job, mut kept: Kept) {
    let outcome = tokio::select! {
        biased;
        () = job.answer.closed() => return,
        outcome = lead(job.socket, job.config, &mut kept) => outcome,
    };
    // Whoever waited may have just given up.
    let _ = job.answer.send(outcome);
}

async fn lead(socket: std::net::TcpStream, config: Arc<ServerConfig>, kept: &mut Kept) -> Outcome {
    let mut socket = TcpStream::from_std(socket)?;
    let mut records = Records::new(config)?;
    let mut incoming = Vec::new();
    let mut plain = Vec::new();
    let mut out = Vec::new();
    kept.grow(0)?;
    loop {
        let taken = records.take(&mut incoming, &mut |bytes| plain.extend_from_slice(bytes), &mut out);
        if !out.is_empty() {
            // After an error this is the alert; the error says more than a failure to send it.
            let written = socket.write_all(&out).await;
            if taken.is_ok() {
                written?;
            }
            out = Vec::new();
        }
        let taken = match taken {
            Ok(taken) => taken,
            Err(error) => {
                // So that the peer gets the alert before the end.
                let _ = socket.shutdown().await;
                return Err(error.into());
            }
        };
        incoming.drain(..taken.bytes);
        if !records.is_handshaking() {
            break;
        }
        if taken.peer_closed {
            return Err(TlsHandshakeError::Closed);
        }
        read(&socket, &mut incoming).await?;
        kept.grow(incoming.len())?;
    }
    incoming.shrink_to_fit();
    plain.shrink_to_fit();
    let certificate = records.peer_certificate().map(|der| Arc::new(PeerCertificate { der: der.to_vec() }));
    Ok(Established { socket: socket.into_std()?, records, kept: incoming, plain, certificate })
}

/// Read something; who waits has no buffer.
async fn read(socket: &TcpStream, incoming: &mut Vec<u8>) -> Result<(), TlsHandshakeError> {
    loop {
        socket.readable().await?;
        let mut room = [0; READ_BYTES];
        match socket.try_read(&mut room) {
            Ok(0) => return Err(TlsHandshakeError::Closed),
            Ok(count) => {
                incoming.reserve_exact(count);
                incoming.extend_from_slice(room.get(..count).unwrap_or_default());
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    one: usize,
    all: usize,
}

/// What one handshake keeps, and all unfinished connections together.
#[derive(Debug)]
struct Kept {
    all: Arc<AtomicUsize>,
    mine: usize,
    limits: Limits,
}

impl Kept {
    /// The handshake keeps `bytes` of what it has read. It never keeps less: the library may.
    fn grow(&mut self, bytes: usize) -> Result<(), TlsHandshakeError> {
        let mine = (FIXED_BYTES + COPIES * bytes).max(self.mine);
        let all = self.all.fetch_add(mine - self.mine, Ordering::Relaxed) + (mine - self.mine);
        self.mine = mine;
        // One that is not larger than usual goes on even if others have used all up.
        if bytes > READ_BYTES && (bytes > self.limits.one || all > self.limits.all) {
            return Err(TlsHandshakeError::TooManyBytes);
        }
        Ok(())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.all.fetch_sub(self.mine, Ordering::Relaxed);
    }
}
