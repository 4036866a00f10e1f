//! The thread that answers what takes long: hashing of passwords, signatures, the steps of an exchange.
//!
//! Invariant: no more questions wait than allowed, one that nobody waits for any more gives its place back, and a panic
//! while one is answered is an answer.

use std::{
    collections::VecDeque,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use selvedge_codec::ReasonCode;

use super::{Authenticate, Exchange, Verdict, attempt::OwnedAttempt};
use crate::statistics::Statistics;

/// What is to be decided.
#[derive(Debug)]
pub(crate) enum Question {
    Check(Box<OwnedAttempt>),
    Step { exchange: Box<dyn Exchange>, data: Vec<u8> },
}

/// Takes the answer, on the authentication thread.
pub(crate) type Answer = Box<dyn FnOnce(Verdict) + Send>;

/// As many questions wait as may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("asking the authentication thread: too many wait already")]
pub(crate) struct Busy;

struct Entry {
    number: u64,
    question: Question,
    answer: Answer,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Entry>,
    next: u64,
    closed: bool,
}

struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    waiting_max: usize,
    panics: AtomicU64,
    asked: AtomicU64,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next question; `None` at the end.
    fn next(&self) -> Option<Entry> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(entry) = state.waiting.pop_front() {
                return Some(entry);
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The authenticator, with its thread. The thread ends when this is dropped and the question under way is answered.
pub(crate) struct Authentication {
    authenticator: Arc<dyn Authenticate>,
    queue: Arc<Queue>,
}

impl std::fmt::Debug for Authentication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authentication").field("authenticator", &self.authenticator).finish_non_exhaustive()
    }
}

/// Those who are connected come first.
const NICE: i32 = 10;

impl Authentication {
    /// Start the thread; at most `waiting_max` questions wait for it.
    pub(crate) fn start(authenticator: Arc<dyn Authenticate>, waiting_max: usize) -> io::Result<Self> {
        let queue = Arc::new(Queue {
            state: Mutex::default(),
            filled: Condvar::new(),
            waiting_max,
            panics: AtomicU64::new(0),
            asked: AtomicU64::new(0),
        });
        let this = Self { authenticator: authenticator.clone(), queue: queue.clone() };
        std::thread::Builder::new().name("mqtt-login".to_owned()).spawn(move || {
            selvedge_priority::make_way(NICE);
            while let Some(Entry { question, answer, .. }) = queue.next() {
                answer(guarded(&queue.panics, || match question {
                    Question::Check(attempt) => authenticator.check(&attempt.borrow()),
                    Question::Step { exchange, data } => exchange.step(&data),
                }));
            }
        })?;
        Ok(this)
    }

    /// Ask what can be answered at once.
    pub(crate) fn quick(&self, attempt: &super::Attempt<'_>) -> Option<Verdict> {
        let mut unanswered = false;
        let verdict = guarded(&self.queue.panics, || {
            self.authenticator.quick(attempt).unwrap_or_else(|| {
                unanswered = true;
                Verdict::Refuse(ReasonCode::ServerUnavailable)
            })
        });
        (!unanswered).then_some(verdict)
    }

    /// Ask the thread. Dropping what comes back gives the place in the queue back, if the question still waits.
    pub(crate) fn ask(&self, question: Question, answer: Answer) -> Result<Waiting, Busy> {
        let mut state = self.queue.lock();
        if state.waiting.len() >= self.queue.waiting_max {
            drop(state);
            return Err(Busy);
        }
        let number = state.next;
        state.next += 1;
        state.waiting.push_back(Entry { number, question, answer });
        drop(state);
        self.queue.asked.fetch_add(1, Ordering::Relaxed);
        self.queue.filled.notify_one();
        Ok(Waiting { queue: self.queue.clone(), number })
    }

    pub(crate) fn count_into(&self, statistics: &mut Statistics) {
        statistics.authentications_waiting = self.queue.lock().waiting.len() as u64;
        statistics.authentications_checked = self.queue.asked.load(Ordering::Relaxed);
        statistics.authenticator_panics = self.queue.panics.load(Ordering::Relaxed);
    }
}

impl Drop for Authentication {
    fn drop(&mut self) {
        let waiting = {
            let mut state = self.queue.lock();
            state.closed = true;
            std::mem::take(&mut state.waiting)
        };
        self.queue.filled.notify_one();
        drop(waiting);
    }
}

/// A panic is a refusal.
fn guarded(panics: &AtomicU64, decide: impl FnOnce() -> Verdict) -> Verdict {
    catch_unwind(AssertUnwindSafe(decide)).unwrap_or_else(|_| {
        panics.fetch_add(1, Ordering::Relaxed);
        tracing::error!("the authenticator panicked: the client is refused");
        Verdict::Refuse(ReasonCode::UnspecifiedError)
    })
}

/// A question that was asked.
pub(crate) struct Waiting {
    queue: Arc<Queue>,
    number: u64,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("number", &self.number).finish_non_exhaustive()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        // In the order of their numbers.
        let entry = match state.waiting.binary_search_by_key(&self.number, |entry| entry.number) {
            Ok(place) => state.waiting.remove(place),
            Err(_) => None,
        };
        drop(state);
        drop(entry);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::authentication::{Attempt, Identity};

    /// Answers when it is told to; says that it was asked.
    #[derive(Debug)]
    struct Slow {
        asked: Mutex<Sender<()>>,
        go_on: Mutex<Receiver<()>>,
    }

    impl Authenticate for Slow {
        fn quick(&self, attempt: &Attempt<'_>) -> Option<Verdict> {
            assert_ne!(attempt.client_id, "panic");
            None
        }

        fn check(&self, attempt: &Attempt<'_>) -> Verdict {
            self.asked.lock().expect("lock").send(()).expect("the test listens");
            self.go_on.lock().expect("lock").recv().expect("the test says");
            Verdict::Accept(Identity { user: Some(attempt.client_id.into()), ..Identity::default() })
        }
    }

    fn attempt(client_id: &str) -> Attempt<'_> {
        Attempt {
            listener: 0,
            address: ([127, 0, 0, 1], 1).into(),
            version: selvedge_codec::ProtocolVersion::V5,
            client_id,
            username: None,
            password: None,
            certificate: None,
            method: None,
            data: b"",
        }
    }

    fn question(client_id: &str) -> Question {
        Question::Check(Box::new(OwnedAttempt::of(&attempt(client_id))))
    }

    #[test]
    fn questions_wait_up_to_the_limit_and_those_given_up_make_room() {
        let (asked, was_asked) = channel();
        let (say, go_on) = channel();
        let slow = Slow { asked: Mutex::new(asked), go_on: Mutex::new(go_on) };
        let authentication = Authentication::start(Arc::new(slow), 2).expect("start");
        let (answers, answered) = channel();
        let ask = |client_id: &str| {
            let answers = answers.clone();
            let answer = Box::new(move |verdict| answers.send(verdict).expect("the test listens"));
            authentication.ask(question(client_id), answer)
        };
        let first = ask("first").expect("room");
        was_asked.recv().expect("asked");
        let second = ask("second").expect("room");
        let third = ask("third").expect("room");
        assert_eq!(ask("fourth").expect_err("full"), Busy);
        drop(second);
        let fourth = ask("fourth").expect("the place of the second");
        let user = || match answered.recv().expect("answer") {
            Verdict::Accept(identity) => identity.user.expect("a name").to_string(),
            other => panic!("{other:?}"),
        };
        say.send(()).expect("it waits");
        assert_eq!(user(), "first");
        for expected in ["third", "fourth"] {
            say.send(()).expect("it waits");
            assert_eq!(user(), expected);
        }
        drop((first, third, fourth));
        let mut statistics = Statistics::default();
        authentication.count_into(&mut statistics);
        assert_eq!((statistics.authentications_waiting, statistics.authentications_checked), (0, 4));
    }

    #[test]
    fn a_panic_is_a_refusal_and_is_counted() {
        let (asked, was_asked) = channel();
        let (say, go_on) = channel();
        let slow = Slow { asked: Mutex::new(asked), go_on: Mutex::new(go_on) };
        let authentication = Authentication::start(Arc::new(slow), 2).expect("start");
        let quick = authentication.quick(&attempt("panic"));
        assert!(matches!(quick, Some(Verdict::Refuse(ReasonCode::UnspecifiedError))), "{quick:?}");
        assert!(authentication.quick(&attempt("other")).is_none());
        // The thread panics because nobody listens, and goes on.
        drop((was_asked, say));
        let (answers, answered) = channel();
        for _ in 0..2 {
            let answers = answers.clone();
            let answer = Box::new(move |verdict| answers.send(verdict).expect("the test listens"));
            let _waiting = authentication.ask(question("c"), answer).map(std::mem::forget);
            let verdict = answered.recv().expect("an answer");
            assert!(matches!(verdict, Verdict::Refuse(ReasonCode::UnspecifiedError)), "{verdict:?}");
        }
        let mut statistics = Statistics::default();
        authentication.count_into(&mut statistics);
        assert_eq!(statistics.authenticator_panics, 3);
    }
}
