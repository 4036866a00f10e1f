//! Messages that were taken from a segment which is going to be removed and written again under their numbers.

use super::locator::{LOCATOR_BYTES, Locator};

/// Bytes of one beside the message itself.
pub(crate) const MOVED_OVERHEAD_BYTES: usize = 8 + LOCATOR_BYTES;

/// A message in the section, with the offset of its locator in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct MovedAt<'a> {
    pub(crate) number: u64,
    pub(crate) locator_at: usize,
    pub(crate) message: &'a [u8],
}

pub(crate) fn encode(number: u64, message: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_le_bytes());
    Locator::of(number, message, LOCATOR_BYTES as u32).encode(out);
    out.extend_from_slice(message);
}

/// All messages of a section, or `None` if it is none. Their checksums are the batch's concern.
pub(crate) fn decode(section: &[u8]) -> Option<Vec<MovedAt<'_>>> {
    let mut all = Vec::new();
    let mut at = 0;
    while at < section.len() {
        let (number, rest) = section[at..].split_first_chunk::<8>()?;
        let locator = Locator::decode(rest)?;
        let end = (locator.length as usize).checked_add(LOCATOR_BYTES)?;
        let message = rest.get(LOCATOR_BYTES..end).filter(|_| locator.distance as usize == LOCATOR_BYTES)?;
        all.push(MovedAt { number: u64::from_le_bytes(*number), locator_at: at + 8, message });
        at += 8 + end;
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(messages in proptest::collection::vec(
            (any::<u64>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..10)) {
            let mut bytes = Vec::new();
            messages.iter().for_each(|(number, message)| encode(*number, message, &mut bytes));
            let overhead = messages.len() * MOVED_OVERHEAD_BYTES;
            prop_assert_eq!(bytes.len(), overhead + messages.iter().map(|(_, message)| message.len()).sum::<usize>());
            let decoded = decode(&bytes).unwrap();
            prop_assert_eq!(decoded.len(), messages.len());
            for (moved, (number, message)) in decoded.iter().zip(&messages) {
                prop_assert_eq!((moved.number, moved.message), (*number, &message[..]));
                let locator = Locator::decode(&bytes[moved.locator_at..]).unwrap();
                prop_assert!(locator.fits(*number, message));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode(&bytes);
        }
    }
}
