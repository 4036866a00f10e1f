//! Whether the core's books are right: everything that is counted as it comes and goes is counted anew and compared.
//!
//! For the fuzzer and for tests; the broker never calls it. Nothing here changes anything.

use std::collections::BTreeSet;

use super::Core;
use crate::{
    connection::{Connection, Enhanced, Kind},
    id::{ConnectionId, SessionKey},
    session::Session,
    timers::Timer,
};

impl Core {
    /// Counts everything anew; gives what does not agree with what was counted on the way.
    ///
    /// # Errors
    /// The first disagreement, in words.
    #[doc(hidden)]
    pub fn audit(&self) -> Result<(), String> {
        let mut timers: BTreeSet<_> = self.timers.all().collect();
        if self.config.sys_interval_s > 0 {
            timers.retain(|(_, timer)| !matches!(timer, Timer::Sys | Timer::Expiry));
        }
        let (mut subscriptions, mut queued, mut queued_bytes) = (0, 0, 0);
        for (key, session) in self.sessions.all() {
            self.check_session(key, session)?;
            subscriptions += session.filters.len();
            queued += session.queue.total();
            queued_bytes += session.queue.bytes_held();
            for (at, timer) in [(session.ends_at, Timer::SessionExpiry(key)), (session.will_at, Timer::Will(key))] {
                if let Some(at) = at {
                    agree("an armed timer of a session", timers.remove(&(at, timer)), true)?;
                }
            }
        }
        for id in self.connections.ids() {
            let connection = self.connections.get(id).ok_or("a connection is not at its place")?;
            let session = self.sessions.get(connection.session).ok_or("a connection has no session")?;
            agree("connection of the session of a connection", session.connection, Some(id))?;
            agree("a packet of many filters", self.requests.contains(&id), connection.request.is_some())?;
            let reauthentication = connection.enhanced.as_deref().and_then(Enhanced::until);
            for (at, timer) in [
                (connection.keep_alive_at, Timer::KeepAlive(id)),
                (connection.credentials_end_at, Timer::Credentials(id)),
                (reauthentication, Timer::Reauthentication(id)),
            ] {
                if let Some(at) = at {
                    agree("an armed timer of a connection", timers.remove(&(at, timer)), true)?;
                }
            }
        }
        for (ticket, held) in self.holds.all() {
            agree("an armed timer of what is held", timers.remove(&(held.until, Timer::Held(ticket))), true)?;
        }
        self.check_other_timers(&timers)?;
        subscriptions += self.departed.len();
        agree("subscriptions", self.statistics.subscriptions as usize, subscriptions)?;
        agree("subscriptions in the tree", self.router.tree.count_anew()?, subscriptions)?;
        agree("queued messages", self.statistics.queued_messages as usize, queued)?;
        agree("queued bytes", self.statistics.queued_bytes as usize, queued_bytes)?;
        agree("wills left over", self.wills.len() + self.overflowed.len(), 0)?;
        let network = self.connections.ids().into_iter().filter(|id| self.is_network(*id)).count();
        agree("network connections", self.connections.network_count(), network)?;
        self.router.retained.audit()?;
        let (count, bytes) = (self.router.retained.count(), self.router.retained.bytes());
        if count > self.config.retained_messages_max || bytes > self.config.retained_bytes_max {
            return Err(format!("{count} retained messages of {bytes} bytes are over the limit"));
        }
        let clients = self.sessions.all().filter(|(_, session)| !session.is_internal()).count();
        if clients > self.config.sessions_max {
            return Err(format!("{clients} sessions of clients are over the limit"));
        }
        self.check_account()
    }

    /// The account of memory, but for the messages, which count themselves.
    fn check_account(&self) -> Result<(), String> {
        let sessions: usize = self.sessions.all().map(|(_, session)| session.footprint()).sum();
        let connections: usize = self
            .connections
            .ids()
            .into_iter()
            .filter_map(|id| self.connections.get(id))
            .map(Connection::footprint)
            .sum();
        agree("footprints of sessions and connections", self.account.footprints(), sessions + connections)?;
        agree("levels of retained topics", self.account.retained_levels, self.router.retained.level_bytes())?;
        agree("the tree of filters", self.account.tree, self.router.tree.bytes())?;
        agree("filters of ended sessions", self.account.departed, self.departed.bytes())?;
        agree("sessions that share the memory", self.account.sessions, self.sessions.len())?;
        let anonymous = self.sessions.all().filter(|(_, session)| session.user.is_none() && !session.is_internal());
        let (mut total, mut away) = (0, 0);
        for (_, session) in anonymous {
            total += 1;
            away += usize::from(session.connection.is_none());
        }
        agree("anonymous sessions", self.sessions.anonymous(), total)?;
        agree("anonymous sessions that are away", self.sessions.count_away(), away)
    }

    fn check_session(&self, key: SessionKey, session: &Session) -> Result<(), String> {
        let client_id = &session.client_id;
        agree("session of a client identifier", self.sessions.find(client_id), Some(key))?;
        if let Some(id) = session.connection {
            let connection = self.connections.get(id).ok_or_else(|| format!("{client_id}: no such connection"))?;
            agree("session of the connection of a session", connection.session, key)?;
            agree("a connected session that waits for its end", session.ends_at, None)?;
            // [MQTT-4.9.0-1]
            let (sent, window) = (session.in_flight.sent(), usize::from(connection.window));
            if sent > window {
                return Err(format!("{client_id}: {sent} messages under way are over the window of {window}"));
            }
        }
        session.queue.audit()?;
        session.in_flight.audit()?;
        let (messages, bytes) = (session.queue.len(), session.queue.bytes());
        if messages > self.config.queue_messages_max || bytes > self.config.queue_bytes_max {
            return Err(format!("{client_id}: {messages} queued messages of {bytes} bytes are over the limit"));
        }
        let inbound = session.inbound_qos_2.len();
        if inbound > usize::from(self.config.receive_maximum) {
            return Err(format!("{client_id}: {inbound} unreleased publications are over the receive maximum"));
        }
        let subscriptions = session.filters.len();
        if subscriptions > self.config.subscriptions_max && self.is_client(session.connection) {
            return Err(format!("{client_id}: {subscriptions} subscriptions are over the limit"));
        }
        Ok(())
    }

    /// What is left when the timers of all that exists are taken out.
    fn check_other_timers(&self, timers: &BTreeSet<(crate::time::Moment, Timer)>) -> Result<(), String> {
        let forgotten = timers.iter().find(|(_, timer)| !matches!(timer, Timer::Sys | Timer::Expiry));
        forgotten.map_or(Ok(()), |timer| Err(format!("{timer:?} is armed for nothing that exists")))
    }

    fn is_network(&self, id: ConnectionId) -> bool {
        self.connections.get(id).is_some_and(|connection| connection.kind != Kind::Internal)
    }

    fn is_client(&self, id: Option<ConnectionId>) -> bool {
        id.is_some_and(|id| self.is_network(id))
    }
}

/// Gives an error that says what was counted and what there is.
pub(crate) fn agree<T: PartialEq + std::fmt::Debug>(what: &str, counted: T, there: T) -> Result<(), String> {
    if counted == there { Ok(()) } else { Err(format!("{what}: {counted:?} was counted, {there:?} is there")) }
}
