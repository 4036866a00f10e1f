//! Keeps the last log lines of a function and hands new ones to followers.
//!
//! Not the node's log. Bounded: the ring by its length, a line by its bytes, followers by their number. A follower is called
//! with the ring locked, so it must only pass the line on.

use std::collections::VecDeque;
use std::ops::ControlFlow;

use parking_lot::Mutex;
use serde::Serialize;

/// Severity, as in `wasi:logging`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Finest.
    Trace,
    /// For authors.
    Debug,
    /// Ordinary.
    Info,
    /// Abnormal, handled.
    Warn,
    /// Failed.
    Error,
    /// Cannot go on.
    Critical,
}

/// One line of a function's log, or the runtime's word about one of its invocations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogLine {
    /// Counts up from 1 per function since the node started; a gap means that lines fell out of the ring.
    pub number: u64,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// Severity.
    pub level: LogLevel,
    /// Which run wrote it; empty for deploy and load.
    pub invocation_id: String,
    /// The `context` argument of the guest's call; `stdout`, `stderr`, or `runtime`.
    pub context: String,
    /// The text, cut at `Config::log_line_bytes_max`.
    pub text: String,
}

/// Takes new lines; `Break` ends the subscription. Called with the ring locked: pass the line on, nothing more.
pub type LogSink = Box<dyn FnMut(&LogLine) -> ControlFlow<()> + Send>;

/// Followers per function.
const SINKS_MAX: usize = 16;

#[derive(Default)]
struct Ring {
    lines: VecDeque<LogLine>,
    last_number: u64,
    sinks: Vec<LogSink>,
}

/// The ring of one function.
pub(crate) struct LogRing {
    ring: Mutex<Ring>,
    lines_kept: usize,
    line_bytes_max: usize,
}

impl LogRing {
    pub(crate) fn new(lines_kept: usize, line_bytes_max: usize) -> Self {
        Self { ring: Mutex::default(), lines_kept, line_bytes_max }
    }

    pub(crate) fn push(&self, at_ms: u64, level: LogLevel, invocation_id: &str, context: &str, text: &str) {
        let mut ring = self.ring.lock();
        ring.last_number += 1;
        let line = LogLine {
            number: ring.last_number,
            at_ms,
            level,
            invocation_id: invocation_id.to_owned(),
            context: printable(cut(context, 64)),
            text: printable(cut(text, self.line_bytes_max)),
        };
        ring.sinks.retain_mut(|sink| sink(&line).is_continue());
        if ring.lines.len() >= self.lines_kept {
            ring.lines.pop_front();
        }
        if self.lines_kept > 0 {
            ring.lines.push_back(line);
        }
    }

    /// The lines kept; with `sink`, every later line goes there too, none missing in between. A 17th follower replaces the
    /// first.
    pub(crate) fn subscribe(&self, sink: Option<LogSink>) -> Vec<LogLine> {
        let mut ring = self.ring.lock();
        if let Some(sink) = sink {
            if ring.sinks.len() >= SINKS_MAX {
                drop(ring.sinks.remove(0));
            }
            ring.sinks.push(sink);
        }
        ring.lines.iter().cloned().collect()
    }
}

/// Control characters escaped, so that a guest can neither forge lines nor drive the terminal that shows them.
fn printable(text: &str) -> String {
    let is_unsafe = |character: char| character.is_control() && character != '\t';
    if !text.contains(is_unsafe) {
        return text.to_owned();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unsafe(character) {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// The longest prefix of at most `bytes_max` bytes that ends between characters.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let end = (0..=bytes_max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn the_ring_keeps_the_last_lines_and_their_numbers() {
        let ring = LogRing::new(2, 100);
        for text in ["a", "b", "c"] {
            ring.push(1, LogLevel::Info, "x-1", "", text);
        }
        let lines = ring.subscribe(None);
        assert_eq!(
            lines.iter().map(|line| (line.number, line.text.as_str())).collect::<Vec<_>>(),
            [(2, "b"), (3, "c")]
        );
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let ring = LogRing::new(2, 4);
        ring.push(1, LogLevel::Info, "", "", "aééé");
        assert_eq!(ring.subscribe(None)[0].text, "aé");
    }

    #[test]
    fn control_characters_are_escaped() {
        let ring = LogRing::new(2, 100);
        ring.push(1, LogLevel::Info, "", "", "a\nb\u{1b}[2J\tc");
        assert_eq!(ring.subscribe(None)[0].text, "a\\nb\\u{1b}[2J\tc");
    }

    #[test]
    fn a_follower_gets_new_lines_until_it_says_stop() {
        let ring = LogRing::new(8, 100);
        ring.push(1, LogLevel::Info, "", "", "before");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink_seen = seen.clone();
        let kept = ring.subscribe(Some(Box::new(move |line| {
            sink_seen.lock().push(line.text.clone());
            if line.text == "stop" { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })));
        for text in ["one", "stop", "late"] {
            ring.push(1, LogLevel::Info, "", "", text);
        }
        assert_eq!(kept.len(), 1);
        assert_eq!(*seen.lock(), ["one", "stop"]);
    }

    #[test]
    fn a_seventeenth_follower_replaces_the_first() {
        let ring = LogRing::new(1, 100);
        let seen = Arc::new(Mutex::new(Vec::new()));
        for follower in 0..=SINKS_MAX {
            let seen = seen.clone();
            ring.subscribe(Some(Box::new(move |_| {
                seen.lock().push(follower);
                ControlFlow::Continue(())
            })));
        }
        ring.push(1, LogLevel::Info, "", "", "x");
        assert_eq!(*seen.lock(), (1..=SINKS_MAX).collect::<Vec<_>>());
    }
}
