//! Metrics as Prometheus' text exposition format 0.0.4. Written by hand because parts count in plain structs and a registry
//! would keep a second copy. Invariant: one HELP and one TYPE line before the samples of a family, label values escaped.

use std::fmt::{self, Write as _};

/// `Content-Type` of what this writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The text of one scrape, growing.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

/// Where the samples of one family go.
#[derive(Debug)]
pub struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

/// The value of a sample.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// Whole.
    Whole(u64),
    /// Any.
    Real(f64),
}

impl Exposition {
    /// A family that only grows; its name ends in `_total`.
    pub fn counter(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, help, "counter")
    }

    /// A family that goes up and down.
    pub fn gauge(&mut self, name: &'static str, help: &str) -> Family<'_> {
        self.family(name, help, "gauge")
    }

    /// The whole text.
    pub fn into_text(self) -> String {
        self.text
    }

    fn family(&mut self, name: &'static str, help: &str, kind: &str) -> Family<'_> {
        debug_assert!(is_name(name), "{name} is no metric name");
        let _ = writeln!(self.text, "# HELP {name} {}", help.replace('\\', "\\\\").replace('\n', "\\n"));
        let _ = writeln!(self.text, "# TYPE {name} {kind}");
        Family { text: &mut self.text, name }
    }
}

impl Family<'_> {
    /// The only sample of a family without labels.
    pub fn value(mut self, value: impl Into<Number>) {
        self.sample(&[], value);
    }

    /// One sample. No two of a family may have the same labels.
    pub fn sample(&mut self, labels: &[(&'static str, &str)], value: impl Into<Number>) -> &mut Self {
        self.text.push_str(self.name);
        for (index, (name, value)) in labels.iter().enumerate() {
            debug_assert!(is_name(name) && !name.contains(':'), "{name} is no label name");
            self.text.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.text, "{name}=\"");
            for character in value.chars() {
                match character {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    other => self.text.push(other),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {}", value.into());
        self
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Whole(value) => value.fmt(f),
            Self::Real(value) if value.is_nan() => f.write_str("NaN"),
            Self::Real(value) if value.is_infinite() => f.write_str(if value > 0.0 { "+Inf" } else { "-Inf" }),
            Self::Real(value) => value.fmt(f),
        }
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Self::Whole(value as u64)
    }
}

impl From<bool> for Number {
    fn from(value: bool) -> Self {
        Self::Whole(u64::from(value))
    }
}

impl From<f64> for Number {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

fn is_name(name: &str) -> bool {
    name.bytes().enumerate().all(|(index, byte)| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'_' | b':' => true,
        b'0'..=b'9' => index > 0,
        _ => false,
    }) && !name.is_empty()
}

#[cfg(test)]
pub mod strict_parser;

#[cfg(test)]
mod tests {
    use super::strict_parser::parse;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn families_are_written_as_the_format_says() {
        let mut exposition = Exposition::default();
        exposition.gauge("selvedge_up", "Whether it\nruns \\ not").value(true);
        exposition
            .counter("selvedge_messages_total", "Messages")
            .sample(&[("qos", "0"), ("way", "in")], 3u64)
            .sample(&[("qos", "1"), ("way", "in")], 4u64);
        exposition.gauge("selvedge_ratio", "Ratio").value(0.25);
        assert_eq!(
            exposition.into_text(),
            "# HELP selvedge_up Whether it\\nruns \\\\ not\n# TYPE selvedge_up gauge\nselvedge_up 1\n\
             # HELP selvedge_messages_total Messages\n# TYPE selvedge_messages_total counter\n\
             selvedge_messages_total{qos=\"0\",way=\"in\"} 3\nselvedge_messages_total{qos=\"1\",way=\"in\"} 4\n\
             # HELP selvedge_ratio Ratio\n# TYPE selvedge_ratio gauge\nselvedge_ratio 0.25\n"
        );
    }

    #[test]
    fn numbers_that_are_none_have_their_names() {
        assert_eq!(Number::Real(f64::NAN).to_string(), "NaN");
        assert_eq!(Number::Real(f64::INFINITY).to_string(), "+Inf");
        assert_eq!(Number::Real(f64::NEG_INFINITY).to_string(), "-Inf");
    }

    proptest! {
        #[test]
        fn any_label_value_survives_a_strict_parser(value in any::<String>(), number in any::<u64>()) {
            let mut exposition = Exposition::default();
            exposition.gauge("x", "help").sample(&[("a", "first"), ("b", &value)], number);
            let families = parse(&exposition.into_text()).unwrap();
            let sample = &families["x"].samples[0];
            prop_assert_eq!(&sample.labels["b"], &value);
            prop_assert_eq!(sample.value, number as f64);
        }
    }
}
