//! Tests of the whole node with real clients.
