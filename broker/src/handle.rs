//! The broker as other threads see it: publish, attach a consumer, read the counters, stop. Every call puts a command
//! in a queue and returns; the reactor is woken once for as many as have gathered when it comes to them.

mod command;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use selvedge_codec::{PacketId, QoS};
use selvedge_core::{Authorize, Interception, Interceptor, Message, Moment};
use tokio::sync::oneshot;

use self::command::cost_bytes;
pub(crate) use self::command::{Command, CommandQueue};
use crate::{
    journal::Alongside,
    offenders::Offenders,
    reactor::{clock::Clock, consumer::Sink, interception::InterceptSink},
    statistics::Snapshot,
};

/// Topic filter and the highest QoS at which the subscriber wants its messages.
pub type Subscription = (String, QoS);

/// A client that is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its client identifier.
    pub client_id: Arc<str>,
    /// Where it connects from.
    pub address: SocketAddr,
    /// Bytes that this connection brought, with the framing of WebSocket and without that of TLS.
    pub bytes_in: u64,
    /// Bytes that were written to it, likewise.
    pub bytes_out: u64,
}

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
        subscriptions: Option<std::collections::VecDeque<Subscription>>,
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

    /// The clients that are connected.
    ///
    /// # Errors
    /// The broker has stopped.
    pub async fn clients(&self) -> Result<Vec<Client>, Stopped> {
        self.ask_clients().await.map_err(|_| Stopped)
    }

    /// As [`Handle::clients`], for a thread that may block.
    ///
    /// # Errors
    /// The broker has stopped.
    pub fn clients_blocking(&self) -> Result<Vec<Client>, Stopped> {
        self.ask_clients().blocking_recv().map_err(|_| Stopped)
    }

    fn ask_clients(&self) -> oneshot::Receiver<Vec<Client>> {
        let (answer, asked) = oneshot::channel();
        self.send(Command::Clients { answer });
        asked
    }

    /// Who broke the protocol since this was asked last, for a thread that may block.
    ///
    /// # Errors
    /// The broker has stopped.
    pub fn take_offenders_blocking(&self) -> Result<Offenders, Stopped> {
        let (answer, asked) = oneshot::channel();
        self.send(Command::TakeOffenders { answer });
        asked.blocking_recv().map_err(|_| Stopped)
    }

    /// From now on `interceptors` look at what clients publish before anybody gets it; `sink`, where one is given, is handed it in
    /// place of the former one, on the reactor's thread.
    pub fn set_interceptors(&self, interceptors: Vec<Interceptor>, sink: Option<InterceptSink>) {
        self.send(Command::SetInterceptors { interceptors, sink });
    }

    /// The answer to a publication that was held.
    pub fn intercepted(&self, ticket: u64, outcome: Interception) {
        self.send(Command::Intercepted { ticket, outcome });
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
