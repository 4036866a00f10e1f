//! Consumers inside the node: functions, twins, uplinks. They are sessions like any other, so that being slow, full or
//! restarting is handled by the mechanism that MQTT already has.

use std::sync::Arc;

use selvedge_codec::QoS;

use super::{
    Core,
    disconnect::{WillFate, split_shared},
};
use crate::{
    connection::{Connection, Kind},
    effect::Effects,
    id::ConnectionId,
    router::SubscriptionOptions,
    session::{NEVER, NODE_CLIENT_PREFIX, Session},
    time::Moment,
    timers::Timer,
};

impl Core {
    pub(super) fn on_attach(
        &mut self,
        id: ConnectionId,
        client_id: Arc<str>,
        receive_maximum: u16,
        now: Moment,
        effects: &mut Effects,
    ) {
        debug_assert!(client_id.starts_with(NODE_CLIENT_PREFIX), "a client could take this identifier");
        let key = match self.sessions.find(&client_id) {
            Some(key) => {
                if let Some(old) = self.sessions.get(key).and_then(|session| session.connection) {
                    self.drop_connection(old, WillFate::Discard, now);
                }
                key
            }
            None => self.sessions.insert(client_id, None, &mut self.account),
        };
        let Some(session) = self.sessions.get_mut(key) else { return };
        session.connection = Some(id);
        session.expiry_s = NEVER;
        if let Some(at) = session.ends_at.take() {
            self.timers.disarm(at, Timer::SessionExpiry(key));
        }
        self.journal.opened(session);
        let mut connection = Connection::new(id, key, Kind::Internal, now);
        connection.window = receive_maximum.max(1);
        self.connections.insert(connection, &mut self.account);
        self.pump(id, now, effects);
    }

    pub(super) fn on_subscribe_internal(&mut self, id: ConnectionId, filter: &str, qos: QoS) {
        let Some(connection) = self.connections.get(id) else { return };
        let key = connection.session;
        let Some(session) = self.sessions.get_mut(key) else { return };
        let options = SubscriptionOptions { qos, no_local: false, retain_as_published: true, identifier: 0 };
        self.journal.subscribed(session, filter, options);
        let (group, plain) = split_shared(filter);
        if self.router.tree.subscribe(plain, group, key, options) {
            self.statistics.subscriptions += 1;
            session.add_filter(filter);
            session.settle(&mut self.account);
            self.account.tree = self.router.tree.bytes();
        }
        self.router.cache.invalidate();
    }

    pub(super) fn on_keep_subscriptions(&mut self, id: ConnectionId, filters: &[&str]) {
        let Some(connection) = self.connections.get(id) else { return };
        let key = connection.session;
        let Some(session) = self.sessions.get(key) else { return };
        let others: Vec<Box<str>> =
            session.filters.iter().filter(|filter| !filters.contains(&&***filter)).cloned().collect();
        for filter in others {
            self.remove_subscription(key, &filter);
        }
    }

    pub(super) fn end_unclaimed(&mut self, now: Moment) {
        let unclaimed = |session: &Session| session.is_internal() && session.connection.is_none();
        let keys: Vec<_> = self.sessions.all().filter(|(_, session)| unclaimed(session)).map(|(key, _)| key).collect();
        for key in keys {
            self.end_session(key, now);
        }
    }

    pub(super) fn on_detach(&mut self, id: ConnectionId, now: Moment) {
        let Some(connection) = self.connections.get(id) else { return };
        let key = connection.session;
        self.drop_connection(id, WillFate::Discard, now);
        self.end_session(key, now);
    }
}
