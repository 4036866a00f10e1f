//! What other threads ask of the reactor, on its way there.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
    time::Duration,
};

use selvedge_codec::PacketId;
use selvedge_core::{Authorize, ConnectionId, Interception, Interceptor, Message, SessionToken};
use tokio::sync::oneshot;

use super::{Client, Subscription};
use crate::{
    authentication::Verdict,
    journal::Alongside,
    offenders::Offenders,
    reactor::{consumer::Sink, interception::InterceptSink},
    statistics::Snapshot,
};

pub(crate) enum Command {
    /// `bytes` is what it counts against the limit until it is carried out.
    Publish {
        messages: VecDeque<Message>,
        bytes: usize,
    },
    Attach {
        key: u64,
        client_id: Arc<str>,
        receive_maximum: u16,
        /// `None` are those that its session has.
        subscriptions: Option<VecDeque<Subscription>>,
        sink: Sink,
    },
    /// These and no others.
    SetSubscriptions {
        key: u64,
        subscriptions: VecDeque<Subscription>,
    },
    /// These too.
    Subscribe {
        key: u64,
        subscriptions: VecDeque<Subscription>,
    },
    Acknowledge {
        key: u64,
        packet_ids: VecDeque<PacketId>,
        outputs: VecDeque<Message>,
        bytes: usize,
    },
    /// All of it in one entry of the journal. Without a key, nobody's delivery is acknowledged.
    Commit {
        key: Option<u64>,
        packet_ids: Vec<PacketId>,
        outputs: Vec<Message>,
        alongside: Option<Alongside>,
        bytes: usize,
    },
    Fetched {
        session: SessionToken,
        messages: Vec<(u64, Option<Vec<u8>>)>,
    },
    SetInterceptors {
        interceptors: Vec<Interceptor>,
        sink: Option<InterceptSink>,
    },
    Intercepted {
        ticket: u64,
        outcome: Interception,
    },
    WriteImage,
    Detach {
        key: u64,
    },
    /// The consumer is gone, its session stays.
    Release {
        key: u64,
    },
    /// Accept clients from now on.
    Open,
    Authenticated {
        connection: ConnectionId,
        verdict: Verdict,
    },
    SetRules {
        authorizer: Box<dyn Authorize>,
    },
    Statistics {
        answer: oneshot::Sender<Snapshot>,
    },
    Clients {
        answer: oneshot::Sender<Vec<Client>>,
    },
    TakeOffenders {
        answer: oneshot::Sender<Offenders>,
    },
    Shutdown {
        deadline: Duration,
    },
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Publish { .. } => "Publish",
            Self::Attach { .. } => "Attach",
            Self::SetSubscriptions { .. } => "SetSubscriptions",
            Self::Subscribe { .. } => "Subscribe",
            Self::Acknowledge { .. } => "Acknowledge",
            Self::Commit { .. } => "Commit",
            Self::Fetched { .. } => "Fetched",
            Self::SetInterceptors { .. } => "SetInterceptors",
            Self::Intercepted { .. } => "Intercepted",
            Self::WriteImage => "WriteImage",
            Self::Detach { .. } => "Detach",
            Self::Release { .. } => "Release",
            Self::Open => "Open",
            Self::Authenticated { .. } => "Authenticated",
            Self::SetRules { .. } => "SetRules",
            Self::Statistics { .. } => "Statistics",
            Self::Clients { .. } => "Clients",
            Self::TakeOffenders { .. } => "TakeOffenders",
            Self::Shutdown { .. } => "Shutdown",
        })
    }
}

impl Command {
    fn bytes(&self) -> usize {
        match self {
            Self::Publish { bytes, .. } | Self::Acknowledge { bytes, .. } | Self::Commit { bytes, .. } => *bytes,
            _ => 0,
        }
    }
}

pub(super) fn cost_bytes(messages: &[Message]) -> usize {
    messages.iter().map(Message::cost_bytes).sum()
}

#[derive(Debug, Default)]
struct Queue {
    commands: Vec<Command>,
    /// What waits here and in the reactor's backlog, bytes.
    bytes: usize,
    waker: Option<Waker>,
    closed: bool,
}

/// Commands on their way to the reactor.
#[derive(Debug)]
pub(crate) struct CommandQueue {
    queue: Mutex<Queue>,
    /// Lets the reactor pass by without the lock.
    any: AtomicBool,
    bytes_max: usize,
}

impl CommandQueue {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { queue: Mutex::default(), any: AtomicBool::new(false), bytes_max }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic while the lock is held leaves nothing half done.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Add a command; gives it back if it is a publication beyond the limit, or nobody is there to carry it out.
    pub(crate) fn push(&self, command: Command) -> Result<(), (Command, bool)> {
        let bytes = command.bytes();
        let mut queue = self.lock();
        if queue.closed {
            return Err((command, true));
        }
        // Acknowledgements are never refused: the receive maximum of their consumer bounds them.
        if matches!(command, Command::Publish { .. }) && queue.bytes > 0 && queue.bytes + bytes > self.bytes_max {
            return Err((command, false));
        }
        queue.bytes += bytes;
        queue.commands.push(command);
        if queue.commands.len() == 1 {
            self.any.store(true, Ordering::Release);
            let waker = queue.waker.clone();
            drop(queue);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        Ok(())
    }

    /// Have the reactor look, although there is no command.
    pub(crate) fn wake(&self) {
        let waker = self.lock().waker.clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn set_waker(&self, waker: Waker) {
        self.lock().waker = Some(waker);
    }

    /// Move what waits into `backlog`. Gives how many commands that were.
    pub(crate) fn take_into(&self, backlog: &mut VecDeque<Command>) -> usize {
        if !self.any.load(Ordering::Acquire) {
            return 0;
        }
        let mut queue = self.lock();
        self.any.store(false, Ordering::Release);
        let commands = mem::take(&mut queue.commands);
        drop(queue);
        let count = commands.len();
        backlog.extend(commands);
        count
    }

    /// What counted `bytes` no longer waits.
    pub(crate) fn done(&self, bytes: usize) {
        if bytes > 0 {
            let mut queue = self.lock();
            queue.bytes = queue.bytes.saturating_sub(bytes);
        }
    }

    /// Take no more: the reactor is gone.
    pub(crate) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        queue.waker = None;
        let commands = mem::take(&mut queue.commands);
        drop(queue);
        drop(commands);
    }
}
