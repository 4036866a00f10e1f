//! The harness of the whole-process tests: real nodes, real third-party clients, raw sockets.
//!
//! It is not a test itself and knows no internals of the product: it starts the binary that was built and reads what
//! that prints. Invariant: nothing waits without a deadline, and no process outlives the value that started it.
//!
//! With `SELVEDGE_TEST_BROKER=mosquitto` the client tests run against Debian's mosquitto instead of the product: a test
//! that fails there as well is more likely wrong than the product is. Known there: mosquitto 2.0.11 sends an MQTT 5
//! client whose session is taken over no DISCONNECT.

pub mod broker;
pub mod child;
pub mod client;
pub mod client_packet;
pub mod crash;
pub mod flood;
pub mod function_scale;
pub mod function_trials;
pub mod http;
pub mod installed;
pub mod mosquitto;
pub mod node;
pub mod ota;
pub mod partition;
pub mod peer;
pub mod random;
pub mod raw_mqtt;
pub mod raw_websocket;
pub mod scram;
pub mod server_packet;
pub mod siege;
pub mod spread;
pub mod star;
pub mod supervisor;
pub mod twin_scale;
pub mod update;
pub mod update_bench;
pub mod vm;
pub mod volatile_disk;
pub mod wire;

use std::time::Duration;

/// The longest that anything may take before a test gives up: a slow machine is no failure, silence is.
pub const PATIENCE: Duration = Duration::from_secs(60);
