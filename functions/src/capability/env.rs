//! `env`: clock, randomness, configuration.

use crate::bindings::selvedge::function::env::Host;
use crate::invocation::InvocationState;

/// Most random bytes that one call gives; a greater wish traps, because fewer than asked for would be taken for all.
const RANDOM_BYTES_MAX: u32 = 64 << 10;

impl Host for InvocationState {
    fn now_ms(&mut self) -> u64 {
        self.host.now_ms()
    }

    fn monotonic_us(&mut self) -> u64 {
        self.host.elapsed(self.start.elapsed()).as_micros() as u64
    }

    fn random(&mut self, count: u32) -> wasmtime::Result<Vec<u8>> {
        if count > RANDOM_BYTES_MAX {
            return Err(wasmtime::format_err!("{count} random bytes asked for, allowed are {RANDOM_BYTES_MAX} a call"));
        }
        let mut bytes = vec![0; count as usize];
        self.host.random(&mut bytes);
        Ok(bytes)
    }

    fn config(&mut self, key: String) -> Option<String> {
        self.deployment.manifest.config.get(&key).cloned()
    }
}
