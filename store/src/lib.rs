//! Durable state: what is kept on disk and when it counts as kept.
