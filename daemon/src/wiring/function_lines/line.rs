//! One function's session: its deliveries and batches into the runtime, and what came of them back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::{Mutex, RwLock};
use selvedge_broker::Attachment;
use selvedge_codec::{PacketId, topic};
use selvedge_core::{Delivery, Message, Moment};
use selvedge_functions::{InvocationContext, InvocationError, InvocationMessage, InvocationResult, Trigger};

use super::{FunctionLines, subscriptions};
use crate::wiring::backlog::{Arrival, Backlog, Fate, Patience};
use crate::wiring::clock::wall_ms;
use crate::wiring::function_windows::{FunctionWindows, WindowParcel};
use crate::wiring::messages;

/// One function's session.
pub(super) struct Line {
    pub(super) lines: Weak<FunctionLines>,
    pub(super) name: String,
    /// Tells deliveries of this session from those of a namesake before it.
    generation: u64,
    pub(super) triggers: RwLock<Vec<Trigger>>,
    pub(super) attachment: OnceLock<Attachment>,
    pub(super) backlog: Mutex<Backlog<Parcel>>,
    windows: Mutex<FunctionWindows>,
    /// Deliveries that batches under way acknowledge.
    batches: Mutex<BTreeMap<u64, Vec<PacketId>>>,
    /// Handed to the runtime and not ended.
    pub(super) running: AtomicUsize,
    /// Numbers of batches.
    arrivals: AtomicU64,
    pub(super) dropped: AtomicU64,
}

/// What is handed to the runtime at once.
pub(super) enum Parcel {
    One(Delivery),
    /// A batch and its number.
    Batch(u64, Box<WindowParcel>),
}

/// Set in delivery numbers of batches; generations stay below.
const BATCH: u64 = 1 << 63;

impl Line {
    pub(super) fn new(lines: Weak<FunctionLines>, name: &str, generation: u64, triggers: Vec<Trigger>) -> Self {
        Self {
            lines,
            name: name.to_owned(),
            generation,
            triggers: RwLock::new(triggers),
            attachment: OnceLock::new(),
            backlog: Mutex::default(),
            windows: Mutex::default(),
            batches: Mutex::default(),
            running: AtomicUsize::new(0),
            arrivals: AtomicU64::new(1),
            dropped: AtomicU64::new(0),
        }
    }

    pub(super) fn change_triggers(&self, triggers: Vec<Trigger>) {
        let subscriptions = subscriptions(&triggers);
        *self.triggers.write() = triggers;
        if let Some(attachment) = self.attachment.get() {
            attachment.set_subscriptions(subscriptions);
        }
    }

    pub(super) fn set_windows(&self, triggers: &[Trigger], receive_maximum: u16) {
        self.windows.lock().set(triggers, usize::from(receive_maximum), now_ms());
    }

    /// On the reactor's thread. While earlier deliveries wait, later ones stand behind them.
    pub(super) fn take(self: &Arc<Self>, delivery: Delivery) {
        let Some(lines) = self.lines.upgrade() else { return };
        let held = {
            let mut windows = self.windows.lock();
            if windows.is_wanted() { windows.hold(delivery, now_ms(), lines.now()) } else { Err(delivery) }
        };
        match held {
            Ok(true) => lines.clock.look(),
            Ok(false) => {}
            Err(delivery) => {
                let patience = if delivery.packet_id.is_some() { Patience::CanWait } else { Patience::CannotWait };
                self.arrive(Parcel::One(delivery), patience);
            }
        }
    }

    pub(super) fn close_windows(self: &Arc<Self>, now_ms: i64, now: Moment) -> Option<i64> {
        let (batches, next) = {
            let mut windows = self.windows.lock();
            (windows.due(now_ms), windows.next())
        };
        for closed in batches {
            let batch = closed.into_parcel(&self.name, now);
            let number = BATCH | self.arrivals.fetch_add(1, Ordering::Relaxed);
            // A batch that acknowledges nothing would wait without bounds.
            let patience = if batch.packet_ids.is_empty() { Patience::CannotWait } else { Patience::CanWait };
            self.batches.lock().insert(number, batch.packet_ids.clone());
            self.arrive(Parcel::Batch(number, Box::new(batch)), patience);
        }
        next
    }

    fn arrive(self: &Arc<Self>, parcel: Parcel, patience: Patience) {
        let batch = match &parcel {
            Parcel::Batch(number, _) => Some(*number),
            Parcel::One(_) => None,
        };
        let fate = self.backlog.lock().arrive(parcel, patience);
        match fate {
            Fate::Invoke(arrival, parcel) => self.invoke(arrival, parcel),
            Fate::Waits => {}
            Fate::Dropped => {
                batch.map(|number| self.batches.lock().remove(&number));
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn invoke(self: &Arc<Self>, arrival: Arrival, parcel: Parcel) {
        let Some(lines) = self.lines.upgrade() else { return };
        let Some(runtime) = lines.runtime.get().and_then(Weak::upgrade) else { return };
        let (message, context) = match &parcel {
            Parcel::One(delivery) => self.contents(delivery, lines.now()),
            Parcel::Batch(number, batch) => {
                (batch.message.clone(), InvocationContext { delivery: Some(*number), ..batch.context.clone() })
            }
        };
        self.running.fetch_add(1, Ordering::AcqRel);
        let line = Arc::clone(self);
        runtime.invoke(&self.name, message, context, Box::new(move |result| line.ended(arrival, parcel, result)));
    }

    fn contents(&self, delivery: &Delivery, now: Moment) -> (InvocationMessage, InvocationContext) {
        let message = messages::to_invocation(delivery, now);
        let matched = self
            .triggers
            .read()
            .iter()
            .find(|trigger| trigger.is_subscription() && topic::matches(&trigger.mqtt, &message.topic))
            .map(|trigger| trigger.mqtt.clone());
        let trace_parent = message.properties.user_properties.iter().find(|(name, _)| name == "traceparent");
        let origin = messages::origin(&delivery.message);
        let context = InvocationContext {
            client_id: origin.client,
            caused_by: origin.caused_by,
            matched_filter: matched.unwrap_or_default(),
            received_ms: wall_ms(),
            trace_parent: trace_parent.map(|(_, value)| value.clone()),
            delivery: Some(self.delivery_number(delivery.packet_id)),
            depth: origin.depth,
            ..InvocationContext::default()
        };
        (message, context)
    }

    fn ended(self: Arc<Self>, arrival: Arrival, parcel: Parcel, result: InvocationResult) {
        self.running.fetch_sub(1, Ordering::AcqRel);
        let (again, acknowledged) = match &result {
            Ok(_) => (false, true),
            Err(error) => (error.deliver_again(), error.is_acknowledged()),
        };
        let packet_ids: Vec<PacketId> = match &parcel {
            Parcel::One(delivery) => delivery.packet_id.into_iter().collect(),
            Parcel::Batch(_, batch) => batch.packet_ids.clone(),
        };
        if again && !packet_ids.is_empty() {
            let kept = self.backlog.lock().put_back(arrival, parcel);
            if kept
                && !matches!(result, Err(InvocationError::Stopping))
                && let Some(lines) = self.lines.upgrade()
            {
                lines.again.schedule(self);
            }
            return;
        }
        if let Parcel::Batch(number, _) = &parcel {
            self.batches.lock().remove(number);
        }
        if again {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else if !acknowledged && !packet_ids.is_empty() {
            self.acknowledge(packet_ids, Vec::new());
        }
    }

    /// Tries what waits, oldest first, until one is refused again.
    pub(super) fn try_again(self: &Arc<Self>) {
        loop {
            // The lock ends here: a refusal takes it from within `invoke`.
            let next = self.backlog.lock().next();
            let Some((arrival, parcel)) = next else { return };
            self.invoke(arrival, parcel);
        }
    }

    fn acknowledge(&self, packet_ids: Vec<PacketId>, outputs: Vec<Message>) {
        if let Some(attachment) = self.attachment.get() {
            attachment.acknowledge(packet_ids, outputs);
        }
    }

    fn delivery_number(&self, packet_id: Option<PacketId>) -> u64 {
        self.generation << 16 | u64::from(packet_id.map_or(0, PacketId::get))
    }

    /// The deliveries behind a delivery number, if it is one of this session.
    pub(super) fn packet_ids(&self, delivery: u64) -> Vec<PacketId> {
        if delivery & BATCH != 0 {
            return self.batches.lock().get(&delivery).cloned().unwrap_or_default();
        }
        let is_own = delivery >> 16 == self.generation;
        PacketId::new((delivery & 0xffff) as u16).filter(|_| is_own).into_iter().collect()
    }
}

fn now_ms() -> i64 {
    i64::try_from(wall_ms()).unwrap_or(i64::MAX)
}
