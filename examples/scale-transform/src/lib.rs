//! Scales the integer registers that many field devices send to decimal values: 213 tenths of a degree on
//! `raw/<anything>` becomes 21.3 on `scaled/<anything>`.
//!
//! It uses the world `transform`, which imports nothing: the result depends on the message alone.

use exports::selvedge::function::handler::{Failure, Guest};
use selvedge::function::types::Message;

wit_bindgen::generate!({ path: "../../functions/wit", world: "transform" });

struct ScaleTransform;

export!(ScaleTransform);

impl Guest for ScaleTransform {
    fn handle(mut message: Message) -> Result<Vec<Message>, Failure> {
        let Some(rest) = message.topic.strip_prefix("raw/") else {
            return Err(Failure::Reject("the topic does not start with raw/".into()));
        };
        message.topic = ["scaled/", rest].concat();
        message.payload = tenths(&message.payload)
            .ok_or_else(|| Failure::Reject("the payload is not a whole number of at most 18 digits".into()))?;
        Ok(vec![message])
    }
}

/// Writes a whole number of tenths as a decimal, without rounding: `-7` becomes `-0.7`.
fn tenths(payload: &[u8]) -> Option<Vec<u8>> {
    let payload = payload.trim_ascii();
    let (sign, digits) = match payload.split_first()? {
        (b'-', digits) => (&b"-"[..], digits),
        _ => (&b""[..], payload),
    };
    if digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (last, whole) = digits.split_last()?;
    let start = whole.iter().position(|digit| *digit != b'0').unwrap_or(whole.len());
    let whole = if start == whole.len() { &b"0"[..] } else { &whole[start..] };
    Some([sign, whole, b".", &[*last]].concat())
}

#[cfg(test)]
mod tests {
    use super::tenths;

    #[test]
    fn the_last_digit_moves_behind_the_point() {
        for (raw, scaled) in [("213", "21.3"), ("7", "0.7"), ("-7", "-0.7"), ("0", "0.0"), (" 0040\n", "4.0")] {
            assert_eq!(tenths(raw.as_bytes()).as_deref(), Some(scaled.as_bytes()), "{raw}");
        }
    }

    #[test]
    fn what_is_no_whole_number_is_refused() {
        for raw in ["", "-", "2.5", "1e3", "12a", "1234567890123456789"] {
            assert_eq!(tenths(raw.as_bytes()), None, "{raw}");
        }
    }
}
