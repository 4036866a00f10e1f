//! A consumer inside the node: what the core delivers to it is collected and handed over once per turn.
//!
//! Its sink is code of another part of the node: a panic in it ends the consumer, not the broker.

use std::panic::{AssertUnwindSafe, catch_unwind};

use selvedge_core::Delivery;

/// Takes what was delivered in one turn. Runs on the reactor thread: it passes the batch on and returns. One that panics
/// is not called again, and its consumer counts as gone: the session stays for a successor.
pub type Sink = Box<dyn FnMut(Vec<Delivery>) + Send>;

/// The sink panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("handing deliveries to a consumer inside the node: its sink panicked")]
pub(crate) struct SinkPanicked;

pub(crate) struct Consumer {
    pub(crate) key: u64,
    /// `None` once it panicked.
    sink: Option<Sink>,
    pub(crate) deliveries: Vec<Delivery>,
    /// The core has ended it: after this turn it is gone.
    pub(crate) ended: bool,
}

impl Consumer {
    pub(crate) fn new(key: u64, sink: Sink) -> Self {
        Self { key, sink: Some(sink), deliveries: Vec::new(), ended: false }
    }

    /// Pass on what has gathered.
    pub(crate) fn hand_over(&mut self) -> Result<(), SinkPanicked> {
        let batch = std::mem::take(&mut self.deliveries);
        let Some(mut sink) = self.sink.take_if(|_| !batch.is_empty()) else { return Ok(()) };
        // Nothing of this node is shared with the sink but the batch, which is gone with it. The sink is dropped with what
        // it has broken, and what panics then is caught as well.
        let sink = catch_unwind(AssertUnwindSafe(move || {
            sink(batch);
            sink
        }));
        self.sink = Some(sink.map_err(|_| SinkPanicked)?);
        Ok(())
    }
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer")
            .field("key", &self.key)
            .field("deliveries", &self.deliveries.len())
            .finish_non_exhaustive()
    }
}
