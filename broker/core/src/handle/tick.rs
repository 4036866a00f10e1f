//! What time alone brings about: silent clients, ended sessions, delayed wills, expired retained messages, `$SYS`.

use std::sync::Arc;

use selvedge_codec::ReasonCode;

use super::{Core, disconnect::WillFate};
use crate::{
    effect::{CloseCause, Effects},
    id::ConnectionId,
    time::Moment,
    timers::Timer,
};

impl Core {
    pub(super) fn on_tick(&mut self, now: Moment, effects: &mut Effects) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::KeepAlive(id) => self.check_keep_alive(id, now, effects),
                Timer::SessionExpiry(key) => {
                    if let Some(session) = self.sessions.get_mut(key) {
                        session.ends_at = None;
                    }
                    self.end_session(key, now);
                }
                Timer::Will(key) => {
                    if let Some(session) = self.sessions.get_mut(key) {
                        session.will_at = None;
                    }
                    self.release_will(key, now);
                }
                Timer::Sys => self.publish_sys(now, effects),
            }
        }
        self.statistics.dropped_expired += self.router.retained.expire(now);
    }

    fn check_keep_alive(&mut self, id: ConnectionId, now: Moment, effects: &mut Effects) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        let due = connection.last_heard.plus_millis(connection.silence_max_ms);
        if due > now {
            connection.keep_alive_at = Some(due);
            self.timers.arm(due, Timer::KeepAlive(id));
            return;
        }
        connection.keep_alive_at = None;
        self.statistics.closed_keep_alive += 1;
        // [MQTT-3.1.2-22]
        let text = "nothing was heard for one and a half keep-alive intervals";
        self.close(id, ReasonCode::KeepAliveTimeout, text, CloseCause::KeepAliveTimeout, effects);
        self.drop_connection(id, WillFate::Publish, now);
    }

    fn publish_sys(&mut self, now: Moment, effects: &mut Effects) {
        let interval_s = self.config.sys_interval_s;
        if interval_s == 0 {
            return;
        }
        self.timers.arm(now.plus_seconds(interval_s), Timer::Sys);
        self.statistics();
        for message in self.sys_topics.changed(&self.statistics, now) {
            self.publish_kept(Arc::new(message), None, now, effects);
        }
    }
}
