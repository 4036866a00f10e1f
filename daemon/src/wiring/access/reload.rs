//! Looks at the files every 2 seconds, and whenever somebody asks, and puts what changed into effect without ending a connection
//! that may go on. Invariant: what cannot be read changes nothing for those who are in, and lets in nobody who would need it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use selvedge_broker::{Handle, TlsSettings};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Gate;
use super::authorizer::Rules;
use super::sources::{Snapshot, SourceFiles};
use crate::certificates::facts::Facts;
use crate::certificates::folder::read_bounded;
use crate::certificates::revocation::Revocations;
use crate::config::surroundings::FilePlaces;
use crate::http::PartState;
use crate::trusted_clock::TrustedClock;
use crate::wiring::tls;

const LOOK_EVERY: Duration = Duration::from_secs(2);
const DAY_S: u64 = 24 * 3600;

/// What the node learned from its files last.
#[derive(Debug, Default)]
struct Known {
    stamps: Vec<Stamp>,
    digest: [u8; 32],
    /// With the files of access.
    problems: Vec<String>,
    /// With the node's certificate.
    tls_problem: Option<String>,
    revocations: Option<Revocations>,
    certificate: Option<Facts>,
}

impl Known {
    fn all_problems(&self) -> Vec<String> {
        self.problems.iter().chain(&self.tls_problem).cloned().collect()
    }
}

/// Tells a file from what was there before.
type Stamp = Option<(u64, u64, i64, i64, i64, i64)>;

/// Why the files are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Time has passed: only changed files are read.
    Time,
    /// Somebody asked: everything is read.
    Wish,
}

/// What a look brought.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    /// Something is different now.
    pub changed: bool,
    /// What is wrong, each with its file.
    pub problems: Vec<String>,
}

#[derive(Debug, Default)]
struct Wishes {
    is_reload: bool,
    is_end: bool,
}

/// Knows the files and everybody who depends on them.
#[derive(Debug)]
pub struct Reloader {
    files: SourceFiles,
    gate: Arc<Gate>,
    /// Where there are encrypted listeners.
    tls: Option<TlsSettings>,
    clock: Arc<TrustedClock>,
    broker: Handle,
    known: Mutex<Known>,
    /// Held during a look: one at a time.
    looking: Mutex<()>,
    wishes: Mutex<Wishes>,
    wake: Condvar,
}

/// What was read before the broker was there.
#[derive(Debug)]
pub struct First {
    /// What is wrong with the files of access.
    pub problems: Vec<String>,
    /// Of those files.
    pub digest: [u8; 32],
    /// Withdrawn certificates.
    pub revocations: Option<Revocations>,
    /// The node's certificate.
    pub certificate: Option<Facts>,
}

impl Reloader {
    /// Goes on from what was read at the start.
    pub fn new(
        files: SourceFiles,
        gate: Arc<Gate>,
        tls: Option<TlsSettings>,
        clock: Arc<TrustedClock>,
        broker: Handle,
        first: First,
    ) -> Arc<Self> {
        for problem in &first.problems {
            tracing::error!(problem, "logins that need this are refused");
        }
        let known = Known {
            problems: first.problems,
            revocations: first.revocations,
            certificate: first.certificate,
            // No stamps: the first look reads everything again, in case something changed since.
            ..Known::default()
        };
        let reloader = Self {
            files,
            gate,
            tls,
            clock,
            broker,
            known: Mutex::new(known),
            looking: Mutex::new(()),
            wishes: Mutex::default(),
            wake: Condvar::new(),
        };
        let digest = reloader.with_certificates(first.digest);
        reloader.known.lock().digest = digest;
        Arc::new(reloader)
    }

    /// Starts looking.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(self: &Arc<Self>) -> std::io::Result<JoinHandle<()>> {
        let own = Arc::clone(self);
        std::thread::Builder::new().name("access-watch".to_owned()).stack_size(1 << 20).spawn(move || {
            while let Some(reason) = own.next_reason() {
                own.look(reason);
            }
        })
    }

    /// Makes the thread look soon.
    pub fn wish(&self) {
        self.wishes.lock().is_reload = true;
        self.wake.notify_all();
    }

    /// Ends the thread.
    pub fn stop(&self) {
        self.wishes.lock().is_end = true;
        self.wake.notify_all();
    }

    fn next_reason(&self) -> Option<Reason> {
        let mut wishes = self.wishes.lock();
        if !wishes.is_reload && !wishes.is_end {
            self.wake.wait_for(&mut wishes, LOOK_EVERY);
        }
        if wishes.is_end {
            return None;
        }
        Some(if std::mem::take(&mut wishes.is_reload) { Reason::Wish } else { Reason::Time })
    }

    /// Looks, and puts what changed into effect.
    pub fn look(&self, reason: Reason) -> Report {
        let _looking = self.looking.lock();
        let stamps: Vec<Stamp> = self.files.watched().iter().map(|path| stamp(path)).collect();
        // Whoever asks for the state meanwhile is not kept waiting by a large file.
        let (before, last_digest, mut known_revocations) = {
            let mut known = self.known.lock();
            let problems = known.all_problems();
            if reason == Reason::Time && stamps == known.stamps {
                return Report { changed: false, problems };
            }
            (problems, known.digest, known.revocations.take())
        };
        let fetched = self.gate.fetcher.get().map(|fetcher| fetcher.fetched());
        let last = self.gate.access();
        let Snapshot { access, problems, revocations, digest } = self.files.read(fetched.as_ref(), Some(&last));
        if let Ok(revocations) = revocations {
            known_revocations = revocations;
        }
        let digest = self.with_certificates(digest);
        let changed = digest != last_digest;
        if changed {
            let access = Arc::new(access);
            self.gate.replace(Arc::clone(&access));
            self.broker.set_rules(Box::new(Rules(access)));
        }
        if let Err(error) = self.files.places.remember() {
            tracing::warn!(%error, "which files are there is not remembered");
        }
        let (certificate, tls_problem) = self.look_at_certificates(known_revocations.as_ref(), changed);
        for problem in problems.iter().filter(|problem| !before.contains(problem)) {
            tracing::error!(problem, "logins that need this are refused; who is in stays");
        }
        if let Some(problem) = tls_problem.as_ref().filter(|problem| !before.contains(problem)) {
            tracing::error!(problem, "the last good certificate stays in use");
        }
        let mut known = self.known.lock();
        known.certificate = certificate.or(known.certificate.take());
        (known.stamps, known.digest, known.revocations) = (stamps, digest, known_revocations);
        (known.problems, known.tls_problem) = (problems, tls_problem);
        let problems = known.all_problems();
        drop(known);
        if problems.is_empty() && (changed || !before.is_empty()) {
            tracing::info!("files of access and certificates were read and are good");
        }
        Report { changed, problems }
    }

    fn with_certificates(&self, digest: [u8; 32]) -> [u8; 32] {
        let mut all = Sha256::new_with_prefix(digest);
        if self.tls.is_some() {
            let places = &self.files.places;
            for path in [&places.certificate, &places.key, &places.client_ca] {
                all.update(read_bounded(path).unwrap_or_default());
                all.update([0]);
            }
        }
        all.finalize().into()
    }

    /// The node's certificate, or what is wrong with it; new handshakes use it if nothing is.
    fn look_at_certificates(
        &self,
        revocations: Option<&Revocations>,
        changed: bool,
    ) -> (Option<Facts>, Option<String>) {
        let Some(settings) = &self.tls else { return (None, None) };
        match tls::load(&self.files.places, self.files.clients, revocations, &self.clock) {
            Ok(loaded) => {
                if changed {
                    settings.replace(loaded.config);
                }
                (loaded.facts, None)
            }
            Err(error) => (None, Some(format!("{:#}", anyhow::Error::from(error)))),
        }
    }

    /// As `selvedge reload` prints it.
    pub fn report(&self) -> Value {
        let Report { changed, problems } = self.look(Reason::Wish);
        json!({ "changed": changed, "problems": problems })
    }

    /// Lines for `selvedge status` and `/readyz`. None of them makes the node unready: a restart would not mend it.
    pub fn states(&self) -> Vec<PartState> {
        let known = self.known.lock();
        let state = |name, detail| PartState { name, ready: true, detail };
        let access = if !known.problems.is_empty() {
            format!("LOGINS THAT NEED THIS ARE REFUSED, who is in stays: {}", known.problems.join("; "))
        } else if self.gate.access().is_open() {
            "no users: who reaches a listener that lets clients in without a login may do everything".to_owned()
        } else {
            "good".to_owned()
        };
        let mut states = vec![state("access", access)];
        if let Some(facts) = &known.certificate {
            let validity = validity(facts, self.clock.now_s());
            states.push(state(
                "tls",
                match &known.tls_problem {
                    Some(problem) => format!("the last good certificate stays in use: {problem}; {validity}"),
                    None => validity,
                },
            ));
        }
        if let Some(complaint) = self.clock.complaint() {
            states.push(state("clock", complaint));
        }
        states
    }

    /// Who may come in.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Where the files are.
    pub fn places(&self) -> &FilePlaces {
        &self.files.places
    }

    /// Faults of files there are now.
    pub fn problem_count(&self) -> usize {
        self.known.lock().all_problems().len()
    }

    /// When the node's certificate ends, seconds since 1970.
    pub fn certificate_ends_s(&self) -> Option<u64> {
        self.known.lock().certificate.as_ref().map(|facts| facts.not_after_s)
    }
}

fn validity(facts: &Facts, now_s: u64) -> String {
    let until = crate::certificates::time_text(facts.not_after_s);
    if now_s < facts.not_before_s {
        return format!(
            "the certificate is NOT YET VALID: it begins {}",
            crate::certificates::time_text(facts.not_before_s)
        );
    }
    match facts.not_after_s.checked_sub(now_s) {
        None => format!("the certificate has EXPIRED, {until}: `selvedge cert renew` extends it"),
        Some(left) if left < 30 * DAY_S => {
            format!("the certificate ends in {} days, {until}: `selvedge cert renew` extends it", left / DAY_S)
        }
        Some(left) => format!("the certificate is good for {} days, until {until}", left / DAY_S),
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((
        metadata.ino(),
        metadata.len(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates::facts::Kind;

    #[test]
    fn the_end_of_a_certificate_is_told_a_month_before() {
        let facts = Facts {
            kind: Kind::Server,
            common_name: None,
            names: Vec::new(),
            issuer: String::new(),
            serial: Vec::new(),
            not_before_s: 100 * DAY_S,
            not_after_s: 200 * DAY_S,
            fingerprint: Vec::new(),
            withdrawn: 0,
        };
        let at = |day: u64| validity(&facts, day * DAY_S);
        assert!(at(99).contains("NOT YET VALID") && at(170).contains("good for 30 days"));
        assert!(at(171).contains("ends in 29 days") && at(171).contains("cert renew"));
        assert!(at(200).contains("ends in 0 days") && at(201).contains("EXPIRED"));
    }

    #[test]
    fn a_file_in_another_ones_place_has_another_stamp() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        assert_eq!(stamp(&path), None);
        std::fs::write(&path, "a").unwrap();
        let first = stamp(&path);
        std::fs::write(folder.path().join("g"), "b").unwrap();
        std::fs::rename(folder.path().join("g"), &path).unwrap();
        assert_ne!(stamp(&path), first);
    }
}
