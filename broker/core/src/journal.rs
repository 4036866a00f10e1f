//! What has to be on disk for durable sessions and retained messages, as data: the shell takes it ([`Kept`]) and makes it durable.
//!
//! A session that outlives its connection is durable where the journal is on. Everything that changes what it holds leaves a
//! [`record::Record`] here, in the order in which it happened. What a client is told because of a record that must not be lost
//! waits for it (see [`crate::Hold`]). Nothing here does I/O; `restore` turns records back into sessions.
//!
//! Invariant: records of one input stand in one [`Kept`], so they are durable together or not at all.

pub(crate) mod encoding;
pub(crate) mod image;
pub(crate) mod message;
pub(crate) mod record;
pub(crate) mod restore;
mod restored_image;

use std::ops::Range;

use selvedge_codec::{PacketId, QoS};

use self::{
    message::MessageParts,
    record::{Opened, Queued, Record, WillParts},
};
use crate::{
    durability::{Durability, Priority},
    message::Message,
    outbound::{Publication, Terms},
    router::SubscriptionOptions,
    session::{Session, Will},
    time::Moment,
};

/// What inputs left to be kept since it was last taken. Numbers of messages go up by one from `first_message` on.
#[derive(Debug, Default)]
pub struct Kept {
    /// Records, one behind the other.
    pub records: Vec<u8>,
    /// Where in them stand messages that may be asked for later, one by one, by [`crate::Effect::Fetch`].
    pub messages: Vec<Range<u32>>,
    /// Number of the first of these.
    pub first_message: u64,
    /// How many more, or fewer, hold a message: number and difference. A message that nobody holds is not needed any more.
    pub holds: Vec<(u64, i32)>,
    /// Somebody waits for it: it is to be made durable at once.
    pub urgent: bool,
    /// What part of an image of everything it is.
    pub image: ImagePart,
}

/// How an image of everything stands to a [`Kept`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImagePart {
    /// Its first part is in this one: what was kept before is superseded once the last part is durable.
    pub begins: bool,
    /// Its last part is in this one.
    pub ends: bool,
}

impl Kept {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.holds.is_empty() && self.image == ImagePart::default()
    }
}

/// Where the core's time stands on the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct WallClock {
    /// Milliseconds since 1970 at the origin of [`Moment`].
    pub(crate) origin_ms: u64,
}

impl WallClock {
    pub(crate) fn ms(self, moment: Moment) -> u64 {
        self.origin_ms.saturating_add(moment.as_millis())
    }

    /// What lies before the origin is due at the origin.
    pub(crate) fn moment(self, ms: u64) -> Moment {
        Moment::from_millis(ms.saturating_sub(self.origin_ms))
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Journal {
    on: bool,
    for_sessions: Durability,
    /// Whether the disk has room for more messages.
    pub(crate) has_room: bool,
    /// Without room, the present publication is kept all the same: something else was given up for it.
    pub(crate) made_room: bool,
    /// Nothing of a lower priority waits on disk.
    lowest: Priority,
    kept: Kept,
    next_message: u64,
    next_session: u64,
    pub(crate) clock: WallClock,
    /// Whether the present input left something that must not be lost.
    waits: bool,
    identifiers: Vec<u8>,
}

impl Journal {
    /// Keeps nothing.
    pub(crate) fn off() -> Self {
        Self {
            on: false,
            for_sessions: Durability::Fsync,
            has_room: true,
            made_room: false,
            lowest: Priority::Low,
            kept: Kept::default(),
            next_message: 1,
            next_session: 1,
            clock: WallClock::default(),
            waits: false,
            identifiers: Vec::new(),
        }
    }

    /// Numbers sessions and messages from these on; `for_sessions` is how safe sessions and subscriptions are kept.
    pub(crate) fn on(clock: WallClock, for_sessions: Durability, next_session: u64, next_message: u64) -> Self {
        let (next_session, next_message) = (next_session.max(1), next_message.max(1));
        Self { on: true, clock, for_sessions, next_session, next_message, ..Self::off() }
    }

    /// Keeps nothing from now on; what was left before is still there to be taken.
    pub(crate) fn turn_off(&mut self) {
        self.on = false;
    }

    pub(crate) fn is_on(&self) -> bool {
        self.on
    }

    /// What was left since the last time; its buffers are the taker's.
    pub(crate) fn take(&mut self) -> Option<Kept> {
        if self.kept.is_empty() {
            return None;
        }
        let mut kept = std::mem::take(&mut self.kept);
        kept.first_message = self.next_message - kept.messages.len() as u64;
        Some(kept)
    }

    /// A message of this priority waits on disk.
    #[inline]
    pub(crate) fn waits_on_disk(&mut self, priority: Priority) {
        self.lowest = self.lowest.min(priority);
    }

    /// Nothing of a lower priority than this waits on disk.
    pub(crate) fn lowest_waiting(&self) -> Priority {
        self.lowest
    }

    /// It was looked for, and nothing of this priority or a lower one was found.
    pub(crate) fn nothing_waits_up_to(&mut self, priority: Priority) {
        self.lowest = if priority == Priority::Low { Priority::Normal } else { Priority::High };
    }

    /// Whether one more message may be kept.
    #[inline]
    pub(crate) fn takes_more(&self) -> bool {
        self.has_room || self.made_room
    }

    /// Bytes that wait to be taken.
    pub(crate) fn bytes(&self) -> usize {
        self.kept.records.len()
    }

    pub(crate) fn is_urgent(&self) -> bool {
        self.kept.urgent
    }

    /// Another input is handled.
    #[inline]
    pub(crate) fn begin_input(&mut self) {
        self.waits = false;
    }

    /// Whether what the present input answers has to wait until it is durable.
    #[inline]
    pub(crate) fn waits(&self) -> bool {
        self.waits
    }

    /// What the present input left is to be durable before it is answered, if it is kept as safely as that.
    fn must_not_be_lost(&mut self, durability: Durability) {
        if durability == Durability::Fsync {
            self.waits = true;
            self.kept.urgent = true;
        }
    }

    #[inline]
    fn put(&mut self, record: &Record<'_>) {
        record.encode(&mut self.kept.records);
    }

    /// One more, or one less, holds a message.
    fn hold(&mut self, message: u64, difference: i32) {
        match self.kept.holds.last_mut() {
            Some((last, sum)) if *last == message => *sum += difference,
            _ => self.kept.holds.push((message, difference)),
        }
    }

    /// The number under which `publication` is kept; written down at the first call.
    fn number(&mut self, publication: &mut Publication<'_>) -> u64 {
        if publication.number == 0 {
            let parts = MessageParts {
                topic: publication.topic,
                payload: publication.payload,
                forwarded: publication.forwarded,
                qos: publication.qos,
                retain: publication.retain,
                expires_at_ms: publication.expires_at.map(|at| self.clock.ms(at)),
                publisher: publication.publisher_name(),
            };
            publication.number = self.put_message(&parts);
            if let Some(message) = &publication.kept {
                message.set_number(publication.number);
            }
        }
        publication.number
    }

    fn put_message(&mut self, parts: &MessageParts<'_>) -> u64 {
        let records = &mut self.kept.records;
        let length = message::encoded_len(parts);
        Record::begin_message(length, records);
        let start = records.len();
        message::encode(parts, records);
        debug_assert_eq!(records.len() - start, length, "the length stands before the message");
        self.kept.messages.push(start as u32..records.len() as u32);
        let number = self.next_message;
        self.next_message += 1;
        number
    }

    /// The client of a session is connected. Makes the session durable if it lasts.
    pub(crate) fn opened(&mut self, session: &mut Session) {
        if !self.on || (session.number == 0 && !session.is_persistent()) {
            return;
        }
        if session.number == 0 {
            session.number = self.next_session;
            self.next_session += 1;
        }
        self.put_opened(session);
        self.must_not_be_lost(self.for_sessions);
    }

    fn put_opened(&mut self, session: &Session) {
        let will_body = session.will.as_deref().map(|will| self.encode_will(will));
        let will = session.will.as_deref().zip(will_body.as_deref()).map(|(will, message)| WillParts {
            delay_s: will.delay_s,
            expiry_s: will.expiry_s,
            message,
        });
        self.put(&Record::Opened(Opened {
            session: session.number,
            client_id: &session.client_id,
            user: session.user.as_deref(),
            expiry_s: session.expiry_s,
            will,
        }));
    }

    fn encode_will(&self, will: &Will) -> Vec<u8> {
        let mut body = Vec::new();
        message::encode(&parts_of(&will.message, self.clock), &mut body);
        body
    }

    /// The client of a session has gone; what is due when stands in the session.
    pub(crate) fn away(&mut self, session: &Session) {
        if session.number != 0 {
            self.put_away(session);
        }
    }

    fn put_away(&mut self, session: &Session) {
        let at = |moment: Option<Moment>| moment.map_or(0, |moment| self.clock.ms(moment).max(1));
        let (ends_at_ms, will_at_ms) = (at(session.ends_at), at(session.will_at));
        self.put(&Record::Away { session: session.number, ends_at_ms, will_at_ms });
    }

    /// A session is over; nothing is held for it any more.
    pub(crate) fn ended(&mut self, session: &Session) {
        if session.number == 0 {
            return;
        }
        self.put(&Record::Ended { session: session.number });
        let mut release = |message: u64| self.hold(message, -1);
        session.queue.kept_messages(&mut release);
        session.in_flight.kept_messages(&mut release);
        self.must_not_be_lost(self.for_sessions);
    }

    /// A session that was restored is over.
    pub(crate) fn ended_before(&mut self, session: u64) {
        self.put(&Record::Ended { session });
    }

    /// A message is not needed any more by one of those who held it.
    pub(crate) fn release(&mut self, message: u64) {
        self.hold(message, -1);
    }

    /// A session's will was published or given up.
    pub(crate) fn will_gone(&mut self, session: &Session) {
        if session.number != 0 {
            self.put(&Record::WillGone { session: session.number });
        }
    }

    pub(crate) fn subscribed(&mut self, session: &Session, filter: &str, options: SubscriptionOptions) {
        if session.number != 0 {
            self.put(&Record::Subscribed { session: session.number, filter, options });
            self.must_not_be_lost(self.for_sessions);
        }
    }

    pub(crate) fn unsubscribed(&mut self, session: &Session, filter: &str) {
        if session.number != 0 {
            self.put(&Record::Unsubscribed { session: session.number, filter });
            self.must_not_be_lost(self.for_sessions);
        }
    }

    /// Whether a delivery on such terms leaves something behind.
    #[inline]
    pub(crate) fn keeps(&self, session: &Session, qos: QoS, durability: Durability) -> bool {
        session.number != 0 && session.is_persistent() && qos != QoS::AtMostOnce && durability != Durability::Memory
    }

    /// A publication is queued for a durable session. Gives the entry and the number of the message.
    pub(crate) fn queued(
        &mut self,
        session: &mut Session,
        terms: &Terms,
        publication: &mut Publication<'_>,
    ) -> (u64, u64) {
        self.delivery(session, terms, publication, None)
    }

    /// A publication is sent to the client of a durable session. Gives its entry.
    pub(crate) fn passed(
        &mut self,
        session: &mut Session,
        terms: &Terms,
        publication: &mut Publication<'_>,
        packet_id: PacketId,
    ) -> u64 {
        self.delivery(session, terms, publication, Some(packet_id)).0
    }

    fn delivery(
        &mut self,
        session: &mut Session,
        terms: &Terms,
        publication: &mut Publication<'_>,
        packet_id: Option<PacketId>,
    ) -> (u64, u64) {
        let message = self.number(publication);
        let entry = session.next_entry;
        session.next_entry += 1;
        let mut identifiers = std::mem::take(&mut self.identifiers);
        identifiers.clear();
        record::encode_identifiers(&terms.identifiers, &mut identifiers);
        let queued = Queued {
            session: session.number,
            message,
            qos: terms.qos,
            retain: terms.retain,
            cost: u32::try_from(publication.cost_bytes()).unwrap_or(u32::MAX),
            priority: publication.priority,
            expires_at_ms: publication.expires_at.map(|at| self.clock.ms(at)),
            identifiers: &identifiers,
        };
        match packet_id {
            None => self.put(&Record::Queued(queued)),
            Some(packet_id) => self.put(&Record::Passed(queued, packet_id)),
        }
        self.identifiers = identifiers;
        self.hold(message, 1);
        self.must_not_be_lost(publication.durability);
        (entry, message)
    }

    /// A queued entry was sent. The client must not get the same QoS 2 message under another identifier later.
    pub(crate) fn sent(&mut self, session: &Session, entry: u64, packet_id: PacketId, qos: QoS) {
        if entry != 0 {
            self.put(&Record::Sent { session: session.number, entry, packet_id });
            if qos == QoS::ExactlyOnce {
                self.must_not_be_lost(self.for_sessions);
            }
        }
    }

    /// The client has the QoS 2 message of an entry. It must not get the message again once it has answered PUBREL.
    pub(crate) fn received(&mut self, session: u64, entry: u64, message: u64) {
        if entry != 0 {
            self.put(&Record::Received { session, entry });
            self.hold(message, -1);
            self.must_not_be_lost(self.for_sessions);
        }
    }

    /// An entry is over. `message` is 0 where it held none any more.
    #[inline]
    pub(crate) fn done(&mut self, session: u64, entry: u64, message: u64) {
        if entry != 0 {
            self.put(&Record::Done { session, entry });
            if message != 0 {
                self.hold(message, -1);
            }
        }
    }

    pub(crate) fn inbound(&mut self, session: &Session, packet_id: PacketId, durability: Durability) {
        if session.number != 0 && durability != Durability::Memory {
            self.put(&Record::Inbound { session: session.number, packet_id });
            self.must_not_be_lost(durability);
        }
    }

    pub(crate) fn inbound_released(&mut self, session: &Session, packet_id: PacketId) {
        if session.number != 0 {
            self.put(&Record::InboundReleased { session: session.number, packet_id });
            self.must_not_be_lost(self.for_sessions);
        }
    }

    /// Whether the retained message of a topic is kept on disk.
    pub(crate) fn keeps_retained(&self, topic: &str, durability: Durability) -> bool {
        self.on && durability != Durability::Memory && !topic.starts_with("$SYS/")
    }

    /// A publication became the retained message of its topic, in the place of the message of the number `replaced` (0 is none).
    pub(crate) fn retained(&mut self, publication: &mut Publication<'_>, replaced: u64) {
        let message = self.number(publication);
        self.put(&Record::Retained { message, topic: publication.topic });
        self.hold(message, 1);
        if replaced != 0 {
            self.hold(replaced, -1);
        }
        self.must_not_be_lost(publication.durability);
    }

    /// A topic has no retained message any more; it had that of the number `replaced` (0: none that was kept).
    pub(crate) fn retained_removed(&mut self, topic: &str, replaced: u64) {
        if replaced != 0 {
            self.put(&Record::RetainedRemoved { topic });
            self.hold(replaced, -1);
            self.must_not_be_lost(self.for_sessions);
        }
    }
}

fn parts_of(message: &Message, clock: WallClock) -> MessageParts<'_> {
    MessageParts {
        topic: message.topic(),
        payload: message.payload(),
        forwarded: selvedge_codec::Forwarded::from_stored(message.forwarded()),
        qos: message.qos(),
        retain: message.retain(),
        expires_at_ms: message.expires_at().map(|at| clock.ms(at)),
        publisher: message.publisher().map(|publisher| &**publisher),
    }
}
