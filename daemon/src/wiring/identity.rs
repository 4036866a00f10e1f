//! The node's own number: random, made once, kept for ever. Stamps of twins carry it.

use anyhow::Context;
use selvedge_store::{Batch, Space, Store};
use selvedge_twin::NodeId;

const KEY: &[u8] = b"identity";

/// The number in `store`; made and made durable when there is none.
///
/// # Errors
/// The store or the system's randomness fails.
pub fn node_id(store: &Store) -> anyhow::Result<NodeId> {
    let kept = store.get(Space::Node, KEY).context("read the node's identity")?;
    if let Some(bytes) = kept.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()) {
        return Ok(NodeId(u64::from_be_bytes(bytes)));
    }
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("random numbers: {error}"))?;
    let mut batch = Batch::new();
    batch.put(Space::Node, KEY, &bytes)?;
    store.commit_blocking(batch).context("keep the node's identity")?;
    Ok(NodeId(u64::from_be_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_its_number_and_two_nodes_have_two() {
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let open = |index: usize| Store::open(directories[index].path(), selvedge_store::Config::default()).unwrap();
        let first = node_id(&open(0)).unwrap();
        assert_eq!(node_id(&open(0)).unwrap(), first);
        assert_ne!(node_id(&open(1)).unwrap(), first);
    }
}
