//! The thread that serves HTTP: a tokio runtime of its own, hyper for the connections, axum for the routes.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};

use super::control_socket::may_control;
use super::login::PeerAddress;
use super::node::Node;
use super::routes;
use crate::config::HttpConfig;

/// Headers of one request.
const HEADERS_MAX: usize = 64;
const STACK_BYTES: usize = 512 * 1024;
/// Requests that wait for a disk or a compiler at once, each on a thread of its own; the rest stand behind them.
const BLOCKING_THREADS_MAX: usize = 4;
/// For the head of a request, also the next one of a connection that stays open. Shorter than what a request may take, so that
/// clients that say nothing do not keep probes out.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// After the stop, for responses under way.
const DRAIN: Duration = Duration::from_millis(500);
/// After a failed accept (no file descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Sockets that already listen.
#[derive(Debug)]
pub struct Listeners {
    /// For reading.
    pub tcp: Option<TcpListener>,
    /// For everything.
    pub unix: UnixListener,
}

/// The running server.
#[derive(Debug)]
pub struct HttpServer {
    stop: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

impl HttpServer {
    /// Accepts no more, lets responses finish for half a second, ends.
    pub fn stop(self) {
        let _ = self.stop.send(true);
        if self.thread.join().is_err() {
            tracing::error!("the HTTP thread panicked");
        }
    }
}

/// Serves `node` on `listeners` until stopped.
///
/// # Errors
/// The thread, its runtime or a listener cannot be set up.
pub fn start(listeners: Listeners, config: &HttpConfig, node: Arc<dyn Node>) -> io::Result<HttpServer> {
    let (stop, stopped) = watch::channel(false);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .thread_stack_size(STACK_BYTES)
        .thread_name("http-wait")
        .build()?;
    let limits = Limits {
        connections_max: config.connections_max as usize,
        header_bytes_max: config.header_bytes_max.as_usize(),
        head_timeout: head_timeout(config),
    };
    let reading = routes::reading(Arc::clone(&node), config);
    let controlling = routes::controlling(node, config);
    let Listeners { tcp, unix } = listeners;
    unix.set_nonblocking(true)?;
    if let Some(tcp) = &tcp {
        tcp.set_nonblocking(true)?;
    }
    let thread = std::thread::Builder::new().name("http".to_owned()).stack_size(STACK_BYTES).spawn(move || {
        let served = runtime.block_on(async move {
            let unix = tokio::net::UnixListener::from_std(unix)?;
            let tcp = tcp.map(tokio::net::TcpListener::from_std).transpose()?;
            let over_unix = serve_unix(unix, controlling, limits, stopped.clone());
            match tcp {
                Some(tcp) => drop(tokio::join!(over_unix, serve_tcp(tcp, reading, limits, stopped))),
                None => over_unix.await,
            }
            Ok::<(), io::Error>(())
        });
        if let Err(error) = served {
            tracing::error!(%error, "HTTP cannot be served");
        }
    })?;
    Ok(HttpServer { stop, thread })
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    connections_max: usize,
    header_bytes_max: usize,
    head_timeout: Duration,
}

fn head_timeout(config: &HttpConfig) -> Duration {
    config.request_timeout.0.min(HEAD_TIMEOUT)
}

async fn serve_tcp(listener: tokio::net::TcpListener, router: Router, limits: Limits, stopped: watch::Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let mut until = stopped.clone();
    loop {
        // Waiting for a slot before accept leaves the excess in the kernel's backlog.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let _ = stream.set_nodelay(true);
                    let router = router.clone().layer(Extension(PeerAddress(peer.ip().to_canonical())));
                    let connection = serve_connection(stream, router, limits, stopped.clone());
                    tokio::spawn(async move { connection.await; drop(slot) });
                }
                Err(error) => pause_after(&error).await,
            },
            () = told_to_stop(&mut until) => break,
        }
    }
    drained(&slots, limits.connections_max).await;
}

async fn serve_unix(
    listener: tokio::net::UnixListener,
    router: Router,
    limits: Limits,
    stopped: watch::Receiver<bool>,
) {
    let own_user = rustix::process::geteuid().as_raw();
    let slots = Arc::new(Semaphore::new(limits.connections_max));
    let mut until = stopped.clone();
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let peer = stream.peer_cred().map(|peer| peer.uid());
                    if !peer.as_ref().is_ok_and(|user| may_control(*user, own_user)) {
                        tracing::warn!(?peer, "control connection of a foreign user refused");
                        continue;
                    }
                    let connection = serve_connection(stream, router.clone(), limits, stopped.clone());
                    tokio::spawn(async move { connection.await; drop(slot) });
                }
                Err(error) => pause_after(&error).await,
            },
            () = told_to_stop(&mut until) => break,
        }
    }
    drained(&slots, limits.connections_max).await;
}

async fn pause_after(error: &io::Error) {
    tracing::warn!(%error, "HTTP connection not accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

/// Also when whoever could say so is gone.
async fn told_to_stop(stopped: &mut watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stop| *stop).await;
}

/// All connections have ended, or had their time.
async fn drained(slots: &Semaphore, count: usize) {
    let all = slots.acquire_many(u32::try_from(count).unwrap_or(u32::MAX));
    let _ = tokio::time::timeout(DRAIN, all).await;
}

async fn serve_connection<S>(stream: S, router: Router, limits: Limits, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(limits.header_bytes_max);
    let mut connection =
        std::pin::pin!(builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = told_to_stop(&mut stopped) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "HTTP connection ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Period;

    #[test]
    fn a_silent_client_has_5_seconds_and_never_longer_than_a_request() {
        let mut config = HttpConfig::default();
        assert_eq!(head_timeout(&config), Duration::from_secs(5));
        config.request_timeout = Period::milliseconds(4999);
        assert_eq!(head_timeout(&config), Duration::from_millis(4999));
    }
}
