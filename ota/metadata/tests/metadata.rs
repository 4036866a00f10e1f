//! A device against repositories: honest ones, hostile ones, and those that python-tuf made.

#[path = "metadata/bounds.rs"]
mod bounds;
#[path = "metadata/delegations.rs"]
mod delegations;
#[path = "metadata/freshness.rs"]
mod freshness;
#[path = "metadata/honest.rs"]
mod honest;
#[path = "metadata/keys.rs"]
mod keys;
#[path = "metadata/mix_and_match.rs"]
mod mix_and_match;
#[path = "metadata/mutations.rs"]
mod mutations;
#[path = "metadata/python_tuf.rs"]
mod python_tuf;
#[path = "metadata/random.rs"]
mod random;
#[path = "metadata/repository.rs"]
mod repository;
#[path = "metadata/rollback.rs"]
mod rollback;
#[path = "metadata/roots.rs"]
mod roots;
#[path = "metadata/signing.rs"]
mod signing;
#[path = "metadata/stored_trust.rs"]
mod stored_trust;
