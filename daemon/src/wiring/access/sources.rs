//! The files that say who may come in, read as they are, and what is wrong with them in words for a person.
//!
//! What a file means is decided in `selvedge-access`. Invariant: a file that is configured, or was there before, is never taken
//! for one that does not exist.

use std::io;
use std::path::{Path, PathBuf};

use selvedge_access::{Access, Algorithm, Fault, FileState, KeyFormat, KeySource, NameFrom, Part, Sources, TokenRules};
use sha2::{Digest, Sha256};

use crate::certificates::revocation::Revocations;
use crate::config::access::{KeysFormat, TokenAlgorithm};
use crate::config::surroundings::{FilePlaces, Watched};
use crate::config::tls::{ClientCertificates, UserFrom};
use crate::config::{Config, TokensConfig};
use crate::wiring::jwks::Fetched;
use crate::wiring::tls::{self, ListError};

/// The largest file of users, 32 MiB, fits.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Where the files are, and what is configured about them.
#[derive(Debug)]
pub struct SourceFiles {
    /// Places of all files.
    pub places: FilePlaces,
    tokens: TokensConfig,
    /// Whether clients show certificates.
    pub clients: ClientCertificates,
    user_from: UserFrom,
    node_key: [u8; 32],
}

/// What one look at the files brought.
#[derive(Debug)]
pub struct Snapshot {
    /// For whoever asks.
    pub access: Access,
    /// What is wrong, each with its file.
    pub problems: Vec<String>,
    /// For handshakes; none while the list is damaged.
    pub revocations: Result<Option<Revocations>, ListError>,
    /// Of everything that was read.
    pub digest: [u8; 32],
}

#[derive(Debug)]
enum Content {
    Absent,
    Unreadable(String),
    Read(Vec<u8>),
}

impl Content {
    fn state(&self) -> FileState<'_> {
        match self {
            Self::Absent => FileState::Absent,
            Self::Unreadable(why) => FileState::Unreadable(why),
            Self::Read(bytes) => FileState::Read(bytes),
        }
    }

    fn digest(&self, into: &mut Sha256) {
        match self {
            Self::Absent => into.update(b"absent"),
            Self::Unreadable(why) => into.update(why.as_bytes()),
            Self::Read(bytes) => {
                into.update((bytes.len() as u64).to_be_bytes());
                into.update(bytes);
            }
        }
        into.update([0]);
    }
}

impl SourceFiles {
    /// As `config` has them. `node_key` outlives restarts.
    pub fn new(config: &Config, places: FilePlaces, node_key: [u8; 32]) -> Self {
        Self {
            places,
            tokens: config.access.tokens.clone(),
            clients: config.tls.client_certificates,
            user_from: config.tls.user_from,
            node_key,
        }
    }

    /// Reads everything. What cannot be used keeps what `last` knew of it. `fetched` is what came from the address of keys.
    pub fn read(&self, fetched: Option<&Fetched>, last: Option<&Access>) -> Snapshot {
        let users = self.content(Watched::Users);
        let rules = self.content(Watched::Rules);
        let keys_file = self.places.keys.as_deref().map(|path| content(path, true));
        let keys_fetched = self.is_fetching().then(|| fetched_content(fetched));
        let revocations = match self.clients {
            ClientCertificates::Off => Ok(None),
            _ => tls::revocations(&self.places),
        };
        let list = match &revocations {
            Ok(None) => Content::Absent,
            Ok(Some(_)) => content(&self.places.crl, true),
            Err(error) => Content::Unreadable(cause_of(error)),
        };
        let keys = [
            keys_file.as_ref().map(|content| KeySource { format: self.format(content), content: content.state() }),
            keys_fetched
                .as_ref()
                .map(|content| KeySource { format: KeyFormat::PublishedJwks, content: content.state() }),
        ];
        let sources = Sources {
            users: users.state(),
            rules: rules.state(),
            revoked: list.state(),
            keys: keys.into_iter().flatten().collect(),
            tokens: token_rules(&self.tokens),
            certificate_name: (self.clients != ClientCertificates::Off).then(|| name_from(self.user_from)),
            node_key: self.node_key,
        };
        let (access, faults) = Access::parse(&sources, last);
        let mut digest = Sha256::new();
        for content in [Some(&users), Some(&rules), Some(&list), keys_file.as_ref(), keys_fetched.as_ref()] {
            content.unwrap_or(&Content::Absent).digest(&mut digest);
        }
        let problems = faults.iter().map(|fault| self.in_words(fault)).collect();
        Snapshot { access, problems, revocations, digest: digest.finalize().into() }
    }

    /// Files whose change is looked for.
    pub fn watched(&self) -> Vec<PathBuf> {
        let places = &self.places;
        let all = [&places.users, &places.rules, &places.certificate, &places.key, &places.client_ca, &places.crl];
        all.into_iter().chain(&places.keys).cloned().collect()
    }

    /// Whether keys come from an address.
    pub fn is_fetching(&self) -> bool {
        !self.tokens.jwks_url.is_empty()
    }

    fn content(&self, watched: Watched) -> Content {
        content(self.places.path(watched), self.places.must_be_there(watched))
    }

    fn format(&self, content: &Content) -> KeyFormat {
        let looks_like = || match content {
            Content::Read(bytes) => KeyFormat::of_file(bytes).unwrap_or(KeyFormat::Jwks),
            _ => KeyFormat::Jwks,
        };
        match self.tokens.keys_format {
            KeysFormat::Auto => looks_like(),
            KeysFormat::Pem => KeyFormat::Pem,
            KeysFormat::Jwks => KeyFormat::Jwks,
            KeysFormat::Secret => KeyFormat::Secret,
        }
    }

    fn in_words(&self, fault: &Fault) -> String {
        let path = match fault.part {
            Part::Users => &self.places.users,
            Part::Rules => &self.places.rules,
            Part::Revoked => return fault.to_string(),
            Part::Keys(_) => match &self.places.keys {
                Some(path) => path,
                None => return format!("{}: {fault}", self.tokens.jwks_url),
            },
        };
        format!("{}: {fault}", path.display())
    }
}

fn fetched_content(fetched: Option<&Fetched>) -> Content {
    match fetched {
        Some(Fetched { keys: Some((keys, _)), .. }) => Content::Read(keys.clone()),
        Some(Fetched { error: Some(error), .. }) => Content::Unreadable(error.clone()),
        _ => Content::Unreadable("the keys have not been fetched yet".to_owned()),
    }
}

fn cause_of(error: &ListError) -> String {
    use std::error::Error as _;
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

fn content(path: &Path, must_be_there: bool) -> Content {
    let read = || {
        let metadata = std::fs::metadata(path)?;
        // A pipe would keep the reader for ever.
        if !metadata.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        if metadata.len() > FILE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 64 MiB"));
        }
        std::fs::read(path)
    };
    match read() {
        Ok(bytes) => Content::Read(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !must_be_there => Content::Absent,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Content::Unreadable("is missing, and was there or is configured".to_owned())
        }
        Err(error) => Content::Unreadable(format!("cannot be read: {error}")),
    }
}

fn name_from(from: UserFrom) -> NameFrom {
    match from {
        UserFrom::CommonName => NameFrom::CommonName,
        UserFrom::Dns => NameFrom::Dns,
        UserFrom::Email => NameFrom::Email,
        UserFrom::Uri => NameFrom::Uri,
    }
}

/// What is asked of tokens.
pub fn token_rules(config: &TokensConfig) -> TokenRules {
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    let lifetime_s = config.lifetime_max.0.as_secs();
    TokenRules {
        algorithms: config
            .algorithms
            .iter()
            .map(|algorithm| match algorithm {
                TokenAlgorithm::EdDSA => Algorithm::EdDsa,
                TokenAlgorithm::ES256 => Algorithm::Es256,
                TokenAlgorithm::RS256 => Algorithm::Rs256,
                TokenAlgorithm::HS256 => Algorithm::Hs256,
            })
            .collect(),
        issuer: text(&config.issuer),
        audience: text(&config.audience),
        user_claim: config.user_claim.clone(),
        client_id_claim: config.client_id_claim.clone(),
        publish_claim: config.publish_claim.clone(),
        subscribe_claim: config.subscribe_claim.clone(),
        retain_claim: config.retain_claim.clone(),
        will_claim: config.will_claim.clone(),
        api_claim: config.api_claim.clone(),
        leeway_s: config.leeway.0.as_secs(),
        lifetime_max_s: (lifetime_s > 0).then_some(lifetime_s),
        expiry_required: config.expiry_required,
    }
}

/// What is wrong with the files of a node that does not run, for `selvedge check`.
pub fn problems(config: &Config, data: &Path) -> Vec<String> {
    let files = SourceFiles::new(config, FilePlaces::new(config, data), [0; 32]);
    let Snapshot { mut problems, revocations, .. } = files.read(None, None);
    if files.is_fetching() {
        // They are not fetched for a check.
        problems.retain(|problem| !problem.starts_with(&config.access.tokens.jwks_url));
    }
    if config.has_tls_listener() {
        let clock = std::sync::Arc::new(crate::trusted_clock::TrustedClock::open(data));
        let list = revocations.unwrap_or(None);
        if let Err(error) = tls::load(&files.places, files.clients, list.as_ref(), &clock) {
            problems.push(format!("{:#}", anyhow::Error::from(error)));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_of_the_configuration_are_those_of_the_rules_for_tokens() {
        assert_eq!(token_rules(&TokensConfig::default()), TokenRules::default());
    }

    #[test]
    fn a_missing_file_is_none_only_if_it_never_was_there() {
        let data = tempfile::tempdir().unwrap();
        let config = Config::default();
        let places = FilePlaces::new(&config, data.path());
        let files = SourceFiles::new(&config, places.clone(), [0; 32]);
        assert!(files.read(None, None).access.is_open());
        std::fs::create_dir(data.path().join("access")).unwrap();
        std::fs::write(&places.users, "# nobody\n").unwrap();
        places.remember().unwrap();
        let first = files.read(None, None);
        assert!(!first.access.is_open() && first.problems.is_empty());
        std::fs::remove_file(&places.users).unwrap();
        for last in [Some(&first.access), None] {
            let snapshot = files.read(None, last);
            assert!(!snapshot.access.is_open());
            assert!(snapshot.problems[0].contains("users.toml: is missing"), "{:?}", snapshot.problems);
            assert_ne!(snapshot.digest, first.digest);
        }
    }

    #[test]
    fn a_pipe_or_a_folder_in_the_place_of_a_file_is_not_read() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("users.toml");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        for place in [path.as_path(), data.path()] {
            let Content::Unreadable(why) = content(place, true) else { panic!("{}", place.display()) };
            assert!(why.contains("it is no file"), "{why}");
        }
    }

    #[test]
    fn a_damaged_file_is_named_with_its_line_and_an_empty_one_is_damaged() {
        let data = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.access.tokens.keys = data.path().join("keys.json").display().to_string();
        let places = FilePlaces::new(&config, data.path());
        std::fs::create_dir(data.path().join("access")).unwrap();
        std::fs::write(&places.users, "").unwrap();
        std::fs::write(&places.rules, "# rules\n[[rule]]\npublish = 3\n").unwrap();
        std::fs::write(data.path().join("keys.json"), "{\"keys\": 1}").unwrap();
        let problems = problems(&config, data.path());
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].contains("users.toml: the file is empty"), "{problems:?}");
        assert!(problems[1].contains("rules.toml: line "), "{problems:?}");
        assert!(problems[2].contains("keys.json: "), "{problems:?}");
    }

    #[test]
    fn keys_from_an_address_are_awaited_and_then_taken() {
        let data = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.access.tokens.jwks_url = "https://issuer.example/keys".to_owned();
        let files = SourceFiles::new(&config, FilePlaces::new(&config, data.path()), [0; 32]);
        let problems = files.read(None, None).problems;
        assert!(problems[0].starts_with("https://issuer.example/keys: the keys have not been"), "{problems:?}");
        let set = br#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
        let fetched =
            Fetched { keys: Some((set.to_vec(), std::time::Instant::now())), error: Some("later".to_owned()) };
        assert_eq!(files.read(Some(&fetched), None).problems, Vec::<String>::new());
    }
}
