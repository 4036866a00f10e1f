//! A small blocking MQTT client, both versions: `selvedge pub` and `selvedge sub` for people and scripts, and the node's way to
//! the broker over which nodes exchange twins.
//!
//! Not a library: one connection, one thread, `poll` for waiting. `session` decides (packet identifiers,
//! QoS 1 and 2 both ways) without I/O; `link` has the socket; `publish` and `subscribe` are the commands.

pub mod connect_options;
pub mod encryption;
pub mod format;
pub mod json;
pub mod link;
pub mod payload_source;
pub mod properties;
pub mod publish;
pub mod session;
pub mod subscribe;
pub mod time_text;

#[cfg(test)]
mod tests;

/// For names that nobody else has.
pub fn random_u64() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("random numbers: {error}"))?;
    Ok(u64::from_le_bytes(bytes) | 1)
}
