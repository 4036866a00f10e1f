//! Hostile clients against the real binary: each is refused in the right way, the others notice nothing, and the node's
//! memory comes back. What an attack does and what it asserts stands in `tests/src/siege/attack`.
//!
//! The binary is the one that was built with the tests, or the one that `SELVEDGE_BIN` names.

mod broken_peers;
mod floods;
mod full_disk;
mod functions;
mod handshakes;
mod identities;
mod logins;
mod pounding;
mod publishers;
mod subscribers;
mod websockets;
mod withstand;
