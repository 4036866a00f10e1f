//! One message on its way through a function.
//!
//! Invariant: `done` of every message is called exactly once, whatever is dropped on the way.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use super::InvocationDone;
use super::lanes::{Candidate, Order};
use super::traffic::Traffic;
use crate::alias::scatter;
use crate::bindings::selvedge::function::types;
use crate::caller::Wanted;
use crate::circuit::Permit;
use crate::message::{InvocationContext, InvocationError, InvocationMessage, InvocationResult};

/// Conflicts of one message after which nothing runs beside it.
const CONFLICTS_BESIDE_MAX: u32 = 2;

/// A message with what is known of its attempts.
pub(super) struct Job {
    pub(super) message: types::Message,
    pub(super) context: Arc<InvocationContext>,
    /// Number of the run that comes next or is going on, from 1.
    pub(super) attempt: u32,
    /// Commits of this message that conflicted.
    pub(super) conflicts: u32,
    /// It waits until then.
    pub(super) not_before: Option<Instant>,
    /// Decides about the version where nothing else does; another one for each message.
    pub(super) random: u64,
    /// The versions that were asked for; `None`: the live ones when it runs.
    pub(super) pinned: Option<Arc<Traffic>>,
    /// What its circuit said; asked once for all attempts.
    pub(super) permit: Option<Permit>,
    pub(super) weight_bytes: usize,
    order: Order,
    done: Option<InvocationDone>,
}

static NEXT_MESSAGE: AtomicU64 = AtomicU64::new(1);
/// Tells messages of this run of the node from those of others.
static BOOT_KEY: LazyLock<u64> = LazyLock::new(|| {
    let mut bytes = [0; 8];
    // Without random numbers the node does not start; a key that is the same again is the worst that could come of it.
    let _ = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes)
});

impl Job {
    pub(super) fn new(message: InvocationMessage, mut context: InvocationContext, done: InvocationDone) -> Self {
        let weight_bytes = message.weight_bytes();
        let random = NEXT_MESSAGE.fetch_add(1, Ordering::Relaxed);
        context.message_key = scatter(random ^ *BOOT_KEY);
        Self {
            message: message.into(),
            order: order(&context),
            context: Arc::new(context),
            attempt: 1,
            conflicts: 0,
            not_before: None,
            random,
            pinned: None,
            permit: None,
            weight_bytes,
            done: Some(done),
        }
    }

    /// What decides whether it may run.
    pub(super) fn candidate(&self) -> Candidate {
        let is_alone = self.conflicts >= CONFLICTS_BESIDE_MAX;
        Candidate { order: self.order, not_before: self.not_before, is_alone }
    }

    /// Does nobody wait for its end any more, though somebody did?
    pub(super) fn is_abandoned(&self, now: Instant) -> bool {
        self.context.caller.as_ref().is_some_and(|caller| caller.is_gone(now))
    }

    pub(super) fn end(mut self, result: InvocationResult) {
        if let Some(done) = self.done.take() {
            done(result);
        }
    }
}

/// Requests have no order; of messages, those of one publisher keep it, and those without one as if they had the same.
fn order(context: &InvocationContext) -> Order {
    if context.caller.as_ref().is_some_and(|caller| caller.wanted() == Wanted::HttpResponse) {
        return Order::of(context.message_key);
    }
    let mut hasher = DefaultHasher::new();
    context.client_id.hash(&mut hasher);
    Order::of(hasher.finish())
}

impl Drop for Job {
    /// A message that is lost with a thread or a queue is one to deliver again.
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done(Err(InvocationError::Stopping));
        }
    }
}
