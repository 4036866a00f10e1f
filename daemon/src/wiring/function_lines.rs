//! Functions as consumers of the broker: one session per function, its deliveries into the runtime, what came of them back.
//!
//! Invariant: a QoS 1 or 2 delivery is acknowledged once its effects are committed, or once it is given up for good; one that
//! could not be taken now waits here, in order, and is tried again. What waits is bounded by the session's receive maximum.

mod line;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex as StdMutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use parking_lot::RwLock;
use selvedge_broker::{Alongside, Handle, Subscription};
use selvedge_codec::QoS;
use selvedge_core::{Delivery, HeldPublication, Message, Moment};
use selvedge_functions::{Runtime, Source, Trigger};
use selvedge_store::{Batch, Commit, CommitError};
use selvedge_twin::CommitPath as _;

use super::broker_journal::BrokerPath;
use super::clock::wall_ms;
use super::function_calls::FunctionCalls;
use super::function_clock::FunctionClock;
use super::function_intercepts::{FunctionIntercepts, InterceptCounts};
use super::messages;
use line::Line;

const CLIENT_ID_PREFIX: &str = "$node/function/";
const STACK_BYTES: usize = 256 * 1024;
/// Before deliveries that were not taken are tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// All functions' sessions.
pub struct FunctionLines {
    broker: Handle,
    path: Arc<BrokerPath>,
    runtime: OnceLock<Weak<Runtime>>,
    receive_maximum: u16,
    lines: RwLock<BTreeMap<String, Arc<Line>>>,
    generations: AtomicU64,
    again: Again,
    clock: FunctionClock,
    calls: FunctionCalls,
    intercepts: FunctionIntercepts,
}

/// Counts of one function that only the wiring knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounts {
    /// Deliveries that wait to be tried again.
    pub waiting: u64,
    /// QoS 0 deliveries that were dropped because the function was behind.
    pub dropped: u64,
    /// Answers to requests over HTTP by the hundreds of their status, from 2xx to 5xx.
    pub http_answers: [u64; 4],
    /// What messages came to that it intercepted.
    pub intercepts: InterceptCounts,
}

/// Lines with something to try again, and the thread that does so once it is needed.
#[derive(Default)]
struct Again {
    lines: StdMutex<AgainState>,
    wake: Condvar,
}

#[derive(Default)]
struct AgainState {
    lines: Vec<Arc<Line>>,
    started: bool,
    stopped: bool,
}

impl FunctionLines {
    /// No functions yet. At most `receive_maximum` deliveries of one are unacknowledged.
    pub fn new(path: Arc<BrokerPath>, receive_maximum: u16) -> Arc<Self> {
        Arc::new(Self {
            broker: path.broker().clone(),
            path,
            runtime: OnceLock::new(),
            receive_maximum,
            lines: RwLock::default(),
            generations: AtomicU64::new(1),
            again: Again::default(),
            clock: FunctionClock::default(),
            calls: FunctionCalls::default(),
            intercepts: FunctionIntercepts::default(),
        })
    }

    /// What runs the functions.
    pub fn connect(&self, runtime: &Arc<Runtime>) {
        // A second call would change nothing, and there is none.
        let _ = self.runtime.set(Arc::downgrade(runtime));
    }

    /// The broker's time.
    pub fn now(&self) -> Moment {
        self.broker.now()
    }

    /// Subscribes a function to its triggers and to nothing else. `None`: they are not known, and it stays subscribed to what it
    /// was, so that nothing is lost until it can run again.
    pub fn subscribe(self: &Arc<Self>, name: &str, triggers: Option<Vec<Trigger>>) {
        if let Some(triggers) = &triggers {
            self.calls.set(name, triggers);
            self.intercept(name, triggers);
        }
        self.attach(name, triggers);
        self.triggers_changed();
    }

    fn intercept(self: &Arc<Self>, name: &str, triggers: &[Trigger]) {
        let Some(interceptors) = self.intercepts.set(name, triggers) else { return };
        let lines = Arc::downgrade(self);
        let sink = move |held: Vec<HeldPublication>| {
            let Some(lines) = lines.upgrade() else { return };
            for held in held {
                lines.intercepts.begin(held, &lines.broker, lines.runtime.get().cloned().unwrap_or_default());
            }
        };
        self.broker.set_interceptors(interceptors, Some(Box::new(sink)));
    }

    fn triggers_changed(self: &Arc<Self>) {
        let needs_time =
            |trigger: &Trigger| matches!(trigger.source, Source::Schedule { .. }) || trigger.window.is_some();
        let has_work = self.triggers().iter().any(|(_, trigger)| needs_time(trigger));
        self.clock.changed(&Arc::downgrade(self), has_work);
    }

    /// What starts each function.
    pub fn triggers(&self) -> Vec<(String, Trigger)> {
        let lines = self.lines.read();
        let of = |line: &Arc<Line>| {
            line.triggers.read().iter().map(|trigger| (line.name.clone(), trigger.clone())).collect::<Vec<_>>()
        };
        lines.values().flat_map(of).collect()
    }

    /// Who waits for functions.
    pub fn calls(&self) -> &FunctionCalls {
        &self.calls
    }

    /// When functions are started by the clock.
    pub fn clock(&self) -> &FunctionClock {
        &self.clock
    }

    /// Invokes functions with the batches that have closed by `now_ms`; when the next one closes.
    pub fn close_windows(&self, now_ms: i64) -> Option<i64> {
        let lines: Vec<Arc<Line>> = self.lines.read().values().cloned().collect();
        lines.iter().filter_map(|line| line.close_windows(now_ms, self.broker.now())).min()
    }

    /// Starts the functions that wait for the node's start.
    pub fn tell_start(&self) {
        let triggers = self.triggers();
        let started = triggers.iter().filter(|(_, trigger)| trigger.source == Source::Start);
        let messages: Vec<Message> = started
            .map(|(function, trigger)| {
                let payload = serde_json::json!({ "function": function, "started_ms": wall_ms() });
                Message::new(&trigger.mqtt, payload.to_string().into_bytes(), QoS::AtLeastOnce, false)
            })
            .collect();
        if !messages.is_empty() {
            self.publish(messages);
        }
    }

    /// Publishes what the node itself has for functions.
    pub fn publish(&self, messages: Vec<Message>) {
        if let Err(error) = self.broker.publish(messages) {
            tracing::warn!(error = %error, "messages of the node to functions are lost");
        }
    }

    fn attach(self: &Arc<Self>, name: &str, triggers: Option<Vec<Trigger>>) {
        let mut lines = self.lines.write();
        if let Some(line) = lines.get(name) {
            if let Some(triggers) = triggers {
                line.set_windows(&triggers, self.receive_maximum);
                line.change_triggers(triggers);
            }
            return;
        }
        let generation = self.generations.fetch_add(1, Ordering::Relaxed);
        let line = Arc::new(Line::new(Arc::downgrade(self), name, generation, triggers.clone().unwrap_or_default()));
        line.set_windows(triggers.as_deref().unwrap_or_default(), self.receive_maximum);
        let weak = Arc::downgrade(&line);
        let sink = move |deliveries: Vec<Delivery>| {
            if let Some(line) = weak.upgrade() {
                deliveries.into_iter().for_each(|delivery| line.take(delivery));
            }
        };
        let client_id = client_id(name);
        let attachment = match triggers {
            Some(triggers) => {
                self.broker.attach(&client_id, self.receive_maximum, subscriptions(&triggers), Box::new(sink))
            }
            None => self.broker.resume(&client_id, self.receive_maximum, Box::new(sink)),
        };
        let _ = line.attachment.set(attachment);
        lines.insert(name.to_owned(), line);
    }

    /// Waits until what functions are subscribed to is durable, so that a deployment that was answered is not forgotten.
    ///
    /// # Errors
    /// The store cannot write.
    pub fn wait_durable(&self) -> Result<(), CommitError> {
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        // Nothing to write: it stands behind the subscriptions in the one order of all changes.
        self.path.commit(Batch::new(), Box::new(move |result| drop(answer.send(result))));
        // A store that ends without an answer has said why elsewhere.
        answered.recv().unwrap_or(Ok(()))
    }

    /// Ends a function's session and what waits for it.
    pub fn unsubscribe(self: &Arc<Self>, name: &str) {
        let Some(line) = self.lines.write().remove(name) else { return };
        self.calls.set(name, &[]);
        self.intercept(name, &[]);
        self.triggers_changed();
        line.backlog.lock().close();
        // The last holder of the line would only leave the session behind.
        if let Some(attachment) = Arc::into_inner(line).and_then(|line| line.attachment.into_inner()) {
            attachment.detach();
        } else {
            self.end_session(name);
        }
    }

    /// Ends those of `sessions`, as they were restored, whose functions are gone: a crash came between the end of the function and
    /// that of its session, which would go on to collect messages for nobody.
    pub fn end_left_behind(&self, sessions: &[String]) {
        let lines = self.lines.read();
        for name in sessions.iter().filter(|name| !lines.contains_key(*name)) {
            tracing::info!(function = name, "the session of a function that is gone is ended");
            self.end_session(name);
        }
    }

    fn end_session(&self, name: &str) {
        self.broker.attach(&client_id(name), 1, Vec::new(), Box::new(drop)).detach();
    }

    /// Has what an invocation put out, the acknowledgement of its input and what it wrote become durable in one entry.
    pub fn commit(&self, function: &str, delivery: Option<u64>, outputs: Vec<Message>, state: Option<Commit>) {
        let line = self.lines.read().get(function).cloned();
        let state = state.map(|state| Box::new(state) as Alongside);
        let refused = match &line {
            Some(line) => {
                let packet_ids = delivery.map(|delivery| line.packet_ids(delivery)).unwrap_or_default();
                line.attachment.get().map_or(Ok(()), |attachment| attachment.commit(packet_ids, outputs, state))
            }
            // Removed meanwhile: its last effects are committed, so they are published.
            None => self.path.broker().commit(outputs, state),
        };
        if refused.is_err() {
            // The broker has stopped. What this rests on may have gone with it, so this goes, too, and its input comes again.
            tracing::debug!(function, "a function's effects came after the end of the broker");
        }
    }

    /// Tells of something that happened to a function, to who subscribes to `$fn/event/…`. It is lost where the broker has too much to do.
    pub fn tell(&self, function: &str, event: &str, detail: &serde_json::Value) {
        let topic = format!("$fn/event/{function}/{event}");
        let message = Message::new(&topic, detail.to_string().into_bytes(), QoS::AtLeastOnce, false);
        if self.broker.publish(vec![message]).is_err() {
            tracing::debug!(function, event, "an event of a function was not published");
        }
    }

    /// The way to durability that all changes of the node's state take.
    pub fn path(&self) -> &Arc<BrokerPath> {
        &self.path
    }

    /// Counts of one function.
    pub fn counts(&self, name: &str) -> LineCounts {
        self.lines.read().get(name).map_or_else(LineCounts::default, |line| LineCounts {
            waiting: line.backlog.lock().len() as u64,
            dropped: line.dropped.load(Ordering::Relaxed),
            http_answers: self.calls.answers(name),
            intercepts: self.intercepts.counts(name),
        })
    }

    /// Whether no function has work.
    pub fn is_idle(&self) -> bool {
        self.lines
            .read()
            .values()
            .all(|line| line.running.load(Ordering::Acquire) == 0 && line.backlog.lock().is_empty())
    }

    /// Tries nothing again from here on.
    pub fn stop(&self) {
        self.clock.stop();
        self.again.lock().stopped = true;
        self.again.wake.notify_all();
    }
}

/// The functions whose sessions are among `client_ids`.
pub fn names<'a>(client_ids: impl Iterator<Item = &'a str>) -> Vec<String> {
    client_ids.filter_map(|client_id| client_id.strip_prefix(CLIENT_ID_PREFIX)).map(str::to_owned).collect()
}

fn client_id(name: &str) -> String {
    format!("{CLIENT_ID_PREFIX}{name}")
}

impl Again {
    fn lock(&self) -> std::sync::MutexGuard<'_, AgainState> {
        // A panic while the lock is held leaves nothing half done.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn schedule(&self, line: Arc<Line>) {
        let mut state = self.lock();
        if state.stopped {
            return;
        }
        if !state.lines.iter().any(|other| Arc::ptr_eq(other, &line)) {
            state.lines.push(Arc::clone(&line));
        }
        if !state.started {
            let lines = line.lines.clone();
            let spawned = std::thread::Builder::new()
                .name("fn-again".to_owned())
                .stack_size(STACK_BYTES)
                .spawn(move || try_all_again(&lines));
            state.started = spawned.is_ok();
        }
        self.wake.notify_one();
    }
}

/// The thread: a pause, then every line that asked for it.
fn try_all_again(lines: &Weak<FunctionLines>) {
    while let Some(lines) = lines.upgrade() {
        let mut state = lines.again.lock();
        while state.lines.is_empty() && !state.stopped {
            state = lines.again.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let (state, _) = lines
            .again
            .wake
            .wait_timeout_while(state, AGAIN_AFTER, |state| !state.stopped)
            .unwrap_or_else(PoisonError::into_inner);
        if state.stopped {
            return;
        }
        let mut state = state;
        let due = std::mem::take(&mut state.lines);
        drop(state);
        for line in due {
            line.try_again();
        }
    }
}

fn subscriptions(triggers: &[Trigger]) -> Vec<Subscription> {
    let subscribed = triggers.iter().filter(|trigger| trigger.is_subscription());
    subscribed.map(|trigger| (trigger.mqtt.clone(), messages::qos(trigger.qos))).collect()
}
