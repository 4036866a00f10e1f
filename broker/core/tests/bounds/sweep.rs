//! Rules that change reach every session, in steps none of which keeps the others waiting.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use selvedge_codec::QoS;
use selvedge_core::{Action, Authorize, Config, Input, OpenAccess, Principal};

use crate::driver::{NOW, Node, id};

/// Forbids everything under `secret`, and counts how often it is asked.
#[derive(Debug)]
struct Counting {
    asked: Arc<AtomicUsize>,
}

impl Authorize for Counting {
    fn may_connect(&self, _who: Principal<'_>) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        true
    }

    fn may(&self, _who: Principal<'_>, _action: Action, topic: &str) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        !topic.starts_with("secret")
    }
}

#[test]
fn no_step_asks_more_than_a_few_hundred_questions_and_all_are_asked() {
    const SESSIONS: u32 = 1000;
    const FILTERS: u32 = 900;
    let mut node = Node::new(Config::default());
    for slot in 0..SESSIONS {
        node.connect(slot);
        node.subscribe(slot, "secret/#");
        node.subscribe(slot, "open/#");
    }
    // One session with more subscriptions, and a longer queue, than a step looks at.
    for filter in 0..FILTERS {
        node.subscribe(7, &format!("secret/{filter}"));
    }
    node.feed(Input::Closed { connection: id(7) });
    for _ in 0..FILTERS {
        node.publish(1, "secret/7", QoS::AtLeastOnce, b"x");
    }
    let asked = Arc::new(AtomicUsize::new(0));
    node.feed(Input::RulesChanged { authorizer: Box::new(Counting { asked: asked.clone() }) });
    let mut steps = 0;
    while node.core.next_deadline().is_some_and(|due| due <= NOW) {
        let before = asked.load(Ordering::Relaxed);
        node.feed(Input::Tick);
        steps += 1;
        let questions = asked.load(Ordering::Relaxed) - before;
        assert!(questions <= 600, "{questions} questions in one step");
        assert_eq!(node.core.audit(), Ok(()));
    }
    assert!(steps > 10, "{steps}");
    let statistics = node.core.statistics().clone();
    assert_eq!(statistics.subscriptions, u64::from(SESSIONS));
    assert_eq!(statistics.revoked_subscriptions, u64::from(SESSIONS + FILTERS));
    assert_eq!((statistics.dropped_unauthorized, statistics.queued_messages), (u64::from(FILTERS), 0));
    node.publish(1, "open/x", QoS::AtLeastOnce, b"x");
    assert_eq!(node.sent(), SESSIONS as usize - 1, "everyone but the one that is away");
}

#[test]
fn rules_that_change_during_a_sweep_begin_it_anew() {
    let mut node = Node::new(Config::default());
    for slot in 0..1000 {
        node.connect(slot);
        node.subscribe(slot, "secret/x");
    }
    node.feed(Input::RulesChanged { authorizer: Box::new(OpenAccess) });
    node.feed(Input::Tick);
    node.feed(Input::RulesChanged { authorizer: Box::new(Counting { asked: Arc::default() }) });
    while node.core.next_deadline().is_some_and(|due| due <= NOW) {
        node.feed(Input::Tick);
    }
    assert_eq!(node.core.statistics().subscriptions, 0);
}
