//! SUBSCRIBE and UNSUBSCRIBE with many filters, and ended sessions that had many: a step at a time, by `Tick`, so that nobody else
//! waits for all of it.
//!
//! The connection is not read meanwhile, so its order stays. A step subscribes and queues the retained messages of its filters, so none
//! of these comes after something newer; the answer is sent when all filters are done, and what they match may come before it (MQTT 5,
//! 3.8.4). A connection that ends takes with it what is left to do: nothing of it was acknowledged. What an ended session subscribed to
//! matches nobody.

use std::{
    collections::{BTreeSet, VecDeque},
    ops::Range,
};

use selvedge_codec::{PacketId, QoS, ReasonCode, RetainHandling, SubscribeFilter};
use smallvec::SmallVec;

use super::{
    Core,
    disconnect::split_shared,
    subscribe::{FILTERS_PER_STEP, REPLAY_NODES_MAX, Reasons, are_last},
};
use crate::{
    effect::{Effect, Effects},
    id::{ConnectionId, SessionKey},
    session::filter_entry_bytes,
    time::Moment,
};

/// A packet that is not answered yet.
#[derive(Debug)]
pub(crate) struct Request {
    packet_id: PacketId,
    filters: Filters,
    /// Those of the filters that are done with.
    reasons: Reasons,
    /// The answer is to wait until what is kept is durable.
    waits: bool,
    /// Of a SUBSCRIBE; without, it is an UNSUBSCRIBE.
    subscribing: Option<Box<Subscribing>>,
}

#[derive(Debug)]
struct Subscribing {
    identifier: Option<u32>,
    terms: Vec<Terms>,
    /// Whether a filter is the last one of its name.
    last: Vec<bool>,
    /// Filters that are refused because there are too many.
    beyond: usize,
    /// Levels of retained topics that may still be looked at.
    budget: usize,
}

/// A filter of a SUBSCRIBE but for its text.
#[derive(Clone, Copy, Debug)]
struct Terms {
    qos: QoS,
    no_local: bool,
    retain_as_published: bool,
    retain_handling: RetainHandling,
}

impl Terms {
    fn of(wanted: &SubscribeFilter<'_>) -> Self {
        let SubscribeFilter { qos, no_local, retain_as_published, retain_handling, .. } = *wanted;
        Self { qos, no_local, retain_as_published, retain_handling }
    }

    fn with(self, filter: &str) -> SubscribeFilter<'_> {
        let Self { qos, no_local, retain_as_published, retain_handling } = self;
        SubscribeFilter { filter, qos, no_local, retain_as_published, retain_handling }
    }
}

/// Filters, one behind the other.
#[derive(Debug, Default)]
struct Filters {
    text: String,
    ends: Vec<u32>,
    /// Those before this one are done with.
    next: usize,
}

impl Filters {
    fn new<'f>(filters: impl Iterator<Item = &'f str> + Clone) -> Self {
        let bytes = filters.clone().map(str::len).sum();
        let ends = Vec::with_capacity(filters.size_hint().0);
        let mut all = Self { text: String::with_capacity(bytes), ends, next: 0 };
        for filter in filters {
            all.text.push_str(filter);
            all.ends.push(all.text.len() as u32);
        }
        all
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, index: usize) -> &str {
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |end| *end as usize);
        let end = self.ends.get(index).map_or(start, |end| *end as usize);
        self.text.get(start..end).unwrap_or_default()
    }

    /// The filters of the next step.
    fn take_step(&mut self) -> Range<usize> {
        let from = self.next;
        self.next = (from + FILTERS_PER_STEP).min(self.len());
        from..self.next
    }

    fn is_at_end(&self) -> bool {
        self.next == self.len()
    }

    fn bytes(&self) -> usize {
        self.text.capacity() + self.ends.capacity() * size_of::<u32>()
    }
}

impl Request {
    /// A SUBSCRIBE; so many filters `beyond` these are refused.
    pub(super) fn subscribe(
        packet_id: PacketId,
        identifier: Option<u32>,
        wanted: &[SubscribeFilter<'_>],
        beyond: usize,
    ) -> Self {
        let filters = Filters::new(wanted.iter().map(|wanted| wanted.filter));
        let last = are_last(wanted).into_vec();
        let terms = wanted.iter().map(Terms::of).collect();
        let subscribing = Subscribing { identifier, terms, last, beyond, budget: REPLAY_NODES_MAX };
        Self { packet_id, filters, reasons: Reasons::new(), waits: false, subscribing: Some(Box::new(subscribing)) }
    }

    /// An UNSUBSCRIBE.
    pub(super) fn unsubscribe(packet_id: PacketId, filters: &[&str]) -> Self {
        let filters = Filters::new(filters.iter().copied());
        Self { packet_id, filters, reasons: Reasons::new(), waits: false, subscribing: None }
    }

    /// What it takes, with all that it will have to remember, bytes.
    pub(crate) fn footprint(&self) -> usize {
        let (beside, each) = match &self.subscribing {
            Some(subscribing) => {
                (size_of::<Subscribing>() + subscribing.beyond, size_of::<Terms>() + size_of::<bool>())
            }
            None => (0, 0),
        };
        size_of::<Self>() + self.filters.bytes() + beside + self.filters.len() * (each + size_of::<ReasonCode>())
    }
}

impl Core {
    /// Begins with a packet of many filters. One that there is no memory to remember is handled at once.
    pub(super) fn begin_request(&mut self, id: ConnectionId, mut request: Request, now: Moment, effects: &mut Effects) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        if !self.account.has_room(request.footprint()) {
            while !self.step(id, &mut request, now, effects) {}
            return;
        }
        connection.request = Some(Box::new(request));
        connection.settle(&mut self.account);
        self.requests.push_back(id);
        effects.push(Effect::Pause { connection: id });
    }

    /// One step of the packet that has waited longest for one.
    pub(super) fn go_on_with_requests(&mut self, now: Moment, effects: &mut Effects) {
        let (id, mut request) = loop {
            let Some(id) = self.requests.pop_front() else { return };
            // Its connection may have ended.
            let connection = self.connections.get_mut(id);
            if let Some(request) = connection.and_then(|connection| connection.request.take()) {
                break (id, request);
            }
        };
        let is_over = self.step(id, &mut request, now, effects);
        effects.work += FILTERS_PER_STEP;
        let Some(connection) = self.connections.get_mut(id) else { return };
        if is_over {
            // Its silence was not its own.
            connection.last_heard = now;
            effects.push(Effect::GoOn { connection: id });
        } else {
            connection.request = Some(request);
            self.requests.push_back(id);
        }
        connection.settle(&mut self.account);
    }

    /// The rest of a packet at once, because the client sent another one all the same.
    pub(super) fn finish_request(&mut self, id: ConnectionId, now: Moment, effects: &mut Effects) {
        let Some(mut request) = self.connections.get_mut(id).and_then(|connection| connection.request.take()) else {
            return;
        };
        self.requests.retain(|waiting| *waiting != id);
        while !self.step(id, &mut request, now, effects) {}
        let Some(connection) = self.connections.get_mut(id) else { return };
        connection.settle(&mut self.account);
        effects.push(Effect::GoOn { connection: id });
    }

    /// Gives `true` when all is done.
    fn step(&mut self, id: ConnectionId, request: &mut Request, now: Moment, effects: &mut Effects) -> bool {
        let Request { packet_id, filters, reasons, waits, subscribing } = request;
        let range = filters.take_step();
        match subscribing {
            Some(subscribing) => {
                let Subscribing { identifier, terms, last, budget, .. } = &mut **subscribing;
                let terms = terms.get(range.clone()).unwrap_or_default();
                let wanted: SmallVec<[SubscribeFilter<'_>; FILTERS_PER_STEP]> =
                    range.clone().zip(terms).map(|(index, terms)| terms.with(filters.get(index))).collect();
                let last = last.get(range).unwrap_or_default();
                self.subscribe(id, &wanted, last, *identifier, budget, reasons, now, effects);
            }
            None => self.unsubscribe(id, range.map(|index| filters.get(index)), reasons),
        }
        *waits |= self.journal.waits();
        let is_over = filters.is_at_end();
        if is_over {
            let reasons = std::mem::take(reasons);
            match subscribing {
                Some(subscribing) => {
                    self.answer_subscribe(id, *packet_id, reasons, subscribing.beyond, *waits, effects);
                }
                None => self.answer_unsubscribe(id, *packet_id, &reasons, *waits, effects),
            }
        }
        self.pump(id, now, effects);
        is_over
    }
}

/// Filters of ended sessions that are still in the tree.
#[derive(Debug, Default)]
pub(super) struct Departed {
    sessions: VecDeque<(SessionKey, BTreeSet<Box<str>>)>,
    filters: usize,
    bytes: usize,
}

impl Departed {
    fn push(&mut self, key: SessionKey, filters: BTreeSet<Box<str>>) {
        self.filters += filters.len();
        self.bytes += filters.iter().map(|filter| filter_entry_bytes(filter)).sum::<usize>();
        self.sessions.push_back((key, filters));
    }

    fn pop(&mut self) -> Option<(SessionKey, Box<str>)> {
        let (key, filters) = self.sessions.front_mut()?;
        let (key, filter) = (*key, filters.pop_first()?);
        if filters.is_empty() {
            self.sessions.pop_front();
        }
        self.filters -= 1;
        self.bytes -= filter_entry_bytes(&filter);
        Some((key, filter))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.filters
    }

    /// What they take beside the tree, bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Core {
    /// Takes what an ended session subscribed to out of the tree: few filters at once, many in steps.
    pub(super) fn forget_filters(&mut self, key: SessionKey, filters: BTreeSet<Box<str>>) {
        if filters.len() > FILTERS_PER_STEP {
            self.departed.push(key, filters);
            self.account.departed = self.departed.bytes();
        } else if !filters.is_empty() {
            filters.iter().for_each(|filter| self.forget_filter(key, filter));
            self.router.cache.invalidate();
            self.account.tree = self.router.tree.bytes();
        }
    }

    /// One step of that.
    pub(super) fn forget_some_filters(&mut self) {
        if self.departed.is_empty() {
            return;
        }
        for _ in 0..FILTERS_PER_STEP {
            let Some((key, filter)) = self.departed.pop() else { break };
            self.forget_filter(key, &filter);
        }
        self.router.cache.invalidate();
        self.account.tree = self.router.tree.bytes();
        self.account.departed = self.departed.bytes();
    }

    fn forget_filter(&mut self, key: SessionKey, filter: &str) {
        let (group, plain) = split_shared(filter);
        self.router.tree.unsubscribe(plain, group, key);
        self.statistics.subscriptions -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_that_are_kept_in_one_text_are_told_apart() {
        let names = ["a/b", "", "+", "é/#"];
        let filters = Filters::new(names.iter().copied());
        assert_eq!(std::array::from_fn(|index| filters.get(index)), names);
        assert_eq!((filters.len(), filters.get(4)), (4, ""));
        assert!(filters.bytes() >= names.concat().len());
    }
}
