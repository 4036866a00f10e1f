//! Who may connect to a node, and do what there: users, passwords, tokens, certificates, rules.
//!
//! Pure: no file, socket, clock, thread or source of randomness. Contents of files, times and random bytes are arguments; what
//! comes out are values. [`Access`] is an immutable snapshot of everything configured, [`Logins`] the little that must be
//! remembered between logins. Names no other part of the house; the daemon's wiring makes it the broker's authenticator and
//! authorizer.
//!
//! Invariant: whatever is missing, broken, expired or over a limit, the answer is a refusal.

mod access;
pub mod certificate;
mod filter;
pub mod http_credentials;
mod logins;
pub mod name;
pub mod password;
mod pattern;
mod place;
pub mod rules;
pub mod scram;
pub mod token;
pub mod users;

pub use access::{
    Access, Answer, Computation, Computed, Fault, FaultProblem, FileState, Grant, Identity, KeySource, Login, Now,
    Part, Refusal, ScramExchange, Sources, Step,
};
pub use certificate::NameFrom;
pub use filter::{FILTER_BYTES_MAX, FILTER_LEVELS_MAX, FilterProblem, Subject};
pub use logins::{LoginLimits, LoginStatistics, Logins};
pub use place::Place;
pub use rules::{ApiRight, Operation};
pub use token::{Algorithm, KeyFormat, TokenRules};
