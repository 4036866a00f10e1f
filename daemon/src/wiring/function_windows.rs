//! Windows of one function: deliveries that are held until their batch is there, and the batch as one message.
//!
//! A held delivery is not acknowledged before the last batch that it is in has had its effects: after a restart it comes again and is
//! in a window of that time. Calls nobody.

use std::collections::BTreeMap;
use std::sync::Arc;

use selvedge_codec::{PacketId, topic};
use selvedge_core::{Delivery, Moment};
use selvedge_functions::{
    InvocationContext, InvocationMessage, Properties, Qos, Trigger, WindowBatch, WindowRule, Windows,
};
use serde_json::{Value, json};

use super::messages;

/// Payloads and topics that one window holds before it closes early, bytes.
const BYTES_MAX: usize = 1 << 20;
/// The user property that messages are kept together by.
const KEY_PROPERTY: &str = "key";

/// A batch, ready to be invoked with.
#[derive(Clone, Debug)]
pub struct WindowParcel {
    /// The messages as one.
    pub message: InvocationMessage,
    /// What is known of it.
    pub context: InvocationContext,
    /// Deliveries that are acknowledged with it.
    pub packet_ids: Vec<PacketId>,
}

/// A window that has closed.
#[derive(Debug)]
pub struct Closed {
    filter: String,
    batch: WindowBatch<Arc<Delivery>>,
}

/// The windows of one function, by trigger.
#[derive(Debug, Default)]
pub struct FunctionWindows {
    by_filter: BTreeMap<String, Windows<Arc<Delivery>>>,
    /// Closed, and not yet taken.
    closed: Vec<Closed>,
}

impl FunctionWindows {
    /// The windows of these triggers; those of other rules close. One holds no more than `messages_max`.
    pub fn set(&mut self, triggers: &[Trigger], messages_max: usize, now_ms: i64) {
        let wanted: BTreeMap<&str, WindowRule> = triggers
            .iter()
            .filter_map(|trigger| {
                let rule = trigger.window.clone()?;
                let messages_max = rule.messages_max.min(messages_max);
                Some((trigger.mqtt.as_str(), WindowRule { messages_max, ..rule }))
            })
            .collect();
        let (kept, gone): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.by_filter)
            .into_iter()
            .partition(|(filter, windows)| wanted.get(filter.as_str()) == Some(windows.rule()));
        self.by_filter = kept;
        for (filter, mut windows) in gone {
            self.closed
                .extend(windows.close_all(now_ms).into_iter().map(|batch| Closed { filter: filter.clone(), batch }));
        }
        for (filter, rule) in wanted {
            self.by_filter.entry(filter.to_owned()).or_insert_with(|| Windows::new(rule, BYTES_MAX));
        }
    }

    /// Holds a delivery whose trigger has a window; gives it back otherwise. True when somebody should look at what is due.
    pub fn hold(&mut self, delivery: Delivery, now_ms: i64, now: Moment) -> Result<bool, Delivery> {
        let of_topic = |(filter, _): &(&String, &mut Windows<_>)| topic::matches(filter, delivery.message.topic());
        let Some((filter, windows)) = self.by_filter.iter_mut().find(of_topic) else { return Err(delivery) };
        let before = windows.next();
        let client = messages::origin(&delivery.message).client;
        let key = user_key(&delivery, now);
        let by = windows.rule().by.key(delivery.message.topic(), client.as_deref(), key.as_deref()).to_owned();
        let bytes = delivery.message.topic().len() + delivery.message.payload().len();
        let batches = windows.arrive(&by, now_ms, (bytes, Arc::new(delivery)));
        let is_news =
            !batches.is_empty() || before.is_none_or(|before| windows.next().is_some_and(|next| next < before));
        self.closed.extend(batches.into_iter().map(|batch| Closed { filter: filter.clone(), batch }));
        Ok(is_news)
    }

    /// The batches that have closed by `now_ms`, still to be made into messages: without this in anybody's way.
    pub fn due(&mut self, now_ms: i64) -> Vec<Closed> {
        for (filter, windows) in &mut self.by_filter {
            self.closed.extend(windows.due(now_ms).into_iter().map(|batch| Closed { filter: filter.clone(), batch }));
        }
        std::mem::take(&mut self.closed)
    }

    /// When the next one closes.
    pub fn next(&self) -> Option<i64> {
        self.by_filter.values().filter_map(Windows::next).min()
    }

    /// Whether there are windows at all.
    pub fn is_wanted(&self) -> bool {
        !self.by_filter.is_empty() || !self.closed.is_empty()
    }
}

fn user_key(delivery: &Delivery, now: Moment) -> Option<String> {
    let properties = delivery.message.properties(now);
    let found = properties.user_properties().iter().find(|(name, _)| *name == KEY_PROPERTY);
    found.map(|(_, value)| value.to_owned())
}

impl Closed {
    /// What a closed window is to its function.
    pub fn into_parcel(self, function: &str, now: Moment) -> WindowParcel {
        let Self { filter, batch } = self;
        let messages: Vec<Value> =
            batch.messages.iter().map(|(at_ms, delivery)| entry(*at_ms, delivery, now)).collect();
        let user_property = |name: &str, value: String| (format!("window-{name}"), value);
        let properties = Properties {
            utf8_payload: true,
            content_type: Some("application/json".to_owned()),
            user_properties: vec![
                user_property("key", batch.key.replace('\0', "")),
                user_property("from-ms", batch.from_ms.to_string()),
                user_property("to-ms", batch.to_ms.to_string()),
            ],
            ..Properties::default()
        };
        let message = InvocationMessage {
            topic: format!("$fn/window/{function}"),
            payload: Value::Array(messages).to_string().into_bytes(),
            qos: Qos::AtLeastOnce,
            retain: false,
            properties,
        };
        let depth = batch.messages.iter().map(|(_, delivery)| messages::depth(&delivery.message)).max().unwrap_or(0);
        let context = InvocationContext {
            matched_filter: filter,
            received_ms: u64::try_from(batch.to_ms).unwrap_or(0),
            depth,
            ..InvocationContext::default()
        };
        let finished = batch.messages.iter().take(batch.finished);
        let packet_ids = finished.filter_map(|(_, delivery)| delivery.packet_id).collect();
        WindowParcel { message, context, packet_ids }
    }
}

/// `{"topic": …, "payload": …, "received_ms": …}`; a payload that is no text is hexadecimal under `payload_hex`.
fn entry(at_ms: i64, delivery: &Delivery, now: Moment) -> Value {
    let message = messages::to_invocation(delivery, now);
    let mut entry = json!({ "topic": message.topic, "received_ms": at_ms });
    match String::from_utf8(message.payload) {
        Ok(text) => entry["payload"] = text.into(),
        Err(binary) => {
            let hex: String = binary.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            entry["payload_hex"] = hex.into();
        }
    }
    if let Some(client) = messages::origin(&delivery.message).client {
        entry["client"] = client.into();
    }
    if !message.properties.user_properties.is_empty() {
        entry["user_properties"] = json!(message.properties.user_properties);
    }
    entry
}

#[cfg(test)]
mod tests {
    use selvedge_codec::QoS;
    use selvedge_core::Message;
    use selvedge_functions::{Source, WindowBy, WindowKind};

    use super::*;

    fn trigger(by: WindowBy) -> Trigger {
        let window = WindowRule { kind: WindowKind::Tumbling { size_ms: 1000 }, by, messages_max: 100 };
        Trigger { mqtt: "in/#".to_owned(), qos: Qos::AtLeastOnce, source: Source::Messages, window: Some(window) }
    }

    fn delivery(topic: &str, payload: &[u8], packet_id: u16) -> Delivery {
        let message = Message::new(topic, payload.to_vec(), QoS::AtLeastOnce, false).with_publisher(Some("c1".into()));
        let packet_id = PacketId::new(packet_id);
        Delivery { message: Arc::new(message), qos: QoS::AtLeastOnce, packet_id, retain: false, duplicate: false }
    }

    fn windows(by: WindowBy, messages_max: usize) -> FunctionWindows {
        let mut windows = FunctionWindows::default();
        windows.set(&[trigger(by)], messages_max, 0);
        windows
    }

    #[test]
    fn deliveries_become_one_message_that_acknowledges_them_all() {
        let (mut windows, now) = (windows(WindowBy::All, 100), Moment::default());
        assert!(windows.hold(delivery("in/a", b"1", 1), 100, now).unwrap(), "a window opens");
        assert!(!windows.hold(delivery("in/b", b"\xff", 2), 200, now).unwrap());
        assert!(windows.hold(delivery("other", b"", 3), 300, now).is_err());
        assert!(windows.due(999).is_empty());
        let batch = windows.due(1000).remove(0).into_parcel("f", now);
        assert_eq!((batch.packet_ids.len(), batch.message.topic.as_str()), (2, "$fn/window/f"));
        assert_eq!(batch.context.matched_filter, "in/#");
        let payload: Value = serde_json::from_slice(&batch.message.payload).unwrap();
        let expected = json!([
            { "topic": "in/a", "received_ms": 100, "payload": "1", "client": "c1" },
            { "topic": "in/b", "received_ms": 200, "payload_hex": "ff", "client": "c1" },
        ]);
        assert_eq!(payload, expected);
        let properties = &batch.message.properties.user_properties;
        assert_eq!(
            properties[1..],
            [("window-from-ms".to_owned(), "0".to_owned()), ("window-to-ms".to_owned(), "1000".to_owned())]
        );
    }

    #[test]
    fn a_window_that_fills_the_session_closes_early() {
        let (mut windows, now) = (windows(WindowBy::All, 2), Moment::default());
        windows.hold(delivery("in/a", b"1", 1), 100, now).unwrap();
        assert!(windows.hold(delivery("in/a", b"2", 2), 101, now).unwrap());
        assert_eq!(windows.due(102).remove(0).into_parcel("f", now).packet_ids.len(), 2);
    }

    #[test]
    fn windows_of_a_rule_that_changed_close_and_others_go_on() {
        let (mut windows, now) = (windows(WindowBy::All, 100), Moment::default());
        windows.hold(delivery("in/a", b"1", 1), 100, now).unwrap();
        windows.set(&[trigger(WindowBy::All)], 100, 200);
        assert!(windows.due(300).is_empty());
        windows.set(&[trigger(WindowBy::Client)], 100, 400);
        assert_eq!(windows.due(401).len(), 1);
        windows.set(&[], 100, 500);
        assert!(!windows.is_wanted());
    }
}
