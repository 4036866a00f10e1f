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

/// What one tick does at most of what is due: thousands of clients may fall silent at once. The rest is due at once, see
/// [`Core::next_deadline`].
const TIMERS_PER_TICK: usize = 64;
const EXPIRIES_PER_TICK: usize = 256;

impl Core {
    pub(super) fn on_tick(&mut self, now: Moment, effects: &mut Effects) {
        for _ in 0..TIMERS_PER_TICK {
            let Some(timer) = self.timers.pop_due(now) else { break };
            match timer {
                Timer::KeepAlive(id) => self.check_keep_alive(id, now, effects),
                Timer::Credentials(id) => self.end_credentials(id, now, effects),
                Timer::Reauthentication(id) => self.end_reauthentication(id, now, effects),
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
                Timer::Held(ticket) => self.end_hold(ticket, now, effects),
                Timer::Expiry => self.begin_expiry_round(now),
                Timer::Sys => self.publish_sys(now, effects),
            }
        }
        for expired in self.router.retained.expire(now, EXPIRIES_PER_TICK) {
            self.statistics.dropped_expired += 1;
            self.journal.retained_removed(expired.topic(), expired.number());
        }
        self.account.retained_levels = self.router.retained.level_bytes();
        self.go_on_with_requests(now, effects);
        self.forget_some_filters();
        self.sweep(now, effects);
        self.drop_expired(now, effects);
        self.write_image(effects);
    }

    fn check_keep_alive(&mut self, id: ConnectionId, now: Moment, effects: &mut Effects) {
        let Some(connection) = self.connections.get_mut(id) else { return };
        // One that is not read because something of it is held, or not done yet, cannot be heard.
        let is_paused = connection.held.is_some() || connection.request.is_some();
        let last_heard = if is_paused { now } else { connection.last_heard };
        let due = last_heard.plus_millis(connection.silence_max_ms);
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

#[cfg(test)]
mod tests {
    use selvedge_codec::{Connect, ProtocolVersion};

    use super::*;
    use crate::{Config, Effect, Input, OpenAccess, Peer};

    #[test]
    fn of_a_crowd_that_falls_silent_at_once_so_many_are_closed_in_one_tick_and_the_others_in_the_next_ones() {
        const CROWD: usize = 3 * TIMERS_PER_TICK + 1;
        let config = Config { sys_interval_s: 0, ..Config::default() };
        let mut core = Core::new(config, Box::new(OpenAccess), 1);
        let mut effects = Effects::new();
        for slot in 0..CROWD as u32 {
            let client_id = slot.to_string();
            let connect = Connect { keep_alive_s: 10, ..Connect::new(ProtocolVersion::V5, &client_id, true) };
            let connection = ConnectionId { slot, generation: 1 };
            let input = Input::Connect { connection, connect: &connect, peer: Peer::default() };
            core.handle(input, Moment::default(), &mut effects);
        }
        let now = Moment::from_millis(15_000);
        let mut ticks = Vec::new();
        while core.next_deadline().is_some_and(|due| due <= now) {
            effects.clear();
            core.handle(Input::Tick, now, &mut effects);
            ticks.push(effects.list().iter().filter(|effect| matches!(effect, Effect::Close { .. })).count());
        }
        assert_eq!(ticks, [TIMERS_PER_TICK, TIMERS_PER_TICK, TIMERS_PER_TICK, 1]);
        assert_eq!(core.statistics().closed_keep_alive, CROWD as u64);
    }
}
