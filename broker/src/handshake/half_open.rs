//! Connections that have not sent their CONNECT: how many there are, and what they make the node keep.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::task::AbortHandle;

use crate::{admission::Place, statistics::Statistics};

/// The unfinished handshakes, oldest first.
#[derive(Debug, Default)]
pub(crate) struct HalfOpen {
    tasks: RefCell<BTreeMap<u64, Option<AbortHandle>>>,
    next: Cell<u64>,
    /// Shared with the thread of the TLS handshakes.
    bytes: Arc<AtomicUsize>,
}

impl HalfOpen {
    /// What all keep, bytes; who keeps more adds to it.
    pub(crate) fn bytes(&self) -> Arc<AtomicUsize> {
        self.bytes.clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.tasks.borrow().len()
    }

    pub(crate) fn count_into(&self, statistics: &mut Statistics) {
        statistics.half_open = self.count() as u64;
        statistics.half_open_bytes = self.bytes.load(Ordering::Relaxed) as u64;
    }

    /// A further handshake begins.
    pub(crate) fn begin(self: &Rc<Self>, place: Place) -> Ticket {
        let number = self.next.get();
        self.next.set(number + 1);
        self.tasks.borrow_mut().insert(number, None);
        Ticket { half_open: self.clone(), number, bytes: 0, place: Some(place) }
    }

    /// The task that carries the ticket `number`.
    pub(crate) fn set_task(&self, number: u64, task: AbortHandle) {
        if let Some(place) = self.tasks.borrow_mut().get_mut(&number) {
            *place = Some(task);
        }
    }

    /// End the handshake that is waiting longest.
    pub(crate) fn end_oldest(&self) {
        // The task drops its ticket when the runtime comes to it, not in here.
        if let Some((_, Some(task))) = self.tasks.borrow_mut().pop_first() {
            task.abort();
        }
    }

    pub(crate) fn end_all(&self) {
        while self.count() > 0 {
            self.end_oldest();
        }
    }
}

/// One unfinished handshake.
#[derive(Debug)]
pub(crate) struct Ticket {
    half_open: Rc<HalfOpen>,
    number: u64,
    bytes: usize,
    place: Option<Place>,
}

impl Ticket {
    /// The place of the connection in the count of its address, for as long as it lasts.
    pub(crate) fn take_place(&mut self) -> Option<Place> {
        self.place.take()
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The handshake now keeps `bytes`. Gives `false` if all together keep more than `bytes_max`.
    pub(crate) fn keep(&mut self, bytes: usize, bytes_max: usize) -> bool {
        let others = self.half_open.bytes.fetch_sub(self.bytes, Ordering::Relaxed) - self.bytes;
        self.half_open.bytes.fetch_add(bytes, Ordering::Relaxed);
        let all = others + bytes;
        self.bytes = bytes;
        all <= bytes_max
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.half_open.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.half_open.tasks.borrow_mut().remove(&self.number);
    }
}
