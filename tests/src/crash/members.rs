//! The clients of a crash test: who they are, and what each may expect of the broker.
//!
//! Invariant: filters of one reader never overlap, so that each message is owed to it once.

use super::endpoint::Endpoint;
use super::ledger::MessageId;
use crate::client::Version;
use crate::random::Random;

/// Publishers of a run, each with topics of its own.
pub const PUBLISHERS: usize = 4;
/// Topics of a publisher.
pub const TOPICS: usize = 3;
/// Devices whose temperatures a function converts.
pub const SENSORS: usize = 4;
/// Readers with subscriptions that change.
pub const READERS: usize = 6;

/// Clients with wills.
const MORTALS: usize = 2;
/// Topics of wills.
pub const WILLS: &str = "w/#";
/// Topics of what the converting function gives.
pub const OUTPUTS: &str = "converted/#";

/// What a client does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Publishes.
    Publisher,
    /// Subscribes to some of these filters.
    Reader(Vec<String>),
    /// Subscribes to this and stays.
    Keeper(&'static str),
    /// Has a will, and stays away until its will was read.
    Mortal,
}

/// What the client knows of its session at the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Session {
    /// There is none, or nobody knows: the next connection begins a new one.
    Unknown,
    /// A new one was asked for.
    Asked,
    /// It was acknowledged, and lasts.
    Stands,
}

/// A client.
#[derive(Debug)]
pub struct Member {
    /// Its protocol.
    pub endpoint: Endpoint,
    /// What it does.
    pub role: Role,
    /// Its session.
    pub session: Session,
    /// Stays away, also when others recover from a crash.
    pub asleep: bool,
    /// Of 256, how often it acknowledges what it has got.
    pub diligence: u8,
    /// The last marker that came.
    pub marker: u64,
    /// Its will on this connection, and whether the broker has acknowledged that.
    pub will: Option<(MessageId, bool)>,
}

impl Member {
    fn new(name: String, version: Version, role: Role, diligence: u8) -> Self {
        let endpoint = Endpoint::new(name, version, true);
        Self { endpoint, role, session: Session::Unknown, asleep: false, diligence, marker: 0, will: None }
    }

    /// Its client identifier.
    pub fn name(&self) -> &str {
        &self.endpoint.id
    }

    /// Whether it has subscriptions.
    pub fn reads(&self) -> bool {
        !matches!(self.role, Role::Publisher | Role::Mortal)
    }

    /// The topic of its own markers.
    pub fn marker_topic(&self) -> String {
        format!("sync/{}", self.name())
    }
}

/// Everybody, with names that no other life of a broker has seen.
pub fn gather(life: u64, functions: bool, random: &mut Random) -> Vec<Member> {
    let version = |number: usize| if number.is_multiple_of(3) { Version::V311 } else { Version::V5 };
    let mut members = Vec::new();
    for publisher in 0..PUBLISHERS {
        members.push(Member::new(format!("p{publisher}-{life}"), version(publisher + 1), Role::Publisher, 255));
    }
    for reader in 0..READERS {
        let filters = match reader % 3 {
            0 => (0..PUBLISHERS).map(|publisher| format!("p/{publisher}/#")).collect(),
            1 => (0..TOPICS).map(|topic| format!("p/+/{topic}")).collect(),
            _ => exact_topics(),
        };
        let diligence = random.pick(&[255, 255, 128, 20]);
        members.push(Member::new(format!("r{reader}-{life}"), version(reader), Role::Reader(filters), diligence));
    }
    for mortal in 0..MORTALS {
        members.push(Member::new(format!("m{mortal}-{life}"), Version::V5, Role::Mortal, 255));
    }
    members.push(Member::new(format!("w-{life}"), Version::V5, Role::Keeper(WILLS), 200));
    if functions {
        members.push(Member::new(format!("f-{life}"), Version::V5, Role::Keeper(OUTPUTS), 200));
    }
    members
}

fn exact_topics() -> Vec<String> {
    let topics = |publisher| (0..TOPICS).map(move |topic| format!("p/{publisher}/{topic}"));
    (0..PUBLISHERS).flat_map(topics).collect()
}
