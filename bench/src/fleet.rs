//! All connections of a run on one thread: readiness, whole packets to the driver, one write per touched socket and turn.
//! Knows no scenario; what packets mean is decided by a [`Driver`]. Invariant: whatever a driver appends during a turn is
//! sent before the thread waits again, each connection by one system call unless its socket is full.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use selvedge_codec::ProtocolVersion;

use crate::clock::Clock;
use crate::connection::{Broken, Connection, SCRATCH_BYTES, Wrapping};
use crate::error::RunError;
use crate::frame::{Incoming, incoming};
use crate::target::Target;

/// Descriptors that are not connections: standard streams, epoll, timer, /proc files.
const OTHER_DESCRIPTORS: u64 = 32;

/// Longest wait of a turn, so that running out of patience is noticed.
const TURN_MAX: Duration = Duration::from_millis(100);

const TIMER: Token = Token(usize::MAX);

/// Decides what packets mean.
pub(crate) trait Driver {
    /// A packet for a client; answers are appended to its outbox.
    fn packet(&mut self, client: usize, packet: Incoming<'_>, outbox: &mut Vec<u8>, now_ns: u64) -> Result<(), Fault>;

    /// A client's connection broke. Giving it back ends the run.
    fn broken(&mut self, _client: usize, broken: Broken) -> Result<(), Fault> {
        Err(Fault::Broken(broken))
    }
}

/// What is wrong with a client; the fleet adds its name.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The connection cannot be used.
    Broken(Broken),
    /// CONNECT was refused, for this reason in words.
    Refused(String),
    /// A request was refused.
    Denied { packet: &'static str, reason: u8 },
    /// DISCONNECT from the broker.
    Dismissed { reason: u8 },
    /// A packet at the wrong place.
    Unexpected(&'static str),
}

impl From<Broken> for Fault {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

struct Member {
    connection: Connection,
    name: String,
    dirty: bool,
}

/// All connections of a run.
pub(crate) struct Fleet {
    poll: Poll,
    /// Taken out during a turn.
    events: Option<Events>,
    timer: OwnedFd,
    /// What the timer was last set to.
    timer_due_ns: u64,
    scratch: Vec<u8>,
    members: Vec<Option<Member>>,
    dirty: Vec<usize>,
    clock: Clock,
    address: SocketAddr,
    version: ProtocolVersion,
    wrapping: Wrapping,
}

impl Fleet {
    /// An empty fleet with room for so many connections at once.
    pub fn new(target: &Target, connections: u32) -> Result<Self, RunError> {
        raise_descriptor_limit(u64::from(connections) + OTHER_DESCRIPTORS)?;
        let system = |what| move |source| RunError::System { what, source };
        let poll = Poll::new().map_err(system("open epoll"))?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)
            .map_err(|error| RunError::System { what: "open a timer", source: error.into() })?;
        poll.registry()
            .register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)
            .map_err(system("watch a timer"))?;
        Ok(Self {
            poll,
            events: None,
            timer,
            timer_due_ns: 0,
            scratch: vec![0; SCRATCH_BYTES],
            members: Vec::new(),
            dirty: Vec::new(),
            clock: Clock::new(),
            address: target.address,
            version: target.version,
            wrapping: target.wrapping.clone(),
        })
    }

    /// The run's time.
    pub fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    /// Starts to connect a client; `hello` is sent as soon as the connection stands.
    pub fn open(&mut self, client: usize, name: String, hello: &[u8]) -> Result<(), RunError> {
        let mut connection = match Connection::open(self.address, &self.wrapping) {
            Ok(connection) => connection,
            Err(source) if source.kind() == io::ErrorKind::AddrNotAvailable => {
                return Err(RunError::LocalPorts { address: self.address });
            }
            Err(source) => return Err(RunError::Connect { address: self.address, source }),
        };
        connection
            .register(self.poll.registry(), Token(client))
            .map_err(|source| RunError::System { what: "watch a connection", source })?;
        connection.outbox().extend_from_slice(hello);
        if self.members.len() <= client {
            self.members.resize_with(client + 1, || None);
        }
        self.members[client] = Some(Member { connection, name, dirty: false });
        Ok(())
    }

    /// Says goodbye and closes.
    pub fn close(&mut self, client: usize) {
        if let Some(mut member) = self.members.get_mut(client).and_then(Option::take) {
            member.connection.outbox().extend_from_slice(&[0xE0, 0]);
            // Whether it gets through does not matter any more.
            let _ = member.connection.flush();
        }
    }

    /// Where bytes for a client are appended; they are sent by the next [`Self::flush`].
    pub fn outbox(&mut self, client: usize) -> Option<&mut Vec<u8>> {
        let member = self.members.get_mut(client)?.as_mut()?;
        if !member.dirty {
            member.dirty = true;
            self.dirty.push(client);
        }
        Some(member.connection.outbox())
    }

    /// Bytes that wait to be sent to a client.
    pub fn backlog(&self, client: usize) -> usize {
        self.members.get(client).and_then(Option::as_ref).map_or(0, |member| member.connection.backlog())
    }

    /// Ends the next wait at this time at the latest.
    pub fn wake_at(&mut self, due_ns: u64) -> Result<(), RunError> {
        if due_ns == self.timer_due_ns {
            return Ok(());
        }
        self.timer_due_ns = due_ns;
        // Zero would disarm it.
        let wait = Duration::from_nanos(due_ns.saturating_sub(self.now_ns()).max(1));
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec: wait.as_secs().cast_signed(), tv_nsec: wait.subsec_nanos().into() },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)
            .map(|_| ())
            .map_err(|error| RunError::System { what: "set a timer", source: error.into() })
    }

    /// Sends what was appended.
    pub fn flush(&mut self, driver: &mut impl Driver) -> Result<(), RunError> {
        // Taken out for the loop; its allocation is kept.
        let mut dirty = std::mem::take(&mut self.dirty);
        for client in dirty.drain(..) {
            let Some(Some(member)) = self.members.get_mut(client) else { continue };
            member.dirty = false;
            if let Err(broken) = member.connection.flush() {
                self.lose(client, Fault::Broken(broken), driver)?;
            }
        }
        self.dirty = dirty;
        Ok(())
    }

    /// Waits until something happens, or 100 ms, and handles all of it.
    pub fn turn(&mut self, driver: &mut impl Driver) -> Result<(), RunError> {
        let mut events = self.events.take().unwrap_or_else(|| Events::with_capacity(1_024));
        let polled = self.poll.poll(&mut events, Some(TURN_MAX));
        match polled {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => other.map_err(|source| RunError::System { what: "wait for connections", source })?,
        }
        for event in &events {
            if event.token() != TIMER {
                self.ready(event, driver)?;
            }
        }
        self.events = Some(events);
        self.flush(driver)
    }

    fn ready(&mut self, event: &Event, driver: &mut impl Driver) -> Result<(), RunError> {
        let Token(client) = event.token();
        // Gone when it was closed earlier in this turn.
        let Some(Some(member)) = self.members.get_mut(client) else { return Ok(()) };
        let mut result = Ok(());
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            let (version, now_ns) = (self.version, self.clock.now_ns());
            result = member.connection.read(&mut self.scratch, event.is_read_closed(), |frame, outbox| {
                driver.packet(client, incoming(frame, version), outbox, now_ns)
            });
        }
        if result.is_ok() && member.connection.has_output() && !member.dirty {
            member.dirty = true;
            self.dirty.push(client);
        }
        match result {
            Ok(()) => Ok(()),
            Err(fault) => self.lose(client, fault, driver),
        }
    }

    fn lose(&mut self, client: usize, fault: Fault, driver: &mut impl Driver) -> Result<(), RunError> {
        let name = self.members.get_mut(client).and_then(Option::take).map(|member| member.name).unwrap_or_default();
        let fault = match fault {
            Fault::Broken(broken) => driver.broken(client, broken),
            other => Err(other),
        };
        fault.map_err(|fault| self.explain(name, fault))
    }

    fn explain(&self, client: String, fault: Fault) -> RunError {
        let address = self.address;
        match fault {
            Fault::Broken(Broken::Io(source)) if source.kind() == io::ErrorKind::ConnectionRefused => {
                RunError::Connect { address, source }
            }
            Fault::Broken(Broken::Io(source)) => RunError::Lost { address, client, source: Some(source) },
            Fault::Broken(Broken::Closed) => RunError::Lost { address, client, source: None },
            Fault::Broken(Broken::Malformed(source)) => RunError::Malformed { address, client, source },
            Fault::Broken(Broken::Layer(what)) => RunError::Layer { address, client, what },
            Fault::Refused(reason) => RunError::Refused { address, client, reason },
            Fault::Denied { packet, reason } => RunError::Denied { address, client, packet, reason },
            Fault::Dismissed { reason } => RunError::Dismissed { address, client, reason },
            Fault::Unexpected(packet) => RunError::Unexpected { address, client, packet },
        }
    }
}

/// Raises the soft limit of open files as far as needed and allowed.
fn raise_descriptor_limit(needed: u64) -> Result<(), RunError> {
    let limit = getrlimit(Resource::Nofile);
    let (soft, hard) = (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX));
    if soft >= needed {
        return Ok(());
    }
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(needed.min(hard)), maximum: limit.maximum });
    if needed > hard || raised.is_err() {
        return Err(RunError::Descriptors { needed, limit: hard });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_descriptors_than_the_system_allows_are_refused_with_both_numbers() {
        let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        if hard == u64::MAX {
            return;
        }
        match raise_descriptor_limit(hard + 1) {
            Err(RunError::Descriptors { needed, limit }) => assert_eq!((needed, limit), (hard + 1, hard)),
            other => panic!("{other:?}"),
        }
    }
}
