//! Schedules and windows of functions. At its time, a schedule is a message to the function's session, so that queue, order, attempts and durability are
//! those of all messages. A thread of its own once there is a schedule or a window, asleep until the next is due.

use std::sync::{Condvar, Mutex as StdMutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, UNIX_EPOCH};

use selvedge_codec::QoS;
use selvedge_core::Message;
use selvedge_functions::{Appointment, Schedule, Source, Timetable, Trigger, find_zone};
use serde_json::json;

use super::clock::wall_ms;
use super::function_lines::FunctionLines;
use crate::client::time_text;

const STACK_BYTES: usize = 256 * 1024;
/// A clock that was set is noticed after this.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Wakes the thread.
#[derive(Default)]
pub struct FunctionClock {
    state: StdMutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    changed: bool,
    /// Nothing has come since it last looked.
    looked: bool,
    started: bool,
    stopped: bool,
}

/// What a schedule publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    function: String,
    topic: String,
    cron: String,
    zone: String,
}

impl FunctionClock {
    /// Triggers have changed; there are schedules among them or not.
    pub fn changed(&self, lines: &Weak<FunctionLines>, has_schedules: bool) {
        let mut state = self.lock();
        state.changed = true;
        if has_schedules && !state.started {
            let lines = lines.clone();
            let spawned = std::thread::Builder::new()
                .name("fn-clock".to_owned())
                .stack_size(STACK_BYTES)
                .spawn(move || keep_time(&lines));
            match spawned {
                Ok(_) => state.started = true,
                Err(error) => tracing::error!(%error, "schedules of functions do not run: no thread"),
            }
        }
        self.wake.notify_one();
    }

    /// There may be something to do earlier than it thought.
    pub fn look(&self) {
        self.lock().looked = false;
        self.wake.notify_one();
    }

    /// Ends the thread.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.wake.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps; false when it is over.
    fn wait(&self, pause: Duration) -> bool {
        let state = self.lock();
        let waited =
            self.wake.wait_timeout_while(state, pause, |state| !state.stopped && !state.changed && state.looked);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.looked = true;
        !state.stopped
    }

    fn take_changed(&self) -> bool {
        std::mem::take(&mut self.lock().changed)
    }
}

fn now_ms() -> i64 {
    i64::try_from(wall_ms()).unwrap_or(i64::MAX)
}

/// The thread.
fn keep_time(lines: &Weak<FunctionLines>) {
    let mut table = Timetable::new(now_ms());
    while let Some(lines) = lines.upgrade() {
        if lines.clock().take_changed() {
            table.set(appointments(&lines.triggers()), now_ms());
        }
        let now = now_ms();
        let messages: Vec<Message> = table.due(now).iter().map(|(call, due_ms)| message(call, *due_ms)).collect();
        if !messages.is_empty() {
            lines.publish(messages);
        }
        let window = lines.close_windows(now);
        let next = [table.next(), window].into_iter().flatten().min();
        let until_next = next.map(|next| Duration::from_millis(next.saturating_sub(now).max(0) as u64));
        if !lines.clock().wait(until_next.map_or(LOOK_EVERY, |pause| pause.min(LOOK_EVERY))) {
            return;
        }
    }
}

fn appointments(triggers: &[(String, Trigger)]) -> Vec<Appointment<Call>> {
    let appointment = |(function, trigger): &(String, Trigger)| {
        let Source::Schedule { cron, zone } = &trigger.source else { return None };
        // Both were looked at when the function was deployed; the machine may have lost a zone since.
        let found = Schedule::parse(cron).map_err(|error| error.to_string());
        let found = found.and_then(|schedule| Ok((schedule, find_zone(zone).map_err(|error| error.to_string())?)));
        match found {
            Ok((schedule, clocks)) => {
                let key = Call {
                    function: function.clone(),
                    topic: trigger.mqtt.clone(),
                    cron: cron.clone(),
                    zone: zone.clone(),
                };
                Some(Appointment { key, schedule, zone: clocks })
            }
            Err(reason) => {
                tracing::error!(function, cron, zone, reason, "a schedule does not run");
                None
            }
        }
    };
    triggers.iter().filter_map(appointment).collect()
}

fn message(call: &Call, due_ms: i64) -> Message {
    let due = time_text::iso(UNIX_EPOCH + Duration::from_millis(u64::try_from(due_ms).unwrap_or(0)));
    let payload = json!({
        "function": call.function, "cron": call.cron, "zone": call.zone, "due": due, "due_ms": due_ms,
    });
    Message::new(&call.topic, payload.to_string().into_bytes(), QoS::AtLeastOnce, false)
}

#[cfg(test)]
mod tests {
    use selvedge_functions::Qos;

    use super::*;

    fn trigger(source: Source) -> (String, Trigger) {
        ("f".to_owned(), Trigger { mqtt: "$fn/cron/f/1".to_owned(), qos: Qos::AtLeastOnce, source, window: None })
    }

    #[test]
    fn only_schedules_in_known_zones_are_kept_and_say_what_is_due() {
        let schedule = |zone: &str| Source::Schedule { cron: "* * * * * *".to_owned(), zone: zone.to_owned() };
        let triggers = [
            trigger(Source::Messages),
            trigger(Source::Start),
            trigger(schedule("UTC")),
            trigger(schedule("No/Where")),
        ];
        let appointments = appointments(&triggers);
        assert_eq!(appointments.len(), 1);
        let message = message(&appointments[0].key, 1_000);
        assert_eq!(message.topic(), "$fn/cron/f/1");
        let payload: serde_json::Value = serde_json::from_slice(message.payload()).unwrap();
        assert_eq!((&payload["due"], &payload["due_ms"]), (&json!("1970-01-01T00:00:01.000000Z"), &json!(1000)));
    }
}
