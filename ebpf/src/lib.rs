//! Counts packets in the kernel, reads the counters, and keeps floods away.
//!
//! Two small programs at the tc hooks of each interface count what crosses it, by peer and by use; [`Counters::drain`]
//! reads and adds up. A third, or the first, is the guard: it drops what comes from denied peers and connection
//! attempts beyond a peer's rate. Not here: who a peer is for the broker, and how any of this is shown. Names no other
//! part of the house.
//!
//! ```text
//! start      capability -> object (load) -> interface (which, where) -> attachment
//! drain      map_reader -> flow_table, total_table -> snapshot -> detector (events)
//! guard      denial (may it?) -> guard_maps
//! ```
//!
//! Invariants: whatever is missing, the answer is an error with a remedy and the machine's network is untouched;
//! dropping [`Counters`] detaches all of it; what is reported only grows; memory has a bound that follows from the
//! [`Config`]; no address of loopback, of the allow list or of a control connection can be denied.

mod accumulate;
mod attachment;
mod capability;
mod config;
mod counters;
mod counts;
mod counts_map;
mod denial;
mod detector;
mod guard_maps;
mod interface;
mod interface_name;
mod kernel_time;
mod kinds;
mod map_reader;
mod network;
mod object;
mod operator_sessions;
mod pattern;
mod snapshot;
mod start_error;

pub use attachment::{GuardHook, Hook};
pub use config::{
    AttachMode, Config, ConfigError, EventsConfig, GuardAttach, GuardConfig, GuardMode, Measure, PortsConfig,
    Threshold, ThresholdScope,
};
pub use counters::{Counters, InterfaceStatus, Problem, Status};
pub use counts::Counts;
pub use denial::{Denial, DenyError, DenyReason, MayNotDeny, may_deny};
pub use detector::{Detector, NetEvent};
pub use interface_name::InterfaceName;
pub use kernel_time::KernelTime;
pub use kinds::{Direction, IpVersion, PortClass, Protocol};
pub use map_reader::{DrainError, ReadMethod};
pub use network::{Network, NetworkError};
pub use object::OBJECT;
pub use operator_sessions::operator_sessions;
pub use pattern::{InterfacePattern, PatternError};
pub use snapshot::{Connection, FlowRow, GuardReport, Health, PeerRow, Snapshot, TotalRow, VerdictRow};
pub use start_error::StartError;
