//! The MQTT protocol, 3.1.1 and 5, as a pure state machine: [`Core::handle`] takes what happened and what time it is,
//! and appends what has to be done to [`Effects`].
//!
//! No socket, no clock, no disk, no randomness, no other thread: the shell around it (`selvedge-broker`) has those.
//! Whatever bytes a client sends, the core neither panics nor grows beyond [`Config`].
//!
//! The path of a PUBLISH: `handle/publish` → `authorize` (→ `handle/intercept`) → `router/retained` → `handle/route` → `router/topic_tree` →
//! `outbound` → [`Effect::Send`]. What all of it may hold is in `account`.

mod account;
mod authorize;
mod config;
mod connection;
mod durability;
mod effect;
mod handle;
mod id;
mod input;
mod interception;
mod journal;
mod message;
mod outbound;
mod router;
mod session;
mod statistics;
mod sys_topics;
mod time;
mod timers;

pub use authorize::{Action, Authorize, OpenAccess, Permit, Principal, client_may_write};
pub use config::{Config, OverflowRule};
pub use durability::{Durability, DurabilityRules, Priority, TopicRule, Verdict};
pub use effect::{ByteRange, CloseCause, Delivery, Effect, Effects, Hold, PacketIdPatch};
pub use handle::Core;
pub use id::{ConnectionId, SessionToken};
pub use input::{Authentication, Input, Peer, Reauthentication};
pub use interception::{HeldPublication, Interception, Interceptor, Unanswered};
pub use journal::{
    ImagePart, Kept,
    restore::{ReplayError, Restored, Restorer},
};
pub use message::Message;
pub use statistics::Statistics;
pub use time::Moment;
