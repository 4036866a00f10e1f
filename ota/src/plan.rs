//! What of a repository concerns this node, and what is done about it now. Pure: trust, state and facts in, decisions out.

use std::collections::BTreeSet;

use selvedge_ota_metadata::{Architecture, Content, Kind, Target, TargetPath, Trust};

use crate::content::hex;
use crate::state::State;
use crate::window::Window;

/// What is true of this node.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Who it is, for staged roll-outs.
    pub node_id: String,
    /// What it runs on.
    pub architecture: Architecture,
    /// The program that runs; `None`: not known.
    pub running: Option<Content>,
    /// Whether a program is on trial.
    pub on_trial: OnTrial,
    /// Names of the files that the configuration has a place for.
    pub files: BTreeSet<String>,
    /// When updates are put in place; empty: at any time.
    pub windows: Vec<Window>,
    /// Seconds since 1970; `None`: the clock is not trusted.
    pub now_unix_s: Option<u64>,
}

/// Whether a program is on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTrial {
    /// Yes.
    Yes,
    /// No.
    No,
}

/// Who wants the update now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// Nobody in particular: pause, windows and staged roll-outs hold it back, and what did not hold before.
    ByItself,
    /// An operator at this node, for whom these do not count.
    Operator,
}

/// What kind of thing is put in place.
#[derive(Clone, Debug, PartialEq)]
pub enum Thing {
    /// The program.
    Daemon {
        /// Newest format of data that it reads and writes.
        data_format: u32,
        /// Of it.
        security_floor: u64,
    },
    /// A function.
    Function {
        /// Its name.
        name: String,
        /// The text of its `function.toml`, with what it may do.
        manifest: String,
    },
    /// A file with a place in the configuration.
    File {
        /// Its name there.
        name: String,
    },
}

/// Something to put in place.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// In the repository.
    pub path: TargetPath,
    /// For people.
    pub version: String,
    /// What it is.
    pub thing: Thing,
    /// What it has to be.
    pub content: Content,
    /// Ways to it, shortest first. Never empty: the last resort is the content itself.
    pub offers: Vec<Offer>,
}

/// A way to a content.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// In the repository.
    pub path: TargetPath,
    /// What travels.
    pub payload: Content,
    /// How the content is made of it.
    pub form: Form,
}

/// How a content is made of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// It is the payload.
    Plain,
    /// The payload is that, compressed.
    Compressed,
    /// The payload is a patch for this base.
    Patch(Content),
}

/// Why something is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Skip {
    /// It is here.
    #[error("up to date")]
    UpToDate,
    /// For other machines.
    #[error("for {0}")]
    OtherArchitecture(String),
    /// The publisher holds it back.
    #[error("paused by the publisher")]
    PausedByPublisher,
    /// It goes to a part of the nodes.
    #[error("rolled out to {percent} % of the nodes, and this one is not among them")]
    NotInRollout {
        /// The part.
        percent: u8,
    },
    /// The operator holds everything back.
    #[error("updates are paused (`selvedge ota resume`)")]
    Paused,
    /// Later.
    #[error("waits for the maintenance window")]
    OutsideWindow {
        /// When it opens, seconds since 1970; `None`: the clock is not trusted, so nobody knows.
        opens_unix_s: Option<u64>,
    },
    /// It was here and did not hold.
    #[error("not tried again, because it did not hold: {reason} (`selvedge ota retry`)")]
    Refused {
        /// How.
        reason: String,
    },
    /// Another program is on trial.
    #[error("waits for the end of the probation")]
    OnTrial,
    /// Too old for security.
    #[error("its security floor {floor} is below {required}, that of a version that ran here")]
    BelowFloor {
        /// Its own.
        floor: u64,
        /// The node's.
        required: u64,
    },
    /// It cannot read the data.
    #[error("it reads data format {format}, and the data of this node has {required}")]
    DataTooNew {
        /// Its own.
        format: u32,
        /// The node's.
        required: u32,
    },
    /// No place for it.
    #[error("there is no [ota.files.{name}] in the configuration")]
    NoPlace {
        /// The file's name.
        name: String,
    },
    /// The publisher's mistake.
    #[error("{0}")]
    NotUnderstood(String),
}

/// What is done about a target.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// It is put in place.
    Install(Item),
    /// It is left.
    Leave {
        /// In the repository.
        path: TargetPath,
        /// For people; empty when it cannot be told.
        version: String,
        /// Why.
        why: Skip,
    },
}

/// Decides about each target that is a program, function or file. Functions and files come before the program, which ends the run.
pub fn plan(trust: &Trust, state: &State, facts: &Facts, occasion: Occasion) -> Vec<Decision> {
    let mut decisions = Vec::new();
    let mut programs = Vec::new();
    for (path, target) in trust.targets() {
        let into = match target.kind() {
            Ok(None | Some(Kind::Patch { .. })) => continue,
            Ok(Some(Kind::Daemon { .. })) => &mut programs,
            _ => &mut decisions,
        };
        into.push(decide(trust, state, facts, occasion, path, target));
    }
    decisions.append(&mut programs);
    decisions
}

fn decide(
    trust: &Trust,
    state: &State,
    facts: &Facts,
    occasion: Occasion,
    path: &TargetPath,
    target: &Target,
) -> Decision {
    let leave = |version: &str, why| Decision::Leave { path: path.clone(), version: version.to_owned(), why };
    let kind = match target.kind() {
        Ok(Some(kind)) => kind,
        Ok(None) => return leave("", Skip::NotUnderstood("it is of no kind".to_owned())),
        Err(error) => return leave("", Skip::NotUnderstood(error.to_string())),
    };
    let content = target.content();
    let version = version_of(&kind).to_owned();
    let held_back = lasting(state, facts, path, &kind, content)
        .or_else(|| if occasion == Occasion::ByItself { passing(state, facts, &kind, content) } else { None });
    let (thing, base) = match (held_back, kind) {
        (Some(why), _) => return leave(&version, why),
        (None, Kind::Daemon { .. }) if facts.on_trial == OnTrial::Yes => return leave(&version, Skip::OnTrial),
        (None, Kind::Daemon { data_format, security_floor, .. }) => {
            (Thing::Daemon { data_format, security_floor }, facts.running)
        }
        (None, Kind::Function { name, manifest, .. }) => (Thing::Function { name, manifest }, installed(state, path)),
        (None, Kind::File { name, .. }) => (Thing::File { name }, installed(state, path)),
        (None, Kind::Patch { .. }) => return leave(&version, Skip::NotUnderstood("it is a patch".to_owned())),
    };
    let offers = offers(trust, path, content, base);
    Decision::Install(Item { path: path.clone(), version, thing, content, offers })
}

/// What holds an update back whoever wants it.
fn lasting(state: &State, facts: &Facts, path: &TargetPath, kind: &Kind, content: Content) -> Option<Skip> {
    match kind {
        Kind::Daemon { architecture, .. } if *architecture != facts.architecture => {
            Some(Skip::OtherArchitecture(architecture.to_string()))
        }
        Kind::Daemon { .. } if facts.running == Some(content) => Some(Skip::UpToDate),
        Kind::Daemon { security_floor, .. } if *security_floor < state.security_floor => {
            Some(Skip::BelowFloor { floor: *security_floor, required: state.security_floor })
        }
        Kind::Daemon { data_format, .. } if *data_format < state.data_format => {
            Some(Skip::DataTooNew { format: *data_format, required: state.data_format })
        }
        Kind::File { name, .. } if !facts.files.contains(name) => Some(Skip::NoPlace { name: name.clone() }),
        Kind::Function { version, .. } | Kind::File { version, .. } => {
            // The same bytes may come again with another manifest; then the version tells.
            let is_here = installed(state, path) == Some(content)
                && state.installed.get(path.as_str()).is_some_and(|installed| installed.version == *version);
            is_here.then_some(Skip::UpToDate)
        }
        Kind::Daemon { .. } | Kind::Patch { .. } => None,
    }
}

/// What holds an update back until somebody wants it.
fn passing(state: &State, facts: &Facts, kind: &Kind, content: Content) -> Option<Skip> {
    if let Some(refused) = state.refused(&hex(&content.sha256)) {
        return Some(Skip::Refused { reason: refused.reason.clone() });
    }
    if state.paused {
        return Some(Skip::Paused);
    }
    if !kind.is_for(&facts.node_id) {
        return Some(match kind.rollout() {
            Some(rollout) if !kind.is_paused() => Skip::NotInRollout { percent: rollout.percent() },
            _ => Skip::PausedByPublisher,
        });
    }
    if facts.windows.is_empty() {
        return None;
    }
    let Some(now) = facts.now_unix_s else { return Some(Skip::OutsideWindow { opens_unix_s: None }) };
    let opens = facts.windows.iter().map(|window| window.next_open(now)).min()?;
    (opens > now).then_some(Skip::OutsideWindow { opens_unix_s: Some(opens) })
}

fn installed(state: &State, path: &TargetPath) -> Option<Content> {
    let installed = state.installed.get(path.as_str())?;
    crate::content::from_hex(installed.length, &installed.sha256)
}

/// Ways from `base` to `content`, shortest first.
fn offers(trust: &Trust, path: &TargetPath, content: Content, base: Option<Content>) -> Vec<Offer> {
    let mut offers = vec![Offer { path: path.clone(), payload: content, form: Form::Plain }];
    for (path, target) in trust.targets() {
        let Ok(Some(Kind::Patch { base: from, result })) = target.kind() else { continue };
        let form = match from {
            None => Form::Compressed,
            Some(from) if Some(from) == base => Form::Patch(from),
            Some(_) => continue,
        };
        if result == content {
            offers.push(Offer { path: path.clone(), payload: target.content(), form });
        }
    }
    offers.sort_by_key(|offer| offer.payload.length);
    offers
}

fn version_of(kind: &Kind) -> &str {
    match kind {
        Kind::Daemon { version, .. } | Kind::Function { version, .. } | Kind::File { version, .. } => version,
        Kind::Patch { .. } => "",
    }
}
