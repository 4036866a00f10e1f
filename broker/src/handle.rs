//! The broker as other threads see it: publish, attach a consumer, read the counters, stop. Every call puts a command
//! in a queue and returns; the reactor is woken once for as many as have gathered when it comes to them.

use std::{
    collections::VecDeque,
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Waker,
    time::Duration,
};

use selvedge_codec::{PacketId, QoS};
use selvedge_core::{Authorize, ConnectionId, Message, Moment, SessionToken};
use tokio::sync::oneshot;

use crate::{
    authentication::Verdict,
    journal::Alongside,
    reactor::{clock::Clock, consumer::Sink},
    statistics::Snapshot,
};

/// Topic filter and the highest QoS at which the subscriber wants its messages.
pub type Subscription = (String, QoS);

/// Why messages were not taken for publication.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// As many bytes as allowed are waiting already; here are the messages back.
    #[error("publishing {} messages: too many bytes are waiting already", .0.len())]
    Full(Vec<Message>),
    /// The broker has stopped.
    #[error("publishing {} messages: the broker has stopped", .0.len())]
    Stopped(Vec<Message>),
}

/// The broker's thread is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("asking the broker: it has stopped")]
pub struct Stopped;

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
            Self::WriteImage => "WriteImage",
            Self::Detach { .. } => "Detach",
            Self::Release { .. } => "Release",
            Self::Open => "Open",
            Self::Authenticated { .. } => "Authenticated",
            Self::SetRules { .. } => "SetRules",
            Self::Statistics { .. } => "Statistics",
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

fn cost_bytes(messages: &[Message]) -> usize {
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

/// A way to the broker, for any thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: Arc<CommandQueue>,
    keys: Arc<AtomicU64>,
    clock: Clock,
}

impl Handle {
    pub(crate) fn new(commands: Arc<CommandQueue>, clock: Clock) -> Self {
        Self { commands, keys: Arc::default(), clock }
    }

    /// The core's time, in which expiry of messages is given.
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Publish `messages` in this order.
    ///
    /// # Errors
    /// Gives the messages back when `command_bytes_max` bytes are waiting already, or the broker has stopped.
    pub fn publish(&self, messages: Vec<Message>) -> Result<(), PublishError> {
        let bytes = cost_bytes(&messages);
        self.commands.push(Command::Publish { messages: messages.into(), bytes }).map_err(|(command, stopped)| {
            let messages = match command {
                Command::Publish { messages, .. } => messages.into(),
                _ => Vec::new(),
            };
            if stopped { PublishError::Stopped(messages) } else { PublishError::Full(messages) }
        })
    }

    /// Publish `outputs` in one entry of the journal with `alongside`: all of it is there after a crash, or nothing, and
    /// nobody gets the messages before.
    ///
    /// # Errors
    /// The broker has stopped; gives `alongside` back.
    pub fn commit(&self, outputs: Vec<Message>, alongside: Option<Alongside>) -> Result<(), Option<Alongside>> {
        self.push_commit(None, Vec::new(), outputs, alongside)
    }

    fn push_commit(
        &self,
        key: Option<u64>,
        packet_ids: Vec<PacketId>,
        outputs: Vec<Message>,
        alongside: Option<Alongside>,
    ) -> Result<(), Option<Alongside>> {
        let bytes = cost_bytes(&outputs);
        let command = Command::Commit { key, packet_ids, outputs, alongside, bytes };
        self.commands.push(command).map_err(|(command, _)| match command {
            Command::Commit { alongside, .. } => alongside,
            _ => None,
        })
    }

    /// Write an image of all that the journal keeps for the broker, so that what was written before can go.
    pub fn write_image(&self) {
        self.send(Command::WriteImage);
    }

    /// Attach a consumer with a session of its own, named `client_id`, which is kept when the consumer goes and taken
    /// over when it comes again. At most `receive_maximum` deliveries of QoS 1 and 2 are unacknowledged at a time.
    /// `sink` gets what one turn brought, on the reactor's thread: it passes the batch on and returns at once.
    pub fn attach(
        &self,
        client_id: &str,
        receive_maximum: u16,
        subscriptions: Vec<Subscription>,
        sink: Sink,
    ) -> Attachment {
        self.attach_as(client_id, receive_maximum, Some(subscriptions.into()), sink)
    }

    /// As [`Handle::attach`], with the subscriptions that the consumer's session has, whatever they are.
    pub fn resume(&self, client_id: &str, receive_maximum: u16, sink: Sink) -> Attachment {
        self.attach_as(client_id, receive_maximum, None, sink)
    }

    fn attach_as(
        &self,
        client_id: &str,
        receive_maximum: u16,
        subscriptions: Option<VecDeque<Subscription>>,
        sink: Sink,
    ) -> Attachment {
        let key = self.keys.fetch_add(1, Ordering::Relaxed);
        let client_id = client_id.into();
        self.send(Command::Attach { key, client_id, receive_maximum, subscriptions, sink });
        Attachment { handle: self.clone(), key, detached: false }
    }

    /// All counters as they are when the reactor comes to it. Also to be waited for without a runtime, by
    /// [`Handle::statistics_blocking`].
    ///
    /// # Errors
    /// The broker has stopped.
    pub async fn statistics(&self) -> Result<Snapshot, Stopped> {
        self.ask_statistics().await.map_err(|_| Stopped)
    }

    /// As [`Handle::statistics`], for a thread that may block.
    ///
    /// # Errors
    /// The broker has stopped.
    pub fn statistics_blocking(&self) -> Result<Snapshot, Stopped> {
        self.ask_statistics().blocking_recv().map_err(|_| Stopped)
    }

    fn ask_statistics(&self) -> oneshot::Receiver<Snapshot> {
        let (answer, asked) = oneshot::channel();
        self.send(Command::Statistics { answer });
        asked
    }

    /// Accept clients from now on. Before this they wait in the backlogs of the sockets, so that consumers attached in
    /// between miss nothing.
    pub fn open(&self) {
        self.send(Command::Open);
    }

    /// From now on these rules hold, for what clients do next and, in steps, for the sessions and subscriptions there are.
    pub fn set_rules(&self, authorizer: Box<dyn Authorize>) {
        self.send(Command::SetRules { authorizer });
    }

    /// Accept nothing more, tell every client (MQTT 5: DISCONNECT 0x8B), send what is unsent, and end the thread, at
    /// the latest after `deadline`.
    pub fn shutdown(&self, deadline: Duration) {
        self.send(Command::Shutdown { deadline });
    }

    /// To a broker that has stopped, nothing needs to be said.
    fn send(&self, command: Command) {
        let _ = self.commands.push(command);
    }
}

/// A consumer inside the node. Dropping it leaves its session behind, which queues for its successor;
/// [`Attachment::detach`] ends the session.
#[derive(Debug)]
pub struct Attachment {
    handle: Handle,
    key: u64,
    detached: bool,
}

impl Attachment {
    /// The consumer has done with these deliveries; `outputs` are published before that, with nothing in
    /// between that other threads ask for.
    pub fn acknowledge(&self, packet_ids: Vec<PacketId>, outputs: Vec<Message>) {
        let bytes = cost_bytes(&outputs);
        let (packet_ids, outputs) = (packet_ids.into(), outputs.into());
        self.handle.send(Command::Acknowledge { key: self.key, packet_ids, outputs, bytes });
    }

    /// The consumer has done with these deliveries: that, `outputs` and `alongside` are one entry of the journal, and nobody
    /// gets the outputs before it is durable.
    ///
    /// # Errors
    /// The broker has stopped; gives `alongside` back.
    pub fn commit(
        &self,
        packet_ids: Vec<PacketId>,
        outputs: Vec<Message>,
        alongside: Option<Alongside>,
    ) -> Result<(), Option<Alongside>> {
        self.handle.push_commit(Some(self.key), packet_ids, outputs, alongside)
    }

    /// Be subscribed to these, and to nothing else. What matches one of them before and after is not missed.
    pub fn set_subscriptions(&self, subscriptions: Vec<Subscription>) {
        self.handle.send(Command::SetSubscriptions { key: self.key, subscriptions: subscriptions.into() });
    }

    /// Leave for good: the session ends, and what was queued for it.
    pub fn detach(mut self) {
        self.detached = true;
        self.handle.send(Command::Detach { key: self.key });
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        if !self.detached {
            self.handle.send(Command::Release { key: self.key });
        }
    }
}
