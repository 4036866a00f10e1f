//! Answers in the order of asking. The same one many times in a row takes the place of one.

use serde::{Deserialize, Serialize};

/// What a new answer adds beside its own bytes.
const ENTRY_BYTES: usize = 32;

/// Answers to one question: each with how many times in a row it was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Answers<T>(Vec<(T, u32)>);

impl<T> Default for Answers<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: PartialEq> Answers<T> {
    /// Remembers an answer; how many bytes that took, when `bytes` are its own.
    pub(super) fn push(&mut self, answer: T, bytes: usize) -> usize {
        match self.0.last_mut() {
            Some((last, times)) if *last == answer && *times < u32::MAX => {
                *times += 1;
                0
            }
            _ => {
                self.0.push((answer, 1));
                bytes + ENTRY_BYTES
            }
        }
    }

    /// The answer to the question that was asked `asked` times before; the last one for ever.
    pub(super) fn at(&self, asked: u64) -> Option<&T> {
        let mut before = 0;
        let found = self.0.iter().find(|(_, times)| {
            before += u64::from(*times);
            asked < before
        });
        found.or_else(|| self.0.last()).map(|(answer, _)| answer)
    }
}

/// Answers by question, in the order of the questions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Keyed<K, T>(Vec<(K, Answers<T>)>);

impl<K, T> Default for Keyed<K, T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, T: PartialEq> Keyed<K, T> {
    /// Remembers an answer; how many bytes that took, when `key_bytes` and `bytes` are those of question and answer.
    pub(super) fn push(&mut self, key: K, answer: T, (key_bytes, bytes): (usize, usize)) -> usize {
        match self.0.binary_search_by(|(present, _)| present.cmp(&key)) {
            Ok(index) => self.0.get_mut(index).map_or(0, |(_, answers)| answers.push(answer, bytes)),
            Err(index) => {
                let mut answers = Answers::default();
                let added = answers.push(answer, bytes);
                self.0.insert(index, (key, answers));
                added + key_bytes + ENTRY_BYTES
            }
        }
    }

    /// Where the question stands, and its answers.
    pub(super) fn find(&self, key: &K) -> Option<(usize, &Answers<T>)> {
        // A tape that came from outside need not be in order.
        match self.0.binary_search_by(|(present, _)| present.cmp(key)) {
            Ok(index) => self.0.get(index).map(|(_, answers)| (index, answers)),
            Err(_) => {
                let index = self.0.iter().position(|(present, _)| present == key)?;
                self.0.get(index).map(|(_, answers)| (index, answers))
            }
        }
    }
}
