//! Why a run has no effects, and what follows from that.

use crate::counters::RunEnd;
use crate::retry::Cause;

/// Why a run has no effects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RunFailure {
    Retry(String),
    Reject(String),
    Trap(String),
    TimedOut,
    /// Its caller does not wait any more.
    Left,
    OverLimit(String),
    Refused(String),
    /// The next function of the pipeline, of this name, cannot run now.
    NotReady(String),
}

impl RunFailure {
    pub(crate) fn cause(&self) -> Cause {
        match self {
            Self::Retry(_) => Cause::Asked,
            Self::Trap(_) => Cause::Trap,
            Self::TimedOut => Cause::Timeout,
            Self::Left | Self::Reject(_) | Self::OverLimit(_) | Self::Refused(_) | Self::NotReady(_) => Cause::Final,
        }
    }

    pub(crate) fn run_end(&self) -> RunEnd {
        match self {
            Self::Retry(_) | Self::Reject(_) | Self::NotReady(_) => RunEnd::Failed,
            Self::Trap(_) => RunEnd::Trapped,
            Self::TimedOut | Self::Left => RunEnd::TimedOut,
            Self::OverLimit(_) | Self::Refused(_) => RunEnd::OverLimit,
        }
    }
}
