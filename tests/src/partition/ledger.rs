//! What writers tried and what was acknowledged of it, by field.

use std::collections::HashMap;
use std::sync::PoisonError;

use serde_json::Value;

use super::{Shared, Shown};

/// See the module. Each field has one writer, which writes one after the other.
#[derive(Debug, Default, Clone)]
pub struct Ledger(Shared<HashMap<String, Field>>);

#[derive(Debug, Default)]
struct Field {
    /// The last one that was acknowledged.
    acknowledged: Option<Value>,
    /// Those tried after it: each may have been written or not.
    tried: Vec<Value>,
}

impl Ledger {
    /// A write begins.
    pub fn tried(&self, place: &str, value: &Value) {
        self.with(place, |field| field.tried.push(value.clone()));
    }

    /// The write that began last was acknowledged.
    pub fn acknowledged(&self, place: &str) {
        self.with(place, |field| {
            field.acknowledged = field.tried.pop();
            field.tried.clear();
        });
    }

    /// The write that began last was refused: it is not there. `status` is what it was answered with.
    pub fn refused(&self, place: &str, status: u16) {
        // A server's own trouble says nothing about the write.
        if status < 500 {
            self.with(place, |field| drop(field.tried.pop()));
        }
    }

    /// The fields that show neither what was acknowledged last nor something that was tried after it.
    pub fn missing(&self, shown: &Shown) -> Vec<String> {
        let fields = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut missing = Vec::new();
        for (place, field) in &*fields {
            let words: Vec<&str> = place.split(' ').collect();
            let [thing, section, name] = words[..] else { continue };
            let found = shown.get(thing).and_then(|twin| twin[section].get(name)).cloned().unwrap_or(Value::Null);
            let nothing = field.acknowledged.is_none() && found.is_null();
            if !nothing && field.acknowledged.as_ref() != Some(&found) && !field.tried.contains(&found) {
                missing.push(format!("{place} shows {found} and not {:?}", field.acknowledged));
            }
        }
        missing
    }

    fn with(&self, place: &str, act: impl FnOnce(&mut Field)) {
        let mut fields = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(fields.entry(place.to_owned()).or_default());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_acknowledged_write_or_a_later_one_has_to_be_there() {
        let ledger = Ledger::default();
        let shown = |value: Value| Shown::from([("a".to_owned(), json!({"desired": {"f": value}, "reported": {}}))]);
        let is_missing = |value: Value| !ledger.missing(&shown(value)).is_empty();
        ledger.tried("a desired f", &json!(1));
        assert!(!is_missing(json!(1)) && !is_missing(Value::Null) && is_missing(json!(2)));
        ledger.acknowledged("a desired f");
        assert!(!is_missing(json!(1)) && is_missing(Value::Null));
        ledger.tried("a desired f", &Value::Null);
        assert!(!is_missing(json!(1)) && !is_missing(Value::Null) && is_missing(json!(2)));
        ledger.refused("a desired f", 403);
        assert!(is_missing(Value::Null));
        assert!(!ledger.missing(&Shown::new()).is_empty());
    }
}
