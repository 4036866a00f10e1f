//! Access rules that changed, and credentials that were replaced, reach what was granted before: sessions that may not be
//! end, forbidden subscriptions go, and with them what is queued, and forbidden wills.
//!
//! All sessions are looked at in steps of bounded work, by `Tick`; until a session's turn has come, nothing but what was
//! granted before reaches it. A queue that has not been judged yet is judged as it is sent. Invariant: consumers inside the
//! node are never touched.

use std::ops::Bound;

use super::{Core, disconnect::WillFate};
use crate::{
    authorize::{Action, Authorize},
    effect::{CloseCause, Effects},
    id::SessionKey,
    time::Moment,
    timers::Timer,
};
use selvedge_codec::{ReasonCode, topic};

/// Sessions, subscriptions and queued messages that one step looks at, together.
const WORK_PER_STEP: usize = 256;

/// How far all sessions have been judged by the present rules.
#[derive(Debug)]
pub(super) struct Sweep {
    /// Sessions before this index are done with.
    next: u32,
    /// The session that is being judged.
    current: Option<(SessionKey, Stage)>,
}

impl Sweep {
    /// Before the first session.
    pub(super) fn from_start() -> Self {
        Self { next: 0, current: None }
    }
}

/// What of a session is judged next.
#[derive(Debug)]
enum Stage {
    /// The filters after this one.
    Filters(Option<Box<str>>),
    Queue,
}

impl Core {
    pub(super) fn on_rules_changed(&mut self, authorizer: Box<dyn Authorize>) {
        self.authorizer = authorizer;
        self.rules = self.rules.wrapping_add(1);
        self.sweep = Some(Sweep::from_start());
    }

    /// One step of judging everyone by the new rules.
    pub(super) fn sweep(&mut self, now: Moment, effects: &mut Effects) {
        let Some(mut sweep) = self.sweep.take() else { return };
        let mut budget = WORK_PER_STEP;
        while budget > 0 {
            match sweep.current.take() {
                None => {
                    let Some(key) = self.sessions.at_or_after(sweep.next) else { return };
                    sweep.next = key.index + 1;
                    budget -= 1;
                    let internal = self.sessions.get(key).is_none_or(|session| session.is_internal());
                    if !internal && self.judge_session(key, &mut budget, now, effects) {
                        sweep.current = Some((key, Stage::Filters(None)));
                    }
                }
                Some((key, Stage::Filters(after))) => {
                    let last = self.judge_filters(key, after, &mut budget);
                    let stage = if last.is_some() { Stage::Filters(last) } else { Stage::Queue };
                    sweep.current = Some((key, stage));
                }
                Some((key, Stage::Queue)) => {
                    if self.judge_queue(key, &mut budget) {
                        sweep.current = Some((key, Stage::Queue));
                    }
                }
            }
        }
        effects.work += WORK_PER_STEP;
        self.sweep = Some(sweep);
    }

    /// Judges one session whose client has come back, or has been authenticated again: its subscriptions at once, its queue
    /// as it is sent. False if the session has ended.
    pub(super) fn recheck(&mut self, key: SessionKey, now: Moment, effects: &mut Effects) -> bool {
        let mut unbounded = usize::MAX;
        let lives = self.judge_session(key, &mut unbounded, now, effects);
        if lives {
            self.judge_filters(key, None, &mut unbounded);
        }
        effects.work += usize::MAX - unbounded;
        lives
    }

    /// The session itself, its will and what it has in flight. False if it has ended.
    fn judge_session(&mut self, key: SessionKey, budget: &mut usize, now: Moment, effects: &mut Effects) -> bool {
        let Some(session) = self.sessions.get_mut(key) else { return false };
        let who = session.principal();
        if session.permit.as_ref().is_some_and(|permit| permit.is_revoked()) || !self.authorizer.may_connect(who) {
            self.revoke(key, now, effects);
            return false;
        }
        if let Some(will) = &session.will
            && !self.authorizer.may(who, Action::Will { retain: will.message.retain() }, will.message.topic())
        {
            self.statistics.revoked_wills += 1;
            session.will = None;
            self.journal.will_gone(session);
            if let Some(at) = session.will_at.take() {
                self.timers.disarm(at, Timer::Will(key));
            }
        }
        session.queue.question_all();
        // What a client that is there has in flight was sent under the old rules; it is judged before it is sent again.
        if session.connection.is_none() {
            session.judged_by = self.rules;
            *budget = budget.saturating_sub(session.in_flight.len());
            let mut in_flight = std::mem::take(&mut session.in_flight);
            let allowed = |topic: &str| self.authorizer.may(session.principal(), Action::Subscribe, topic);
            let (journal, statistics, number) = (&mut self.journal, &mut self.statistics, session.number);
            in_flight.drop_forbidden(allowed, |entry| {
                journal.done(number, entry.entry, entry.body.number());
                statistics.dropped_unauthorized += 1;
            });
            session.in_flight = in_flight;
        }
        session.settle(&mut self.account);
        true
    }

    /// Removes forbidden subscriptions among those after `after`. Gives the last that was judged if there are more.
    fn judge_filters(&mut self, key: SessionKey, after: Option<Box<str>>, budget: &mut usize) -> Option<Box<str>> {
        let session = self.sessions.get(key)?;
        let start = after.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut last = None;
        let mut forbidden: Vec<Box<str>> = Vec::new();
        for filter in session.filters.range::<str, _>((start, Bound::Unbounded)) {
            if *budget == 0 {
                break;
            }
            *budget -= 1;
            last = Some(filter);
            let plain = topic::shared(filter).map_or(&**filter, |(_, plain)| plain);
            if !self.authorizer.may(session.principal(), Action::Subscribe, plain) {
                forbidden.push(filter.clone());
            }
        }
        let more = last.is_none_or(|last| session.filters.last() != Some(last)) && *budget == 0;
        let last = if more { last.cloned().or(after) } else { None };
        for filter in &forbidden {
            self.remove_subscription(key, filter);
        }
        self.statistics.revoked_subscriptions += forbidden.len() as u64;
        last
    }

    /// Drops queued messages of forbidden topics. True if there are more to judge.
    fn judge_queue(&mut self, key: SessionKey, budget: &mut usize) -> bool {
        let Some(session) = self.sessions.get_mut(key) else { return false };
        let count = (*budget).min(session.queue.unjudged());
        *budget -= count;
        let mut queue = std::mem::take(&mut session.queue);
        let allowed = |topic: &str| self.authorizer.may(session.principal(), Action::Subscribe, topic);
        let forbidden = queue.judge(count, allowed);
        session.queue = queue;
        session.settle(&mut self.account);
        for queued in &forbidden {
            self.statistics.queued_messages -= 1;
            self.statistics.queued_bytes -= queued.message.cost_bytes() as u64;
            self.journal.done(session.number, queued.entry, queued.message.number());
        }
        self.statistics.dropped_unauthorized += forbidden.len() as u64;
        session.queue.unjudged() > 0
    }

    /// Ends a session whose client may not be connected any more, with all that it holds; a will is not published.
    fn revoke(&mut self, key: SessionKey, now: Moment, effects: &mut Effects) {
        self.statistics.revoked_sessions += 1;
        let Some(session) = self.sessions.get_mut(key) else { return };
        if session.will.take().is_some() {
            self.statistics.revoked_wills += 1;
            self.journal.will_gone(session);
        }
        if let Some(at) = session.will_at.take() {
            self.timers.disarm(at, Timer::Will(key));
        }
        if let Some(id) = session.connection {
            self.statistics.closed_unauthorized += 1;
            let text = "not allowed to be connected any more";
            self.close(id, ReasonCode::NotAuthorized, text, CloseCause::NotAuthorized, effects);
            self.drop_connection(id, WillFate::Discard, now);
        }
        self.end_session(key, now);
    }
}
