//! Tests of the whole process: the real binary with real third-party clients and raw sockets.

mod access;
mod client_checks;
mod client_matrix;
mod command_line;
mod configuration;
mod every_client_together;
mod function_calls;
mod function_failures;
mod function_intercepts;
mod function_pipelines;
mod function_trials;
mod function_versions;
mod functions;
mod logins;
mod net;
mod node_life;
mod ota;
mod ota_publisher;
mod probes;
mod store;
mod tls;
mod twins;
mod twins_between_nodes;
mod websocket_frames;

use anyhow::ensure;

/// Waits until `condition` holds.
///
/// # Errors
/// It does not within the patience of all tests, or cannot be asked.
fn eventually(mut condition: impl FnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = std::time::Instant::now() + selvedge_tests::PATIENCE;
    while !condition()? {
        ensure!(std::time::Instant::now() < deadline, "it does not happen");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    Ok(())
}
