//! The others: clients that send as fast as they can, in many ways. One thread, all connections in one event loop.

use std::{
    cell::Cell,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use selvedge_codec::QoS;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::wire;

type Count = Rc<Cell<u64>>;

#[derive(Clone, Copy)]
enum Kind {
    /// So many publish QoS 0 without end, to topics that nobody subscribes to.
    Publishers(usize),
    /// So many publish QoS 0 without end, to one subscriber.
    FanIn(usize),
    /// One publishes QoS 0 without end, to so many subscribers.
    FanOut(usize),
    /// So many publish QoS 1, twenty at a time, and wait for the answers.
    Window(usize),
    /// So many connect, and go, over and over.
    Connects(usize),
    /// The same with one client identifier for all.
    TakeOvers(usize),
    /// So many subscribe and unsubscribe fifty filters over and over.
    Subscribes(usize),
    /// One sends pings without end, and takes the answers.
    Pings,
    /// So many with a will connect, and are gone all at once, over and over.
    Crowd(usize),
}

pub struct Flood {
    pub name: &'static str,
    kind: Kind,
}

pub const SCENARIOS: &[Flood] = &[
    Flood { name: "flood-10", kind: Kind::Publishers(10) },
    Flood { name: "flood-100", kind: Kind::Publishers(100) },
    Flood { name: "flood-1000", kind: Kind::Publishers(1000) },
    Flood { name: "fan-in-100", kind: Kind::FanIn(100) },
    Flood { name: "fan-out-500", kind: Kind::FanOut(500) },
    Flood { name: "qos1-100", kind: Kind::Window(100) },
    Flood { name: "connects", kind: Kind::Connects(64) },
    Flood { name: "take-overs", kind: Kind::TakeOvers(64) },
    Flood { name: "subscribes", kind: Kind::Subscribes(50) },
    Flood { name: "pings", kind: Kind::Pings },
    Flood { name: "crowd-2000", kind: Kind::Crowd(2000) },
];

pub struct Flooding {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Flooding {
    /// Stop, and tell how much was done.
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or(0)
    }
}

impl Flood {
    pub fn start(&self, address: SocketAddr, nice: i32) -> Flooding {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let kind = self.kind;
        let thread = thread::spawn(move || {
            selvedge_priority::make_way(nice);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let count = Count::default();
            let local = tokio::task::LocalSet::new();
            local.spawn_local(run(kind, address, count.clone()));
            local.block_on(&runtime, async {
                while !stopped.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
            count.get()
        });
        Flooding { stop, thread }
    }
}

async fn run(kind: Kind, address: SocketAddr, count: Count) {
    match kind {
        Kind::Publishers(clients) => {
            for number in 0..clients {
                let topic = format!("flood/{number}");
                spawn(publish_without_end(address, format!("flood-{number}"), topic, count.clone()));
            }
        }
        Kind::FanIn(clients) => {
            spawn(take_all(address, "taker".to_owned(), "flood/in", Count::default()));
            for number in 0..clients {
                spawn(publish_without_end(address, format!("flood-{number}"), "flood/in".to_owned(), count.clone()));
            }
        }
        Kind::FanOut(clients) => {
            for number in 0..clients {
                spawn(take_all(address, format!("taker-{number}"), "flood/out", count.clone()));
            }
            spawn(publish_without_end(address, "flood".to_owned(), "flood/out".to_owned(), Count::default()));
        }
        Kind::Window(clients) => {
            for number in 0..clients {
                spawn(publish_and_wait(address, number, count.clone()));
            }
        }
        Kind::Connects(loops) => {
            for number in 0..loops {
                spawn(come_and_go(address, format!("come-{number}"), count.clone()));
            }
        }
        Kind::TakeOvers(loops) => {
            for _ in 0..loops {
                spawn(come_and_go(address, "the-same".to_owned(), count.clone()));
            }
        }
        Kind::Subscribes(clients) => {
            for number in 0..clients {
                spawn(subscribe_without_end(address, number, count.clone()));
            }
        }
        Kind::Pings => spawn(ping_without_end(address, count)),
        Kind::Crowd(clients) => spawn(crowd(address, clients, count)),
    }
}

/// Errors end a task: the broker may disconnect whoever floods.
fn spawn(task: impl Future<Output = io::Result<()>> + 'static) {
    tokio::task::spawn_local(task);
}

async fn open(address: SocketAddr, client_id: &str, will: Option<&str>) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&wire::connect(client_id, will)).await?;
    stream.read_exact(&mut [0; wire::CONNACK_BYTES]).await?;
    Ok(stream)
}

const MESSAGES_PER_WRITE: usize = 512;

async fn publish_without_end(address: SocketAddr, client_id: String, topic: String, count: Count) -> io::Result<()> {
    let mut stream = open(address, &client_id, None).await?;
    let chunk = wire::publish(&topic, &[7; 64], None).repeat(MESSAGES_PER_WRITE);
    loop {
        stream.write_all(&chunk).await?;
        count.set(count.get() + MESSAGES_PER_WRITE as u64);
    }
}

async fn take_all(address: SocketAddr, client_id: String, filter: &str, count: Count) -> io::Result<()> {
    let mut stream = open(address, &client_id, None).await?;
    stream.write_all(&wire::subscribe(&[filter], QoS::AtMostOnce)).await?;
    let packet_bytes = wire::publish(filter, &[7; 64], None).len();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        count.set(count.get() + (read / packet_bytes) as u64);
    }
}

async fn publish_and_wait(address: SocketAddr, number: usize, count: Count) -> io::Result<()> {
    const WINDOW: u16 = 20;
    const PUBACK_BYTES: usize = 4;
    let mut stream = open(address, &format!("window-{number}"), None).await?;
    let topic = format!("flood/{number}");
    let chunk: Vec<u8> = (1..=WINDOW).flat_map(|id| wire::publish(&topic, &[7; 64], Some(id))).collect();
    let mut answers = [0; PUBACK_BYTES * WINDOW as usize];
    loop {
        stream.write_all(&chunk).await?;
        stream.read_exact(&mut answers).await?;
        count.set(count.get() + u64::from(WINDOW));
    }
}

async fn come_and_go(address: SocketAddr, client_id: String, count: Count) -> io::Result<()> {
    loop {
        // Taken over before the answer came is as good.
        if open(address, &client_id, None).await.is_ok() {
            count.set(count.get() + 1);
        }
    }
}

async fn subscribe_without_end(address: SocketAddr, number: usize, count: Count) -> io::Result<()> {
    const FILTERS: usize = 50;
    let mut stream = open(address, &format!("subscribe-{number}"), None).await?;
    let names: Vec<String> = (0..FILTERS).map(|filter| format!("flood/{number}/+/{filter}/#")).collect();
    let filters: Vec<&str> = names.iter().map(String::as_str).collect();
    let both = [wire::subscribe(&filters, QoS::AtMostOnce), wire::unsubscribe(&filters)].concat();
    // SUBACK with a code for each filter, then UNSUBACK, which has none in 3.1.1.
    let mut answers = vec![0; 4 + FILTERS + 4];
    loop {
        stream.write_all(&both).await?;
        stream.read_exact(&mut answers).await?;
        count.set(count.get() + 1);
    }
}

async fn ping_without_end(address: SocketAddr, count: Count) -> io::Result<()> {
    let (mut from, mut to) = open(address, "pings", None).await?.into_split();
    spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = from.read(&mut buffer).await?;
            if read == 0 {
                return Ok(());
            }
            count.set(count.get() + read as u64 / 2);
        }
    });
    let pings = wire::ping().repeat(8192);
    loop {
        to.write_all(&pings).await?;
    }
}

async fn crowd(address: SocketAddr, clients: usize, count: Count) -> io::Result<()> {
    loop {
        let mut all = Vec::new();
        for number in 0..clients {
            all.push(open(address, &format!("crowd-{number}"), Some("flood/will")).await?);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        for stream in &all {
            // Reset rather than closed in order: as when a network goes down.
            let _ = stream.set_zero_linger();
        }
        count.set(count.get() + all.len() as u64);
        drop(all);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
