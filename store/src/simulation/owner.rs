//! An owner of records, as small as one can be: it knows who holds which message, and makes that again from what is
//! replayed. Its records say what happened, or are parts of an image of all it knows.

use std::collections::BTreeMap;

use super::model::ReplayedEntry;

const CHANGE: u8 = 1;
const IMAGE_BEGIN: u8 = 2;
const IMAGE_PART: u8 = 3;
const IMAGE_END: u8 = 4;

/// Messages and how many hold each.
pub(super) type Holds = BTreeMap<u64, u32>;

/// The bytes of a message, different for each number.
pub(super) fn message(number: u64) -> Vec<u8> {
    let length = [0, 3, 40, 300, 1_500][(number % 5) as usize];
    (0..length).map(|index: u64| (number.wrapping_mul(31).wrapping_add(index * 7) >> (index % 3)) as u8).collect()
}

pub(super) fn change(holds: &[(u64, i32)]) -> Vec<u8> {
    let mut record = vec![CHANGE];
    record.extend_from_slice(&(holds.len() as u32).to_le_bytes());
    for (number, difference) in holds {
        record.extend_from_slice(&number.to_le_bytes());
        record.extend_from_slice(&difference.to_le_bytes());
    }
    record
}

pub(super) fn apply_change(holds: &mut Holds, changes: &[(u64, i32)]) {
    for (number, difference) in changes {
        let count = holds.entry(*number).or_default();
        *count = count.saturating_add_signed(*difference);
    }
    holds.retain(|_, count| *count > 0);
}

/// The records of an image, each for an entry of its own.
pub(super) fn image(holds: &Holds, parts: usize) -> Vec<Vec<u8>> {
    let all: Vec<(u64, u32)> = holds.iter().map(|(number, count)| (*number, *count)).collect();
    let mut records = vec![vec![IMAGE_BEGIN]];
    for part in all.chunks(all.len().div_ceil(parts).max(1)) {
        let mut record = vec![IMAGE_PART];
        for (number, count) in part {
            record.extend_from_slice(&number.to_le_bytes());
            record.extend_from_slice(&count.to_le_bytes());
        }
        records.push(record);
    }
    records.push(vec![IMAGE_END]);
    records
}

/// What an owner makes of a replay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    /// `None`: the beginning is missing and no whole image came yet.
    holds: Option<Holds>,
    image: Option<Image>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Image {
    holds: Holds,
    /// What happened since it began.
    changes: Vec<(u64, i32)>,
}

impl Owner {
    /// An owner that is going to see all its records, or only from some of them on.
    pub(super) fn new(sees_all: bool) -> Self {
        Self { holds: sees_all.then(Holds::new), image: None }
    }

    /// What an owner makes of what was replayed.
    pub(super) fn after(sees_all: bool, replayed: &[ReplayedEntry]) -> Result<Self, String> {
        let mut owner = Self::new(sees_all);
        for (sequence, _, records, first_message, messages) in replayed {
            for (number, range) in (*first_message..).zip(messages) {
                if records[range.start as usize..range.end as usize] != message(number)[..] {
                    return Err(format!("message {number} in batch {sequence} has wrong bytes"));
                }
            }
            owner.take(records)?;
        }
        Ok(owner)
    }

    pub(super) fn holds(&self) -> Option<&Holds> {
        self.holds.as_ref()
    }

    pub(super) fn take(&mut self, records: &[u8]) -> Result<(), String> {
        let (kind, rest) = records.split_first().ok_or("an empty record")?;
        match *kind {
            CHANGE => {
                let count = u32::from_le_bytes(rest[..4].try_into().map_err(|_| "a short record")?) as usize;
                let changes: Vec<(u64, i32)> = rest[4..].chunks_exact(12).take(count).map(pair).collect();
                if let Some(holds) = &mut self.holds {
                    apply_change(holds, &changes);
                }
                if let Some(image) = &mut self.image {
                    image.changes.extend(changes);
                }
            }
            IMAGE_BEGIN => self.image = Some(Image::default()),
            IMAGE_PART => {
                if let Some(image) = &mut self.image {
                    image.holds.extend(rest.chunks_exact(12).map(pair).map(|(number, count)| (number, count as u32)));
                }
            }
            IMAGE_END => {
                if let Some(mut image) = self.image.take() {
                    apply_change(&mut image.holds, &image.changes);
                    if self.holds.as_ref().is_some_and(|holds| *holds != image.holds) {
                        return Err("an image that is not what happened before it".to_owned());
                    }
                    self.holds = Some(image.holds);
                }
            }
            _ => return Err("a record that nobody wrote".to_owned()),
        }
        Ok(())
    }
}

fn pair(bytes: &[u8]) -> (u64, i32) {
    let number = bytes[..8].try_into().map_or(0, u64::from_le_bytes);
    (number, bytes[8..].try_into().map_or(0, i32::from_le_bytes))
}
