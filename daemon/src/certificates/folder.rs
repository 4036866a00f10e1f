//! The folder `tls` of the data directory: the box's own authority, the node's certificate, what was issued to clients, what was
//! withdrawn. Invariant: nothing that is there is overwritten unless that was asked for, and every file is old or new, never half.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::authority::{self, Authority, AuthorityError, Issued, Moment, Subject};
use super::facts::{self, Kind};
use super::revocation::{self, RevocationError, Withdrawn};
use super::{hex, host_names};
use crate::atomic_file::{self, PRIVATE, PUBLIC, WriteError};

/// Certificates issued to clients are kept, without their keys, so that they can be withdrawn by name.
const ISSUED: &str = "issued";
/// Where keys of clients wait for being carried to them.
const CLIENTS: &str = "clients";
/// A larger file is no certificate.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Why something was not done.
#[derive(Debug, Error)]
pub enum FolderError {
    #[error("{path} is there already: `selvedge cert renew` extends it, --force makes a new one", path = path.display())]
    Exists { path: PathBuf },
    #[error("{path} is there already: choose another name, or give --force to make a new certificate for it", path = path.display())]
    ClientExists { path: PathBuf },
    #[error("there is no authority in {folder}: make one with `selvedge cert create`", folder = folder.display())]
    NoAuthority { folder: PathBuf },
    #[error(
        "the key of the authority, {path}, is not there: what it signed stays good, but nothing new can be signed; \
         `selvedge cert create --force` begins with a new authority", path = path.display()
    )]
    NoAuthorityKey { path: PathBuf },
    #[error("read {path}", path = path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{path} is damaged", path = path.display())]
    Damaged { path: PathBuf, source: AuthorityError },
    #[error("{path} is damaged", path = path.display())]
    DamagedList { path: PathBuf, source: RevocationError },
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error("{name:?} cannot be a file name: expected letters, digits and .-_@ (not first a dot)")]
    ClientName { name: String },
    #[error("no certificate issued here has the name or the serial number {wanted:?}; `selvedge cert show` lists them")]
    Unknown { wanted: String },
}

/// The folder.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

/// What was made for a client.
#[derive(Debug)]
pub struct ClientFiles {
    /// Certificate.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
    /// Authority, beside them.
    pub authority: PathBuf,
}

impl Folder {
    /// In this place; need not be there.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes an authority, unless there is one, and a certificate of the node. With `force` both are made anew.
    ///
    /// # Errors
    /// They are there already, or cannot be written.
    pub fn create(&self, names: &[String], force: bool, moment: Moment) -> Result<Vec<PathBuf>, FolderError> {
        let [ca, ca_key, server, server_key] =
            ["ca.pem", "ca.key", "server.pem", "server.key"].map(|name| self.file(name));
        if server.exists() && !force {
            return Err(FolderError::Exists { path: server });
        }
        atomic_file::make_folder(&self.path)?;
        let mut made = Vec::new();
        if force || !ca.exists() {
            let issued = authority::create(&host_names::host(), moment)?;
            // The old list is another authority's, and would lock everybody out.
            remove(&self.file("crl.pem"))?;
            put_pair(&ca, &ca_key, &issued)?;
            made.extend([ca, ca_key]);
        }
        let issued = self.authority()?.issue(&Subject::Server(&host_names::all(names)), None, moment)?;
        put_pair(&server, &server_key, &issued)?;
        made.extend([server, server_key]);
        Ok(made)
    }

    /// Makes a certificate for the client that logs in as `name`, in `out` or in the folder `clients`.
    ///
    /// # Errors
    /// There is one already, the name cannot be a file's, or there is no authority.
    pub fn create_client(
        &self,
        name: &str,
        out: Option<&Path>,
        force: bool,
        moment: Moment,
    ) -> Result<ClientFiles, FolderError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_@".contains(c);
        if name.is_empty() || name.starts_with('.') || !name.chars().all(is_plain) {
            return Err(FolderError::ClientName { name: name.to_owned() });
        }
        let folder = out.map_or_else(|| self.file(CLIENTS), Path::to_owned);
        let files = ClientFiles {
            certificate: folder.join(format!("{name}.pem")),
            key: folder.join(format!("{name}.key")),
            authority: folder.join("ca.pem"),
        };
        if (files.certificate.exists() || files.key.exists()) && !force {
            return Err(FolderError::ClientExists { path: files.certificate });
        }
        let issued = self.authority()?.issue(&Subject::Client(name), None, moment)?;
        let kept = self.file(ISSUED);
        atomic_file::make_folder(&kept)?;
        let serial = hex(&issued.serial).replace(':', "");
        atomic_file::replace(&kept.join(format!("{serial}.pem")), issued.certificate.as_bytes(), PUBLIC)?;
        atomic_file::make_folder(&folder)?;
        put_pair(&files.certificate, &files.key, &issued)?;
        atomic_file::replace(&files.authority, self.text("ca.pem")?.as_bytes(), PUBLIC)?;
        Ok(files)
    }

    /// Extends the node's certificate, with its names, those of the box as it is now and `names`. Its key stays.
    ///
    /// # Errors
    /// There is none, or no authority.
    pub fn renew(&self, names: &[String], moment: Moment) -> Result<PathBuf, FolderError> {
        let server = self.file("server.pem");
        let old = self.text("server.pem")?;
        let before = facts::read(old.as_bytes()).ok().and_then(|mut all| (!all.is_empty()).then(|| all.remove(0)));
        let mut added: Vec<String> = before.map(|facts| facts.names).unwrap_or_default();
        added.extend(names.iter().cloned());
        let key = self.text("server.key")?;
        let names = host_names::all(&added);
        let issued = self.authority()?.issue(&Subject::Server(&names), Some(&key), moment)?;
        atomic_file::replace(&server, issued.certificate.as_bytes(), PUBLIC)?;
        Ok(server)
    }

    /// Extends the authority: the same name and key, so that what it signed stays good.
    ///
    /// # Errors
    /// There is none, or its key is gone.
    pub fn renew_authority(&self, moment: Moment) -> Result<PathBuf, FolderError> {
        let (certificate, key) = self.authority_files()?;
        let path = self.file("ca.pem");
        let issued = authority::renew(&certificate, &key, moment)
            .map_err(|source| FolderError::Damaged { path: path.clone(), source })?;
        atomic_file::replace(&path, issued.certificate.as_bytes(), PUBLIC)?;
        Ok(path)
    }

    /// Withdraws every certificate issued to `wanted`, or the one with that serial number. Gives the serial numbers and the list.
    ///
    /// # Errors
    /// None such was issued, or the list that is there is damaged.
    pub fn revoke(&self, wanted: &str, moment: Moment) -> Result<(Vec<Vec<u8>>, PathBuf), FolderError> {
        let path = self.file("crl.pem");
        let plain = wanted.replace(':', "").to_ascii_lowercase();
        let serials: Vec<Vec<u8>> = self
            .issued()
            .into_iter()
            .filter(|facts| {
                facts.common_name.as_deref() == Some(wanted) || hex(&facts.serial).replace(':', "") == plain
            })
            .map(|facts| facts.serial)
            .collect();
        if serials.is_empty() {
            return Err(FolderError::Unknown { wanted: wanted.to_owned() });
        }
        let authority = self.authority()?;
        let (mut withdrawn, number) = match std::fs::read(&path) {
            Ok(list) => {
                let read = revocation::read(&list, self.text("ca.pem")?.as_bytes())
                    .map_err(|source| FolderError::DamagedList { path: path.clone(), source })?;
                (read.own, read.number)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), 0),
            Err(source) => return Err(FolderError::Read { path, source }),
        };
        for serial in &serials {
            if !withdrawn.iter().any(|known| known.serial == *serial) {
                withdrawn.push(Withdrawn { serial: serial.clone(), at_s: moment.now_s });
            }
        }
        let list = authority.revocation_list(&withdrawn, number + 1, moment)?;
        atomic_file::replace(&path, list.as_bytes(), PUBLIC)?;
        Ok((serials, path))
    }

    /// What was issued to clients.
    pub fn issued(&self) -> Vec<facts::Facts> {
        let Ok(entries) = std::fs::read_dir(self.file(ISSUED)) else { return Vec::new() };
        let mut all: Vec<_> = entries
            .flatten()
            .filter_map(|entry| facts::read(&read_bounded(&entry.path()).ok()?).ok())
            .flatten()
            .filter(|facts| facts.kind == Kind::Client)
            .collect();
        all.sort_by(|a, b| (&a.common_name, a.not_before_s).cmp(&(&b.common_name, b.not_before_s)));
        all
    }

    fn authority(&self) -> Result<Authority, FolderError> {
        let (certificate, key) = self.authority_files()?;
        Authority::open(&certificate, &key).map_err(|source| FolderError::Damaged { path: self.file("ca.pem"), source })
    }

    fn authority_files(&self) -> Result<(String, String), FolderError> {
        if !self.file("ca.pem").exists() {
            return Err(FolderError::NoAuthority { folder: self.path.clone() });
        }
        if !self.file("ca.key").exists() {
            return Err(FolderError::NoAuthorityKey { path: self.file("ca.key") });
        }
        Ok((self.text("ca.pem")?, self.text("ca.key")?))
    }

    fn text(&self, name: &str) -> Result<String, FolderError> {
        let path = self.file(name);
        let read = |source| FolderError::Read { path: path.clone(), source };
        String::from_utf8(read_bounded(&path).map_err(read)?).map_err(|error| read(io::Error::other(error)))
    }
}

/// The whole file, unless it is far too large to be meant.
///
/// # Errors
/// It cannot be read, or is larger than 4 MiB.
pub fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 4 MiB"));
    }
    std::fs::read(path)
}

/// The key first: a certificate whose key is missing would be the worse half.
fn put_pair(certificate: &Path, key: &Path, issued: &Issued) -> Result<(), WriteError> {
    if let Some(pem) = &issued.key {
        atomic_file::replace(key, pem.as_bytes(), PRIVATE)?;
    }
    atomic_file::replace(certificate, issued.certificate.as_bytes(), PUBLIC)
}

fn remove(path: &Path) -> Result<(), FolderError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(FolderError::Read { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NOW: Moment = Moment { from_s: 1_799_913_600, now_s: 1_800_000_000 };

    fn made() -> (tempfile::TempDir, Folder) {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::new(directory.path().join("tls"));
        folder.create(&["gw.example.com".to_owned()], false, NOW).unwrap();
        (directory, folder)
    }

    fn facts_of(path: &Path) -> facts::Facts {
        facts::read(&std::fs::read(path).unwrap()).unwrap().remove(0)
    }

    #[test]
    fn keys_are_for_their_owner_only_and_nothing_is_overwritten() {
        let (_directory, folder) = made();
        let mode = |name: &str| std::fs::metadata(folder.file(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(["ca.key", "server.key", "ca.pem", "server.pem"].map(mode), [0o600, 0o600, 0o644, 0o644]);
        let before = std::fs::read(folder.file("server.pem")).unwrap();
        assert!(matches!(folder.create(&[], false, NOW), Err(FolderError::Exists { .. })));
        assert_eq!(std::fs::read(folder.file("server.pem")).unwrap(), before);
        folder.create(&[], true, NOW).unwrap();
        assert_ne!(std::fs::read(folder.file("server.pem")).unwrap(), before);
    }

    #[test]
    fn a_missing_server_certificate_is_made_by_the_authority_that_is_there() {
        let (_directory, folder) = made();
        let authority = std::fs::read(folder.file("ca.pem")).unwrap();
        std::fs::remove_file(folder.file("server.pem")).unwrap();
        assert_eq!(folder.create(&[], false, NOW).unwrap().len(), 2);
        assert_eq!(std::fs::read(folder.file("ca.pem")).unwrap(), authority);
    }

    #[test]
    fn renewing_keeps_key_and_names_and_adds_some() {
        let (_directory, folder) = made();
        let key = std::fs::read(folder.file("server.key")).unwrap();
        let old = facts_of(&folder.file("server.pem"));
        let later = Moment { now_s: NOW.now_s + 86_400, ..NOW };
        folder.renew(&["new.example.com".to_owned()], later).unwrap();
        let new = facts_of(&folder.file("server.pem"));
        assert_eq!(new.not_after_s, old.not_after_s + 86_400);
        for name in ["gw.example.com", "new.example.com"] {
            assert!(new.names.iter().any(|known| known == name), "{:?}", new.names);
        }
        assert_eq!(std::fs::read(folder.file("server.key")).unwrap(), key);
        folder.renew_authority(later).unwrap();
        assert!(facts_of(&folder.file("ca.pem")).not_after_s > new.not_after_s);
    }

    #[test]
    fn clients_are_withdrawn_by_name_and_by_serial_number() {
        let (directory, folder) = made();
        let files = folder.create_client("pump-1", None, false, NOW).unwrap();
        assert!(matches!(folder.create_client("pump-1", None, false, NOW), Err(FolderError::ClientExists { .. })));
        folder.create_client("pump-1", None, true, NOW).unwrap();
        let out = directory.path().join("out");
        let other = folder.create_client("pump-2", Some(&out), false, NOW).unwrap();
        assert_eq!(other.certificate, out.join("pump-2.pem"));
        assert_eq!(folder.issued().len(), 3);
        assert_eq!(folder.revoke("pump-1", NOW).unwrap().0.len(), 2);
        let serial = hex(&facts_of(&other.certificate).serial);
        assert_eq!(folder.revoke(&serial.to_uppercase(), NOW).unwrap().0.len(), 1);
        let authority = std::fs::read(folder.file("ca.pem")).unwrap();
        let list = revocation::read(&std::fs::read(folder.file("crl.pem")).unwrap(), &authority).unwrap();
        assert_eq!((list.own.len(), list.number), (3, 2));
        let last = facts_of(&files.certificate).serial;
        assert!(list.own.iter().any(|withdrawn| withdrawn.serial == last));
        assert!(matches!(folder.revoke("pump-3", NOW), Err(FolderError::Unknown { .. })));
        std::fs::write(folder.file("crl.pem"), "").unwrap();
        assert!(matches!(folder.revoke("pump-1", NOW), Err(FolderError::DamagedList { .. })));
    }

    #[test]
    fn a_client_needs_a_name_for_a_file_and_an_authority_with_its_key() {
        let (_directory, folder) = made();
        for name in ["", "a/b", "..", ".x", "a b"] {
            assert!(
                matches!(folder.create_client(name, None, false, NOW), Err(FolderError::ClientName { .. })),
                "{name}"
            );
        }
        std::fs::remove_file(folder.file("ca.key")).unwrap();
        assert!(matches!(folder.create_client("a", None, false, NOW), Err(FolderError::NoAuthorityKey { .. })));
        std::fs::remove_file(folder.file("ca.pem")).unwrap();
        assert!(matches!(folder.create_client("a", None, false, NOW), Err(FolderError::NoAuthority { .. })));
    }
}
