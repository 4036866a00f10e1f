//! JSON from strangers: strict where plain `serde_json` is lenient. A member that appears twice is refused, because two
//! readers of one document could take different ones, and nesting is bounded before anything recurses over it.

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use thiserror::Error;

/// How deep objects and arrays may lie within each other, in any JSON that is parsed here.
pub const DEPTH_MAX: usize = 32;

/// Why bytes are not taken as JSON. The text says what and where.
#[derive(Debug, Error)]
pub enum JsonError {
    /// They are not UTF-8.
    #[error("not UTF-8 at byte {at}")]
    NotUtf8 {
        /// Where the first wrong byte is.
        at: usize,
    },
    /// They are not JSON, have a duplicate member, a number that no double can hold, or too much nesting.
    #[error("not acceptable as JSON: {0}")]
    Malformed(serde_json::Error),
}

/// Parses one JSON value with nothing after it. Integers from -2^63 to 2^64-1 are exact, other numbers become the
/// nearest double (RFC 8259, section 6); a number too large for one is refused.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|error| JsonError::NotUtf8 { at: error.valid_up_to() })?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Strict { depth_left: DEPTH_MAX }.deserialize(&mut deserializer).map_err(JsonError::Malformed)?;
    deserializer.end().map_err(JsonError::Malformed)?;
    Ok(value)
}

/// How many objects and arrays lie within each other at the deepest place; 0 for a scalar.
#[must_use]
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[derive(Clone, Copy)]
struct Strict {
    depth_left: usize,
}

impl Strict {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1);
        let depth_left = depth_left.ok_or_else(|| E::custom(format_args!("nested deeper than {DEPTH_MAX} levels")))?;
        Ok(Self { depth_left })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(inner)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut members = Map::new();
        while let Some(Key(key)) = access.next_key()? {
            if members.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the member {key:?} appears twice")));
            }
            members.insert(key, access.next_value_seed(inner)?);
        }
        Ok(Value::Object(members))
    }
}

struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn refused(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn ordinary_json_is_what_it_is() {
        let text = r#" {"a": [1, -2, 3.5, true, null, "x\n\u00e9"], "b": {"c": 18446744073709551615}} "#;
        let expected = json!({"a": [1, -2, 3.5, true, null, "x\né"], "b": {"c": u64::MAX}});
        assert_eq!(parse(text.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn a_member_that_appears_twice_is_refused_at_any_depth_and_in_any_notation() {
        assert!(refused(r#"{"a": 1, "a": 1}"#).contains("\"a\" appears twice"));
        assert!(refused(r#"[{"b": {"a": 1, "\u0061": 2}}]"#).contains("appears twice"));
    }

    #[test]
    fn nesting_is_taken_up_to_the_limit_and_a_bomb_is_refused() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(depth(&parse(nested(DEPTH_MAX).as_bytes()).unwrap()), DEPTH_MAX);
        assert!(refused(&nested(DEPTH_MAX + 1)).contains("nested deeper than 32 levels"));
        assert!(refused(&"{\"a\":".repeat(100_000)).contains("nested deeper"));
    }

    #[test]
    fn numbers_too_large_for_a_double_are_refused_and_long_integers_become_doubles() {
        assert!(refused("1e999").contains("out of range"));
        assert!(refused(&"9".repeat(400)).contains("out of range"));
        assert_eq!(parse(b"18446744073709551616").unwrap(), json!(18446744073709551616.0));
        for text in ["NaN", "Infinity", "01", "+1", "1.", ".5", "0x10"] {
            refused(text);
        }
    }

    #[test]
    fn truncated_trailing_and_wrongly_encoded_input_is_refused() {
        for text in
            ["", " ", "{", "{\"a\"", "{\"a\":1", "[1,]", "{\"a\":1,}", "nul", "1 2", "{} x", "\"\u{1}\"", "\"\\ud800\""]
        {
            refused(text);
        }
        assert_eq!(parse(b"\"a\xff\"").unwrap_err().to_string(), "not UTF-8 at byte 2");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn where_the_lenient_parser_refuses_so_does_this_one(text in "[{}\\[\\]:,\"a1e.\\- ]{0,20}") {
            if let Ok(value) = parse(text.as_bytes()) {
                prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
            }
        }
    }
}
