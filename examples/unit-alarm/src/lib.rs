//! Converts temperatures to Celsius and raises one alarm per crossing of a threshold.
//!
//! In: `sensors/<device>/temperature`, either a plain number or `{"value": 71.3, "unit": "F"}`.
//! Out: `converted/<device>/temperature` always, `alarms/<device>` (retained) when the alarm changes, and the device's
//! twin `reported.temperature`. What the function remembers of a device is one key, `alarm/<device>`.

mod alarm;
mod reading;

use alarm::{Alarm, Thresholds};
use exports::selvedge::function::handler::{Failure, Guest};
use reading::Unit;
use selvedge::function::log::Level;
use selvedge::function::types::{Error, Message, Properties, Qos};
use selvedge::function::{env, kv, log, twin};
use serde_json::json;

wit_bindgen::generate!({ path: "../../functions/wit", world: "function" });

struct UnitAlarm;

export!(UnitAlarm);

impl Guest for UnitAlarm {
    fn handle(message: Message) -> Result<Vec<Message>, Failure> {
        let device =
            device_of(&message.topic).ok_or_else(|| reject("the topic is not sensors/<device>/temperature"))?;
        let celsius = reading::celsius(&message.payload, default_unit()?).map_err(reject)?;

        let mut out = vec![converted(&message, device, celsius)];
        if let Some(alarm) = alarm_change(device, celsius)? {
            out.push(alarm);
        }
        report(device, celsius)?;
        Ok(out)
    }
}

fn device_of(topic: &str) -> Option<&str> {
    topic.strip_prefix("sensors/")?.strip_suffix("/temperature").filter(|device| !device.contains('/'))
}

/// The same message in Celsius: its user properties, correlation data and expiry go along.
fn converted(message: &Message, device: &str, celsius: f64) -> Message {
    Message {
        topic: format!("converted/{device}/temperature"),
        payload: json!({ "value": celsius, "unit": "C" }).to_string().into_bytes(),
        qos: message.qos,
        retain: message.retain,
        properties: Properties { content_type: Some("application/json".into()), ..message.properties.clone() },
    }
}

/// Moves the alarm of one device on. `Some` only when it changed, so that a threshold crossed is one alarm, however
/// many readings follow above it.
fn alarm_change(device: &str, celsius: f64) -> Result<Option<Message>, Failure> {
    let thresholds =
        Thresholds { raise: number("threshold-celsius", 60.0)?, hysteresis: number("hysteresis-celsius", 2.0)? };
    let key = format!("alarm/{device}");
    let before = match kv::get(&key).map_err(failure)? {
        Some(entry) => Alarm::from_bytes(&entry.value),
        None => Alarm::Clear,
    };
    let after = before.after(celsius, &thresholds);
    if after == before {
        return Ok(None);
    }
    kv::set(&key, after.as_bytes(), None).map_err(failure)?;
    let (level, state) = match after {
        Alarm::Raised => (Level::Warn, "raised"),
        Alarm::Clear => (Level::Info, "cleared"),
    };
    let alarm = json!({ "state": state, "value": celsius, "unit": "C", "threshold": thresholds.raise }).to_string();
    log::log(level, device, &format!("alarm {state}: {alarm}"));
    Ok(Some(Message {
        topic: format!("alarms/{device}"),
        payload: alarm.into_bytes(),
        qos: Qos::AtLeastOnce,
        retain: true,
        properties: Properties {
            utf8_payload: true,
            content_type: Some("application/json".into()),
            response_topic: None,
            correlation_data: None,
            message_expiry: None,
            user_properties: Vec::new(),
        },
    }))
}

fn report(device: &str, celsius: f64) -> Result<(), Failure> {
    let patch = json!({ "temperature": { "value": celsius, "unit": "C" } }).to_string();
    twin::patch(device, twin::Section::Reported, &patch, None).map_err(failure)?;
    Ok(())
}

fn default_unit() -> Result<Unit, Failure> {
    match env::config("default-unit") {
        None => Ok(Unit::Celsius),
        Some(unit) => Unit::from_symbol(&unit).ok_or_else(|| reject("the configured default-unit is not C, F or K")),
    }
}

fn number(key: &str, default: f64) -> Result<f64, Failure> {
    match env::config(key) {
        None => Ok(default),
        // serde_json reads the payload's numbers anyway; `str::parse` would bring a second float parser of 15 KB.
        Some(text) => {
            serde_json::from_str(&text).map_err(|_| reject(&format!("the configured {key} is not a number: {text}")))
        }
    }
}

/// A message that will never be understood is rejected: trying again would not help.
fn reject(reason: &str) -> Failure {
    Failure::Reject(reason.into())
}

/// What the node could not do now it may be able to do later; what it refuses it will refuse again.
fn failure(error: Error) -> Failure {
    match error {
        Error::Conflict(_) => Failure::Retry("the value was changed meanwhile".into()),
        Error::Unavailable(why) | Error::Quota(why) => Failure::Retry(why),
        Error::Denied(why) | Error::Invalid(why) => Failure::Reject(why),
    }
}
