//! Updates: whom to believe, where to look, when, and what a new version has to show.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::quantity::{ByteSize, Period};

/// Updates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtaConfig {
    /// The publisher's first root.json; read once, when nobody is trusted yet. Empty: updates come only after `selvedge ota trust`.
    pub root: String,
    /// A repository that is looked at again and again: `https://…`, `http://…` or a folder. Empty: none.
    pub repository: String,
    /// Certificates (PEM) that an https repository is checked with; empty: those of the system.
    pub ca: String,
    /// Time between two looks at the repository.
    pub poll: Period,
    /// When an update that comes by itself may be put in place, UTC; empty: at any time.
    pub windows: Vec<String>,
    /// For how long a new version has to be well before it is confirmed.
    pub probation: Period,
    /// Time from its start after which a new version that is not well is given up.
    pub probation_max: Period,
    /// Starts in which a new version has to be confirmed.
    pub tries_max: u32,
    /// Largest program, function or file.
    pub content_bytes_max: ByteSize,
    /// Largest bundle that is pushed over HTTP or MQTT.
    pub bundle_bytes_max: ByteSize,
    /// A repository that sends fewer bytes a second than this is given up.
    pub bytes_per_s_min: ByteSize,
    /// Whether bundles are taken over MQTT, under `$ota/`.
    pub mqtt: bool,
    /// Files that updates may replace, by their name in the repository.
    pub files: BTreeMap<String, OtaFile>,
}

/// A file that updates may replace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtaFile {
    /// Where it is.
    pub path: String,
    /// Program and arguments that are run after it was replaced; when it fails, the file before comes back.
    pub after: Vec<String>,
    /// For that program to end.
    pub after_timeout: Period,
}

impl Default for OtaFile {
    fn default() -> Self {
        Self { path: String::new(), after: Vec::new(), after_timeout: Period::seconds(60) }
    }
}

impl Default for OtaConfig {
    fn default() -> Self {
        Self {
            root: String::new(),
            repository: String::new(),
            ca: String::new(),
            poll: Period::seconds(3600),
            windows: Vec::new(),
            probation: Period::seconds(60),
            probation_max: Period::seconds(300),
            tries_max: 3,
            content_bytes_max: ByteSize::mib(256),
            bundle_bytes_max: ByteSize::mib(256),
            bytes_per_s_min: ByteSize::kib(1),
            mqtt: false,
            files: BTreeMap::new(),
        }
    }
}
