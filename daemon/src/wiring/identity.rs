//! The node's own number and secret: random, made once, kept for ever. Stamps of twins carry the number; of the secret are made
//! answers about users that do not exist; with the signing key it signs its writes to twins for other nodes.

use anyhow::Context;
use selvedge_store::{Batch, Space, Store};
use selvedge_twin::NodeId;

const KEY: &[u8] = b"identity";
const SECRET_KEY: &[u8] = b"access-secret";
const SIGNING_KEY: &[u8] = b"signing-key";

/// The number in `store`; made and made durable when there is none.
///
/// # Errors
/// The store or the system's randomness fails.
pub fn node_id(store: &Store) -> anyhow::Result<NodeId> {
    kept_or_made(store, KEY).context("the node's identity").map(|bytes| NodeId(u64::from_be_bytes(bytes)))
}

/// The secret in `store`; made and made durable when there is none.
///
/// # Errors
/// The store or the system's randomness fails.
pub fn node_secret(store: &Store) -> anyhow::Result<[u8; 32]> {
    kept_or_made(store, SECRET_KEY).context("the node's secret")
}

/// The secret key with which the node signs what it writes to twins, in `store`; made and made durable when there is none.
///
/// # Errors
/// The store or the system's randomness fails.
pub fn signing_secret(store: &Store) -> anyhow::Result<[u8; 32]> {
    kept_or_made(store, SIGNING_KEY).context("the node's signing key")
}

/// Random bytes of this run of the process.
///
/// # Errors
/// The system's randomness fails.
pub fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("random numbers: {error}"))?;
    Ok(bytes)
}

fn kept_or_made<const N: usize>(store: &Store, key: &[u8]) -> anyhow::Result<[u8; N]> {
    let kept = store.get(Space::Node, key).context("read")?;
    if let Some(bytes) = kept.and_then(|bytes| <[u8; N]>::try_from(bytes.as_ref()).ok()) {
        return Ok(bytes);
    }
    let bytes = random::<N>()?;
    let mut batch = Batch::new();
    batch.put(Space::Node, key, &bytes)?;
    store.commit_blocking(batch).context("keep")?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_keeps_its_number_and_two_nodes_have_two() {
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let open = |index: usize| Store::open(directories[index].path(), selvedge_store::Config::default()).unwrap();
        let first = node_id(&open(0)).unwrap();
        let secret = node_secret(&open(0)).unwrap();
        assert_eq!(node_id(&open(0)).unwrap(), first);
        assert_eq!(node_secret(&open(0)).unwrap(), secret);
        assert_ne!(node_id(&open(1)).unwrap(), first);
    }
}
