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
mod flush;
pub(crate) mod gate;
pub(crate) mod incomplete;
pub(crate) mod interception;
pub(crate) mod keeping;
mod reauthenticate;
mod serve;
pub(crate) mod turn;
mod turn_time;
mod unhandled;
mod waiting;

use std::{
    collections::{HashMap, VecDeque},
    mem,
    net::IpAddr,
    rc::Rc,
    sync::Arc,
    task::Waker,
    time::{Duration, Instant},
};

use selvedge_codec::Connect;
use selvedge_core::{ConnectionId, Core, Effects, Input, Moment, Peer};
use tokio::{sync::watch, task::AbortHandle};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use self::{
    clock::Clock, connections::Connections, gate::Gate, incomplete::Incomplete, keeping::Keeping, serve::Visit,
    turn_time::TurnTimes, waiting::Waiting,
};
use crate::{
    admission::{Admission, Place, Refusal},
    authentication::thread::Authentication,
    config::Config,
    connection::{Connection, Phase, publish_rate::PublishRates},
    ending::Ending,
    handle::{Command, CommandQueue},
    handshake::half_open::HalfOpen,
    tls::Encryption,
};

/// Each costs some tens of microseconds.
const STRANGERS_PER_TURN: usize = 8;
const LEAVERS_PER_TURN: usize = 8;
/// While a client that sends little was read so lately, turns are short.
const LIGHT_FOR_MS: u64 = 100;
/// How much longer turns may be when there is none.
const LONG_SHARE: u32 = 4;

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
    turn_began: Instant,
    turn_is_open: bool,
    turn_times: TurnTimes,
    /// When a client that sends little was last read.
    light_read_at: Moment,
    waiting: Waiting,
    visit: Visit,
    incomplete: Incomplete,
    publish_rates: PublishRates,
    pub(crate) admission: Admission,
    /// Accepting, and all that is done for a connection before its CONNECT is handled.
    pub(crate) strangers: Gate,
    /// All that is done for a connection that is over.
    leavers: Gate,
    turn_waker: Waker,
    commands: Arc<CommandQueue>,
    /// Commands taken from the queue and not yet carried out.
    backlog: VecDeque<Command>,
    attachments: HashMap<u64, ConnectionId>,
    pub(crate) half_open: Rc<HalfOpen>,
    listeners: Vec<AbortHandle>,
    /// Whether listeners accept.
    opened: watch::Sender<bool>,
    stopping: bool,
    /// Told when the node stops and the last connection is gone.
    ending: Rc<Ending>,
    pub(crate) authentication: Rc<Authentication>,
    pub(crate) encryption: Rc<Encryption>,
    pub(crate) keeping: Option<Keeping>,
}

/// What the reactor leaves to other threads, and what it shares with them.
#[derive(Debug)]
pub(crate) struct Beside {
    pub(crate) half_open: Rc<HalfOpen>,
    pub(crate) authentication: Rc<Authentication>,
    pub(crate) encryption: Rc<Encryption>,
}

#[cfg(test)]
impl Beside {
    pub(crate) fn for_test() -> Self {
        let authenticator = Arc::new(crate::authentication::AnonymousAccess);
        Self {
            half_open: Rc::default(),
            authentication: Rc::new(Authentication::start(authenticator, 1).expect("start")),
            encryption: Rc::new(Encryption { thread: None, buffers: Rc::new(crate::tls::buffers::Buffers::new()) }),
        }
    }
}

impl Reactor {
    pub(crate) fn new(
        core: Core,
        config: Rc<Config>,
        packet_bytes_max: u32,
        clock: Clock,
        commands: Arc<CommandQueue>,
        beside: Beside,
    ) -> Self {
        Self {
            core,
            effects: Effects::new(),
            connections: Connections::new(&config),
            read_buffer: vec![0; config.read_bytes_max.max(1024)].into_boxed_slice(),
            packet_bytes_max,
            now: clock.now(),
            turn_began: Instant::now(),
            clock,
            turn_is_open: false,
            turn_times: TurnTimes::default(),
            light_read_at: Moment::default(),
            waiting: Waiting::default(),
            visit: Visit::default(),
            incomplete: Incomplete::new(config.packet_timeout),
            publish_rates: PublishRates::new(&config),
            admission: Admission::new(&config),
            strangers: Gate::new(STRANGERS_PER_TURN),
            leavers: Gate::new(LEAVERS_PER_TURN),
            turn_waker: Waker::noop().clone(),
            commands,
            backlog: VecDeque::new(),
            attachments: HashMap::new(),
            half_open: beside.half_open,
            authentication: beside.authentication,
            encryption: beside.encryption,
            listeners: Vec::new(),
            opened: watch::Sender::new(false),
            stopping: false,
            keeping: None,
            ending: Rc::default(),
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

    /// Told when the node stops and the last connection is gone; guards the tasks.
    pub(crate) fn ending(&self) -> Rc<Ending> {
        self.ending.clone()
    }

    /// Whether one more network connection may come, from `address`; a refusal is counted and told.
    pub(crate) fn admit_from(&mut self, address: IpAddr) -> Result<Place, Refusal> {
        self.open_turn();
        let connections = self.connections.resources.statistics.connections as usize;
        let has_room = !self.stopping && connections + self.half_open.count() < self.config.connections_max;
        let admitted = if has_room { self.admission.admit(address, self.now) } else { Err(Refusal::ConnectionsMax) };
        if let Err(refusal) = admitted {
            refusal.count_into(&mut self.connections.resources.statistics);
            self.admission.log(refusal, address, self.now);
        }
        admitted
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
        self.turn_began = Instant::now();
        self.now = self.clock.at(self.turn_began);
    }

    /// What each kind of work may take of a turn. Only clients that send much are kept waiting by long turns, and for them
    /// fewer writes are worth more.
    fn turn_share(&self) -> Duration {
        let share = self.config.turn_share;
        if self.now < self.light_read_at.plus_millis(LIGHT_FOR_MS) { share } else { share * LONG_SHARE }
    }

    /// Whether a share that began when this was first asked is used up; `until` remembers its end.
    fn is_over(&self, until: &mut Option<Instant>) -> bool {
        let now = Instant::now();
        now >= *until.get_or_insert_with(|| now + self.turn_share())
    }

    /// Whether so much was read in this turn that whoever comes now has to wait.
    fn turn_is_spent(&self) -> bool {
        self.turn_began.elapsed() >= self.turn_share()
    }

    /// Give the core one input and carry out what it decides. Gives what it cost, in units of about one effect.
    fn handle(&mut self, input: Input<'_>) -> usize {
        debug_assert!(
            self.connections.outstanding.congested.is_empty(),
            "the core must hear of it before anything else"
        );
        self.core.handle(input, self.now, &mut self.effects);
        self.carry_out() + self.tell_congested()
    }

    /// Tell the core of connections that have become congested, before it may hear that they have drained.
    fn tell_congested(&mut self) -> usize {
        let mut cost = 0;
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
            while let Some((connection, reason, data)) = self.connections.outstanding.authentications.pop() {
                self.reauthenticate(connection, reason, &data);
            }
        }
        cost
    }

    /// Put a connection whose CONNECT has come into the table, and hand the CONNECT to the core.
    pub(crate) fn admit(&mut self, mut connection: Connection, connect: &Connect<'_>, peer: Peer) -> ConnectionId {
        let peer = Peer { durability: connection.durability, ..peer };
        connection.version = connect.version;
        connection.budget = self.publish_rates.start();
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
        self.forget_unhandled(id);
        self.connections.remove(id);
        self.stop_if_last();
    }

    /// Stop after `deadline`, whoever is still there.
    fn stop_at_the_latest_in(&self, deadline: Duration) {
        let ending = self.ending.clone();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(deadline).await;
            ending.stop();
        });
    }

    fn stop_if_last(&self) {
        if self.stopping && self.connections.resources.statistics.connections == 0 {
            self.ending.stop();
        }
    }
}
