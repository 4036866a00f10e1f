//! Which files of users and rules a command changes, and that two commands do not change them at once.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use hyper::Method;
use rustix::fs::{FlockOperation, flock};

use super::node_client::NodeClient;
use crate::arguments::user::FilesArguments;
use crate::atomic_file::{self, PRIVATE};
use crate::config::surroundings::{FilePlaces, Watched};
use crate::config::{Config, Overrides, data_directory, load_unchecked};

/// The files of one node.
#[derive(Debug)]
pub struct AccessFiles {
    /// Users.
    pub users: PathBuf,
    /// Rules.
    pub rules: PathBuf,
    /// Data directory.
    pub data: PathBuf,
    places: FilePlaces,
    config: Config,
}

/// Held while a file is read, changed and written.
#[derive(Debug)]
pub struct Lock {
    /// Unlocked when it is closed.
    _folder: File,
}

impl AccessFiles {
    /// As the configuration says; without one, as a running node says; without that, those of the data directory.
    ///
    /// # Errors
    /// The configuration is wrong.
    pub fn find(arguments: &FilesArguments) -> anyhow::Result<Self> {
        let overrides = Overrides { data: arguments.socket.data.clone(), ..Overrides::default() };
        // A user is what an exposed listener may be waiting for: whether the node could start is not asked.
        let config: Config = load_unchecked(arguments.config.as_deref(), &overrides)?;
        let mut data = data_directory::locate(&config.data);
        let told = if arguments.config.is_none() { told_by_node(arguments) } else { None };
        let mut places = FilePlaces::new(&config, &data);
        if let Some((users, rules, told_data)) = told {
            (places, data) = (FilePlaces::new(&config, &told_data), told_data);
            return Ok(Self { users, rules, places, data, config });
        }
        Ok(Self { users: places.users.clone(), rules: places.rules.clone(), places, data, config })
    }

    /// The configuration, with these files in it.
    pub fn config(&self) -> Config {
        let mut config = self.config.clone();
        let configured = [(&mut config.access.users, &self.users), (&mut config.access.rules, &self.rules)];
        let defaults = FilePlaces::new(&Config::default(), &self.data);
        for ((place, path), default) in configured.into_iter().zip([&defaults.users, &defaults.rules]) {
            *place = if path == default { String::new() } else { path.display().to_string() };
        }
        config
    }

    /// Text of a file; none if it is not there.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(path: &Path) -> anyhow::Result<Option<String>> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Keeps other commands out.
    ///
    /// # Errors
    /// The folder cannot be made or locked.
    pub fn lock(&self) -> anyhow::Result<Lock> {
        data_directory::prepare(&self.data)?;
        let folder = self.users.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
        atomic_file::make_folder(folder)?;
        let opened = File::open(folder).with_context(|| format!("open {}", folder.display()))?;
        flock(&opened, FlockOperation::LockExclusive).with_context(|| format!("lock {}", folder.display()))?;
        Ok(Lock { _folder: opened })
    }

    /// Replaces the users.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_users(&self, text: &str) -> anyhow::Result<()> {
        atomic_file::replace(&self.users, text.as_bytes(), PRIVATE)?;
        Ok(self.places.remember()?)
    }

    /// Writes the rules that a node begins with, unless there are or were some. True if they were written.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn start_rules(&self) -> anyhow::Result<bool> {
        start_rules(&self.rules, &self.places)
    }
}

/// The starting rules for the data directory of a node that is configured as usual; where they were written, if they were.
///
/// # Errors
/// They cannot be written.
pub fn start_usual_rules(data: &Path) -> anyhow::Result<Option<PathBuf>> {
    let places = FilePlaces::new(&Config::default(), data);
    Ok(start_rules(&places.rules, &places)?.then(|| places.rules.clone()))
}

fn start_rules(rules: &Path, places: &FilePlaces) -> anyhow::Result<bool> {
    if rules.exists() || places.is_remembered(Watched::Rules) {
        return Ok(false);
    }
    let folder = rules.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    atomic_file::make_folder(folder)?;
    atomic_file::replace(rules, selvedge_access::rules::starting_rules().as_bytes(), PRIVATE)?;
    places.remember()?;
    Ok(true)
}

fn told_by_node(arguments: &FilesArguments) -> Option<(PathBuf, PathBuf, PathBuf)> {
    let client = NodeClient::new(&arguments.socket).ok()?;
    let status = client.call(Method::GET, "/v1/status", Vec::new()).ok()?;
    let path = |pointer: &str| status.pointer(pointer)?.as_str().map(PathBuf::from);
    Some((path("/node/users")?, path("/node/rules")?, path("/node/data")?))
}
