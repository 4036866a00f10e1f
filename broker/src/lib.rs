//! Listeners and connections around the protocol core.
