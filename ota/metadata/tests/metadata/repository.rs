//! A repository in memory, kept by a publisher who can also make every mistake and play every trick.

use std::collections::BTreeMap;

use selvedge_ota_metadata::sign::{self, SigningKey};
use selvedge_ota_metadata::{
    Clock, Delegation, FinishError, KeySet, Limits, MetaFile, PathPattern, Refreshed, RefuseError, Role, RoleName,
    Root, SignedFile, Snapshot, Target, TargetPath, Targets, Timestamp, Trust, Want,
};

/// 2027-01-15T08:00:00Z.
pub const NOW: i64 = 1_800_000_000;
pub const DAY: i64 = 86_400;

pub fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

/// The id of a key as a person is shown it.
pub fn short_id(number: u8) -> String {
    key(number).public().id().as_str()[..8].to_owned()
}

pub fn key_set(keys: &[&SigningKey], threshold: u32) -> KeySet {
    KeySet { keys: keys.iter().map(|key| key.public().clone()).collect(), threshold }
}

pub fn path(text: &str) -> TargetPath {
    TargetPath::new(text).unwrap()
}

pub fn target(length: u64) -> Target {
    Target { length, sha256: [length.to_le_bytes()[0]; 32], custom: None }
}

pub fn delegated(name: &str) -> Role {
    Role::Delegated(RoleName::new(name).unwrap())
}

pub fn delegation(name: &str, keys: &[&SigningKey], paths: &[&str]) -> Delegation {
    Delegation {
        name: RoleName::new(name).unwrap(),
        keys: key_set(keys, 1),
        paths: paths.iter().map(|&pattern| PathPattern::new(pattern).unwrap()).collect(),
        terminating: false,
    }
}

pub fn targets(version: u64, entries: &[(&str, u64)]) -> Targets {
    Targets {
        version,
        expires_unix_s: NOW + 90 * DAY,
        targets: entries.iter().map(|&(name, length)| (path(name), target(length))).collect(),
        delegations: Vec::new(),
    }
}

pub fn signed(mut file: SignedFile, keys: &[&SigningKey]) -> Vec<u8> {
    for key in keys {
        file.sign(key);
    }
    file.to_bytes()
}

/// Keys 1 to 4 are those of root, timestamp, snapshot and targets.
#[derive(Clone)]
pub struct Repository {
    pub root: Root,
    pub root_keys: Vec<SigningKey>,
    pub timestamp_key: SigningKey,
    pub snapshot_key: SigningKey,
    pub targets_key: SigningKey,
    pub timestamp: Timestamp,
    pub snapshot: Snapshot,
    pub targets: Targets,
    /// Delegated roles, with the keys that sign them.
    pub roles: BTreeMap<&'static str, (Targets, SigningKey)>,
    /// By name below the metadata folder.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Repository {
    /// Root 1, and version 1 of the rest, with one target.
    pub fn new() -> Self {
        let [root, timestamp, snapshot, targets_key] = [key(1), key(2), key(3), key(4)];
        let mut repository = Self {
            root: Root {
                version: 1,
                expires_unix_s: NOW + 365 * DAY,
                consistent_snapshot: true,
                root: key_set(&[&root], 1),
                timestamp: key_set(&[&timestamp], 1),
                snapshot: key_set(&[&snapshot], 1),
                targets: key_set(&[&targets_key], 1),
            },
            root_keys: vec![root],
            timestamp_key: timestamp,
            snapshot_key: snapshot,
            targets_key,
            timestamp: Timestamp { version: 0, expires_unix_s: NOW + DAY, snapshot: MetaFile::of(1, b"") },
            snapshot: Snapshot { version: 0, expires_unix_s: NOW + 7 * DAY, meta: BTreeMap::new() },
            targets: targets(0, &[("daemon/selvedge", 1)]),
            roles: BTreeMap::new(),
            files: BTreeMap::new(),
        };
        repository.publish_root();
        repository.publish();
        repository
    }

    /// Signs the root as it is and puts it beside the earlier ones.
    pub fn publish_root(&mut self) {
        let keys: Vec<_> = self.root_keys.iter().collect();
        self.files.insert(format!("{}.root.json", self.root.version), signed(sign::root(&self.root).unwrap(), &keys));
    }

    /// Publishes the next root after a change of it.
    pub fn next_root(&mut self, change: impl FnOnce(&mut Root)) {
        self.root.version += 1;
        change(&mut self.root);
        self.publish_root();
    }

    /// Publishes the next version of everything below the root.
    pub fn publish(&mut self) {
        self.targets.version += 1;
        self.roles.values_mut().for_each(|(role, _)| role.version += 1);
        self.publish_as_is();
        self.publish_snapshot(|_| {});
    }

    /// Writes targets and delegated roles under the version that they have, and into the snapshot to come.
    pub fn publish_as_is(&mut self) {
        let file = signed(sign::targets(&self.targets).unwrap(), &[&self.targets_key]);
        self.put_listed(Role::Targets, self.targets.version, file);
        for (name, (role, key)) in self.roles.clone() {
            self.put_listed(delegated(name), role.version, signed(sign::targets(&role).unwrap(), &[&key]));
        }
    }

    /// Puts a targets file there and lists it in the snapshot to come.
    pub fn put_listed(&mut self, role: Role, version: u64, file: Vec<u8>) {
        self.snapshot.meta.insert(role.clone(), MetaFile::of(version, &file));
        self.files.insert(role.file_name(Some(version)), file);
    }

    /// Publishes the next snapshot after a change of it, and a timestamp that lists it.
    pub fn publish_snapshot(&mut self, change: impl FnOnce(&mut Snapshot)) {
        self.snapshot.version += 1;
        change(&mut self.snapshot);
        let file = signed(sign::snapshot(&self.snapshot).unwrap(), &[&self.snapshot_key]);
        let entry = MetaFile::of(self.snapshot.version, &file);
        self.files.insert(format!("{}.snapshot.json", self.snapshot.version), file);
        self.publish_timestamp(|timestamp| timestamp.snapshot = entry);
    }

    /// Publishes the next timestamp after a change of it.
    pub fn publish_timestamp(&mut self, change: impl FnOnce(&mut Timestamp)) {
        self.timestamp.version += 1;
        change(&mut self.timestamp);
        let file = signed(sign::timestamp(&self.timestamp).unwrap(), &[&self.timestamp_key]);
        self.files.insert("timestamp.json".to_owned(), file);
    }

    /// A device that knows the first root, and no more.
    pub fn pinned(&self) -> Trust {
        Trust::pin(&self.files["1.root.json"]).unwrap()
    }

    /// A device that has seen all that is published.
    pub fn refreshed(&self) -> Trust {
        self.refresh(&self.pinned()).unwrap().trust
    }

    pub fn refresh(&self, trust: &Trust) -> Result<Refreshed, RefuseError> {
        self.refresh_at(trust, Clock::trusted(NOW))
    }

    pub fn refresh_at(&self, trust: &Trust, clock: Clock) -> Result<Refreshed, RefuseError> {
        self.attempt(trust, clock, Limits::default()).outcome
    }

    /// What a person is told who wants this device refreshed.
    pub fn refusal(&self, trust: &Trust) -> String {
        self.refresh(trust).unwrap_err().to_string()
    }

    pub fn attempt(&self, trust: &Trust, clock: Clock, limits: Limits) -> Attempt {
        attempt(&self.files, trust, clock, limits)
    }
}

/// How a refresh went.
pub struct Attempt {
    pub fetched: Vec<String>,
    pub so_far: Trust,
    pub outcome: Result<Refreshed, RefuseError>,
}

/// Refreshes a device from files by their names.
pub fn attempt(files: &BTreeMap<String, Vec<u8>>, trust: &Trust, clock: Clock, limits: Limits) -> Attempt {
    let mut refresh = trust.begin(clock, limits);
    let mut fetched = Vec::new();
    while let Want::File { path, .. } = refresh.wants() {
        // What is refused here is seen at the end, or among the problems.
        let _refused = match files.get(&path) {
            Some(bytes) => refresh.give(bytes),
            None => refresh.absent(),
        };
        fetched.push(path);
        assert!(fetched.len() < 1_000, "the refresh does not end");
        // What may be stored at this moment can be read again.
        let stored = refresh.trust_so_far().to_bytes();
        assert!(Trust::from_bytes(&stored).is_ok_and(|trust| trust.to_bytes() == stored), "after {fetched:?}");
    }
    let so_far = refresh.trust_so_far().clone();
    let outcome: Result<Refreshed, _> = refresh.finish().map_err(|error| match error {
        FinishError::Refused(refused) => refused,
        FinishError::Unfinished(file) => panic!("{file} is still wanted"),
    });
    if let Ok(refreshed) = &outcome {
        assert_eq!(Trust::from_bytes(&refreshed.trust.to_bytes()).as_ref(), Ok(&refreshed.trust));
    }
    Attempt { fetched, so_far, outcome }
}
