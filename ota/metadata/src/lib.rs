//! Signed metadata of updates.
