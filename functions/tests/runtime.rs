//! The runtime with real components: life of a function, capabilities, attacks, compilation, files on disk.

#[path = "runtime/attacks.rs"]
mod attacks;
#[path = "runtime/callers.rs"]
mod callers;
#[path = "runtime/capabilities.rs"]
mod capabilities;
#[path = "runtime/commits.rs"]
mod commits;
#[path = "runtime/concurrency.rs"]
mod concurrency;
#[path = "runtime/deployments.rs"]
mod deployments;
#[path = "runtime/examples.rs"]
mod examples;
#[path = "runtime/failing.rs"]
mod failing;
#[path = "runtime/fixture.rs"]
mod fixture;
#[path = "runtime/guest.rs"]
mod guest;
#[path = "runtime/hostile.rs"]
mod hostile;
#[path = "runtime/native_code.rs"]
mod native_code;
#[path = "runtime/offline.rs"]
mod offline;
#[path = "runtime/order.rs"]
mod order;
#[path = "runtime/pipelines.rs"]
mod pipelines;
#[path = "runtime/projects.rs"]
mod projects;
#[path = "runtime/reuse.rs"]
mod reuse;
#[path = "runtime/trials.rs"]
mod trials;
#[path = "runtime/versions.rs"]
mod versions;
