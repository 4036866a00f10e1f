//! Delegations: the targets role lets another role speak for some paths. Also how key sets are written, here as in the root.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Role, RoleName, fields};
use crate::key::{Key, KeySet};
use crate::limits::Limits;
use crate::path::TargetPath;
use crate::pattern::PathPattern;
use crate::refuse::Refusal;

/// Trust in another role, for some paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// The other role.
    pub name: RoleName,
    /// Who signs for it.
    pub keys: KeySet,
    /// What it may speak about: paths that match any of these.
    pub paths: Vec<PathPattern>,
    /// Whether nobody after it is asked about these paths, even where it says nothing.
    pub terminating: bool,
}

#[derive(Deserialize)]
pub(super) struct KeyFields {
    keyids: Vec<String>,
    threshold: u32,
}

#[derive(Deserialize)]
struct DelegationsFields {
    keys: BTreeMap<String, Value>,
    #[serde(default)]
    roles: Vec<Value>,
    succinct_roles: Option<Value>,
}

#[derive(Deserialize)]
struct RoleFields {
    name: String,
    terminating: bool,
    paths: Option<Vec<String>>,
    path_hash_prefixes: Option<Vec<String>>,
    #[serde(flatten)]
    keys: KeyFields,
}

impl Delegation {
    /// Whether the other role may speak about a path.
    pub fn covers(&self, path: &TargetPath) -> bool {
        self.paths.iter().any(|pattern| pattern.matches(path))
    }

    pub(super) fn read_all(value: &Value, limits: &Limits) -> Result<Vec<Self>, Refusal> {
        let delegations: DelegationsFields = fields(value, "its delegations")?;
        if delegations.succinct_roles.is_some() {
            return Err(Refusal::Form(
                "it delegates to hash bins (succinct_roles), which are not supported here".to_owned(),
            ));
        }
        let keys = keys_of(delegations.keys, limits)?;
        let mut all: Vec<Self> = Vec::new();
        let (mut patterns, mut costly) = (0, 0);
        for role in &delegations.roles {
            let delegation = Self::read(role, &keys)?;
            patterns += delegation.paths.len();
            costly += delegation.paths.iter().filter(|pattern| pattern.is_costly()).count();
            if all.iter().any(|other| other.name == delegation.name) {
                return Err(Refusal::Form(format!("it delegates to the role {:?} twice", delegation.name.as_str())));
            }
            all.push(delegation);
            at_most("path patterns", patterns, limits.patterns_per_file)?;
            at_most("path patterns with several * between slashes", costly, limits.costly_patterns_per_file)?;
            at_most("delegations", all.len(), limits.patterns_per_file)?;
        }
        Ok(all)
    }

    fn read(value: &Value, keys: &BTreeMap<String, Key>) -> Result<Self, Refusal> {
        let role: RoleFields = fields(value, "a delegation in it")?;
        let name = RoleName::new(role.name).map_err(|error| Refusal::Form(format!("in its delegations: {error}")))?;
        let refused = |what: &str| Refusal::Form(format!("its delegation to the role {:?} {what}", name.as_str()));
        if role.path_hash_prefixes.is_some() {
            return Err(refused("uses path_hash_prefixes, which are not supported here; use paths"));
        }
        let paths = role.paths.ok_or_else(|| refused("has no paths"))?;
        let paths = paths.into_iter().map(PathPattern::new).collect::<Result<Vec<_>, _>>();
        let paths = paths.map_err(|error| refused(&format!("is malformed: {error}")))?;
        let keys = key_set(keys, role.keys, &Role::Delegated(name.clone()))?;
        Ok(Self { name, keys, paths, terminating: role.terminating })
    }

    pub(super) fn write_all(delegations: &[Self]) -> Value {
        let roles: Vec<_> = delegations
            .iter()
            .map(|delegation| {
                let mut role = write_key_set(&delegation.keys);
                role.insert("name".to_owned(), delegation.name.as_str().into());
                role.insert("paths".to_owned(), json!(delegation.paths));
                role.insert("terminating".to_owned(), delegation.terminating.into());
                Value::Object(role)
            })
            .collect();
        json!({ "keys": write_keys(delegations.iter().map(|delegation| &delegation.keys)), "roles": roles })
    }
}

/// Reads the keys of a file; each must be under its own id.
pub(super) fn keys_of(keys: BTreeMap<String, Value>, limits: &Limits) -> Result<BTreeMap<String, Key>, Refusal> {
    at_most("keys", keys.len(), limits.keys_per_file)?;
    let mut all = BTreeMap::new();
    for (id, content) in keys {
        match Key::listed(&id, content) {
            Ok(key) => all.insert(id, key),
            Err(problem) => return Err(Refusal::Key { id, problem }),
        };
    }
    Ok(all)
}

/// The keys of a role. An id without a key is nobody's, and nobody can sign for it.
pub(super) fn key_set(keys: &BTreeMap<String, Key>, role: KeyFields, of: &Role) -> Result<KeySet, Refusal> {
    if role.threshold == 0 {
        return Err(Refusal::Form(format!("it lets {of} go unsigned (threshold 0)")));
    }
    let mut ids: Vec<_> = role.keyids.iter().collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(Refusal::Form(format!("it lists a key id of {of} twice")));
    }
    let keys = role.keyids.iter().filter_map(|id| keys.get(id).cloned()).collect();
    Ok(KeySet { keys, threshold: role.threshold })
}

pub(super) fn write_key_set(keys: &KeySet) -> Map<String, Value> {
    let mut set = Map::new();
    let ids: Vec<_> = keys.keys.iter().map(|key| key.id().as_str()).collect();
    set.insert("keyids".to_owned(), json!(ids));
    set.insert("threshold".to_owned(), keys.threshold.into());
    set
}

pub(super) fn write_keys<'a>(sets: impl Iterator<Item = &'a KeySet>) -> Value {
    let keys: Map<_, _> =
        sets.flat_map(|set| &set.keys).map(|key| (key.id().as_str().to_owned(), key.content().clone())).collect();
    Value::Object(keys)
}

pub(super) fn at_most(what: &'static str, count: usize, max: usize) -> Result<(), Refusal> {
    if count > max { Err(Refusal::TooMany { what, count, max }) } else { Ok(()) }
}
