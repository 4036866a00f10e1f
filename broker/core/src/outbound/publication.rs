//! A publication on its way to its subscribers, and the terms on which each of them gets it.
//!
//! Invariant: a publication that nobody has to keep is never copied into a [`Message`].

use std::sync::Arc;

use selvedge_codec::{Forwarded, QoS};
use smallvec::SmallVec;

use crate::{
    account::Ledger,
    durability::{Durability, Priority},
    id::SessionKey,
    message::Message,
    router::SubscriptionOptions,
    session::in_flight::Identifiers,
    time::Moment,
};

/// A publication on its way through the router: the parts of a packet just received, or a kept message.
#[derive(Debug)]
pub(crate) struct Publication<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) forwarded: Forwarded<'a>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) expires_at: Option<Moment>,
    /// Seconds left now, to be told to subscribers.
    pub(crate) expiry_s: Option<u32>,
    pub(crate) publisher: Option<(SessionKey, Arc<str>)>,
    pub(crate) kept: Option<Arc<Message>>,
    /// How it is kept for durable sessions.
    pub(crate) durability: Durability,
    /// Whether it is given up when the disk has no room.
    pub(crate) priority: Priority,
    /// Under which number the journal keeps it; 0 is not at all, or not yet.
    pub(crate) number: u64,
}

impl<'a> Publication<'a> {
    pub(crate) fn of_message(message: &'a Arc<Message>, publisher: Option<SessionKey>, now: Moment) -> Self {
        Self {
            topic: message.topic(),
            payload: message.payload(),
            forwarded: Forwarded::from_stored(message.forwarded()),
            qos: message.qos(),
            retain: message.retain(),
            expires_at: message.expires_at(),
            expiry_s: message.expiry_left_s(now),
            publisher: publisher.zip(message.publisher().cloned()),
            kept: Some(message.clone()),
            durability: Durability::default(),
            priority: Priority::default(),
            number: message.number(),
        }
    }

    /// Client identifier of the publisher, also where that has no session any more.
    pub(crate) fn publisher_name(&self) -> Option<&str> {
        let kept = self.kept.as_ref().and_then(|message| message.publisher());
        self.publisher.as_ref().map(|(_, client_id)| client_id).or(kept).map(|name| &**name)
    }

    /// What it counts once it is kept, bytes.
    pub(crate) fn cost_bytes(&self) -> usize {
        Message::cost_of(self.topic.len(), self.payload.len(), self.forwarded.len())
    }

    /// The message as something that can be kept, and counts in the account from now on; copied at the first call only.
    pub(crate) fn keep(&mut self, ledger: &Ledger) -> Arc<Message> {
        let message = self.kept.get_or_insert_with(|| {
            Arc::new(
                Message::new(self.topic, self.payload.to_vec(), self.qos, self.retain)
                    .with_properties(self.forwarded.segments().flatten().copied().collect())
                    .with_expiry(self.expires_at)
                    .with_publisher(self.publisher.as_ref().map(|(_, client_id)| client_id.clone())),
            )
        });
        message.set_number(self.number);
        message.charge(ledger);
        message.clone()
    }
}

/// How one subscriber gets a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Effective: the smaller of publication and subscription.
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) identifiers: SmallVec<[u32; 4]>,
}

impl Terms {
    /// From the matching subscriptions of a session; `None` if all of them exclude its own publications.
    pub(crate) fn new(
        options: &[SubscriptionOptions],
        session: SessionKey,
        publication: &Publication<'_>,
    ) -> Option<Self> {
        let own = publication.publisher.as_ref().is_some_and(|(publisher, _)| *publisher == session);
        let mut granted = None;
        let mut retain_as_published = false;
        let mut identifiers = SmallVec::new();
        // [MQTT-3.8.3-3]: no-local subscriptions do not see the client's own messages.
        for option in options.iter().filter(|option| !(option.no_local && own)) {
            granted = granted.max(Some(option.qos));
            retain_as_published |= option.retain_as_published;
            if option.identifier != 0 {
                identifiers.push(option.identifier);
            }
        }
        Some(Self {
            qos: granted?.min(publication.qos),
            // [MQTT-3.3.1-12], [MQTT-3.3.1-13]
            retain: retain_as_published && publication.retain,
            identifiers,
        })
    }

    pub(super) fn boxed_identifiers(&self) -> Identifiers {
        if self.identifiers.is_empty() { None } else { Some(self.identifiers.as_slice().into()) }
    }
}
