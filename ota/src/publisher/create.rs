//! A new repository: keys for each role, a first root, and everything empty and signed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use selvedge_ota_metadata::sign::{self, SigningKey};
use selvedge_ota_metadata::{KeySet, MetaFile, Role, Root, SignedFile, Snapshot, Targets, Timestamp};

use super::files::{self, Readers};
use super::publication::Days;
use super::{PublishError, keys};

/// What was made.
#[derive(Clone, Debug)]
pub struct Created {
    /// What nodes have to be given, once.
    pub root: PathBuf,
    /// Names of the new keys.
    pub keys: Vec<String>,
}

/// Makes a repository in `folder` and its keys in `keys_folder`. `random` gives 32 random bytes each time.
///
/// # Errors
/// One of the folders is in use, or the disk.
pub fn create(
    folder: &Path,
    keys_folder: &Path,
    days: &Days,
    now_unix_s: i64,
    random: &mut dyn FnMut() -> [u8; 32],
) -> Result<Created, PublishError> {
    if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(PublishError::NotEmpty { path: folder.to_owned() });
    }
    let names = ["root", "targets", "snapshot", "timestamp"];
    let mut made = BTreeMap::new();
    for name in names {
        made.insert(name, keys::make(keys_folder, name, &random())?);
    }
    let set = |name: &str| KeySet {
        keys: made.get(name).map(|key| key.public().clone()).into_iter().collect(),
        threshold: 1,
    };
    let root = Root {
        version: 1,
        expires_unix_s: days.from(now_unix_s, days.root),
        consistent_snapshot: true,
        root: set("root"),
        timestamp: set("timestamp"),
        snapshot: set("snapshot"),
        targets: set("targets"),
    };
    let write = |role: &Role, version: Option<u64>, file: SignedFile, key: Option<&SigningKey>| {
        let mut file = file;
        if let Some(key) = key {
            file.sign(key);
        }
        let bytes = file.to_bytes();
        let path = folder.join("metadata").join(role.file_name(version));
        files::write(&path, &bytes, Readers::All).map(|()| (path, bytes))
    };
    let (root_path, _) = write(&Role::Root, Some(1), sign::root(&root)?, made.get("root"))?;
    let targets = Targets {
        version: 1,
        expires_unix_s: days.from(now_unix_s, days.targets),
        targets: BTreeMap::new(),
        delegations: Vec::new(),
    };
    let (_, bytes) = write(&Role::Targets, Some(1), sign::targets(&targets)?, made.get("targets"))?;
    let meta = BTreeMap::from([(Role::Targets, MetaFile::of(1, &bytes))]);
    let snapshot = Snapshot { version: 1, expires_unix_s: days.from(now_unix_s, days.snapshot), meta };
    let (_, bytes) = write(&Role::Snapshot, Some(1), sign::snapshot(&snapshot)?, made.get("snapshot"))?;
    let expires_unix_s = days.from(now_unix_s, days.timestamp);
    let timestamp = Timestamp { version: 1, expires_unix_s, snapshot: MetaFile::of(1, &bytes) };
    write(&Role::Timestamp, None, sign::timestamp(&timestamp)?, made.get("timestamp"))?;
    Ok(Created { root: root_path, keys: names.map(str::to_owned).to_vec() })
}
