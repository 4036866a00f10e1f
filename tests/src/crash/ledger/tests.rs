//! What is a debt, and what is a breach.

use super::*;
use crate::server_packet::properties::Properties;

fn publish(ledger: &mut Ledger, topic: &str, qos: u8) -> MessageId {
    publish_by(ledger, "p", topic, qos, Way::Direct)
}

fn publish_by(ledger: &mut Ledger, publisher: &str, topic: &str, qos: u8, way: Way) -> MessageId {
    ledger.publish(Message {
        publisher: publisher.to_owned(),
        topic: topic.to_owned(),
        qos,
        way,
        published: 1,
        acknowledged: None,
        history: Vec::new(),
    })
}

fn arriving(qos: u8) -> Publish {
    let packet_id = (qos > 0).then_some(1);
    let (dup, retain, topic) = (false, false, "t".to_owned());
    Publish { dup, qos, retain, topic, packet_id, properties: Properties::default(), payload: Vec::new() }
}

fn subscribed(filter: &str, qos: u8) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.session_begins("s");
    ledger.subscribed("s", filter, qos);
    ledger
}

#[test]
fn only_what_was_acknowledged_is_lost() {
    let mut ledger = subscribed("a/+", 2);
    let mut report = Report::new(0);
    let (acknowledged, _unanswered, _elsewhere) =
        (publish(&mut ledger, "a/1", 1), publish(&mut ledger, "a/1", 1), publish(&mut ledger, "b", 1));
    ledger.acknowledged(acknowledged, 1, &mut report);
    assert_eq!(ledger.due("s"), 1);
    ledger.settle("s", &mut report);
    assert_eq!(report.tally(Kind::AtLeastOnce).breaches, [1, 0, 0, 0]);
    assert_eq!(report.breaches(), 1);
}

#[test]
fn a_message_of_qos_2_may_come_once_and_of_qos_1_again() {
    for (qos, breaches) in [(1, 0), (2, 1)] {
        let mut ledger = subscribed("#", 2);
        let mut report = Report::new(0);
        let id = publish(&mut ledger, "a", qos);
        for _ in 0..2 {
            ledger.delivered("s", id, &arriving(qos), &mut report);
        }
        assert_eq!(report.breaches(), breaches);
        // Also when everybody has forgotten it.
        ledger.forget_settled(2);
        ledger.delivered("s", id, &arriving(qos), &mut report);
        assert_eq!(report.breaches(), 2 * breaches);
    }
}

#[test]
fn a_later_message_before_an_earlier_one_is_a_breach_unless_the_earlier_comes_again() {
    let mut ledger = subscribed("#", 1);
    let mut report = Report::new(0);
    let (first, second) = (publish(&mut ledger, "a", 1), publish(&mut ledger, "a", 1));
    ledger.delivered("s", second, &arriving(1), &mut report);
    assert_eq!(report.breaches(), 0);
    ledger.delivered("s", first, &arriving(1), &mut report);
    assert_eq!(report.tally(Kind::AtLeastOnce).breaches, [0, 0, 1, 0]);
    ledger.delivered("s", first, &arriving(1), &mut report);
    assert_eq!(report.breaches(), 1);
}

#[test]
fn outputs_of_a_function_keep_the_order_of_their_publisher_over_all_topics() {
    for (publisher, breaches) in [("p", 1), ("another", 0)] {
        let mut ledger = subscribed("#", 2);
        let mut report = Report::new(0);
        let first = publish_by(&mut ledger, "p", "a", 2, Way::Function);
        let second = publish_by(&mut ledger, publisher, "b", 2, Way::Function);
        ledger.delivered("s", second, &arriving(2), &mut report);
        ledger.delivered("s", first, &arriving(2), &mut report);
        assert_eq!(report.tally(Kind::Function).breaches, [0, 0, breaches, 0], "{publisher}");
    }
}

#[test]
fn what_is_unsubscribed_is_not_owed_and_may_not_come_later() {
    let mut ledger = subscribed("a", 1);
    let mut report = Report::new(0);
    let queued = publish(&mut ledger, "a", 1);
    ledger.subscription_becomes("s", "a", 1, Subscription::Unwanted);
    ledger.acknowledged(queued, 1, &mut report);
    assert_eq!(ledger.due("s"), 0);
    ledger.unsubscribed("s", "a");
    ledger.delivered("s", queued, &arriving(1), &mut report);
    assert_eq!(report.breaches(), 0);
    let later = publish(&mut ledger, "a", 1);
    ledger.delivered("s", later, &arriving(1), &mut report);
    assert_eq!(report.tally(Kind::Subscription).breaches, [0, 0, 0, 1]);
}

#[test]
fn filters_match_as_the_standard_says() {
    for (filter, topic, expected) in [
        ("a/+", "a/b", true),
        ("a/+", "a", false),
        ("a/#", "a", true),
        ("#", "a/b/c", true),
        ("a", "a/b", false),
        ("+/b", "a/b", true),
    ] {
        assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
    }
}
