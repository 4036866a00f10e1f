//! What a cut of the power takes, decided by a mode and a seed.
//!
//! Invariant: the same mode, seed and history give the same survivors.

use crate::random::Random;

/// What is written or lost as a whole.
pub const PAGE_BYTES: usize = 4096;

/// How much of what was not durable a cut takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Cut {
    /// All of it.
    Drop,
    /// Each page by itself, and the newest part of the changes of sizes and of directories.
    Mix,
}

/// The dice of one cut.
#[derive(Debug)]
pub struct Fate {
    dice: Option<Random>,
    /// Of 256, how many pages survive.
    kept_of_256: u8,
}

impl Fate {
    /// Nothing that is not durable is kept.
    pub fn drop() -> Self {
        Self { dice: None, kept_of_256: 0 }
    }

    /// As the mode says.
    pub fn new(cut: Cut, seed: u64) -> Self {
        match cut {
            Cut::Drop => Self::drop(),
            Cut::Mix => {
                let mut dice = Random::new(seed);
                // Some cuts lose nearly all and some nearly nothing: different code fails in each.
                let kept_of_256 = dice.pick(&[16, 128, 128, 240]);
                Self { dice: Some(dice), kept_of_256 }
            }
        }
    }

    /// Whether the next page is kept.
    pub fn keeps_page(&mut self) -> bool {
        self.dice.as_mut().is_some_and(|dice| dice.byte() < self.kept_of_256)
    }

    /// How many of `changes` are kept, the oldest first.
    pub fn prefix(&mut self, changes: usize) -> usize {
        self.dice.as_mut().map_or(0, |dice| dice.below(changes + 1))
    }
}
