//! What is wanted of a segment that is damaged, told without reading it in turn: every message that is found in it is
//! tried by itself, and the whole state is written again, because nobody can say which of its puts stood there.

use std::ops::Bound;

use super::copy::Found;
use crate::load::Loader;
use crate::record;
use crate::shared::Shared;

pub(super) struct Salvage {
    segment: u64,
    /// Messages that are still to be tried.
    numbers: Vec<u64>,
    /// How far the state is written again; `None` when all of it is.
    state: Option<Bound<Vec<u8>>>,
}

impl Salvage {
    pub(super) fn begin(segment: u64, shared: &Shared) -> Self {
        let mut numbers = shared.intake.with(|front| front.index.numbers());
        numbers.retain(|number| is_in(segment, *number, shared).is_some());
        numbers.reverse();
        Self { segment, numbers, state: Some(Bound::Unbounded) }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.numbers.is_empty() && self.state.is_none()
    }

    /// Takes a little of what is wanted. `Err`: the state, or a message, cannot be read now.
    pub(super) fn step(&mut self, shared: &Shared, found: &mut Found) -> Result<(), String> {
        let mut loader = Loader::new(shared);
        while !found.is_full()
            && let Some(number) = self.numbers.pop()
        {
            let Some(from) = is_in(self.segment, number, shared) else { continue };
            match loader.load(number) {
                Ok(Some(message)) => found.take_message(number, from, message),
                Err(unreadable) => {
                    self.numbers.push(number);
                    return Err(format!("reading message {number}: {}", unreadable.source));
                }
                Ok(None) => {
                    tracing::error!(number, segment = self.segment, "a message that is held is lost");
                    shared.intake.with(|front| front.message_lost(number));
                }
            }
        }
        while !found.is_full()
            && let Some(position) = &self.state
        {
            let next = shared.state.next_key(position.as_ref().map(Vec::as_slice))?;
            if let Some(tree_key) = next.as_ref().filter(|tree_key| record::space_of(tree_key).is_some())
                && let Ok(Some(value)) = shared.state.read(tree_key)
            {
                found.take_put(tree_key, &value);
            }
            self.state = next.map(Bound::Excluded);
        }
        Ok(())
    }
}

/// Where the message is, if it is in the segment.
fn is_in(segment: u64, number: u64, shared: &Shared) -> Option<crate::index::Position> {
    let position = shared.intake.with(|front| front.index.position(number));
    position.filter(|position| u64::from(position.segment) == segment)
}
