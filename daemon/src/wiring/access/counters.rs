//! Counts of logins by kind and outcome, for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use selvedge_access::{Answer, Refusal};

/// What a client showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing.
    Anonymous,
    /// User and password.
    Password,
    /// A token.
    Token,
    /// A certificate.
    Certificate,
    /// A proof of the password.
    Scram,
}

const KINDS: [Kind; 5] = [Kind::Anonymous, Kind::Password, Kind::Token, Kind::Certificate, Kind::Scram];
const RESULTS: [&str; 7] =
    ["accepted", "bad_credentials", "not_authorized", "unavailable", "busy", "throttled", "malformed"];

/// Kind, result, count.
pub type Counts = Vec<(&'static str, &'static str, u64)>;

/// Counters that any thread may raise.
#[derive(Debug, Default)]
pub struct LoginCounters([[AtomicU64; RESULTS.len()]; KINDS.len()]);

impl Kind {
    /// For metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Password => "password",
            Self::Token => "token",
            Self::Certificate => "certificate",
            Self::Scram => "scram",
        }
    }
}

fn result(refusal: Option<&Refusal>) -> usize {
    match refusal.map(Refusal::answer) {
        None => 0,
        Some(Answer::BadCredentials) => 1,
        Some(Answer::NotAuthorized) => 2,
        Some(Answer::Unavailable) => 3,
        Some(Answer::Busy) => 4,
        Some(Answer::TooManyAttempts) => 5,
        Some(Answer::BadMethod | Answer::Malformed) => 6,
    }
}

impl LoginCounters {
    /// One more; without a refusal it was accepted.
    pub fn count(&self, kind: Kind, refusal: Option<&Refusal>) {
        if let Some(counter) = self.0.get(kind as usize).and_then(|row| row.get(result(refusal))) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All of them.
    pub fn read(&self) -> Counts {
        let rows = KINDS.iter().zip(&self.0);
        rows.flat_map(|(kind, row)| {
            RESULTS.iter().zip(row).map(|(result, counter)| (kind.name(), *result, counter.load(Ordering::Relaxed)))
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_counted_under_their_kind() {
        let counters = LoginCounters::default();
        counters.count(Kind::Password, None);
        counters.count(Kind::Password, Some(&Refusal::Credentials));
        counters.count(Kind::Token, Some(&Refusal::Busy));
        let read = counters.read();
        assert_eq!(read.len(), KINDS.len() * RESULTS.len());
        let counted: Vec<_> = read.into_iter().filter(|(_, _, count)| *count > 0).collect();
        assert_eq!(counted, [("password", "accepted", 1), ("password", "bad_credentials", 1), ("token", "busy", 1)]);
    }
}
