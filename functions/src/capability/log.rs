//! `log`: lines into the function's ring, at once and also from runs that fail; more than the limit are counted, not kept.

use crate::bindings::selvedge::function::log::{Host, Level};
use crate::invocation::InvocationState;
use crate::log_ring::LogLevel;

impl Host for InvocationState {
    fn log(&mut self, level: Level, context: String, message: String) {
        let level = match level {
            Level::Trace => LogLevel::Trace,
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
            Level::Critical => LogLevel::Critical,
        };
        self.log_line(level, &context, &message);
    }
}

impl InvocationState {
    /// Writes one line if the run has any left.
    pub(crate) fn log_line(&mut self, level: LogLevel, context: &str, text: &str) {
        if self.log_lines >= self.deployment.manifest.limits.log_lines {
            self.log_lines_dropped += 1;
            return;
        }
        self.log_lines += 1;
        self.logs.push(self.logged_at_ms(), level, &self.invocation_id, context, text);
    }
}
