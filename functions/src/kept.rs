//! Instances that ran and may run again, for functions whose manifest asks for it.
//!
//! Invariants: one that trapped, was stopped or is too old never runs again; what all of them hold together is bounded; one that
//! waits holds nothing of the messages it ran but what the guest put into its memory.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use wasmtime::Store;

use crate::bindings;
use crate::host::Host;
use crate::invocation::InvocationState;
use crate::manifest::Reuse;

/// How much an instance has run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    made: Instant,
    /// Messages that it ran.
    pub(crate) calls: u32,
}

impl Life {
    pub(crate) fn begins(now: Instant) -> Self {
        Self { made: now, calls: 0 }
    }

    /// One message later.
    pub(crate) fn ran(self) -> Self {
        Self { calls: self.calls.saturating_add(1), ..self }
    }

    fn is_over(self, rule: Reuse, now: Instant) -> bool {
        self.calls >= rule.calls || now.saturating_duration_since(self.made) >= rule.age
    }
}

/// An instance that waits for its next message.
pub(crate) struct Instance {
    pub(crate) store: Store<InvocationState>,
    pub(crate) instance: bindings::Function,
    pub(crate) life: Life,
    /// Given back when it runs, or with it.
    pub(crate) _place: Place,
}

/// What all waiting instances of a node may hold together.
#[derive(Debug)]
pub(crate) struct KeptRoom {
    instances_max: usize,
    bytes_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    instances: usize,
    bytes: usize,
}

/// A part of the room.
#[derive(Debug)]
pub(crate) struct Place {
    room: Arc<KeptRoom>,
    bytes: usize,
}

impl KeptRoom {
    pub(crate) fn new(instances_max: usize, bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { instances_max, bytes_max, taken: Mutex::default() })
    }

    /// A place for one instance with so many bytes of memory, if there is room.
    fn place(self: &Arc<Self>, bytes: usize) -> Option<Place> {
        let mut taken = self.taken.lock();
        let sum = taken.bytes.checked_add(bytes).filter(|sum| *sum <= self.bytes_max)?;
        if taken.instances >= self.instances_max {
            return None;
        }
        *taken = Taken { instances: taken.instances + 1, bytes: sum };
        Some(Place { room: self.clone(), bytes })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.room.taken.lock();
        taken.instances -= 1;
        taken.bytes -= self.bytes;
    }
}

/// The waiting instances of one version.
#[derive(Default)]
pub(crate) struct KeptInstances {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// The one that ran last at the end.
    instances: Vec<Instance>,
    /// Somebody will call [`KeptInstances::sweep`] then.
    sweep_at: Option<Instant>,
}

impl KeptInstances {
    /// Drops those whose time is over; when to call this again, if that is needed.
    pub(crate) fn sweep(&self, rule: Reuse, now: Instant) -> Option<Instant> {
        let mut waiting = self.waiting.lock();
        let (over, rest) =
            std::mem::take(&mut waiting.instances).into_iter().partition(|instance| instance.life.is_over(rule, now));
        waiting.instances = rest;
        waiting.sweep_at = waiting.instances.iter().map(|instance| instance.life.made + rule.age).min();
        let next = waiting.sweep_at;
        drop(waiting);
        // Giving memory back takes time.
        drop::<Vec<Instance>>(over);
        next
    }

    /// When to call [`KeptInstances::sweep`], where nobody has been asked to.
    pub(crate) fn sweep_wanted(&self, rule: Reuse) -> Option<Instant> {
        let mut waiting = self.waiting.lock();
        if waiting.sweep_at.is_some() {
            return None;
        }
        waiting.sweep_at = waiting.instances.iter().map(|instance| instance.life.made + rule.age).min();
        waiting.sweep_at
    }
}

/// What a run needs to use an instance again.
#[derive(Clone, Copy)]
pub(crate) struct ReuseOf<'a> {
    pub(crate) kept: &'a KeptInstances,
    pub(crate) room: &'a Arc<KeptRoom>,
    /// The host that waiting instances hold.
    pub(crate) host: &'a Arc<dyn Host>,
    pub(crate) rule: Reuse,
}

impl ReuseOf<'_> {
    /// The instance that ran last, so that others become old.
    pub(crate) fn take(&self, now: Instant) -> Option<Instance> {
        let mut waiting = self.kept.waiting.lock();
        loop {
            let instance = waiting.instances.pop()?;
            if !instance.life.is_over(self.rule, now) {
                return Some(instance);
            }
        }
    }

    /// A place for an instance that ran one more message, if it may run again and there is room.
    pub(crate) fn place(&self, memory_bytes: usize, life: Life, now: Instant) -> Option<Place> {
        if life.ran().is_over(self.rule, now) {
            return None;
        }
        self.room.place(memory_bytes)
    }

    /// Keeps an instance for later messages.
    pub(crate) fn keep(&self, instance: Instance) {
        self.kept.waiting.lock().instances.push(instance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const RULE: Reuse = Reuse { calls: 2, age: Duration::from_secs(10) };

    #[test]
    fn an_instance_is_over_after_so_many_calls_or_so_much_time() {
        let now = Instant::now();
        let life = Life::begins(now);
        assert!(!life.is_over(RULE, now) && !life.ran().is_over(RULE, now));
        assert!(life.ran().ran().is_over(RULE, now));
        assert!(!life.is_over(RULE, now + Duration::from_secs(9)));
        assert!(life.is_over(RULE, now + Duration::from_secs(10)));
    }

    #[test]
    fn the_room_is_bounded_in_instances_and_bytes_and_is_given_back() {
        let room = KeptRoom::new(2, 100);
        let first = room.place(60).unwrap();
        assert!(room.place(41).is_none(), "bytes");
        let second = room.place(40).unwrap();
        assert!(room.place(0).is_none(), "instances");
        drop(first);
        assert!(room.place(60).is_some());
        drop(second);
        assert!(room.place(usize::MAX).is_none());
        let taken = room.taken.lock();
        assert_eq!((taken.instances, taken.bytes), (0, 0));
    }
}
