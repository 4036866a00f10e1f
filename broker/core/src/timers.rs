//! What is due when.
//!
//! Invariant: there is an entry only for what exists: whoever ends a connection or a session disarms its timers, so
//! that clients that come and go leave nothing behind. An entry may be early (activity only notes the time); whoever
//! handles it arms it again.

use std::collections::BTreeSet;

use crate::{
    id::{ConnectionId, SessionKey},
    time::Moment,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The client may have been silent too long.
    KeepAlive(ConnectionId),
    /// The credentials of the client end.
    Credentials(ConnectionId),
    /// The client has had its time to authenticate again.
    Reauthentication(ConnectionId),
    /// The session has been away too long.
    SessionExpiry(SessionKey),
    /// The delay of the will is over.
    Will(SessionKey),
    /// A publication has been held long enough.
    Held(u64),
    /// What waits and is over is to be looked for.
    Expiry,
    /// `$SYS` topics are to be published.
    Sys,
}

#[derive(Debug, Default)]
pub(crate) struct Timers {
    due: BTreeSet<(Moment, Timer)>,
}

impl Timers {
    pub(crate) fn arm(&mut self, at: Moment, timer: Timer) {
        self.due.insert((at, timer));
    }

    pub(crate) fn disarm(&mut self, at: Moment, timer: Timer) {
        self.due.remove(&(at, timer));
    }

    /// Every armed timer.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Moment, Timer)> {
        self.due.iter().copied()
    }

    pub(crate) fn next(&self) -> Option<Moment> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(crate) fn pop_due(&mut self, now: Moment) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.due.pop_first().map(|(_, timer)| timer)
    }
}
