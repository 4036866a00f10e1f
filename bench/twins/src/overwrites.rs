//! How large a replica is after 1,000 fields were written 100 times each.

use crate::contender::{Contender, Write};
use crate::heap;

pub const KEYS: usize = 1_000;
const TIMES: usize = 100;

/// Sizes in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub name: &'static str,
    /// Allocated by the replica that wrote.
    pub memory: usize,
    /// What a restarted program reads.
    pub saved: usize,
}

/// Writes in transactions of `batch`.
pub fn measure<C: Contender>(batch: usize) -> Sizes {
    let names: Vec<String> = (0..KEYS).map(|field| format!("field-{field:04}")).collect();
    let before = heap::in_use();
    let mut replica = C::new(0);
    for round in 0..TIMES {
        let value = |field: usize| ((round * 7_919 + field * 104_729) % 10_000) as i64;
        let writes: Vec<Write<'_>> =
            names.iter().enumerate().map(|(field, name)| Write { name, value: value(field) }).collect();
        writes.chunks(batch).for_each(|writes| replica.write(writes));
    }
    let memory = heap::in_use().saturating_sub(before);
    let saved = replica.save().len();
    assert_eq!(replica.read().len(), KEYS);
    Sizes { name: C::NAME, memory, saved }
}
