//! What a sensor sent, as degrees Celsius.

use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Celsius,
    Fahrenheit,
    Kelvin,
}

impl Unit {
    pub fn from_symbol(symbol: &str) -> Option<Unit> {
        match symbol.trim().trim_start_matches('°') {
            "C" | "c" => Some(Unit::Celsius),
            "F" | "f" => Some(Unit::Fahrenheit),
            "K" | "k" => Some(Unit::Kelvin),
            _ => None,
        }
    }

    fn to_celsius(self, value: f64) -> f64 {
        match self {
            Unit::Celsius => value,
            Unit::Fahrenheit => (value - 32.0) / 1.8,
            Unit::Kelvin => value - 273.15,
        }
    }
}

/// Reads `71.3` or `{"value": 71.3, "unit": "F"}`; without a unit the number is in `default_unit`. Rounded to
/// hundredths of a degree. The error says what is wrong, for the log of whoever sent it.
pub fn celsius(payload: &[u8], default_unit: Unit) -> Result<f64, &'static str> {
    let reading: Value = serde_json::from_slice(payload).map_err(|_| "the payload is neither a number nor JSON")?;
    let (value, unit) = match &reading {
        Value::Number(_) => (reading.as_f64(), default_unit),
        Value::Object(fields) => {
            let unit = match fields.get("unit") {
                None => default_unit,
                Some(unit) => unit.as_str().and_then(Unit::from_symbol).ok_or("the unit is not C, F or K")?,
            };
            (fields.get("value").and_then(Value::as_f64), unit)
        }
        _ => (None, default_unit),
    };
    let celsius = unit.to_celsius(value.ok_or("the payload has no number as its value")?);
    if !(-273.15..=10_000.0).contains(&celsius) {
        return Err("the temperature is not between absolute zero and 10,000 °C");
    }
    Ok((celsius * 100.0).round() / 100.0)
}

#[cfg(test)]
mod tests {
    use super::{Unit, celsius};

    #[test]
    fn every_unit_becomes_celsius() {
        for (payload, expected) in [
            (r#"{"value": 71.3, "unit": "F"}"#, 21.83),
            (r#"{"value": 0, "unit": "K"}"#, -273.15),
            (r#"{"value": 21.5, "unit": "°C"}"#, 21.5),
            (r#"{"value": 21.5}"#, 21.5),
            (" -4 ", -4.0),
        ] {
            assert_eq!(celsius(payload.as_bytes(), Unit::Celsius), Ok(expected), "{payload}");
        }
        assert_eq!(celsius(b"212", Unit::Fahrenheit), Ok(100.0));
    }

    #[test]
    fn what_is_no_temperature_is_refused() {
        for payload in
            ["", "warm", "[1]", "null", "{}", r#"{"value": "1"}"#, r#"{"value": 1, "unit": "X"}"#, "-273.16", "1e9"]
        {
            assert!(celsius(payload.as_bytes(), Unit::Celsius).is_err(), "{payload}");
        }
    }
}
