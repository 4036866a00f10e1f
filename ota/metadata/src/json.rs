//! JSON as it is signed: read so that it has one meaning, written so that it has one form (OLPC canonical JSON).
//!
//! Canonical: keys in order of their bytes, no white space, only `"` and `\` escaped, whole numbers only. What a signature
//! covers is this form of what was read, so what could be read in two ways (a key that appears twice, a fraction) is refused.
//! Depth is bounded by the parser (128), and so is how many values a document has: each takes far more memory than the two
//! bytes that it may have in the file.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use thiserror::Error;

/// Most values in a document. Metadata has about 25 bytes a value, so that the largest targets file has some 40,000.
const VALUES_MAX: u32 = 131_072;

/// Why bytes are not JSON that can be signed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum JsonError {
    /// Not UTF-8 from this byte on.
    #[error("byte {0} is not UTF-8 text")]
    NotText(usize),
    /// Not JSON, or JSON of two meanings: a key twice, a fraction.
    #[error("{0}")]
    Syntax(String),
}

/// Why a value has no canonical form.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CanonicalError {
    /// A number that is not whole, or beyond 64 bits.
    #[error("{0} cannot be signed; only whole numbers of 64 bits can, write it as a text")]
    Fraction(String),
}

/// Reads one document.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, JsonError> {
    let text = std::str::from_utf8(bytes).map_err(|error| JsonError::NotText(error.valid_up_to()))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let left = Cell::new(VALUES_MAX);
    let value = OneMeaning { left: &left }
        .deserialize(&mut deserializer)
        .map_err(|error| JsonError::Syntax(error.to_string()))?;
    deserializer.end().map_err(|error| JsonError::Syntax(error.to_string()))?;
    Ok(value)
}

/// The canonical form of a value: what is signed and what a key id is the hash of.
///
/// # Errors
/// If it contains a number that is not whole.
pub fn canonical(value: &Value) -> Result<Vec<u8>, CanonicalError> {
    let mut out = Vec::new();
    write(value, &mut out)?;
    Ok(out)
}

fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::Number(number) => return Err(CanonicalError::Fraction(number.to_string())),
        Value::String(text) => write_text(text, out),
        Value::Array(items) => {
            out.push(b'[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write(item, out)?;
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(key, _)| key.as_bytes());
            out.push(b'{');
            for (position, (key, item)) in members.into_iter().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_text(key, out);
                out.push(b':');
                write(item, out)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text.as_bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Builds a [`Value`], refusing what has two meanings.
#[derive(Clone, Copy)]
struct OneMeaning<'a> {
    /// How many values may still come.
    left: &'a Cell<u32>,
}

impl<'de> DeserializeSeed<'de> for OneMeaning<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => return Err(D::Error::custom(format_args!("there are more than {VALUES_MAX} values in it"))),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OneMeaning<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(Number::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(Number::from(value)))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Err(E::custom(format_args!("the number {value:?} is not a whole number of 64 bits")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut all = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if all.contains_key(&key) {
                return Err(A::Error::custom(format_args!("the key {key:?} appears twice")));
            }
            let value = members.next_value_seed(self)?;
            all.insert(key, value);
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical_text(input: &str) -> String {
        String::from_utf8(canonical(&parse(input.as_bytes()).unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn the_canonical_form_has_sorted_keys_no_space_and_only_two_escapes() {
        assert_eq!(
            canonical_text(r#" { "b" : [ 1 , -2, true, null ], "a\"" : "\\ \u000a é" } "#),
            "{\"a\\\"\":\"\\\\ \n é\",\"b\":[1,-2,true,null]}"
        );
        assert_eq!(
            canonical_text(r#"{"aa":1,"a":2,"B":3,"é":4,"\ud83d\ude00":5}"#),
            "{\"B\":3,\"a\":2,\"aa\":1,\"é\":4,\"😀\":5}"
        );
        assert_eq!(
            canonical_text("[18446744073709551615,-9223372036854775808]"),
            "[18446744073709551615,-9223372036854775808]"
        );
    }

    #[test]
    fn json_with_two_meanings_is_refused() {
        for (input, part) in [
            (r#"{"a":1,"a":1}"#, "the key \"a\" appears twice"),
            (r#"{"a":1,"\u0061":2}"#, "the key \"a\" appears twice"),
            (r#"{"x":{"a":1,"a":2}}"#, "the key \"a\" appears twice"),
            ("1.0", "the number 1.0 is not a whole number"),
            ("1e3", "is not a whole number"),
            ("-0", "is not a whole number"),
            ("18446744073709551616", "is not a whole number"),
            ("{} {}", "trailing characters"),
            ("{\"a\":\"\\ud800\"}", "unexpected end of hex escape"),
            ("", "EOF"),
            ("NaN", "expected value"),
        ] {
            let problem = parse(input.as_bytes()).unwrap_err().to_string();
            assert!(problem.contains(part), "{input}: {problem}");
        }
        assert_eq!(parse(b"\"\xff\"").unwrap_err().to_string(), "byte 1 is not UTF-8 text");
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(100).as_bytes()).is_ok());
        assert!(parse(nested(128).as_bytes()).unwrap_err().to_string().contains("recursion limit"));
    }

    #[test]
    fn the_number_of_values_is_bounded() {
        let list = |values: u32| format!("[{}1]", "1,".repeat(values as usize - 2));
        assert!(parse(list(VALUES_MAX).as_bytes()).is_ok());
        let problem = parse(list(VALUES_MAX + 1).as_bytes()).unwrap_err().to_string();
        assert!(problem.starts_with("there are more than 131072 values in it"), "{problem}");
    }

    #[test]
    fn a_fraction_has_no_canonical_form() {
        let value = serde_json::json!({ "a": 1.5 });
        assert_eq!(
            canonical(&value).unwrap_err().to_string(),
            "1.5 cannot be signed; only whole numbers of 64 bits can, write it as a text"
        );
    }

    proptest! {
        #[test]
        fn an_ordinary_writer_does_not_change_the_canonical_form(text in ".{0,20}", key in ".{0,8}", number: i64) {
            let value = serde_json::json!({ "k": text, key: [number, { "z": 1, "a": text }] });
            let first = canonical(&value).unwrap();
            prop_assert_eq!(&canonical(&parse(&serde_json::to_vec(&value).unwrap()).unwrap()).unwrap(), &first);
            prop_assert_eq!(&canonical(&parse(&serde_json::to_vec_pretty(&value).unwrap()).unwrap()).unwrap(), &first);
        }
    }
}
