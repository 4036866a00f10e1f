//! Updates from both ends: a publisher's folder made with the command line, and a gateway whose node `selvedge-launch` starts
//! under a supervisor that plays systemd. And versions: the node's own program with bytes behind its end is another version that
//! is as good; scripts are versions that are not.
//!
//! Invariant: ports stay the same over all starts of a gateway, so that clients come back to where they were.

mod gateway;
mod publisher;
mod service;
mod versions;
mod web;

pub use self::gateway::{Gateway, Ports, Reach, free_port, http_post};
pub use self::publisher::Publisher;
pub use self::service::{Service, ServiceWatch};
pub use self::versions::{Broken, broken, good, marked, package};
pub use self::web::WebServer;
