//! Randomness from a seed (splitmix64), so that a run can be repeated.

use serde_json::{Value, json};

pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below an end that is not zero.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    pub fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// JSON without fractions.
    pub fn json(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 5 } else { 7 }) {
            0 => Value::Null,
            1 => json!(self.next().is_multiple_of(2)),
            2 => json!(self.next()),
            3 => json!(self.next().cast_signed() >> self.below(64)),
            4 => json!(self.text()),
            5 => (0..self.below(4)).map(|_| self.json(depth - 1)).collect(),
            _ => (0..self.below(4))
                .map(|_| (self.text(), self.json(depth - 1)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    fn text(&mut self) -> String {
        const CHARACTERS: [char; 14] =
            ['a', 'B', '_', '"', '\\', '/', '\n', '\0', '\u{7f}', 'é', '\u{2028}', '\u{e000}', '\u{ffff}', '😀'];
        (0..self.below(5)).map(|_| *self.pick(&CHARACTERS)).collect()
    }
}
