//! Who has the processor: clients stand for other machines, which have one of their own.

use std::thread::JoinHandle;

/// Runs `act` on a thread of a well-behaved client, which has the processor as soon as it wakes: no attacker and no node takes it.
pub fn spawn<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    std::thread::spawn(move || {
        selvedge_priority::run_at_once();
        act()
    })
}

/// How much less than others attackers are given where both want a processor. A long slice alone is not enough: a node that ran just
/// now, however shortly, would wait until attackers of the same priority had run as long, and then for the next tick.
const ASIDE: i32 = 10;

/// Has this thread, and those that it starts from now on, take the processor from nobody who wakes: attackers on other machines do
/// not take that of the node. What nobody else wants they have, as before.
pub fn stand_aside() {
    selvedge_priority::make_way(selvedge_priority::own_nice() + ASIDE);
}
