//! A journal that the test controls: what waits for it, what does not, what becomes durable together.

use std::sync::{Arc, Mutex, MutexGuard, mpsc::channel};

use selvedge_broker::{Alongside, Continuation, FetchAnswer, Journal};
use selvedge_codec::{Connect, Packet, QoS};
use selvedge_core::{Durability, Kept, Message, Restored, Restorer, TopicRule};

use crate::client::{Client, PATIENCE, TestBroker, V5};

#[derive(Default)]
struct Entries {
    kept: Vec<Kept>,
    alongside: Vec<usize>,
    waiting: Vec<Box<dyn FnOnce() + Send>>,
    /// Nothing has to wait.
    is_prompt: bool,
    is_behind: bool,
    is_full: bool,
}

/// Shared with the broker's side of it.
#[derive(Clone, Default)]
struct TestJournal(Arc<Mutex<Entries>>);

impl TestJournal {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().expect("no panic")
    }

    /// Everything that was handed over becomes durable.
    fn sync(&self) {
        let waiting = std::mem::take(&mut self.entries().waiting);
        waiting.into_iter().for_each(|durable| durable());
    }

    /// Everything becomes durable when it is handed over, or only by [`Self::sync`].
    fn set_prompt(&self, is_prompt: bool) {
        self.entries().is_prompt = is_prompt;
        self.sync();
    }

    /// Wait until so many entries were handed over and wait to become durable.
    fn wait_for(&self, count: usize) {
        let start = std::time::Instant::now();
        while self.entries().waiting.len() < count {
            assert!(start.elapsed() < PATIENCE, "nothing was handed over");
            std::thread::yield_now();
        }
    }

    fn replay(&self) -> Restored {
        let mut restorer = Restorer::new();
        self.entries().kept.iter().for_each(|kept| restorer.apply(&kept.records).expect("readable"));
        restorer.finish()
    }

    fn find(&self, number: u64) -> Option<Vec<u8>> {
        let entries = self.entries();
        let kept = entries.kept.iter().rev().find(|kept| !kept.messages.is_empty() && kept.first_message <= number)?;
        let range = kept.messages.get(usize::try_from(number - kept.first_message).ok()?)?;
        Some(kept.records[range.start as usize..range.end as usize].to_vec())
    }

    fn next_message(&self) -> u64 {
        let last = |kept: &Kept| kept.first_message + kept.messages.len() as u64;
        self.entries().kept.iter().map(last).max().unwrap_or(1)
    }
}

impl Journal for TestJournal {
    fn append(&mut self, kept: Kept, alongside: Vec<Alongside>, durable: Box<dyn FnOnce() + Send>) {
        let mut entries = self.entries();
        entries.kept.push(kept);
        entries.alongside.push(alongside.len());
        if entries.is_prompt {
            drop(entries);
            durable();
        } else {
            entries.waiting.push(durable);
        }
    }

    fn fetch(&mut self, numbers: Vec<u64>, answer: FetchAnswer) {
        answer(numbers.into_iter().map(|number| (number, self.find(number))).collect());
    }

    fn is_behind(&self) -> bool {
        self.entries().is_behind
    }

    fn has_room(&self) -> bool {
        !self.entries().is_full
    }
}

fn broker(journal: &TestJournal, core: selvedge_core::Config) -> TestBroker {
    let continuation = Continuation {
        journal: Box::new(journal.clone()),
        restored: journal.replay(),
        wall_ms: 1_000_000,
        next_message: journal.next_message(),
        fetch: {
            let journal = journal.clone();
            Box::new(move |number| Ok(journal.find(number)))
        },
    };
    TestBroker::changed(Default::default(), core, |broker| broker.continuation = Some(continuation))
}

fn lasting(client_id: &str) -> Connect<'_> {
    Connect { session_expiry_s: Some(1000), ..Connect::new(V5, client_id, false) }
}

/// A durable session with a subscription to `t`, whose client has gone.
fn leave_session(broker: &TestBroker, journal: &TestJournal, client_id: &str, qos: QoS) {
    journal.set_prompt(true);
    let mut client = Client::open(broker.tcp(), V5);
    client.handshake(&lasting(client_id));
    client.subscribe("t", qos);
    drop(client);
    broker.wait_for("the client to be gone", |snapshot| snapshot.core.connections == 0);
    // The turn in which it went is over.
    broker.statistics();
    journal.set_prompt(false);
}

#[test]
fn puback_waits_for_the_journal_and_the_answer_to_a_ping_does_not() {
    let journal = TestJournal::default();
    let broker = broker(&journal, Default::default());
    leave_session(&broker, &journal, "away", QoS::AtLeastOnce);
    let mut publisher = Client::connect(broker.tcp(), V5, "publisher");
    publisher.publish("t", b"kept", QoS::AtLeastOnce, 7);
    // Not for the durable session: but acknowledgements keep their order [MQTT-4.6.0-2].
    publisher.publish("other", b"not kept", QoS::AtLeastOnce, 8);
    publisher.ping();
    journal.wait_for(1);
    assert!(journal.entries().kept.last().is_some_and(|kept| kept.urgent && kept.messages.len() == 1));
    journal.sync();
    for packet_id in [7, 8] {
        match publisher.receive().packet() {
            Packet::PubAck(ack) => assert_eq!(ack.packet_id.get(), packet_id),
            other => panic!("expected PUBACK, got {other:?}"),
        }
    }
}

#[test]
fn what_nobody_durable_needs_never_reaches_the_journal() {
    let journal = TestJournal::default();
    let broker = broker(&journal, Default::default());
    let mut subscriber = Client::connect(broker.tcp(), V5, "subscriber");
    subscriber.subscribe("t", QoS::ExactlyOnce);
    let mut publisher = Client::connect(broker.tcp(), V5, "publisher");
    publisher.publish("t", b"x", QoS::AtLeastOnce, 1);
    assert!(matches!(publisher.receive().packet(), Packet::PubAck(_)));
    assert_eq!(subscriber.receive().publish().1, b"x");
    publisher.send(&Packet::Disconnect(selvedge_codec::Disconnect::default()));
    broker.wait_for("the publisher to be gone", |snapshot| snapshot.core.sessions == 1);
    assert!(journal.entries().kept.is_empty());
}

#[test]
fn a_session_and_what_waits_for_it_are_there_after_a_restart_and_come_from_disk() {
    let journal = TestJournal::default();
    let core = || selvedge_core::Config { queue_memory_bytes_max: 1_000, ..Default::default() };
    let first = broker(&journal, core());
    leave_session(&first, &journal, "away", QoS::ExactlyOnce);
    let mut publisher = Client::connect(first.tcp(), V5, "publisher");
    journal.set_prompt(true);
    for number in 1..=200_u16 {
        publisher.publish("t", number.to_string().as_bytes(), QoS::AtLeastOnce, number);
        assert!(matches!(publisher.receive().packet(), Packet::PubAck(_)));
    }
    drop(first);
    let second = broker(&journal, core());
    assert_eq!(second.statistics().core.queued_messages, 200);
    let mut client = Client::open(second.tcp(), V5);
    client.send(&Packet::Connect(Box::new(lasting("away"))));
    match client.receive().packet() {
        Packet::ConnAck(ack) => assert!(ack.session_present),
        other => panic!("expected CONNACK, got {other:?}"),
    }
    for number in 1..=200 {
        let (_, payload, qos, packet_id) = client.receive().publish();
        assert_eq!((payload, qos), (number.to_string().into_bytes(), QoS::AtLeastOnce));
        client.send(&Packet::PubAck(selvedge_codec::Ack::success(packet_id.expect("QoS 1"))));
    }
    second.wait_for("the queue to be empty", |snapshot| snapshot.core.queued_messages == 0);
    assert_eq!(second.statistics().core.lost_on_disk, 0);
}

#[test]
fn a_commit_is_one_entry_with_its_outputs_its_acknowledgement_and_what_goes_alongside() {
    let journal = TestJournal::default();
    let broker = broker(&journal, Default::default());
    leave_session(&broker, &journal, "away", QoS::AtLeastOnce);
    journal.set_prompt(true);
    let (sender, deliveries) = channel();
    let sink = Box::new(move |batch| sender.send(batch).expect("the test listens"));
    let attachment = broker.handle.attach("$node/fn/f", 10, vec![("in".to_owned(), QoS::AtLeastOnce)], sink);
    let mut client = Client::connect(broker.tcp(), V5, "client");
    client.subscribe("t", QoS::AtMostOnce);
    client.publish("in", b"1", QoS::AtLeastOnce, 1);
    let delivered = deliveries.recv_timeout(PATIENCE).expect("delivered");
    let packet_id = delivered[0].packet_id.expect("QoS 1");
    assert!(matches!(client.receive().packet(), Packet::PubAck(_)));
    broker.statistics();
    journal.set_prompt(false);
    let before = journal.entries().kept.len();
    let outputs =
        vec![Message::new("t", "a", QoS::AtLeastOnce, false), Message::new("t", "b", QoS::AtLeastOnce, false)];
    attachment.commit(vec![packet_id], outputs, Some(Box::new("state"))).expect("the broker runs");
    journal.wait_for(1);
    {
        let entries = journal.entries();
        assert_eq!((entries.kept.len(), entries.alongside.last()), (before + 1, Some(&1)));
        let last = entries.kept.last().expect("there");
        assert!(last.urgent && last.messages.len() == 2, "{last:?}");
        assert!(last.holds.iter().any(|(_, difference)| *difference < 0), "the input is not needed any more");
    }
    journal.sync();
    assert_eq!(client.receive().publish().1, b"a", "only now");
    assert_eq!(client.receive().publish().1, b"b");
}

#[test]
fn while_the_journal_is_behind_those_who_publish_what_is_kept_are_not_read_and_others_are() {
    let journal = TestJournal::default();
    let broker = broker(&journal, Default::default());
    leave_session(&broker, &journal, "away", QoS::AtLeastOnce);
    let mut publisher = Client::connect(broker.tcp(), V5, "publisher");
    publisher.publish("t", b"1", QoS::AtLeastOnce, 1);
    publisher.ping();
    journal.entries().is_behind = true;
    publisher.publish("t", b"2", QoS::AtLeastOnce, 2);
    broker.wait_for("the publisher to be put off", |snapshot| snapshot.shell.reads_stalled > 0);
    let mut other = Client::connect(broker.tcp(), V5, "other");
    other.publish("elsewhere", b"x", QoS::AtLeastOnce, 1);
    assert!(matches!(other.receive().packet(), Packet::PubAck(_)));
    assert_eq!(broker.statistics().core.queued_messages, 1);
    journal.entries().is_behind = false;
    journal.sync();
    assert!(matches!(publisher.receive().packet(), Packet::PubAck(_)));
    journal.wait_for(1);
    journal.sync();
    assert!(matches!(publisher.receive().packet(), Packet::PubAck(_)));
    assert_eq!(broker.statistics().core.queued_messages, 2);
}

#[test]
fn without_room_on_the_disk_what_must_be_kept_is_refused_and_everything_else_goes_on() {
    let journal = TestJournal::default();
    let broker = broker(&journal, Default::default());
    leave_session(&broker, &journal, "away", QoS::AtLeastOnce);
    journal.set_prompt(true);
    journal.entries().is_full = true;
    let mut publisher = Client::connect(broker.tcp(), V5, "publisher");
    publisher.ping();
    publisher.publish("t", b"1", QoS::AtLeastOnce, 1);
    match publisher.receive().packet() {
        Packet::PubAck(ack) => assert_eq!(ack.reason, selvedge_codec::ReasonCode::QuotaExceeded),
        other => panic!("expected PUBACK, got {other:?}"),
    }
    publisher.publish("elsewhere", b"x", QoS::AtLeastOnce, 2);
    assert!(matches!(publisher.receive().packet(), Packet::PubAck(ack) if !ack.reason.is_error()));
    journal.entries().is_full = false;
    publisher.ping();
    publisher.publish("t", b"2", QoS::AtLeastOnce, 3);
    assert!(matches!(publisher.receive().packet(), Packet::PubAck(ack) if !ack.reason.is_error()));
    assert_eq!(broker.statistics().core.refused_disk, 1);
}

#[test]
fn messages_that_are_kept_in_memory_only_are_acknowledged_at_once() {
    let journal = TestJournal::default();
    let durability = selvedge_core::DurabilityRules {
        default: Durability::Fsync,
        topics: vec![TopicRule { filter: "t".to_owned(), durability: Some(Durability::Memory), ..Default::default() }],
        listeners: Vec::new(),
    };
    let broker = broker(&journal, selvedge_core::Config { durability, ..Default::default() });
    leave_session(&broker, &journal, "away", QoS::AtLeastOnce);
    let before = journal.entries().kept.len();
    let mut publisher = Client::connect(broker.tcp(), V5, "publisher");
    publisher.publish("t", b"1", QoS::AtLeastOnce, 1);
    assert!(matches!(publisher.receive().packet(), Packet::PubAck(_)));
    assert_eq!(journal.entries().kept.len(), before);
    assert_eq!(broker.statistics().core.queued_messages, 1);
}

/// A message may go to the disk and be wanted from there in one turn: the journal must have it by then.
#[test]
fn a_message_that_is_wanted_in_the_turn_in_which_it_was_left_is_found() {
    let journal = TestJournal::default();
    let core = selvedge_core::Config { queue_memory_bytes_max: 1_000, ..Default::default() };
    let broker = broker(&journal, core);
    journal.set_prompt(true);
    let mut reader = Client::open(broker.tcp(), V5);
    let connect = Connect { receive_maximum: std::num::NonZeroU16::new(1), ..lasting("reader") };
    reader.handshake(&connect);
    reader.subscribe("t", QoS::AtLeastOnce);
    // The client publishes to itself. What does not fit into its window is left for the disk, and its acknowledgement, in the same
    // write, makes room for that.
    reader.publish("t", b"0", QoS::AtMostOnce, 0);
    assert_eq!(reader.receive().publish().1, b"0");
    let mut bytes = Vec::new();
    for number in 1..=20_u16 {
        bytes.extend(reader.publish_bytes("t", &[number as u8; 300], QoS::AtLeastOnce, number));
    }
    bytes.extend(reader.encode(&Packet::PubAck(selvedge_codec::Ack::success(selvedge_codec::PacketId::MIN))));
    reader.send_bytes(&bytes);
    let mut received = Vec::new();
    while received.len() < 20 {
        let packet = reader.receive();
        let Packet::Publish(publish) = packet.packet() else { continue };
        let packet_id = publish.packet_id.expect("QoS 1");
        received.push(publish.payload[0]);
        // The first is acknowledged already.
        if received.len() > 1 {
            reader.send(&Packet::PubAck(selvedge_codec::Ack::success(packet_id)));
        }
    }
    assert_eq!(received, (1..=20).collect::<Vec<u8>>());
    assert_eq!(broker.statistics().core.lost_on_disk, 0);
}

/// More than a socket takes is let go at once when the disk is done; what waits behind it comes when the client has read.
#[test]
fn a_client_gets_on_after_more_was_held_for_the_disk_than_its_socket_takes() {
    const MESSAGES: u16 = 300;
    let journal = TestJournal::default();
    let core = selvedge_core::Config { queue_bytes_max: 64 << 20, ..Default::default() };
    let broker = broker(&journal, core);
    leave_session(&broker, &journal, "away", QoS::ExactlyOnce);
    journal.set_prompt(true);
    let mut publisher = Client::connect(broker.tcp(), V5, "publisher");
    let payload = vec![b'x'; 20_000];
    for number in 1..=MESSAGES {
        publisher.publish_completely("t", &payload, QoS::ExactlyOnce, number);
    }
    journal.set_prompt(false);
    let mut client = Client::open(broker.tcp(), V5);
    client.send(&Packet::Connect(Box::new(lasting("away"))));
    // The window of the session, or what may be in flight.
    broker.wait_for("messages to be on their way", |snapshot| snapshot.core.publishes_sent[2] > 200);
    journal.set_prompt(true);
    assert!(matches!(client.receive().packet(), Packet::ConnAck(_)));
    let mut received = 0;
    while received < MESSAGES {
        let packet = client.receive();
        match packet.packet() {
            Packet::Publish(publish) => {
                received += 1;
                let packet_id = publish.packet_id.expect("QoS 2");
                client.send(&Packet::PubRec(selvedge_codec::Ack::success(packet_id)));
            }
            Packet::PubRel(ack) => client.send(&Packet::PubComp(ack)),
            other => panic!("expected a message, got {other:?}"),
        }
    }
    broker.wait_for("the queue to be empty", |snapshot| snapshot.core.queued_messages == 0);
}
