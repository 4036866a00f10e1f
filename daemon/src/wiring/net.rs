//! Counting packets in the kernel, wired: one thread that reads the counters, tells of them, and keeps the guard's list.
//!
//! `selvedge-ebpf` counts and judges; here are the node's own ports, who is denied because of what the broker saw (`suspects`),
//! the answers for people (`report`) and what is published (`topics`). Invariant: whatever fails here leaves the node running, and
//! is told in the log, in `/readyz` and by `selvedge net status`.

mod ports;
mod report;
mod state;
mod suspects;
mod topics;

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use selvedge_broker::Handle;
use selvedge_ebpf::{
    Counters, DenyError, DenyReason, GuardHook, GuardMode, KernelTime, Network, StartError, operator_sessions,
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::access::Gate;
use super::listen::Addresses;
use crate::config::net::Counting;
use crate::config::{Config, NetConfig};
use crate::http::{ApiError, NetWish, PartState, Pending};
pub use state::NetReadings;
use state::{Cause, Looking, Reading, State, with_causes};
use suspects::Suspects;

/// Requests that wait; more are turned away.
const WISHES_MAX: usize = 32;
const STACK_BYTES: usize = 1 << 20;
/// How often the guard hears of what the broker saw.
const SUSPECTS_EVERY: Duration = Duration::from_secs(1);

/// The counters of the node; shared.
pub struct Net {
    config: NetConfig,
    kernel: selvedge_ebpf::Config,
    /// Whoever is connected there is not denied.
    operator_ports: Vec<u16>,
    broker: Handle,
    gate: Arc<Gate>,
    work: Mutex<VecDeque<Asked>>,
    wake: Condvar,
    stopping: AtomicBool,
    state: Mutex<State>,
    denied_by_itself: AtomicU64,
}

struct Asked {
    wish: NetWish,
    answer: oneshot::Sender<Result<Value, ApiError>>,
}

impl Net {
    /// For a node that listens on `addresses`.
    pub fn new(config: &Config, addresses: &Addresses, broker: Handle, gate: Arc<Gate>) -> Arc<Self> {
        let mut kernel = config.net.kernel();
        ports::add(&mut kernel.ports, addresses);
        let mut operator_ports = config.net.guard.operator_ports.clone();
        operator_ports.extend(addresses.http.map(|address| address.port()));
        let state = if config.net.counters == Counting::Off { State::Off } else { State::Starting };
        Arc::new(Self {
            config: config.net.clone(),
            kernel,
            operator_ports,
            broker,
            gate,
            work: Mutex::default(),
            wake: Condvar::new(),
            stopping: AtomicBool::new(false),
            state: Mutex::new(state),
            denied_by_itself: AtomicU64::new(0),
        })
    }

    /// Starts the thread, if packets are to be counted.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(self: &Arc<Self>) -> io::Result<Option<JoinHandle<()>>> {
        if self.config.counters == Counting::Off {
            return Ok(None);
        }
        let net = Arc::clone(self);
        let thread = std::thread::Builder::new().name("net".to_owned()).stack_size(STACK_BYTES);
        thread.spawn(move || net.run()).map(Some)
    }

    /// Ends the thread, which takes the programs out of the kernel.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        let _work = self.work.lock();
        self.wake.notify_all();
    }

    /// For `/readyz`. It never makes the node unready: everything else works.
    pub fn part(&self) -> PartState {
        let detail = match &*self.state.lock() {
            State::Off => "off".to_owned(),
            State::Starting => "starting".to_owned(),
            State::Cannot(cause) => format!("packets are not counted: {}; {}", cause.text, cause.remedy),
            State::Counting(reading) => report::sentence(&reading.status),
        };
        PartState { name: "net", ready: true, detail }
    }

    /// For metrics.
    pub fn readings(&self) -> NetReadings {
        let denied_by_itself = self.denied_by_itself.load(Ordering::Relaxed);
        let readings = NetReadings { denied_by_itself, ..NetReadings::default() };
        match &*self.state.lock() {
            State::Off | State::Starting => readings,
            State::Cannot(cause) => NetReadings { cause: Some(cause.kind), ..readings },
            State::Counting(reading) => NetReadings {
                up: reading.status.up,
                snapshot: Arc::clone(&reading.snapshot),
                failed: reading.failed,
                ..readings
            },
        }
    }

    /// All that is known, with the `top` busiest peers and the clients of the broker.
    pub fn report(self: &Arc<Self>, top: usize) -> Pending<Value> {
        let net = Arc::clone(self);
        Box::pin(async move {
            let clients = net.broker.clients().await.unwrap_or_default();
            // Sorting thousands of flows is nothing for the thread that serves everybody.
            let made = tokio::task::spawn_blocking(move || net.describe(top, &clients)).await;
            made.map_err(|error| ApiError::new(500, error.to_string()))
        })
    }

    fn describe(&self, top: usize, clients: &[selvedge_broker::Client]) -> Value {
        let denied_by_itself = self.denied_by_itself.load(Ordering::Relaxed);
        let (status, snapshot) = match &*self.state.lock() {
            State::Off => return json!({ "state": "off" }),
            State::Starting => return json!({ "state": "starting" }),
            State::Cannot(cause) => {
                let problem = json!({ "kind": cause.kind, "text": cause.text, "remedy": cause.remedy });
                return json!({ "state": "cannot", "problem": problem });
            }
            State::Counting(reading) => (reading.status.clone(), Arc::clone(&reading.snapshot)),
        };
        let mut value = report::counting(&status, &snapshot, clients, top);
        value["denied_by_itself"] = denied_by_itself.into();
        value
    }

    /// Has something done about the guard; answers when it is done.
    pub fn ask(&self, wish: NetWish) -> Pending<Value> {
        // The thread empties the list when it ends, after it has said so in the state: nothing is put in behind its back.
        let mut work = self.work.lock();
        let refused = match &*self.state.lock() {
            State::Off => Some("packets are not counted: net.counters is \"off\"".to_owned()),
            State::Cannot(cause) => Some(format!("packets are not counted: {}; {}", cause.text, cause.remedy)),
            State::Starting | State::Counting(_) => None,
        };
        if let Some(text) = refused {
            return Box::pin(std::future::ready(Err(ApiError::unavailable(text))));
        }
        let (answer, answered) = oneshot::channel();
        if work.len() >= WISHES_MAX || self.stopping.load(Ordering::Acquire) {
            let error = ApiError::unavailable("too many requests to the guard are waiting; ask again later");
            return Box::pin(std::future::ready(Err(error)));
        }
        work.push_back(Asked { wish, answer });
        drop(work);
        self.wake.notify_all();
        Box::pin(async move {
            answered.await.unwrap_or_else(|_| Err(ApiError::unavailable("packets are not counted any more")))
        })
    }

    fn run(&self) {
        let mut counters = match Counters::start(&self.kernel, KernelTime::now()) {
            Ok(counters) => counters,
            Err(error) => return self.cannot(&error),
        };
        let status = counters.status();
        tracing::info!("{}", report::sentence(&status));
        *self.state.lock() = State::Counting(Box::new(Reading { status, snapshot: Arc::default(), failed: 0 }));
        let mut looking = Looking::new(&self.config);
        let mut drain_at = Instant::now();
        let mut suspects_at = Instant::now();
        while !self.stopping.load(Ordering::Acquire) {
            let now = Instant::now();
            if now >= drain_at {
                drain_at = now + self.config.interval.0;
                self.drain(&mut counters, &mut looking);
            }
            if self.config.guard.mode != GuardMode::Off && now >= suspects_at {
                suspects_at = now + SUSPECTS_EVERY;
                self.judge(&mut counters, &mut looking.suspects, now);
            }
            let until = if self.config.guard.mode == GuardMode::Off { drain_at } else { drain_at.min(suspects_at) };
            if let Some(asked) = self.next(until) {
                // Whoever asked may be gone.
                let _ = asked.answer.send(self.fulfil(&mut counters, asked.wish));
            }
        }
        self.work.lock().clear();
    }

    /// What is asked for next, if it is before `until`.
    fn next(&self, until: Instant) -> Option<Asked> {
        let mut work = self.work.lock();
        if work.is_empty() && !self.stopping.load(Ordering::Acquire) {
            self.wake.wait_until(&mut work, until);
        }
        work.pop_front()
    }

    fn cannot(&self, error: &StartError) {
        let cause = Cause { kind: error.kind(), text: with_causes(error), remedy: error.remedy() };
        let is_expected =
            self.config.counters == Counting::Auto && matches!(error, StartError::MissingCapability { .. });
        if is_expected {
            tracing::info!(remedy = cause.remedy, "packets are not counted: {}", cause.text);
        } else {
            tracing::warn!(remedy = cause.remedy, "packets are not counted: {}", cause.text);
        }
        *self.state.lock() = State::Cannot(cause);
        // What was asked meanwhile is not done any more.
        self.work.lock().clear();
    }

    fn drain(&self, counters: &mut Counters, looking: &mut Looking) {
        let snapshot = match counters.drain(KernelTime::now()) {
            Ok(snapshot) => Arc::new(snapshot),
            Err(error) => {
                if looking.may_complain() {
                    tracing::warn!(error = %with_causes(&error), "the kernel's counters were not read");
                }
                if let State::Counting(reading) = &mut *self.state.lock() {
                    reading.failed += 1;
                }
                return;
            }
        };
        let status = counters.status();
        looking.complain_of_new(&status);
        let events = looking.detector.look(&snapshot);
        if let State::Counting(reading) = &mut *self.state.lock() {
            reading.status = status;
            reading.snapshot = Arc::clone(&snapshot);
        }
        let mut messages: Vec<_> = events.iter().map(topics::event).collect();
        messages.extend(looking.summaries.changed(&snapshot, || self.broker.clients_blocking().unwrap_or_default()));
        if !messages.is_empty() && self.broker.publish(messages).is_err() {
            tracing::debug!("events of the network were not published: too much is waiting, or the broker has stopped");
        }
    }

    /// Denies those whom the broker found wanting.
    fn judge(&self, counters: &mut Counters, suspects: &mut Suspects, now: Instant) {
        let Ok(offenders) = self.broker.take_offenders_blocking() else { return };
        let failures = self.gate.take_failures();
        let mut found = suspects.note(DenyReason::AuthenticationFailures, failures, now);
        found.extend(suspects.note(DenyReason::ProtocolErrors, offenders, now));
        for (peer, why) in found {
            match self.deny(counters, peer, self.config.guard.deny_for.0, why) {
                Ok(_) => {
                    self.denied_by_itself.fetch_add(1, Ordering::Relaxed);
                    let seconds = self.config.guard.deny_for.0.as_secs();
                    tracing::warn!(%peer, reason = ?why, seconds, mode = ?self.config.guard.mode, "peer denied");
                }
                Err(error) => tracing::info!(%peer, reason = ?why, %error, "peer not denied"),
            }
        }
    }

    fn deny(
        &self,
        counters: &mut Counters,
        peer: IpAddr,
        time: Duration,
        why: DenyReason,
    ) -> Result<selvedge_ebpf::Denial, DenyError> {
        // Without the list nobody could be protected.
        let protected = operator_sessions(&self.operator_ports).map_err(DenyError::Kernel)?;
        counters.deny(peer, time, why, &protected, KernelTime::now())
    }

    fn fulfil(&self, counters: &mut Counters, wish: NetWish) -> Result<Value, ApiError> {
        let now = KernelTime::now();
        let value = match wish {
            NetWish::Deny { peer, time } => {
                let denial = self.deny(counters, peer, time, DenyReason::ByHand).map_err(deny_error)?;
                let status = counters.status();
                let guarded = status.interfaces.iter().filter(|one| one.guard != GuardHook::Off);
                let guarded: Vec<&str> = guarded.map(|one| &*one.name).collect();
                json!({ "denied": denial, "mode": self.config.guard.mode, "guarded": guarded })
            }
            NetWish::Undeny(peer) => {
                if !counters.undeny(peer, now).map_err(deny_error)? {
                    return Err(ApiError::not_found(format!("{peer} is not denied")));
                }
                json!({ "undenied": peer })
            }
            NetWish::Allow(text) => {
                let network = network(&text)?;
                counters.allow(network, now).map_err(deny_error)?;
                json!({ "allowed": counters.allowed() })
            }
            NetWish::Disallow(text) => {
                let network = network(&text)?;
                if self.config.guard.allow.contains(&network) {
                    return Err(ApiError::new(
                        409,
                        format!("{network} is allowed by net.guard.allow: take it out there"),
                    ));
                }
                if !counters.disallow(network).map_err(deny_error)? {
                    return Err(ApiError::not_found(format!("{network} is not in the allow list")));
                }
                json!({ "allowed": counters.allowed() })
            }
            NetWish::Denials => {
                let denials = counters.denials(now).map_err(deny_error)?;
                json!({ "mode": self.config.guard.mode, "denials": denials, "allowed": counters.allowed() })
            }
        };
        Ok(value)
    }
}

fn network(text: &str) -> Result<Network, ApiError> {
    text.parse().map_err(|error: selvedge_ebpf::NetworkError| ApiError::invalid(error.to_string()))
}

fn deny_error(error: DenyError) -> ApiError {
    let status = match error {
        DenyError::Off | DenyError::MayNot(_) => 409,
        DenyError::Full(_) => 507,
        DenyError::Kernel(_) => 500,
    };
    ApiError::new(status, with_causes(&error))
}
