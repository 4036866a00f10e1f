//! Functions in the way of messages: what the broker holds goes from one to the next, and what comes of it back.
//!
//! One deadline for all of them, which the broker keeps: an answer that comes later is ignored there, and what still waits or runs by
//! then is stopped by the runtime. Invariant: each held message is answered once, or the node is stopping.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::RwLock;
use selvedge_broker::Handle;
use selvedge_core::{Delivery, HeldPublication, Interception, Interceptor, Message, Unanswered};
use selvedge_functions::{
    Arrival, Caller, InvocationContext, InvocationError, InvocationMessage, InvocationResult, Itinerary, OnFailure,
    Passage, Runtime, Station, StationEnd, Step, Trigger, Waiting, Wanted,
};

use super::clock::wall_ms;
use super::messages;

/// What is told of a message whose replacement no PUBLISH can carry.
const NO_MESSAGE: &str = "what a function made of this message cannot be published";

/// All functions that intercept.
#[derive(Default)]
pub struct FunctionIntercepts {
    by_function: RwLock<BTreeMap<String, Intercepts>>,
    plan: RwLock<Arc<Plan>>,
}

/// Where one function stands, and its counts.
type Intercepts = (Vec<Station>, Arc<Counts>);

/// The order in which they are asked, each with its counts.
#[derive(Default)]
struct Plan {
    itinerary: Itinerary,
    counts: BTreeMap<String, Arc<Counts>>,
}

/// What messages came to at one function.
#[derive(Debug, Default)]
struct Counts {
    passed: AtomicU64,
    changed: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
}

/// The same, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterceptCounts {
    /// Returned as they came.
    pub passed: u64,
    /// Changed, dropped or more than one returned.
    pub changed: u64,
    /// Not wanted.
    pub rejected: u64,
    /// The function did not come to an end.
    pub failed: u64,
}

/// A held message on its way.
struct Flow {
    broker: Handle,
    runtime: Weak<Runtime>,
    plan: Arc<Plan>,
    passage: Passage,
    ticket: u64,
    publisher: Arc<str>,
    received_ms: u64,
    caller: Caller,
    /// Dropped at the end.
    _waiting: Waiting,
}

impl FunctionIntercepts {
    /// The function has these triggers now. Gives what the broker is to hold from now on, if that is something else.
    pub fn set(&self, name: &str, triggers: &[Trigger]) -> Option<Vec<Interceptor>> {
        let rules = triggers.iter().filter_map(|trigger| Some((trigger, trigger.intercept_rule()?)));
        let stations: Vec<Station> = rules
            .map(|(trigger, rule)| Station {
                function: name.to_owned(),
                filter: trigger.mqtt.clone(),
                rule: rule.clone(),
            })
            .collect();
        let mut by_function = self.by_function.write();
        let before = by_function.remove(name);
        if before.as_ref().map_or(&[][..], |(stations, _)| stations) == stations {
            by_function.extend(before.map(|before| (name.to_owned(), before)));
            return None;
        }
        if !stations.is_empty() {
            let counts = before.map(|(_, counts)| counts).unwrap_or_default();
            by_function.insert(name.to_owned(), (stations, counts));
        }
        let stations = by_function.values().flat_map(|(stations, _)| stations.clone()).collect();
        let counts = by_function.iter().map(|(name, (_, counts))| (name.clone(), Arc::clone(counts))).collect();
        let plan = Arc::new(Plan { itinerary: Itinerary::new(stations), counts });
        let interceptors = plan.itinerary.stations().iter().map(interceptor).collect();
        *self.plan.write() = plan;
        Some(interceptors)
    }

    /// What messages came to at a function.
    pub fn counts(&self, name: &str) -> InterceptCounts {
        let by_function = self.by_function.read();
        let Some((_, counts)) = by_function.get(name) else { return InterceptCounts::default() };
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        InterceptCounts {
            passed: load(&counts.passed),
            changed: load(&counts.changed),
            rejected: load(&counts.rejected),
            failed: load(&counts.failed),
        }
    }

    /// On the reactor's thread: begins the way of what is held.
    pub fn begin(&self, held: HeldPublication, broker: &Handle, runtime: Weak<Runtime>) {
        let now = broker.now();
        let HeldPublication { ticket, message, until } = held;
        let publisher = message.publisher().cloned().unwrap_or_default();
        let (caller, waiting) = Caller::new(Instant::now() + until.since(now), Wanted::Everything);
        let (qos, retain) = (message.qos(), message.retain());
        let delivery = Delivery { message, qos, packet_id: None, retain, duplicate: false };
        let flow = Flow {
            broker: broker.clone(),
            runtime,
            plan: Arc::clone(&self.plan.read()),
            passage: Passage::new(messages::to_invocation(&delivery, now)),
            ticket,
            publisher,
            received_ms: wall_ms(),
            caller,
            _waiting: waiting,
        };
        flow.go_on();
    }
}

fn interceptor(station: &Station) -> Interceptor {
    let unanswered = match station.rule.on_failure {
        OnFailure::Pass => Unanswered::Passes,
        OnFailure::Drop => Unanswered::Drops,
    };
    Interceptor { filter: station.filter.as_str().into(), timeout_ms: station.rule.timeout_ms, unanswered }
}

impl Flow {
    /// To the next function, or to the end. No deeper in itself than there are functions: one that does not take a message says so
    /// from within.
    fn go_on(mut self) {
        match self.passage.step(&self.plan.itinerary) {
            Step::Arrived(arrival) => {
                let outcome = self.outcome(arrival);
                self.broker.intercepted(self.ticket, outcome);
            }
            Step::Ask { station, message } => self.ask(station, message),
        }
    }

    fn ask(self, station: usize, message: InvocationMessage) {
        let plan = Arc::clone(&self.plan);
        let Some(asked) = plan.itinerary.stations().get(station) else { return };
        let Some(runtime) = self.runtime.upgrade() else { return };
        let trace_parent = message.properties.user_properties.iter().find(|(name, _)| name == "traceparent");
        let context = InvocationContext {
            client_id: Some(self.publisher.to_string()),
            matched_filter: asked.filter.clone(),
            received_ms: self.received_ms,
            trace_parent: trace_parent.map(|(_, value)| value.clone()),
            caller: Some(self.caller.clone()),
            ..InvocationContext::default()
        };
        runtime.invoke(&asked.function, message, context, Box::new(move |result| self.ended(station, result)));
    }

    fn ended(mut self, station: usize, result: InvocationResult) {
        let end = match result {
            Ok(success) => StationEnd::Returned(success.replies),
            // Not answered: its client is about to be disconnected, and sends it again.
            Err(InvocationError::Stopping) => return,
            Err(InvocationError::Rejected { .. }) => StationEnd::Rejected,
            Err(_) => StationEnd::Failed,
        };
        let counts =
            self.plan.itinerary.stations().get(station).and_then(|at| self.plan.counts.get(&at.function)).cloned();
        let is_rejected = end == StationEnd::Rejected;
        let is_failed = end == StationEnd::Failed;
        let is_changed = self.passage.ended(&self.plan.itinerary, end);
        if let Some(counts) = counts {
            let count = match (is_rejected, is_failed, is_changed) {
                (true, ..) => &counts.rejected,
                (_, true, _) => &counts.failed,
                (.., true) => &counts.changed,
                _ => &counts.passed,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.go_on();
    }

    fn outcome(&self, arrival: Arrival) -> Interception {
        let messages = match arrival {
            Arrival::AsItCame => return Interception::Pass,
            Arrival::Refused(words) => return Interception::Refuse(words),
            Arrival::Instead(messages) => messages,
        };
        let now = self.broker.now();
        let messages: Result<Vec<Arc<Message>>, _> = messages
            .into_iter()
            .map(|message| messages::from_invocation(message, now, Arc::clone(&self.publisher)).map(Arc::new))
            .collect();
        messages.map_or(Interception::Refuse(NO_MESSAGE), Interception::Replace)
    }
}

#[cfg(test)]
mod tests {
    use selvedge_functions::{Config, Manifest};

    use super::*;

    fn triggers(text: &str) -> Vec<Trigger> {
        let text = format!("name = \"f\"\n{text}\n[grants]\nintercept = true");
        Manifest::parse(&text, &Config::default()).unwrap().triggers
    }

    const INTERCEPTS: &str = "[[trigger]]\nmqtt = \"a/#\"\nmode = \"intercept\"\non_failure = \"drop\"\n";

    #[test]
    fn the_broker_is_told_what_to_hold_when_that_changes() {
        let intercepts = FunctionIntercepts::default();
        assert_eq!(intercepts.set("f", &triggers("[[trigger]]\nmqtt = \"a/#\"")), None);
        let held = Interceptor { filter: "a/#".into(), timeout_ms: 100, unanswered: Unanswered::Drops };
        assert_eq!(intercepts.set("f", &triggers(INTERCEPTS)), Some(vec![held.clone()]));
        assert_eq!(intercepts.set("f", &triggers(INTERCEPTS)), None);
        let first = INTERCEPTS.replace("a/#", "b");
        let other = Interceptor { filter: "b".into(), ..held.clone() };
        assert_eq!(intercepts.set("e", &triggers(&first)), Some(vec![other, held.clone()]));
        assert_eq!(intercepts.set("e", &[]), Some(vec![held]));
        assert_eq!(intercepts.set("f", &[]), Some(Vec::new()));
    }
}
