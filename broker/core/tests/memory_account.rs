//! The account of memory against the real heap: for each kind of thing that clients make the node hold, the account says
//! neither less than it takes nor several times as much.
//!
//! A test program of its own, because it counts every allocation of the process. The table it prints
//! (`cargo test -p selvedge-core --test memory_account -- --nocapture`) is the one in `docs/decisions/memory-budget.md`.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    num::NonZeroU16,
    sync::atomic::{AtomicUsize, Ordering},
};

use selvedge_codec::{
    Connect, Packet, PacketId, ProtocolVersion, Publish, PublishProperties, QoS, RetainHandling, Subscribe,
    SubscribeFilter, Will,
};
use selvedge_core::{Config, ConnectionId, Core, Effects, Input, Moment, OpenAccess, Peer};

/// Counts what is allocated now, as glibc lays it out.
struct Counting;

static HEAP: AtomicUsize = AtomicUsize::new(0);

/// A chunk of glibc: a header of 8 bytes, multiples of 16, at least 32.
fn chunk(bytes: usize) -> usize {
    (bytes + 8).next_multiple_of(16).max(32)
}

// SAFETY: every call is handed on to the allocator of the system unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HEAP.fetch_add(chunk(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HEAP.fetch_sub(chunk(layout.size()), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MANY: u32 = 5000;

struct Node {
    core: Core,
    effects: Effects,
}

impl Node {
    fn new() -> Self {
        let config = Config {
            sys_interval_s: 0,
            memory_bytes_max: 1 << 40,
            queue_bytes_max: 1 << 30,
            retained_bytes_max: 1 << 30,
            subscriptions_max: 100_000,
            ..Config::default()
        };
        Self { core: Core::new(config, Box::new(OpenAccess), 1), effects: Effects::new() }
    }

    fn feed(&mut self, input: Input<'_>) {
        self.effects.clear();
        self.core.handle(input, Moment::default(), &mut self.effects);
    }

    fn connect(&mut self, slot: u32, with: impl FnOnce(&mut Connect<'_>)) {
        let name = format!("device-{slot:08}");
        let mut connect = Connect::new(ProtocolVersion::V5, &name, false);
        connect.session_expiry_s = Some(3600);
        connect.keep_alive_s = 60;
        with(&mut connect);
        self.feed(Input::Connect { connection: id(slot), connect: &connect, peer: Peer::default() });
    }

    fn leave(&mut self, slot: u32) {
        self.feed(Input::Closed { connection: id(slot) });
    }

    fn subscribe(&mut self, slot: u32, filter: &str) {
        let filter = SubscribeFilter {
            filter,
            qos: QoS::ExactlyOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::DoNotSend,
        };
        let packet = Packet::Subscribe(Subscribe {
            packet_id: PacketId::MIN,
            subscription_identifier: None,
            user_properties: Default::default(),
            filters: [filter].into_iter().collect(),
        });
        self.feed(Input::Packet { connection: id(slot), packet });
    }

    fn publish(&mut self, slot: u32, topic: &str, qos: QoS, bytes: usize, with: impl FnOnce(&mut Publish<'_>)) {
        let payload = vec![b'x'; bytes];
        let mut publish = Publish {
            dup: false,
            qos,
            retain: false,
            topic,
            packet_id: (qos != QoS::AtMostOnce).then_some(PacketId::MIN),
            properties: PublishProperties::default(),
            payload: &payload,
        };
        with(&mut publish);
        self.feed(Input::Packet { connection: id(slot), packet: Packet::Publish(publish) });
    }

    fn account(&mut self) -> usize {
        self.core.statistics().memory_bytes as usize
    }
}

fn id(slot: u32) -> ConnectionId {
    ConnectionId { slot, generation: 1 }
}

/// Account and heap of what `load` makes the node hold after `prepare`, each.
fn row(name: &str, count: u32, prepare: impl FnOnce(&mut Node), load: impl FnOnce(&mut Node)) {
    let mut node = Node::new();
    prepare(&mut node);
    let (heap, account) = (HEAP.load(Ordering::Relaxed), node.account());
    load(&mut node);
    // What an input causes is in an arena that belongs to the shell.
    node.effects = Effects::new();
    let heap = HEAP.load(Ordering::Relaxed) - heap;
    let account = node.account() - account;
    let ratio = account as f64 / heap as f64;
    let (each, real) = (account / count as usize, heap / count as usize);
    println!("{name:<48} {each:>8} {real:>8} {ratio:>6.2}");
    assert!((0.95..2.5).contains(&ratio), "{name}: the account says {account} bytes, the heap {heap}");
}

#[test]
fn the_account_says_what_the_heap_says() {
    println!("{:<48} {:>8} {:>8} {:>6}", "bytes each", "account", "heap", "ratio");
    row("connected client", MANY, |_| {}, |node| (0..MANY).for_each(|slot| node.connect(slot, |_| {})));
    row(
        "session without client",
        MANY,
        |_| {},
        |node| {
            for slot in 0..MANY {
                node.connect(slot, |_| {});
                node.leave(slot);
            }
        },
    );
    row(
        "connected client with a will of 100 bytes",
        MANY,
        |_| {},
        |node| {
            for slot in 0..MANY {
                node.connect(slot, |connect| {
                    connect.will = Some(Will {
                        qos: QoS::AtLeastOnce,
                        retain: false,
                        topic: "site/7/gone",
                        payload: &[b'x'; 100],
                        delay_s: 0,
                        properties: PublishProperties::default(),
                    });
                });
            }
        },
    );
    let connect_all = |node: &mut Node| (0..MANY).for_each(|slot| node.connect(slot, |_| {}));
    row("filter of its own, 3 levels", MANY, connect_all, |node| {
        (0..MANY).for_each(|slot| node.subscribe(slot, &format!("site/{slot}/+")));
    });
    row("filter that all share", MANY, connect_all, |node| {
        (0..MANY).for_each(|slot| node.subscribe(slot, "site/7/+"));
    });
    row(
        "filters of one client, 8 levels",
        MANY,
        |node| node.connect(0, |_| {}),
        |node| {
            (0..MANY).for_each(|slot| node.subscribe(0, &format!("{slot}/2/3/4/5/6/7/8")));
        },
    );
    for bytes in [0, 64, 1000, 20_000] {
        row(&format!("queued message, {bytes} bytes"), MANY, one_away, |node| {
            (0..MANY).for_each(|_| node.publish(1, "site/7/x", QoS::AtLeastOnce, bytes, |_| {}));
        });
    }
    row("one message of 1,000 bytes in many queues", MANY, all_away, |node| {
        node.publish(MANY, "site/7/x", QoS::AtLeastOnce, 1000, |_| {});
    });
    row(
        "retained message, 64 bytes, 3 levels",
        MANY,
        |node| node.connect(0, |_| {}),
        |node| {
            for slot in 0..MANY {
                node.publish(0, &format!("site/{slot}/x"), QoS::AtLeastOnce, 64, |publish| publish.retain = true);
            }
        },
    );
    row(
        "retained message, 64 bytes, 1 level",
        MANY,
        |node| node.connect(0, |_| {}),
        |node| {
            for slot in 0..MANY {
                node.publish(0, &format!("site-{slot}"), QoS::AtLeastOnce, 64, |publish| publish.retain = true);
            }
        },
    );
    row("in flight, 64 bytes", 1000, one_there, |node| {
        (0..1000).for_each(|_| node.publish(1, "site/7/x", QoS::AtLeastOnce, 64, |_| {}));
    });
    row(
        "unreleased QoS 2 identifier",
        1000,
        |node| node.connect(0, |_| {}),
        |node| {
            for number in 1..=1000 {
                node.publish(0, "x", QoS::ExactlyOnce, 0, |publish| publish.packet_id = PacketId::new(number));
            }
        },
    );
    row("topic alias of a client", MANY * 32, connect_all, |node| {
        for slot in 0..MANY {
            for alias in 1..=32u16 {
                let topic = format!("site/{slot}/device/{alias}");
                node.publish(slot, &topic, QoS::AtMostOnce, 0, |publish| publish.properties.topic_alias = Some(alias));
            }
        }
    });
}

/// One client with a subscription, away; another that publishes.
fn one_away(node: &mut Node) {
    one_there(node);
    node.leave(0);
}

fn one_there(node: &mut Node) {
    node.connect(0, |connect| connect.receive_maximum = NonZeroU16::new(u16::MAX));
    node.subscribe(0, "site/7/+");
    node.connect(1, |_| {});
}

fn all_away(node: &mut Node) {
    for slot in 0..MANY {
        node.connect(slot, |_| {});
        node.subscribe(slot, "site/7/+");
        node.leave(slot);
    }
    node.connect(MANY, |_| {});
}
