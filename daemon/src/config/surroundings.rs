//! What of the file system decides whether a configuration can work: are there users, is there a certificate? And where the
//! files are whose names were left out.

use std::path::{Path, PathBuf};

use super::{Config, data_directory};
use crate::atomic_file::{self, PRIVATE, WriteError};

/// Folder of users and rules in the data directory.
pub const ACCESS_FOLDER: &str = "access";
/// Folder of certificates and keys in the data directory.
pub const TLS_FOLDER: &str = "tls";
/// In the data directory: files that were there once, so that a missing one is a fault and not a node without users.
pub const REMEMBERED: &str = "files-in-use";

/// A file whose absence may close the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// Users.
    Users,
    /// Rules.
    Rules,
    /// Withdrawn certificates.
    RevocationList,
}

/// Files that the node reads again while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePlaces {
    /// Users.
    pub users: PathBuf,
    /// Rules.
    pub rules: PathBuf,
    /// Keys of tokens, if there is such a file.
    pub keys: Option<PathBuf>,
    /// Certificate of the node.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authorities of client certificates.
    pub client_ca: PathBuf,
    /// Withdrawn certificates.
    pub crl: PathBuf,
    remembered: PathBuf,
    /// Of the watched ones, those that the configuration names.
    named: Vec<Watched>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Users were set up.
    pub users: bool,
    /// The node's certificate or its key is missing: here.
    pub missing_certificate: Option<PathBuf>,
    /// The authorities of client certificates are missing: here.
    pub missing_client_ca: Option<PathBuf>,
}

impl Watched {
    const ALL: [Self; 3] = [Self::Users, Self::Rules, Self::RevocationList];

    /// The line that remembers it.
    fn line(self) -> &'static str {
        match self {
            Self::Users => "users",
            Self::Rules => "rules",
            Self::RevocationList => "revocation-list",
        }
    }
}

impl FilePlaces {
    /// As `config` has them, with `data` as the data directory.
    pub fn new(config: &Config, data: &Path) -> Self {
        let place = |configured: &str, folder: &str, name: &str| match configured {
            "" => data.join(folder).join(name),
            path => PathBuf::from(path),
        };
        let (access, tls) = (&config.access, &config.tls);
        let configured =
            [(Watched::Users, &access.users), (Watched::Rules, &access.rules), (Watched::RevocationList, &tls.crl)];
        Self {
            users: place(&access.users, ACCESS_FOLDER, "users.toml"),
            rules: place(&access.rules, ACCESS_FOLDER, "rules.toml"),
            keys: (!access.tokens.keys.is_empty()).then(|| PathBuf::from(&access.tokens.keys)),
            certificate: place(&tls.certificate, TLS_FOLDER, "server.pem"),
            key: place(&tls.key, TLS_FOLDER, "server.key"),
            client_ca: place(&tls.client_ca, TLS_FOLDER, "ca.pem"),
            crl: place(&tls.crl, TLS_FOLDER, "crl.pem"),
            remembered: data.join(REMEMBERED),
            named: configured.into_iter().filter(|(_, path)| !path.is_empty()).map(|(watched, _)| watched).collect(),
        }
    }

    /// Where it is.
    pub fn path(&self, watched: Watched) -> &Path {
        match watched {
            Watched::Users => &self.users,
            Watched::Rules => &self.rules,
            Watched::RevocationList => &self.crl,
        }
    }

    /// Whether it is a fault when it is missing: the configuration names it, or it was there before.
    pub fn must_be_there(&self, watched: Watched) -> bool {
        self.named.contains(&watched) || self.is_remembered(watched)
    }

    /// Whether it was there before.
    pub fn is_remembered(&self, watched: Watched) -> bool {
        self.remembered().contains(&watched)
    }

    /// Whether users were ever set up here.
    pub fn had_users(&self) -> bool {
        self.users.exists() || self.must_be_there(Watched::Users)
    }

    /// Remembers every watched file that is there now.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn remember(&self) -> Result<(), WriteError> {
        let before = self.remembered();
        let now: Vec<_> =
            Watched::ALL.into_iter().filter(|file| before.contains(file) || self.path(*file).exists()).collect();
        if now == before {
            return Ok(());
        }
        let mut text =
            "# Files that were there once. While a name stands here, its file must be there: without it nobody \
                        gets in who needs it.\n"
                .to_owned();
        for watched in now {
            text.push_str(watched.line());
            text.push('\n');
        }
        atomic_file::replace(&self.remembered, text.as_bytes(), PRIVATE)
    }

    fn remembered(&self) -> Vec<Watched> {
        let text = match std::fs::read(&self.remembered) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
            // What cannot be read may have said everything.
            Err(_) => return Watched::ALL.to_vec(),
        };
        Watched::ALL.into_iter().filter(|watched| text.lines().any(|line| line.trim() == watched.line())).collect()
    }
}

impl Surroundings {
    /// What is around a node with this configuration.
    pub fn of(config: &Config) -> Self {
        let places = FilePlaces::new(config, &data_directory::locate(&config.data));
        let missing = |path: &PathBuf| (!path.exists()).then(|| path.clone());
        Self {
            users: places.had_users(),
            missing_certificate: missing(&places.certificate).or_else(|| missing(&places.key)),
            missing_client_ca: missing(&places.client_ca),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_in_the_data_directory_unless_they_are_named() {
        let mut config = Config::default();
        let places = FilePlaces::new(&config, Path::new("/d"));
        assert_eq!(places.users, Path::new("/d/access/users.toml"));
        assert_eq!(places.crl, Path::new("/d/tls/crl.pem"));
        assert_eq!(places.keys, None);
        assert!(!places.must_be_there(Watched::Users));
        config.access.users = "/etc/u.toml".to_owned();
        config.access.tokens.keys = "/etc/k.json".to_owned();
        let places = FilePlaces::new(&config, Path::new("/d"));
        assert_eq!(places.users, Path::new("/etc/u.toml"));
        assert_eq!(places.keys.as_deref(), Some(Path::new("/etc/k.json")));
        assert!(places.must_be_there(Watched::Users) && !places.must_be_there(Watched::Rules));
    }

    #[test]
    fn a_file_that_was_there_is_remembered() {
        let data = tempfile::tempdir().unwrap();
        let config = Config { data: data.path().display().to_string(), ..Config::default() };
        let places = FilePlaces::new(&config, data.path());
        places.remember().unwrap();
        assert!(!data.path().join(REMEMBERED).exists() && !Surroundings::of(&config).users);
        std::fs::create_dir(data.path().join("access")).unwrap();
        std::fs::write(&places.users, "x").unwrap();
        places.remember().unwrap();
        std::fs::remove_file(&places.users).unwrap();
        places.remember().unwrap();
        assert!(Surroundings::of(&config).users);
        assert!(places.must_be_there(Watched::Users) && !places.must_be_there(Watched::RevocationList));
    }
}
