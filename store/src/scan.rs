//! Reading keys in order. A scan is no snapshot: each value is whole and was current when the scan reached it,
//! and what commits meanwhile may or may not be seen.

use std::ops::Bound;
use std::sync::Arc;

use crate::batch::{Space, tree_key};
use crate::shared::Shared;
use crate::state::ReadError;

/// Keys with a prefix and their values, ascending, at most as many as were asked for. Ends after a
/// [`ReadError::Failed`]; goes on after a [`ReadError::Corrupt`].
pub struct Scan {
    shared: Arc<Shared>,
    space: Space,
    tree_prefix: Vec<u8>,
    /// Where the next key is looked for; `None` when the scan is over.
    position: Option<Bound<Vec<u8>>>,
    left: usize,
}

impl Scan {
    pub(crate) fn new(shared: Arc<Shared>, space: Space, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Self {
        let tree_prefix = tree_key(space, prefix);
        let start = match after.map(|after| tree_key(space, after)) {
            Some(after) if after >= tree_prefix => Bound::Excluded(after),
            _ => Bound::Included(tree_prefix.clone()),
        };
        Self { shared, space, tree_prefix, position: Some(start), left: limit }
    }

    /// The next key that belongs to this scan, without its space byte.
    fn next_key(&mut self) -> Result<Option<Vec<u8>>, ReadError> {
        let Some(position) = self.position.take() else { return Ok(None) };
        let start = position.as_ref().map(Vec::as_slice);
        let found = self.shared.state.next_key(start).map_err(|cause| {
            let (Bound::Included(at) | Bound::Excluded(at)) = &position else { unreachable!("a scan has a position") };
            ReadError::Failed { space: self.space, key: at[1..].to_vec(), cause }
        })?;
        let Some(tree_key) = found.filter(|key| key.starts_with(&self.tree_prefix)) else { return Ok(None) };
        self.position = Some(Bound::Excluded(tree_key.to_vec()));
        Ok(Some(tree_key[1..].to_vec()))
    }
}

impl Iterator for Scan {
    type Item = Result<(Vec<u8>, Vec<u8>), ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.left > 0 {
            let key = match self.next_key() {
                Ok(found) => found?,
                Err(error) => return Some(Err(error)),
            };
            match self.shared.state.get(self.space, &key, &self.shared.counters) {
                Ok(Some(value)) => {
                    self.left -= 1;
                    return Some(Ok((key, value)));
                }
                // Deleted since its key was seen.
                Ok(None) => {}
                Err(error) => {
                    self.left -= 1;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}
