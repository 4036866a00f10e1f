//! Starting the reactor's thread, and its end.

use std::{cell::RefCell, io, net::SocketAddr, panic::resume_unwind, rc::Rc, sync::Arc, thread::JoinHandle};

use selvedge_core::{Authorize, Core};
use tokio::runtime::{Builder, LocalOptions};

use crate::{
    authentication::{Authenticate, thread::Authentication},
    config::Config,
    handle::{CommandQueue, Handle},
    handshake::half_open::HalfOpen,
    journal::{Continuation, Mark},
    listener::{self, Listener, Served},
    reactor::{Beside, Reactor, clock::Clock, keeping::Keeping, turn::TurnEnd},
    tls::{Encryption, buffers::Buffers, thread::HandshakeThread},
};

/// Everything that a broker needs to start.
#[derive(Debug)]
pub struct Broker {
    /// Limits of sockets and buffers.
    pub config: Config,
    /// Limits of the protocol.
    pub core: selvedge_core::Config,
    /// Who may publish and subscribe what.
    pub authorizer: Box<dyn Authorize>,
    /// Who a client is.
    pub authenticator: Arc<dyn Authenticate>,
    /// Makes assigned client identifiers differ from boot to boot.
    pub seed: u64,
    /// Where clients connect.
    pub listeners: Vec<Listener>,
    /// Where durable sessions are kept, and what was kept before; `None` keeps all in memory.
    pub continuation: Option<Continuation>,
}

/// A started broker.
#[derive(Debug)]
pub struct Running {
    /// For all that the rest of the node wants of it.
    pub handle: Handle,
    /// Where it listens, in the order of the listeners.
    pub addresses: Vec<SocketAddr>,
    thread: JoinHandle<()>,
}

/// Why the broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listening socket cannot be used.
    #[error("preparing the listening socket {index}")]
    Listener {
        /// Its place in `listeners`.
        index: usize,
        /// What the system says.
        source: io::Error,
    },
    /// Retained messages cannot be read from the journal.
    #[error("reading retained messages")]
    Retained(#[source] io::Error),
    /// The event loop or its thread cannot be made.
    #[error("starting the reactor thread")]
    Thread(#[source] io::Error),
}

/// The reactor's thread ended by a panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("waiting for the broker to stop: its thread panicked")]
pub struct Panicked;

/// Tasks that run before the runtime looks for new events and for wakes from other threads. Few, because each may take
/// its whole share of a turn; looking costs next to nothing beside that.
const TASKS_PER_LOOK: u32 = 8;

impl Broker {
    /// Start the thread. The sockets are served from [`Handle::open`] on.
    ///
    /// # Errors
    /// A socket cannot be used, or the thread cannot be made.
    pub fn start(self) -> Result<Running, StartError> {
        let mut addresses = Vec::new();
        for (index, listener) in self.listeners.iter().enumerate() {
            let prepared = listener::tcp::prepare(&listener.socket, &self.config);
            addresses.push(
                prepared
                    .and_then(|()| listener.socket.local_addr())
                    .map_err(|source| StartError::Listener { index, source })?,
            );
        }
        let commands = Arc::new(CommandQueue::new(self.config.command_bytes_max));
        let clock = Clock::start();
        let handle = Handle::new(commands.clone(), clock);
        let (report, started) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("mqtt-reactor".to_owned())
            .spawn(move || {
                let closing = CloseOnDrop(commands.clone());
                selvedge_priority::run_at_once();
                self.run(commands, clock, &report);
                drop(closing);
            })
            .map_err(StartError::Thread)?;
        match started.recv() {
            Ok(Ok(())) => Ok(Running { handle, addresses, thread }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StartError::Thread(io::Error::other("the thread ended at once"))),
        }
    }

    fn run(
        self,
        commands: Arc<CommandQueue>,
        clock: Clock,
        report: &std::sync::mpsc::SyncSender<Result<(), StartError>>,
    ) {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .event_interval(TASKS_PER_LOOK)
            .global_queue_interval(TASKS_PER_LOOK)
            .build_local(LocalOptions::default());
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                // Whoever started us waits for exactly one report.
                let _ = report.send(Err(StartError::Thread(error)));
                return;
            }
        };
        let panic = runtime.block_on(async {
            let beside = match self.start_beside() {
                Ok(beside) => beside,
                Err(error) => {
                    let _ = report.send(Err(StartError::Thread(error)));
                    return None;
                }
            };
            let packet_bytes_max = self.core.packet_bytes_max;
            let mut core = Core::new(self.core, self.authorizer, self.seed);
            let mut unreadable = None;
            let keeping = self.continuation.map(|continuation| {
                let Continuation { journal, restored, wall_ms, next_message, mut fetch } = continuation;
                // After the first failure nothing is asked any more: the start has failed.
                let mut fetch_first = |number| match unreadable {
                    None => fetch(number).unwrap_or_else(|error| {
                        unreadable = Some(error);
                        None
                    }),
                    Some(_) => None,
                };
                core.continue_from(restored, wall_ms, next_message, &mut fetch_first);
                Keeping::new(journal, Arc::new(Mark::new(commands.clone())))
            });
            if let Some(error) = unreadable {
                let _ = report.send(Err(StartError::Retained(error)));
                return None;
            }
            let mut reactor = Reactor::new(core, Rc::new(self.config), packet_bytes_max, clock, commands, beside);
            reactor.keeping = keeping;
            let ending = reactor.ending();
            let reactor = Rc::new(RefCell::new(reactor));
            let turn_end = TurnEnd::new(reactor.clone());
            ending.spawn(tokio::task::coop::unconstrained(turn_end));
            for (index, Listener { socket, transport, tls, durability }) in self.listeners.into_iter().enumerate() {
                let socket = match tokio::net::TcpListener::from_std(socket) {
                    Ok(socket) => socket,
                    Err(source) => {
                        let _ = report.send(Err(StartError::Listener { index, source }));
                        return None;
                    }
                };
                let served = Served { index, transport, tls, durability };
                let task = ending.spawn(Box::pin(listener::run(socket, served, reactor.clone())));
                reactor.borrow_mut().add_listener(task.abort_handle());
            }
            let _ = report.send(Ok(()));
            ending.wait().await
        });
        // Tasks go with the runtime; what they hold of the reactor is not used any more.
        drop(runtime);
        if let Some(panic) = panic {
            tracing::error!("the broker ends: its thread panicked");
            resume_unwind(panic);
        }
        tracing::info!("broker stopped");
    }

    /// The threads that the reactor leaves work to.
    fn start_beside(&self) -> io::Result<Beside> {
        let half_open = Rc::new(HalfOpen::default());
        let authentication =
            Authentication::start(self.authenticator.clone(), self.config.authentications_waiting_max)?;
        let encrypts = self.listeners.iter().any(|listener| listener.tls.is_some());
        let thread = encrypts.then(|| HandshakeThread::start(&self.config, half_open.bytes())).transpose()?;
        let encryption = Encryption { thread, buffers: Rc::new(Buffers::new()) };
        Ok(Beside { half_open, authentication: Rc::new(authentication), encryption: Rc::new(encryption) })
    }
}

/// Callers learn that the reactor is gone even if it panicked.
struct CloseOnDrop(Arc<CommandQueue>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Running {
    /// Wait for the thread to end, which [`Handle::shutdown`] makes it do.
    ///
    /// # Errors
    /// It ended by a panic.
    pub fn join(self) -> Result<(), Panicked> {
        self.thread.join().map_err(|_| Panicked)
    }

    /// Whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}
