//! The protocol in virtual time, as transcripts: who says what, and what must come back. See `transcript`.

mod aliases;
mod authentication;
mod consumers;
mod errors;
mod expiry;
mod flow;
mod interception;
mod limits;
mod quality_of_service;
mod retained;
mod rules;
mod sessions;
mod subscriptions;
mod transcript;
mod wills;
