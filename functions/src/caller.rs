//! Somebody who waits for the end of an invocation: an HTTP request, or a message that is held until functions have looked at it.
//!
//! Invariants: nothing runs for a caller who has left or whose time is over; what is returned for a caller is never published.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::http_response::{HttpResponse, RESPONSE_TOPIC};
use crate::message::InvocationMessage;

/// Which of the messages that a function returns are for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// One on `$fn/http/response`; the others are published.
    HttpResponse,
    /// All of them.
    Everything,
}

/// Who waits, and until when.
#[derive(Clone, Debug)]
pub struct Caller {
    began: Instant,
    deadline: Instant,
    wanted: Wanted,
    has_left: Arc<AtomicBool>,
}

/// Dropped when the caller does not wait any more: what has not begun by then does not run, and what runs is stopped.
#[derive(Debug)]
#[must_use = "a caller that is dropped has left"]
pub struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Caller {
    /// One that waits from now until `deadline`, and as long as the second value lives.
    pub fn new(deadline: Instant, wanted: Wanted) -> (Self, Waiting) {
        let has_left = Arc::new(AtomicBool::new(false));
        (Self { began: Instant::now(), deadline, wanted, has_left: Arc::clone(&has_left) }, Waiting(has_left))
    }

    /// Which of the returned messages are for them.
    pub(crate) fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// When they wait no longer.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Does nobody wait any more?
    pub(crate) fn is_gone(&self, now: Instant) -> bool {
        now >= self.deadline || self.has_left.load(Ordering::Acquire)
    }

    /// Is it the caller's doing that a run was stopped which began at `start`? One that had the better part of their time was slow
    /// itself.
    pub(crate) fn has_cut_short(&self, start: Instant, now: Instant) -> bool {
        let had = self.deadline.saturating_duration_since(start);
        let whole = self.deadline.saturating_duration_since(self.began);
        self.has_left.load(Ordering::Acquire) || (now >= self.deadline && had * 2 < whole)
    }

    /// Would a pause leave time for anything?
    pub(crate) fn can_wait(&self, now: Instant, pause: Duration) -> bool {
        now.checked_add(pause).is_some_and(|then| !self.is_gone(then))
    }

    /// Is a returned message for the caller?
    pub(crate) fn wants(&self, topic: &str) -> bool {
        match self.wanted {
            Wanted::HttpResponse => topic == RESPONSE_TOPIC,
            Wanted::Everything => true,
        }
    }

    /// Why a message that is for the caller cannot be taken after those `before` it.
    pub(crate) fn check(&self, before: &[InvocationMessage], message: &InvocationMessage) -> Result<(), String> {
        match self.wanted {
            Wanted::Everything => Ok(()),
            Wanted::HttpResponse if !before.is_empty() => Err(format!("a second message on {RESPONSE_TOPIC}")),
            Wanted::HttpResponse => HttpResponse::of(message).map(drop),
        }
    }
}

/// The same one, who waits for the same.
impl PartialEq for Caller {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.has_left, &other.has_left)
    }
}

impl Eq for Caller {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_gone_when_they_leave_or_their_time_is_over() {
        let now = Instant::now();
        let (caller, waiting) = Caller::new(now + Duration::from_millis(5), Wanted::Everything);
        assert!(!caller.is_gone(now) && !caller.is_gone(now + Duration::from_micros(4999)));
        assert!(caller.is_gone(now + Duration::from_millis(5)));
        assert!(caller.can_wait(now, Duration::from_millis(4)) && !caller.can_wait(now, Duration::from_millis(5)));
        drop(waiting);
        assert!(caller.is_gone(now));
    }

    #[test]
    fn a_run_that_had_most_of_the_time_was_slow_itself() {
        let (caller, waiting) = Caller::new(Instant::now() + Duration::from_secs(100), Wanted::Everything);
        let (early, late) = (caller.began + Duration::from_secs(49), caller.began + Duration::from_secs(51));
        let end = caller.deadline();
        assert!(!caller.has_cut_short(early, end) && caller.has_cut_short(late, end));
        assert!(!caller.has_cut_short(late, late), "its own limit was shorter");
        drop(waiting);
        assert!(caller.has_cut_short(early, early));
    }

    #[test]
    fn an_http_request_takes_one_response_and_nothing_else() {
        let (caller, _waiting) = Caller::new(Instant::now(), Wanted::HttpResponse);
        assert!(caller.wants("$fn/http/response") && !caller.wants("$fn/http/response/x") && !caller.wants("a"));
        let response = InvocationMessage { topic: RESPONSE_TOPIC.to_owned(), ..InvocationMessage::default() };
        assert_eq!(caller.check(&[], &response), Ok(()));
        assert!(caller.check(std::slice::from_ref(&response), &response).is_err());
        let mut wrong = response;
        wrong.properties.user_properties.push(("http-status".to_owned(), "99".to_owned()));
        assert!(caller.check(&[], &wrong).is_err());
    }
}
