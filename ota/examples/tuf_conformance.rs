//! A client of the TUF conformance protocol (theupdateframework/tuf-conformance, `CLIENT-CLI.md`): what the node believes, asked
//! for from outside.
//!
//! ```text
//! tuf_conformance --metadata-dir DIR init TRUSTED_ROOT
//! tuf_conformance --metadata-dir DIR --metadata-url URL refresh
//! tuf_conformance --metadata-dir DIR --metadata-url URL --target-name NAME --target-base-url URL --target-dir DIR download
//! ```
//!
//! Exit code 0: done, 1: refused, 2: wrong usage. After each step DIR has the files that are trusted, as `root.json`,
//! `timestamp.json`, `snapshot.json`, `targets.json`, and the trust itself. `tuf_conformance/cases.py` beside it runs it.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use selvedge_ota::metadata::{Clock, Limits, Role, TargetPath, Trust, Want};
use selvedge_ota::slots::Digest;
use selvedge_ota::source::fetch_small;
use selvedge_ota::source::web::Web;

/// Below this a server is given up.
const BYTES_PER_S_MIN: u64 = 1024;
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// What is trusted, as the node stores it.
const TRUST: &str = "trust.json";

fn main() -> ExitCode {
    let Some(order) = Order::read(std::env::args().skip(1)) else {
        eprintln!("usage: tuf_conformance --metadata-dir DIR [--metadata-url URL …] init ROOT | refresh | download");
        return ExitCode::from(2);
    };
    match order.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes = std::iter::successors(Some(&*error as &dyn Error), |&error| error.source());
            eprintln!("{}", causes.map(ToString::to_string).collect::<Vec<_>>().join(": "));
            ExitCode::FAILURE
        }
    }
}

/// What the test suite asks for: flags with a value each, then words.
struct Order {
    flags: BTreeMap<String, String>,
    words: Vec<String>,
}

impl Order {
    fn read(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut order = Self { flags: BTreeMap::new(), words: Vec::new() };
        while let Some(argument) = arguments.next() {
            match argument.strip_prefix("--") {
                Some(flag) => {
                    order.flags.insert(flag.to_owned(), arguments.next()?);
                }
                None => order.words.push(argument),
            }
        }
        (!order.words.is_empty()).then_some(order)
    }

    fn run(&self) -> Result<(), Box<dyn Error>> {
        let folder = PathBuf::from(self.flag("metadata-dir")?);
        match self.words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["init", root] => {
                fs::create_dir_all(&folder)?;
                store(&folder, &Trust::pin(&fs::read(root)?)?)
            }
            ["refresh"] => self.refresh(&folder).map(|_| ()),
            ["download"] => self.download(&self.refresh(&folder)?),
            other => Err(format!("{other:?} is none of init ROOT, refresh and download").into()),
        }
    }

    fn flag(&self, name: &str) -> Result<&str, String> {
        self.flags.get(name).map(String::as_str).ok_or_else(|| format!("--{name} is missing"))
    }

    fn web(&self, flag: &str) -> Result<Web, String> {
        let agent = ureq::Agent::config_builder().timeout_connect(Some(CONNECT_WITHIN)).build().into();
        Ok(Web::new(agent, self.flag(flag)?, BYTES_PER_S_MIN))
    }

    /// Stores what is believed after each file, also where the refresh fails in the end.
    fn refresh(&self, folder: &Path) -> Result<Trust, Box<dyn Error>> {
        let trust = Trust::from_bytes(&fs::read(folder.join(TRUST))?)?;
        let mut web = self.web("metadata-url")?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let mut refresh = trust.begin(Clock::trusted(i64::try_from(now)?), Limits::default());
        while let Want::File { path, bytes_max, role, .. } = refresh.wants() {
            let given = match fetch_small(&mut web, &path, bytes_max)? {
                Some(bytes) => refresh.give(&bytes),
                None => refresh.absent(),
            };
            store(folder, refresh.trust_so_far())?;
            match given {
                // Nothing of the top level: `download` finds out whether it matters.
                Err(refused) if matches!(role, Role::Delegated(_)) => eprintln!("{refused}"),
                given => given?,
            }
        }
        let trust = refresh.finish()?.trust;
        store(folder, &trust)?;
        Ok(trust)
    }

    fn download(&self, trust: &Trust) -> Result<(), Box<dyn Error>> {
        let path = TargetPath::new(self.flag("target-name")?)?;
        let (_, target) = trust.find(&path)?.ok_or_else(|| format!("nobody who may says what {path} is"))?;
        let wanted = Digest { length: target.length, sha256: target.sha256 };
        let folder = PathBuf::from(self.flag("target-dir")?);
        let file = folder.join(in_url(path.as_str(), ""));
        if fs::read(&file).is_ok_and(|bytes| Digest::of(&bytes) == wanted) {
            return Ok(());
        }
        let name = in_url(&trust.content_path(&path, target), "/");
        let bytes = fetch_small(&mut self.web("target-base-url")?, &name, wanted.length)?;
        let bytes = bytes.ok_or_else(|| format!("{name} is not there"))?;
        if Digest::of(&bytes) != wanted {
            return Err(format!("{name} is not what was signed").into());
        }
        fs::create_dir_all(&folder)?;
        Ok(fs::write(file, bytes)?)
    }
}

fn store(folder: &Path, trust: &Trust) -> Result<(), Box<dyn Error>> {
    for role in [Role::Root, Role::Timestamp, Role::Snapshot, Role::Targets] {
        let path = folder.join(role.file_name(None));
        match trust.file(&role) {
            Some(text) => fs::write(path, text)?,
            // In the middle of a refresh, what is to take the place of the targets has not come yet.
            None if role == Role::Targets || !path.exists() => {}
            None => fs::remove_file(path)?,
        }
    }
    Ok(fs::write(folder.join(TRUST), trust.to_bytes())?)
}

/// With percent signs for what may not stand in a URL, except for what is in `plain`.
fn in_url(path: &str, plain: &str) -> String {
    path.bytes().fold(String::new(), |text, byte| match char::from(byte) {
        character if character.is_ascii_alphanumeric() || "-_.~".contains(character) || plain.contains(character) => {
            text + character.encode_utf8(&mut [0; 4])
        }
        _ => text + &format!("%{byte:02X}"),
    })
}
