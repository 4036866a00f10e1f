//! Clients of a node that is updated: publishers with QoS 1 at a pace, a subscriber with a lasting session for each.
//!
//! A message counts as lost when its PUBACK had come and its subscriber never got it. Clients come back as soon as they are
//! let in, and publishers send again what was not acknowledged, as the standard wants it.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::PATIENCE;
use crate::client::Version;
use crate::crash::endpoint::{Endpoint, Event};

/// Between two attempts of a client to come back.
const AGAIN_EVERY: Duration = Duration::from_millis(10);
/// Between two looks at all connections.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// Messages of one publisher that wait for their acknowledgement.
const WINDOW: usize = 1000;
const PAYLOAD_BYTES: usize = 128;

/// Clients that run.
#[derive(Debug)]
pub struct Load {
    stop_publishing: Arc<AtomicBool>,
    stop_receiving: Arc<AtomicBool>,
    delivered: Arc<Mutex<Delivered>>,
    publishers: Option<JoinHandle<anyhow::Result<Published>>>,
    subscribers: Option<JoinHandle<anyhow::Result<Returns>>>,
}

/// What the clients saw.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// Messages that were acknowledged.
    pub acknowledged: usize,
    /// Of these, those that did not come.
    pub lost: usize,
    /// Messages that came more than once, which QoS 1 allows.
    pub twice: usize,
    /// Longest time in which no message came to anybody.
    pub delivery_gap: Duration,
    /// Longest time from a PUBLISH to its PUBACK.
    pub puback_max: Duration,
    /// Connections that ended.
    pub ended: usize,
    /// Attempts to come back that were refused.
    pub refused: usize,
    /// Sessions that were not there any more.
    pub sessions_gone: usize,
}

#[derive(Debug, Default)]
struct Delivered {
    ids: HashSet<u64>,
    twice: usize,
    last: Option<Instant>,
    longest_gap: Duration,
}

#[derive(Debug, Default)]
struct Published {
    acknowledged: HashSet<u64>,
    puback_max: Duration,
    returns: Returns,
}

/// How often clients had to come back.
#[derive(Debug, Default)]
struct Returns {
    ended: usize,
    refused: usize,
    sessions_gone: usize,
}

impl Load {
    /// Connects so many publishers and subscribers and begins.
    ///
    /// # Errors
    /// A client is not let in.
    pub fn start(address: SocketAddr, pairs: usize, messages_per_s: u32) -> anyhow::Result<Self> {
        let (stop_publishing, stop_receiving) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let delivered = Arc::<Mutex<Delivered>>::default();
        let mut crowd = Crowd::connect(address, "subscribes", pairs)?;
        crowd.subscribe()?;
        let (stopped, to) = (Arc::clone(&stop_receiving), Arc::clone(&delivered));
        let subscribers = std::thread::spawn(move || receive(crowd, &stopped, &to));
        let crowd = Crowd::connect(address, "publishes", pairs)?;
        let stopped = Arc::clone(&stop_publishing);
        let publishers = std::thread::spawn(move || publish(crowd, &stopped, messages_per_s));
        let (publishers, subscribers) = (Some(publishers), Some(subscribers));
        Ok(Self { stop_publishing, stop_receiving, delivered, publishers, subscribers })
    }

    /// Ends it: every message is acknowledged first, and has come or is lost.
    ///
    /// # Errors
    /// A client broke, or the broker broke a rule.
    pub fn stop(mut self) -> anyhow::Result<Loaded> {
        self.stop_publishing.store(true, Ordering::Release);
        let published = joined(self.publishers.take())?;
        let deadline = Instant::now() + PATIENCE;
        let missing = |delivered: &Delivered| published.acknowledged.difference(&delivered.ids).count();
        while missing(&locked(&self.delivered)) > 0 && Instant::now() < deadline {
            std::thread::sleep(AGAIN_EVERY);
        }
        self.stop_receiving.store(true, Ordering::Release);
        let returns = joined(self.subscribers.take())?;
        let delivered = locked(&self.delivered);
        Ok(Loaded {
            acknowledged: published.acknowledged.len(),
            lost: missing(&delivered),
            twice: delivered.twice,
            delivery_gap: delivered.longest_gap,
            puback_max: published.puback_max,
            ended: published.returns.ended + returns.ended,
            refused: published.returns.refused + returns.refused,
            sessions_gone: published.returns.sessions_gone + returns.sessions_gone,
        })
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop_publishing.store(true, Ordering::Release);
        self.stop_receiving.store(true, Ordering::Release);
    }
}

fn joined<T>(thread: Option<JoinHandle<anyhow::Result<T>>>) -> anyhow::Result<T> {
    let thread = thread.context("it was stopped before")?;
    thread.join().unwrap_or_else(|_| bail!("a thread of clients panicked"))
}

fn locked(delivered: &Mutex<Delivered>) -> MutexGuard<'_, Delivered> {
    delivered.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Clients of one kind, each with a lasting session, that come back by themselves.
struct Crowd {
    address: SocketAddr,
    clients: Vec<Endpoint>,
    next_attempt: Vec<Instant>,
    returns: Returns,
}

impl Crowd {
    fn connect(address: SocketAddr, name: &str, count: usize) -> anyhow::Result<Self> {
        let clients = (0..count).map(|number| Endpoint::new(format!("{name}-{number}"), Version::V5, true)).collect();
        let mut crowd =
            Self { address, clients, next_attempt: vec![Instant::now(); count], returns: Returns::default() };
        for client in &mut crowd.clients {
            client.connect(address, true)?;
        }
        crowd.settle("are let in", Endpoint::is_connected)?;
        Ok(crowd)
    }

    fn subscribe(&mut self) -> anyhow::Result<()> {
        for (number, client) in self.clients.iter_mut().enumerate() {
            client.subscribe(&format!("load/{number}"), 1);
        }
        self.settle("have subscribed", |client| client.unfinished() == 0)
    }

    fn settle(&mut self, what: &str, is_so: impl Fn(&Endpoint) -> bool) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.clients.iter().all(&is_so) {
            ensure!(Instant::now() < deadline, "not all clients {what}");
            self.exchange()?;
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// What has happened to whom since the last time.
    fn exchange(&mut self) -> anyhow::Result<Vec<(usize, Event)>> {
        let mut all = Vec::new();
        for (number, client) in self.clients.iter_mut().enumerate() {
            if !client.is_open() && Instant::now() >= self.next_attempt[number] {
                self.next_attempt[number] = Instant::now() + AGAIN_EVERY;
                self.returns.refused += usize::from(client.connect(self.address, false).is_err());
            }
            for event in client.exchange()? {
                match event {
                    Event::Closed => self.returns.ended += 1,
                    Event::Connected { session_present: false } if self.returns.ended > 0 => {
                        self.returns.sessions_gone += 1;
                    }
                    Event::NotTaken(id, reason) => bail!("message {id} is refused with {reason:#04x}"),
                    _ => {}
                }
                all.push((number, event));
            }
            client.send_acks();
        }
        Ok(all)
    }
}

fn receive(mut crowd: Crowd, stop: &AtomicBool, delivered: &Mutex<Delivered>) -> anyhow::Result<Returns> {
    while !stop.load(Ordering::Acquire) {
        for (_, event) in crowd.exchange()? {
            let Event::Delivered(message) = event else { continue };
            let id = message.payload.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
            let id = id.context("a message without a number")?;
            let mut delivered = locked(delivered);
            if !delivered.ids.insert(id) {
                delivered.twice += 1;
            }
            let gap = delivered.last.map_or(Duration::ZERO, |last| last.elapsed());
            delivered.longest_gap = delivered.longest_gap.max(gap);
            delivered.last = Some(Instant::now());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(crowd.returns)
}

fn publish(mut crowd: Crowd, stop: &AtomicBool, messages_per_s: u32) -> anyhow::Result<Published> {
    let mut published = Published::default();
    let mut waiting: BTreeMap<u64, Instant> = BTreeMap::new();
    let (started, mut id) = (Instant::now(), 0_u64);
    let deadline_after_stop = |since: Option<Instant>| since.is_some_and(|since: Instant| since.elapsed() > PATIENCE);
    let mut stopped = None;
    loop {
        if stop.load(Ordering::Acquire) && stopped.is_none() {
            stopped = Some(Instant::now());
        }
        if stopped.is_some() && waiting.is_empty() {
            break;
        }
        ensure!(!deadline_after_stop(stopped), "{} messages are never acknowledged", waiting.len());
        let due = (started.elapsed().as_secs_f64() * f64::from(messages_per_s)) as u64;
        while stopped.is_none() && id < due {
            let number = usize::try_from(id).unwrap_or(0) % crowd.clients.len();
            let client = &mut crowd.clients[number];
            // One that is away sends what it has when it is back.
            if client.is_open() && client.may_publish(WINDOW) {
                let mut payload = id.to_be_bytes().to_vec();
                payload.resize(PAYLOAD_BYTES, 0);
                client.publish(id, &format!("load/{number}"), payload, 1, false);
                waiting.insert(id, Instant::now());
            }
            id += 1;
        }
        for (_, event) in crowd.exchange()? {
            if let Event::Acknowledged(id) = event {
                let since = waiting.remove(&id).map_or(Duration::ZERO, |since| since.elapsed());
                published.puback_max = published.puback_max.max(since);
                published.acknowledged.insert(id);
            }
        }
        std::thread::sleep(LOOK_EVERY);
    }
    published.returns = crowd.returns;
    Ok(published)
}
