//! Twins for the rest of the node: requests in over MQTT and HTTP, replies out on `$twin/{thing}/…`, and on the topics of AWS's device
//! shadows (`dialect`), after the fsync.
//!
//! One thread takes the requests of a turn from the broker; a request is acknowledged together with its change and its replies, so
//! what was not answered is delivered again, and what was is not. Invariant: every change of a twin, wherever it comes from, is told to MQTT and to watchers.

mod dialect;

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;
use selvedge_broker::{Attachment, Handle};
use selvedge_codec::{PacketId, QoS};
use selvedge_core::{Delivery, Message};
use selvedge_store::{Batch, Commit, CommitError};
use selvedge_twin::sync::{Input, Now};
use selvedge_twin::{Answer, Ending, ExchangeError, Operation, Publication, Reply, Twins};
use serde_json::{Value, json};

use super::clock::wall_ms;
use dialect::Dialect;

const CLIENT_ID: &str = "$node/twins";
const STACK_BYTES: usize = 512 * 1024;
/// Followers of twins over HTTP at once.
const WATCHERS_MAX: usize = 64;
/// Changes that a follower may be behind before it is dropped.
pub const WATCHER_EVENTS_MAX: usize = 64;

/// The twins, wired.
pub struct TwinService {
    twins: Twins,
    attachment: OnceLock<Attachment>,
    watchers: Mutex<Vec<Watcher>>,
    /// Requests taken from the broker and not answered.
    waiting: AtomicUsize,
    waiting_max: usize,
    /// Whether topics of AWS's device shadows are served.
    aws: bool,
    dropped: AtomicU64,
}

struct Watcher {
    thing: String,
    events: tokio::sync::mpsc::Sender<Value>,
}

impl TwinService {
    /// Around opened twins; `waiting_max` requests are taken from the broker at a time. With `aws`, also under `$aws/things/`.
    pub fn new(twins: Twins, waiting_max: u16, aws: bool) -> Arc<Self> {
        Arc::new(Self {
            twins,
            attachment: OnceLock::new(),
            watchers: Mutex::default(),
            waiting: AtomicUsize::new(0),
            waiting_max: usize::from(waiting_max),
            aws,
            dropped: AtomicU64::new(0),
        })
    }

    /// The twins themselves.
    pub fn twins(&self) -> &Twins {
        &self.twins
    }

    /// Requests that were dropped because too many waited; QoS 0 only.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn dialects(&self) -> &'static [Dialect] {
        if self.aws { &Dialect::ALL } else { &[Dialect::Own] }
    }

    /// Whether every request that was taken is answered.
    pub fn is_idle(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    /// Subscribes to the requests and starts the thread that answers them.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn attach(self: &Arc<Self>, broker: &Handle) -> io::Result<()> {
        let (sender, requests) = mpsc::channel();
        let service = Arc::downgrade(self);
        let sink = move |deliveries: Vec<Delivery>| {
            if let Some(service) = service.upgrade() {
                let accepted = service.accept(deliveries);
                // Fails only when the thread is gone, at the very end.
                let _ = sender.send(accepted);
            }
        };
        let receive_maximum = u16::try_from(self.waiting_max).unwrap_or(u16::MAX);
        let filters = self.dialects().iter().flat_map(|dialect| dialect.filters());
        let subscriptions = filters.map(|filter| (filter, QoS::AtLeastOnce)).collect();
        let attachment = broker.attach(CLIENT_ID, receive_maximum, subscriptions, Box::new(sink));
        if self.attachment.set(attachment).is_err() {
            return Err(io::Error::other("twins are attached already"));
        }
        let service = Arc::downgrade(self);
        std::thread::Builder::new().name("twins".to_owned()).stack_size(STACK_BYTES).spawn(move || {
            answer_all(&requests, &|delivery| {
                if let Some(service) = service.upgrade() {
                    service.answer(delivery);
                }
            });
        })?;
        Ok(())
    }

    /// What of `deliveries` there is room for. QoS 1 always is: the receive maximum bounds it.
    fn accept(&self, mut deliveries: Vec<Delivery>) -> Vec<Delivery> {
        deliveries.retain(|delivery| {
            let fits = delivery.packet_id.is_some() || self.waiting.load(Ordering::Acquire) < 2 * self.waiting_max;
            let counter = if fits { None } else { Some(&self.dropped) };
            match counter {
                Some(counter) => drop(counter.fetch_add(1, Ordering::Relaxed)),
                None => drop(self.waiting.fetch_add(1, Ordering::AcqRel)),
            }
            fits
        });
        deliveries
    }

    fn answer(self: &Arc<Self>, delivery: Delivery) {
        let message = delivery.message;
        let packet_ids: Vec<PacketId> = delivery.packet_id.into_iter().collect();
        let Some((dialect, thing, operation)) = dialect::parse(message.topic()) else {
            return self.answered(packet_ids, Vec::new());
        };
        if !dialect::is_nameable(dialect, message.topic()) {
            let rejection = json!({ "code": 400, "message": "names of things and shadows have no dots here" });
            let topic = format!("{}/rejected", message.topic());
            let reply = Message::new(&topic, rejection.to_string().into_bytes(), QoS::AtLeastOnce, false);
            return self.answered(packet_ids, vec![reply]);
        }
        let service = Arc::clone(self);
        let owner = thing.clone();
        let publisher = message.publisher().filter(|_| super::messages::depth(&message) > 0).cloned();
        self.twins.handle_with(&thing, operation, message.payload(), wall_ms(), move |answer| match answer {
            Answer::Replies(replies) => {
                service.tell_watchers(&owner, &replies);
                let outputs = service.messages_of(&owner, replies, Some(dialect), publisher);
                service.answered(packet_ids, outputs);
            }
            // The change, its replies and the acknowledgement of the request are one entry: after a crash a request is not
            // handled again on top of later ones.
            Answer::Commit { batch, replies, finish } => {
                let outputs = service.messages_of(&owner, replies.clone(), Some(dialect), publisher);
                // It runs on the store's own thread, which must not be the last to hold the store.
                let told = Arc::downgrade(&service);
                let on_durable = move |result: Result<(), CommitError>| {
                    let changed = result.is_ok();
                    let replies = finish(result, replies);
                    let Some(told) = told.upgrade() else { return };
                    if changed {
                        told.tell_watchers(&owner, &replies);
                    }
                    told.waiting.fetch_sub(1, Ordering::AcqRel);
                };
                let commit = Commit { batch, on_durable: Box::new(on_durable) };
                if let Some(attachment) = service.attachment.get() {
                    // A broker that has stopped leaves the request for the next start.
                    let _ = attachment.commit(packet_ids, outputs, Some(Box::new(commit)));
                }
            }
        });
    }

    fn answered(&self, packet_ids: Vec<PacketId>, outputs: Vec<Message>) {
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        self.publish(packet_ids, outputs);
    }

    fn publish(&self, packet_ids: Vec<PacketId>, outputs: Vec<Message>) {
        if let Some(attachment) = self.attachment.get() {
            attachment.acknowledge(packet_ids, outputs);
        }
    }

    /// A request from inside: answers when it is durable. May block while the store's queue is full.
    ///
    /// # Errors
    /// The rejection as JSON: `code` and `message`.
    pub fn request(
        self: &Arc<Self>,
        thing: &str,
        operation: Operation,
        payload: &[u8],
        done: impl FnOnce(Result<Value, Value>) + Send + 'static,
    ) {
        let service = Arc::clone(self);
        let owner = thing.to_owned();
        self.twins.handle(thing, operation, payload, wall_ms(), move |replies| {
            let answer = replies.first().map(|reply| {
                let body = serde_json::from_slice(&reply.payload).unwrap_or(Value::Null);
                if reply.suffix.ends_with("/accepted") { Ok(body) } else { Err(body) }
            });
            // A refused request of ours is nobody else's business.
            if matches!(answer, Some(Ok(_))) {
                service.tell_watchers(&owner, &replies);
                let outputs = service.messages_of(&owner, replies, None, None);
                service.publish(Vec::new(), outputs);
            }
            done(answer.unwrap_or(Err(Value::Null)));
        });
    }

    /// Lets something happen in the exchange with other nodes. What it changes is published and told to watchers.
    ///
    /// # Errors
    /// It could not be taken.
    pub fn exchange(self: &Arc<Self>, input: Input<'_>, now: Now) -> Result<(), ExchangeError> {
        let service = Arc::clone(self);
        self.twins.exchange(input, now, move |batch, publications, ending| {
            service.hand_over(batch, publications, ending, |_| {});
        })
    }

    /// Takes the group's next policy; `done` hears whether it became durable.
    ///
    /// # Errors
    /// It could not be taken.
    pub fn adopt_policy(
        self: &Arc<Self>,
        signed: &[u8],
        now: Now,
        done: impl FnOnce(bool) + Send + 'static,
    ) -> Result<(), ExchangeError> {
        let service = Arc::clone(self);
        self.twins.adopt_policy(signed, now, move |batch, publications, ending| {
            service.hand_over(batch, publications, ending, done);
        })
    }

    fn hand_over(
        self: &Arc<Self>,
        batch: Batch,
        publications: Vec<Publication>,
        ending: Ending,
        done: impl FnOnce(bool) + Send + 'static,
    ) {
        let messages = publications
            .iter()
            .flat_map(|publication| self.messages_of(&publication.thing, publication.replies.clone(), None, None));
        let messages = messages.collect();
        // It runs on the store's own thread, which must not be the last to hold the store.
        let told = Arc::downgrade(self);
        let on_durable = move |result: Result<(), CommitError>| {
            ending.end(result.is_ok());
            if let (true, Some(told)) = (result.is_ok(), told.upgrade()) {
                for publication in &publications {
                    told.tell_watchers(&publication.thing, &publication.replies);
                }
            }
            done(result.is_ok());
        };
        let commit = Commit { batch, on_durable: Box::new(on_durable) };
        if let Some(attachment) = self.attachment.get() {
            // A broker that has stopped takes nothing in any more; the others tell it again.
            let _ = attachment.commit(Vec::new(), messages, Some(Box::new(commit)));
        }
    }

    /// Changes of `thing` from now on; `None` when too many are followed already.
    pub fn watch(&self, thing: &str) -> Option<tokio::sync::mpsc::Receiver<Value>> {
        let (events, receiver) = tokio::sync::mpsc::channel(WATCHER_EVENTS_MAX);
        let mut watchers = self.watchers.lock();
        watchers.retain(|watcher| !watcher.events.is_closed());
        if watchers.len() >= WATCHERS_MAX {
            return None;
        }
        watchers.push(Watcher { thing: thing.to_owned(), events });
        Some(receiver)
    }

    /// The replies as messages: an answer for whoever `asked`, in its dialect, a change for all. Who asks from inside asks in the
    /// node's own. `publisher` keeps the depth of functions that caused them.
    pub fn messages_of(
        &self,
        thing: &str,
        replies: Vec<Reply>,
        asked: Option<Dialect>,
        publisher: Option<Arc<str>>,
    ) -> Vec<Message> {
        let asked = asked.unwrap_or(Dialect::Own);
        let mut messages = Vec::with_capacity(replies.len());
        for Reply { suffix, payload } in replies {
            let payload = Bytes::from(payload);
            for dialect in self.dialects().iter().filter(|dialect| **dialect == asked || dialect::is_for_all(suffix)) {
                if let Some(topic) = dialect.topic(thing, suffix) {
                    let message = Message::new(&topic, payload.clone(), QoS::AtLeastOnce, false);
                    messages.push(message.with_publisher(publisher.clone()));
                }
            }
        }
        messages
    }

    /// Tells watchers of a change that is durable.
    pub fn tell_watchers(&self, thing: &str, replies: &[Reply]) {
        let mut watchers = self.watchers.lock();
        if !watchers.iter().any(|watcher| watcher.thing == thing) {
            return;
        }
        for reply in replies {
            let name = match reply.suffix {
                "update/documents" => "update",
                "delete/accepted" => "delete",
                _ => continue,
            };
            let body: Value = serde_json::from_slice(&reply.payload).unwrap_or(Value::Null);
            let current = body.get("current");
            let version = current.unwrap_or(&body).get("version");
            let event = json!({
                "event": name, "thing": thing, "version": version, "current": current, "timestamp": body.get("timestamp"),
            });
            watchers.retain(|watcher| watcher.thing != thing || watcher.events.try_send(event.clone()).is_ok());
        }
    }
}

fn answer_all(requests: &Receiver<Vec<Delivery>>, answer: &dyn Fn(Delivery)) {
    while let Ok(batch) = requests.recv() {
        batch.into_iter().for_each(answer);
    }
}
