//! The one thread of the data plane: reads, runs the core, collects what is to be sent and flushes it once per turn.
//!
//! A turn begins with the first task that does something and ends when [`turn::TurnEnd`] runs, which the runtime
//! schedules behind all tasks that were ready. Everything is reached through one `RefCell` that a task borrows while it
//! is polled; nothing that is called in between borrows it again.

pub(crate) mod clock;
mod commands;
pub(crate) mod connections;
pub(crate) mod consumer;
mod drive;
pub(crate) mod turn;

use std::{
    collections::{HashMap, VecDeque},
    mem,
    rc::Rc,
    sync::Arc,
    task::Waker,
    time::Duration,
};

use selvedge_codec::Connect;
use selvedge_core::{ConnectionId, Core, Effects, Input, Moment, Peer};
use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use self::{clock::Clock, connections::Connections};
use crate::{
    config::Config,
    connection::{Connection, Phase},
    handle::{Command, CommandQueue},
    handshake::half_open::HalfOpen,
};

/// The state of the thread.
#[derive(Debug)]
pub(crate) struct Reactor {
    core: Core,
    effects: Effects,
    pub(crate) connections: Connections,
    /// All connections read into this; see [`connection::reader`](crate::connection::reader).
    read_buffer: Box<[u8]>,
    config: Rc<Config>,
    packet_bytes_max: u32,
    clock: Clock,
    /// The time of this turn.
    now: Moment,
    turn_is_open: bool,
    turn_waker: Waker,
    commands: Arc<CommandQueue>,
    /// A list without elements whose memory the next flush uses.
    dirty_spare: Vec<ConnectionId>,
    /// Commands taken from the queue and not yet carried out.
    backlog: VecDeque<Command>,
    attachments: HashMap<u64, ConnectionId>,
    pub(crate) half_open: Rc<HalfOpen>,
    listeners: Vec<AbortHandle>,
    /// Whether listeners accept.
    opened: watch::Sender<bool>,
    stopping: bool,
    /// Told when the node stops and the last connection is gone.
    stopped: Rc<Notify>,
}

impl Reactor {
    pub(crate) fn new(
        core: Core,
        config: Rc<Config>,
        packet_bytes_max: u32,
        clock: Clock,
        commands: Arc<CommandQueue>,
    ) -> Self {
        Self {
            core,
            effects: Effects::new(),
            connections: Connections::new(&config),
            read_buffer: vec![0; config.read_bytes_max.max(1024)].into_boxed_slice(),
            packet_bytes_max,
            now: clock.now(),
            clock,
            turn_is_open: false,
            turn_waker: Waker::noop().clone(),
            commands,
            dirty_spare: Vec::new(),
            backlog: VecDeque::new(),
            attachments: HashMap::new(),
            half_open: Rc::new(HalfOpen::default()),
            listeners: Vec::new(),
            opened: watch::Sender::new(false),
            stopping: false,
            stopped: Rc::new(Notify::new()),
            config,
        }
    }

    pub(crate) fn config(&self) -> &Rc<Config> {
        &self.config
    }

    /// The buffer that all connections read into, for as long as one reads.
    pub(crate) fn take_read_buffer(&mut self) -> Box<[u8]> {
        mem::take(&mut self.read_buffer)
    }

    pub(crate) fn put_read_buffer(&mut self, buffer: Box<[u8]>) {
        self.read_buffer = buffer;
    }

    /// Listeners to stop when the node stops.
    pub(crate) fn add_listener(&mut self, task: AbortHandle) {
        self.listeners.push(task);
    }

    /// Tells listeners when to accept.
    pub(crate) fn opened(&self) -> watch::Receiver<bool> {
        self.opened.subscribe()
    }

    /// Completes when the node stops and the last connection is gone.
    pub(crate) fn stopped(&self) -> Rc<Notify> {
        self.stopped.clone()
    }

    /// Whether one more network connection may come.
    pub(crate) fn has_room(&self) -> bool {
        let connections = self.connections.resources.statistics.connections as usize;
        !self.stopping && connections + self.half_open.count() < self.config.connections_max
    }

    /// Something happens: note the time, and see to it that the turn ends.
    pub(crate) fn open_turn(&mut self) {
        if !self.turn_is_open {
            self.begin_turn();
            self.turn_waker.wake_by_ref();
        }
    }

    fn begin_turn(&mut self) {
        self.turn_is_open = true;
        self.now = self.clock.now();
    }

    /// Give the core one input and carry out what it decides. Gives what it cost, in units of about one effect.
    fn handle(&mut self, input: Input<'_>) -> usize {
        self.core.handle(input, self.now, &mut self.effects);
        let mut cost = self.carry_out();
        while let Some(connection) = self.connections.outstanding.congested.pop() {
            self.core.handle(Input::Congested { connection }, self.now, &mut self.effects);
            cost += self.carry_out();
        }
        cost
    }

    fn carry_out(&mut self) -> usize {
        let cost = self.effects.cost();
        if cost > 0 {
            self.connections.carry_out(&self.effects);
            self.effects.clear();
        }
        cost
    }

    /// Put a connection whose CONNECT has come into the table, and hand the CONNECT to the core.
    pub(crate) fn admit(&mut self, mut connection: Connection, connect: &Connect<'_>, peer: Peer) -> ConnectionId {
        connection.version = connect.version;
        let connection = self.connections.insert_connection(connection);
        tracing::debug!(
            slot = connection.slot,
            generation = connection.generation,
            client_id = connect.client_id,
            version = ?connect.version,
            peer = ?peer.address,
            "client connects"
        );
        self.handle(Input::Connect { connection, connect, peer });
        connection
    }

    /// Put a connection into the table that is only to be told why it is closed.
    pub(crate) fn refuse(&mut self, mut connection: Connection, code: CloseCode) -> ConnectionId {
        connection.begin_close(code, &mut self.connections.resources);
        let id = self.connections.insert_connection(connection);
        self.connections.mark_dirty(id);
        id
    }

    /// A connection did not take its last bytes in time.
    pub(crate) fn cut_off(&mut self, id: ConnectionId) {
        if self.phase(id) == Phase::Closing {
            self.connections.resources.statistics.close_timeouts += 1;
        }
        self.remove_connection(id);
    }

    /// Free the place of a connection that is over; the core hears of it if it does not know.
    pub(crate) fn remove_connection(&mut self, id: ConnectionId) {
        // Ignored by the core if it has closed the connection itself.
        self.handle(Input::Closed { connection: id });
        self.connections.remove(id);
        self.stop_if_last();
    }

    /// Stop after `deadline`, whoever is still there.
    fn stop_at_the_latest_in(&self, deadline: Duration) {
        let stopped = self.stopped.clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(deadline).await;
            stopped.notify_one();
        });
    }

    fn stop_if_last(&self) {
        if self.stopping && self.connections.resources.statistics.connections == 0 {
            self.stopped.notify_one();
        }
    }
}
