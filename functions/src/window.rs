//! Collects messages into batches by time and key. Pure: time and messages in, batches out.
//!
//! Tumbling windows follow one another, sliding ones overlap, sessions end when nothing comes for a while. Times are arrivals at the
//! node; tumbling and sliding windows begin at multiples of their step since 1970. Bounded: a window that holds as many messages or
//! bytes as it may closes early, and so does the fullest one when all together do.

use std::collections::{BTreeMap, VecDeque};

use serde::Serialize;

/// How messages become batches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WindowRule {
    /// When a window closes.
    pub kind: WindowKind,
    /// What has a window of its own.
    pub by: WindowBy,
    /// Messages that close a window early.
    pub messages_max: usize,
}

/// When a window closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WindowKind {
    /// After its length; then the next one begins.
    Tumbling {
        /// Length, milliseconds.
        size_ms: i64,
    },
    /// At every step, with what came within the length before.
    Sliding {
        /// Length, milliseconds.
        size_ms: i64,
        /// Step, milliseconds; the length is a multiple of it.
        step_ms: i64,
    },
    /// When nothing came for so long.
    Session {
        /// Milliseconds.
        gap_ms: i64,
    },
}

/// What has a window of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WindowBy {
    /// All messages share one.
    All,
    /// Each topic.
    Topic,
    /// Each value of one level of the topic, counted from 1.
    Level(usize),
    /// Each client.
    Client,
    /// Each value of the user property `key`.
    Key,
}

impl WindowBy {
    /// The key of a message; empty where it has none.
    pub fn key<'a>(&self, topic: &'a str, client: Option<&'a str>, key: Option<&'a str>) -> &'a str {
        match self {
            Self::All => "",
            Self::Topic => topic,
            Self::Level(number) => number.checked_sub(1).and_then(|index| topic.split('/').nth(index)).unwrap_or(""),
            Self::Client => client.unwrap_or(""),
            Self::Key => key.unwrap_or(""),
        }
    }
}

/// Messages that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowBatch<T> {
    /// What they have in common.
    pub key: String,
    /// Beginning of the window, milliseconds since 1970.
    pub from_ms: i64,
    /// Its end.
    pub to_ms: i64,
    /// With the time that each came at, in order.
    pub messages: Vec<(i64, T)>,
    /// How many of them, from the first on, are in no later window.
    pub finished: usize,
}

#[derive(Debug)]
struct Pane<T> {
    /// With the time that each came at, and its bytes.
    messages: VecDeque<(i64, usize, T)>,
    bytes: usize,
    opened_ms: i64,
    closes_ms: i64,
}

/// The open windows of one trigger.
#[derive(Debug)]
pub struct Windows<T> {
    rule: WindowRule,
    bytes_max: usize,
    panes: BTreeMap<String, Pane<T>>,
}

impl<T: Clone> Windows<T> {
    /// No message yet; a window with `bytes_max` closes early.
    pub fn new(rule: WindowRule, bytes_max: usize) -> Self {
        Self { rule, bytes_max, panes: BTreeMap::new() }
    }

    /// How messages become batches.
    pub fn rule(&self) -> &WindowRule {
        &self.rule
    }

    /// Takes a message; gives what had to close early for it.
    pub fn arrive(&mut self, key: &str, now_ms: i64, (bytes, message): (usize, T)) -> Vec<WindowBatch<T>> {
        let mut batches = self.due(now_ms);
        let (closes_ms, opened_ms) = (self.closes(now_ms), now_ms);
        let pane = self.panes.entry(key.to_owned()).or_insert_with(|| Pane {
            messages: VecDeque::new(),
            bytes: 0,
            opened_ms,
            closes_ms,
        });
        if matches!(self.rule.kind, WindowKind::Session { .. }) {
            pane.closes_ms = closes_ms;
        }
        pane.messages.push_back((now_ms, bytes, message));
        pane.bytes = pane.bytes.saturating_add(bytes);
        let is_full = pane.messages.len() >= self.rule.messages_max || pane.bytes >= self.bytes_max;
        if is_full {
            batches.extend(self.close(key, now_ms));
        } else if self.len() >= self.rule.messages_max
            && let Some(fullest) = self.fullest()
        {
            batches.extend(self.close(&fullest, now_ms));
        }
        batches
    }

    /// The batches of windows that have closed by `now_ms`.
    pub fn due(&mut self, now_ms: i64) -> Vec<WindowBatch<T>> {
        let latest = self.closes(now_ms);
        let mut batches = Vec::new();
        for (key, pane) in &mut self.panes {
            // A clock that was set back must not keep a window open for longer than it lasts.
            if pane.closes_ms > latest {
                pane.closes_ms = latest;
                pane.messages.iter_mut().for_each(|(at, ..)| *at = (*at).min(now_ms));
            }
            while pane.closes_ms <= now_ms && !pane.messages.is_empty() {
                batches.push(pane.step(key, self.rule.kind));
            }
        }
        self.panes.retain(|_, pane| !pane.messages.is_empty());
        batches
    }

    /// Closes every window before its time.
    pub fn close_all(&mut self, now_ms: i64) -> Vec<WindowBatch<T>> {
        let keys: Vec<String> = self.panes.keys().cloned().collect();
        keys.iter().filter_map(|key| self.close(key, now_ms)).collect()
    }

    /// When the next window closes.
    pub fn next(&self) -> Option<i64> {
        self.panes.values().map(|pane| pane.closes_ms).min()
    }

    /// Messages in open windows.
    pub fn len(&self) -> usize {
        self.panes.values().map(|pane| pane.messages.len()).sum()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.panes.is_empty()
    }

    /// When a window closes that a message comes to at `now_ms`.
    fn closes(&self, now_ms: i64) -> i64 {
        let after = |step_ms: i64| now_ms.saturating_sub(now_ms.rem_euclid(step_ms)).saturating_add(step_ms);
        match self.rule.kind {
            WindowKind::Tumbling { size_ms } => after(size_ms.max(1)),
            WindowKind::Sliding { step_ms, .. } => after(step_ms.max(1)),
            WindowKind::Session { gap_ms } => now_ms.saturating_add(gap_ms.max(1)),
        }
    }

    fn fullest(&self) -> Option<String> {
        self.panes.iter().max_by_key(|(_, pane)| pane.messages.len()).map(|(key, _)| key.clone())
    }

    /// Closes a window before its time, for good.
    fn close(&mut self, key: &str, now_ms: i64) -> Option<WindowBatch<T>> {
        let pane = self.panes.remove(key)?;
        let messages: Vec<(i64, T)> = pane.messages.into_iter().map(|(at, _, message)| (at, message)).collect();
        let finished = messages.len();
        Some(WindowBatch { key: key.to_owned(), from_ms: pane.opened_ms, to_ms: now_ms, messages, finished })
    }
}

impl<T: Clone> Pane<T> {
    /// The batch of the window that closes next; what no later window needs is gone after it.
    fn step(&mut self, key: &str, kind: WindowKind) -> WindowBatch<T> {
        let to_ms = self.closes_ms;
        let (from_ms, keep_from_ms, next_ms) = match kind {
            WindowKind::Tumbling { size_ms } => (to_ms - size_ms, to_ms, to_ms + size_ms),
            WindowKind::Sliding { size_ms, step_ms } => (to_ms - size_ms, to_ms + step_ms - size_ms, to_ms + step_ms),
            WindowKind::Session { .. } => (self.opened_ms, i64::MAX, i64::MAX),
        };
        let messages = self.messages.iter().map(|(at, _, message)| (*at, message.clone())).collect();
        let mut finished = 0;
        while self.messages.front().is_some_and(|(at, ..)| *at < keep_from_ms) {
            if let Some((_, bytes, _)) = self.messages.pop_front() {
                self.bytes = self.bytes.saturating_sub(bytes);
                finished += 1;
            }
        }
        self.closes_ms = next_ms;
        WindowBatch { key: key.to_owned(), from_ms, to_ms, messages, finished }
    }
}

#[cfg(test)]
mod tests;
