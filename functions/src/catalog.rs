//! The published versions of one function, its aliases, and the way back. Pure.
//!
//! Not what runs; that is made from this. Invariants: a published version never changes and its number is never used again;
//! every version that an alias names, now or as the next step back, is there; what is kept is bounded.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::alias::{Alias, Share};
use crate::canary::Canary;
use crate::manifest::is_valid_function_name;
use crate::version::VersionNumber;

/// The alias whose versions get what the triggers bring.
pub const LIVE: &str = "live";
/// Aliases of one function.
const ALIASES_MAX: usize = 16;
/// Steps that an alias can go back.
const STEPS_BACK_MAX: usize = 8;

/// One published version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Version {
    pub(crate) number: VersionNumber,
    /// Text of the manifest.
    pub(crate) manifest: String,
    /// SHA-256 of the component, hexadecimal.
    pub(crate) digest: String,
    /// Milliseconds since 1970.
    pub(crate) published_ms: u64,
    /// The version that takes its messages while its circuit is open.
    #[serde(default)]
    pub(crate) fallback: Option<VersionNumber>,
}

/// A version that is to be published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) manifest: &'a str,
    pub(crate) digest: &'a str,
    pub(crate) fallback: Option<VersionNumber>,
    pub(crate) now_ms: u64,
}

/// An alias and what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pointer {
    now: Alias,
    /// Oldest first.
    before: Vec<Alias>,
}

/// Versions and aliases of one function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Catalog {
    /// By number, ascending.
    versions: Vec<Version>,
    next: VersionNumber,
    aliases: BTreeMap<String, Pointer>,
    /// A version that sees the messages and has no effects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shadow: Option<VersionNumber>,
    /// A version on trial; it ends with the next change of `live`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    canary: Option<Canary>,
}

/// Why versions or aliases were not changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CatalogError {
    /// No version of that number.
    #[error("there is no {version}; there are {present}")]
    NoVersion {
        /// What was asked for.
        version: VersionNumber,
        /// Those that there are.
        present: String,
    },
    /// No alias of that name.
    #[error("there is no alias {alias:?}; there are {present}")]
    NoAlias {
        /// What was asked for.
        alias: String,
        /// Those that there are.
        present: String,
    },
    /// It is what it would replace.
    #[error("{0} is live already")]
    IsLive(VersionNumber),
    /// The alias has never been anything else, or what it was is gone.
    #[error("alias {alias:?} was nothing else before, or the version that it was is removed")]
    NothingBefore {
        /// The alias.
        alias: String,
    },
    /// The name cannot be one of an alias.
    #[error(
        "{0:?} is no name of an alias: allowed are 1 to 64 lower-case letters, digits and '-', beginning with a letter"
    )]
    AliasName(String),
    /// Too many aliases.
    #[error("{ALIASES_MAX} aliases are there, more are not allowed")]
    TooManyAliases,
    /// `live` cannot be removed.
    #[error("\"live\" cannot be removed: give it another version, or remove the function")]
    LiveStays,
    /// Every kept version is named by an alias.
    #[error("{0} versions are kept and aliases name all of them: change an alias, or raise functions.versions_max")]
    Full(usize),
    /// Numbers are used up.
    #[error("no numbers of versions are left: remove the function and deploy it again")]
    NumbersUsedUp,
}

impl Catalog {
    /// No versions yet.
    pub(crate) fn new() -> Self {
        Self { versions: Vec::new(), next: VersionNumber::FIRST, aliases: BTreeMap::new(), shadow: None, canary: None }
    }

    /// One version, live: what a function was before it had versions.
    pub(crate) fn of_one(manifest: &str, digest: &str) -> Self {
        let number = VersionNumber::FIRST;
        let (manifest, digest) = (manifest.to_owned(), digest.to_owned());
        let version = Version { number, manifest, digest, published_ms: 0, fallback: None };
        let live = Pointer { now: Alias::only(number), before: Vec::new() };
        Self {
            versions: vec![version],
            next: number.next().unwrap_or(number),
            aliases: BTreeMap::from([(LIVE.to_owned(), live)]),
            shadow: None,
            canary: None,
        }
    }

    /// Adds a version, unless one of the same manifest and component is there: then that one. Where `versions_max` are kept,
    /// the oldest that no alias needs gives way.
    ///
    /// # Errors
    /// There is no room or no number.
    pub(crate) fn publish(
        &mut self,
        candidate: Candidate<'_>,
        versions_max: usize,
    ) -> Result<VersionNumber, CatalogError> {
        let Candidate { manifest, digest, fallback, now_ms } = candidate;
        let same = |version: &&Version| version.manifest == manifest && version.digest == digest;
        if let Some(same) = self.versions.iter().find(same) {
            return Ok(same.number);
        }
        fallback.map_or(Ok(()), |fallback| self.version(fallback).map(drop))?;
        let after = self.next.next().ok_or(CatalogError::NumbersUsedUp)?;
        self.collect_except(versions_max.saturating_sub(1), fallback);
        if self.versions.len() >= versions_max {
            return Err(CatalogError::Full(self.versions.len()));
        }
        let number = std::mem::replace(&mut self.next, after);
        let (manifest, digest) = (manifest.to_owned(), digest.to_owned());
        self.versions.push(Version { number, manifest, digest, published_ms: now_ms, fallback });
        Ok(number)
    }

    /// Points an alias somewhere; what it was is the next step back. False when it was that already.
    ///
    /// # Errors
    /// A version is not there, or there is no room for the alias.
    pub(crate) fn point(&mut self, name: &str, alias: Alias) -> Result<bool, CatalogError> {
        if !is_valid_function_name(name) {
            return Err(CatalogError::AliasName(crate::log_ring::cut(name, 80).to_owned()));
        }
        self.check_versions(&alias)?;
        let has_room = self.aliases.len() < ALIASES_MAX;
        match self.aliases.get_mut(name) {
            Some(pointer) if pointer.now == alias => return Ok(false),
            Some(pointer) => {
                pointer.before.push(std::mem::replace(&mut pointer.now, alias));
                let too_many = pointer.before.len().saturating_sub(STEPS_BACK_MAX);
                pointer.before.drain(..too_many);
            }
            // `live` always finds room: without it nothing runs.
            None if has_room || name == LIVE => {
                self.aliases.insert(name.to_owned(), Pointer { now: alias, before: Vec::new() });
            }
            None => return Err(CatalogError::TooManyAliases),
        }
        self.end_canary(name);
        Ok(true)
    }

    /// Points an alias where it pointed before; again for a further step.
    ///
    /// # Errors
    /// No such alias, or it was nothing else.
    pub(crate) fn step_back(&mut self, name: &str) -> Result<Alias, CatalogError> {
        let missing = self.no_alias(name);
        let pointer = self.aliases.get_mut(name).ok_or(missing)?;
        let before = pointer.before.pop().ok_or_else(|| CatalogError::NothingBefore { alias: name.to_owned() })?;
        pointer.now = before.clone();
        self.end_canary(name);
        Ok(before)
    }

    /// Gives the canary's part of the messages to its candidate.
    ///
    /// # Errors
    /// A version is not there, or nothing else is live.
    pub(crate) fn begin_canary(&mut self, canary: Canary) -> Result<(), CatalogError> {
        let shares =
            [(canary.baseline, 100 - canary.policy.percent.min(99)), (canary.candidate, canary.policy.percent)];
        let shares = shares.map(|(version, weight)| Share { version, weight }).to_vec();
        let sticky = self.live().and_then(Alias::sticky);
        let alias = Alias::new(shares, sticky).map_err(|_| CatalogError::IsLive(canary.candidate))?;
        self.point(LIVE, alias)?;
        self.canary = Some(canary);
        Ok(())
    }

    /// The version on trial.
    pub(crate) fn canary(&self) -> Option<&Canary> {
        self.canary.as_ref()
    }

    fn end_canary(&mut self, alias: &str) {
        if alias == LIVE {
            self.canary = None;
        }
    }

    /// Lets a version see the messages without effects, or none.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn set_shadow(&mut self, shadow: Option<VersionNumber>) -> Result<(), CatalogError> {
        shadow.map_or(Ok(()), |number| self.version(number).map(drop))?;
        self.shadow = shadow;
        Ok(())
    }

    /// The version that sees the messages without effects.
    pub(crate) fn shadow(&self) -> Option<VersionNumber> {
        self.shadow
    }

    /// Forgets an alias.
    ///
    /// # Errors
    /// It is `live`, or not there.
    pub(crate) fn forget_alias(&mut self, name: &str) -> Result<(), CatalogError> {
        if name == LIVE {
            return Err(CatalogError::LiveStays);
        }
        let missing = self.no_alias(name);
        self.aliases.remove(name).map(drop).ok_or(missing)
    }

    /// Removes the oldest versions that no alias needs until `keep` are left; which went. Needed is what an alias names now and
    /// what it would name one step back, and what takes the messages of these; steps further back to what went are forgotten.
    pub(crate) fn collect(&mut self, keep: usize) -> Vec<VersionNumber> {
        self.collect_except(keep, None)
    }

    fn collect_except(&mut self, keep: usize, except: Option<VersionNumber>) -> Vec<VersionNumber> {
        let mut needed: BTreeSet<VersionNumber> = self
            .aliases
            .values()
            .flat_map(|pointer| [Some(&pointer.now), pointer.before.last()])
            .flatten()
            .flat_map(|alias| alias.shares().iter().map(|share| share.version))
            .collect();
        let fallbacks = self.versions.iter().filter(|version| needed.contains(&version.number));
        let fallbacks: Vec<VersionNumber> = fallbacks.filter_map(|version| version.fallback).chain(except).collect();
        needed.extend(fallbacks);
        needed.extend(self.shadow);
        let surplus = self.versions.len().saturating_sub(keep);
        let gone: Vec<VersionNumber> = self
            .versions
            .iter()
            .map(|version| version.number)
            .filter(|number| !needed.contains(number))
            .take(surplus)
            .collect();
        self.versions.retain(|version| !gone.contains(&version.number));
        for pointer in self.aliases.values_mut() {
            pointer.before.retain(|alias| !alias.shares().iter().any(|share| gone.contains(&share.version)));
        }
        gone
    }

    /// The versions, oldest first.
    pub(crate) fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// A version.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn version(&self, number: VersionNumber) -> Result<&Version, CatalogError> {
        self.versions.iter().find(|version| version.number == number).ok_or_else(|| self.no_version(number))
    }

    /// The aliases by name.
    pub(crate) fn aliases(&self) -> impl Iterator<Item = (&str, &Alias)> {
        self.aliases.iter().map(|(name, pointer)| (name.as_str(), &pointer.now))
    }

    /// An alias.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn alias(&self, name: &str) -> Result<&Alias, CatalogError> {
        self.aliases.get(name).map(|pointer| &pointer.now).ok_or_else(|| self.no_alias(name))
    }

    /// Where the messages go, if anywhere.
    pub(crate) fn live(&self) -> Option<&Alias> {
        self.aliases.get(LIVE).map(|pointer| &pointer.now)
    }

    /// The version that stands for the function: the heaviest live one, else the newest.
    pub(crate) fn foremost(&self) -> Option<&Version> {
        match self.live() {
            Some(live) => self.version(live.heaviest()).ok(),
            None => self.versions.last(),
        }
    }

    /// Whether what was read back keeps the invariants.
    pub(crate) fn is_sound(&self) -> bool {
        let numbers_ascend = self.versions.iter().zip(self.versions.iter().skip(1)).all(|(a, b)| a.number < b.number);
        let next_is_new = self.versions.last().is_none_or(|last| last.number < self.next);
        let aliases_hold = self.aliases.values().all(|pointer| self.check_versions(&pointer.now).is_ok());
        let trials = self.canary.iter().flat_map(|canary| [canary.candidate, canary.baseline]).chain(self.shadow);
        let trials_hold = trials.into_iter().all(|number| self.version(number).is_ok());
        numbers_ascend && next_is_new && aliases_hold && trials_hold && !self.versions.is_empty()
    }

    fn check_versions(&self, alias: &Alias) -> Result<(), CatalogError> {
        alias.shares().iter().try_for_each(|share| self.version(share.version).map(drop))
    }

    fn no_version(&self, version: VersionNumber) -> CatalogError {
        let present: Vec<String> = self.versions.iter().map(|version| version.number.to_string()).collect();
        CatalogError::NoVersion { version, present: listed(&present) }
    }

    fn no_alias(&self, alias: &str) -> CatalogError {
        let present: Vec<String> = self.aliases.keys().cloned().collect();
        CatalogError::NoAlias { alias: crate::log_ring::cut(alias, 80).to_owned(), present: listed(&present) }
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
