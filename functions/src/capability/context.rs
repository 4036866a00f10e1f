//! `context`: facts about this run.

use std::time::Instant;

use crate::bindings::selvedge::function::context::{Host, Info};
use crate::invocation::InvocationState;

impl Host for InvocationState {
    fn get(&mut self) -> Info {
        let manifest = &self.deployment.manifest;
        Info {
            function: manifest.name.clone(),
            version: self.deployment.number.to_string(),
            alias: self.alias.as_deref().map(str::to_owned),
            invocation_id: self.invocation_id.clone(),
            trace_parent: self.context.trace_parent.clone(),
            client_id: self.context.client_id.clone(),
            matched_filter: self.context.matched_filter.clone(),
            received_ms: self.context.received_ms,
            attempt: self.attempt,
            is_replay: self.is_replay,
            memory_limit: manifest.limits.memory_bytes as u64,
            cpu_limit_us: manifest.limits.timeout_ms.saturating_mul(1000),
        }
    }

    fn remaining_us(&mut self) -> u64 {
        let left = self.deadline.saturating_duration_since(Instant::now());
        self.host.remaining(left).as_micros() as u64
    }
}
