//! A consumer inside the node: what the core delivers to it is collected and handed over once per turn.

use selvedge_core::Delivery;

/// Takes what was delivered in one turn. Runs on the reactor thread: it passes the batch on and returns.
pub type Sink = Box<dyn FnMut(Vec<Delivery>) + Send>;

pub(crate) struct Consumer {
    pub(crate) key: u64,
    pub(crate) sink: Sink,
    pub(crate) deliveries: Vec<Delivery>,
    /// The core has ended it: after this turn it is gone.
    pub(crate) ended: bool,
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer")
            .field("key", &self.key)
            .field("deliveries", &self.deliveries.len())
            .finish_non_exhaustive()
    }
}
