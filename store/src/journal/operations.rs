//! Changes of the state as they stand in a batch.

use crate::batch::{BATCH_BYTES_MAX, KEY_BYTES_MAX, Operation, VALUE_BYTES_MAX};

/// Bytes of one beside the tree key and the value.
pub(crate) const OPERATION_OVERHEAD_BYTES: usize = 6;

const DELETE: u32 = u32::MAX;

// A section of one batch fits many times over.
const _: () = assert!(BATCH_BYTES_MAX < 1 << 24);

/// A put (`Some`) or delete (`None`) where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OperationAt<'a> {
    pub(crate) tree_key: &'a [u8],
    pub(crate) value: Option<&'a [u8]>,
}

impl<'a> OperationAt<'a> {
    pub(crate) fn of(operation: &'a Operation) -> Self {
        Self { tree_key: &operation.tree_key, value: operation.value.as_deref() }
    }
}

pub(crate) fn encode(operation: &Operation, out: &mut Vec<u8>) {
    let length = operation.value.as_ref().map_or(DELETE, |value| value.len() as u32);
    out.extend_from_slice(&(operation.tree_key.len() as u16).to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&operation.tree_key);
    out.extend_from_slice(operation.value.as_deref().unwrap_or_default());
}

/// All operations of a section, or `None` if it is none.
pub(crate) fn decode(section: &[u8]) -> Option<Vec<OperationAt<'_>>> {
    let mut all = Vec::new();
    let mut rest = section;
    while !rest.is_empty() {
        let (key_len, after) = rest.split_first_chunk::<2>()?;
        let (value_len, after) = after.split_first_chunk::<4>()?;
        let (key_len, value_len) = (usize::from(u16::from_le_bytes(*key_len)), u32::from_le_bytes(*value_len));
        let (tree_key, after) =
            after.split_at_checked(key_len).filter(|_| key_len > 1 && key_len <= KEY_BYTES_MAX + 1)?;
        let value;
        (value, rest) = match value_len as usize {
            _ if value_len == DELETE => (None, after),
            length if length <= VALUE_BYTES_MAX => {
                let (value, after) = after.split_at_checked(length)?;
                (Some(value), after)
            }
            _ => return None,
        };
        all.push(OperationAt { tree_key, value });
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(operations in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 2..40),
             proptest::option::of(proptest::collection::vec(any::<u8>(), 0..100))), 0..10)) {
            let operations: Vec<_> =
                operations.into_iter().map(|(tree_key, value)| Operation { tree_key, value }).collect();
            let mut bytes = Vec::new();
            operations.iter().for_each(|operation| encode(operation, &mut bytes));
            let decoded = decode(&bytes).unwrap();
            prop_assert_eq!(decoded.len(), operations.len());
            for (at, operation) in decoded.iter().zip(&operations) {
                prop_assert_eq!((at.tree_key, at.value), (&operation.tree_key[..], operation.value.as_deref()));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode(&bytes);
        }
    }
}
