//! Updates as a whole: a repository that the publisher's side made, a device that follows it, and everything that can go wrong
//! between.

#[path = "update/attacks.rs"]
mod attacks;
#[path = "update/fixture.rs"]
mod fixture;
#[path = "update/flow.rs"]
mod flow;
#[path = "update/publishing.rs"]
mod publishing;
#[path = "update/stopped.rs"]
mod stopped;
