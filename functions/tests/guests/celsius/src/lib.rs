//! A function for tests of trials: readings in Fahrenheit become readings in Celsius with a number, a time and a random mark, so that it
//! asks the node for everything that a replay has to give again. Its configuration `fault` makes it one of the versions that a gate and a
//! canary have to catch: `unit` (forgets to convert), `field` (loses the sensor), `slow` (ten times the work), `trap` (sometimes).

use std::hint::black_box;

use exports::selvedge::function::handler::{Failure, Guest};
use selvedge::function::types::{Message, Properties, Qos};
use selvedge::function::{env, kv};

wit_bindgen::generate!({ path: "../../../wit", world: "function" });

struct Celsius;

export!(Celsius);

/// Steps of work for one reading: long enough to be measured on any machine.
const WORK: u32 = 200_000;

impl Guest for Celsius {
    fn handle(message: Message) -> Result<Vec<Message>, Failure> {
        let text = std::str::from_utf8(&message.payload).map_err(|_| Failure::Reject("no text".into()))?;
        let mut words = text.split_whitespace();
        let (Some(sensor), Some(Ok(fahrenheit))) = (words.next(), words.next().map(str::parse::<f64>)) else {
            return Err(Failure::Reject("expected: SENSOR FAHRENHEIT".into()));
        };
        let fault = env::config("fault").unwrap_or_default();
        (0..if fault == "slow" { 10 * WORK } else { WORK }).for_each(|step| drop(black_box(step)));
        let number = kv::increment("readings", 1).map_err(|error| Failure::Retry(format!("{error:?}")))?;
        if fault == "trap" && number % 3 == 0 {
            std::process::abort();
        }
        let celsius = if fault == "unit" { fahrenheit } else { (fahrenheit - 32.0) / 1.8 };
        let sensor = if fault == "field" { String::new() } else { format!("\"sensor\":\"{sensor}\",") };
        let mark = env::random(2);
        let payload = format!(
            "{{{sensor}\"celsius\":{celsius:.2},\"number\":{number},\"at\":{},\"mark\":{}}}",
            env::now_ms(),
            u16::from_le_bytes([mark[0], mark[1]])
        );
        Ok(vec![Message {
            topic: "celsius".into(),
            payload: payload.into_bytes(),
            qos: Qos::AtLeastOnce,
            retain: false,
            properties: Properties {
                utf8_payload: true,
                content_type: Some("application/json".into()),
                response_topic: None,
                correlation_data: None,
                message_expiry: None,
                user_properties: Vec::new(),
            },
        }])
    }
}
