use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::host::{CommitDone, CommitFailure, Effects, Host};

/// A node that says something else each time.
#[derive(Default)]
struct Restless(AtomicU64);

impl Restless {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl Host for Restless {
    fn now_ms(&self) -> u64 {
        1000 + self.next()
    }

    fn random(&self, buffer: &mut [u8]) {
        buffer.fill(self.next() as u8);
    }

    fn kv_get(&self, _function: &str, key: &str) -> Result<Option<KvEntry>, HostError> {
        match key {
            "absent" => Ok(None),
            "broken" => Err(HostError::Unavailable("full".into())),
            _ => Ok(Some(KvEntry { value: key.as_bytes().to_vec(), revision: self.next() })),
        }
    }

    fn kv_list(&self, _: &str, prefix: &str, _: Option<&str>, limit: usize) -> Result<Vec<String>, HostError> {
        Ok((0..limit).map(|number| format!("{prefix}{number}-{}", self.next())).collect())
    }

    fn twin_get(&self, device: &str, _: TwinSection, _: &str) -> Result<Option<TwinDoc>, HostError> {
        Ok(Some(TwinDoc { json: format!("{device:?}"), revision: self.next() }))
    }

    fn http(&self, request: &HttpRequest) -> Result<HttpReply, HostError> {
        Ok(HttpReply {
            status: 200,
            headers: Vec::new(),
            body: format!("{} {}", request.url, self.next()).into_bytes(),
        })
    }

    fn commit(&self, _: Effects, done: CommitDone) {
        done.end(Err(CommitFailure::Refused("no".into())));
    }
}

fn request(method: &str) -> HttpRequest {
    HttpRequest {
        method: method.to_owned(),
        url: "https://example.org/a".to_owned(),
        may_be_private: false,
        headers: Vec::new(),
        body: Some(b"x".to_vec()),
        timeout: Duration::from_secs(1),
        response_bytes_max: 100,
    }
}

/// Everything that a run can ask, in words.
fn ask(host: &dyn Host) -> Vec<String> {
    let mut heard = Vec::new();
    for round in 0..3_u64 {
        heard.push(format!("{}", host.now_ms()));
        heard.push(format!("{:?}", host.elapsed(Duration::from_micros(round))));
        heard.push(format!("{:?}", host.remaining(Duration::from_micros(9 - round))));
        let mut bytes = [0; 11];
        host.random(&mut bytes);
        heard.push(format!("{bytes:?}"));
        for key in ["a", "absent", "broken"] {
            heard.push(format!("{:?}", host.kv_get("f", key)));
        }
        heard.push(format!("{:?}", host.kv_list("f", "p", Some("q"), 2)));
        heard.push(format!("{:?}", host.http(&request("POST"))));
        heard.push(format!("{:?}", host.twin_get("pump", TwinSection::Desired, "/a")));
    }
    heard
}

fn recorded(bytes_max: usize) -> (Vec<String>, Option<(Tape, usize)>) {
    let recorder = Recorder::new(Arc::new(Restless::default()), bytes_max);
    let heard = ask(&*recorder);
    (heard, recorder.finish())
}

#[test]
fn what_was_heard_is_heard_again_also_after_writing_the_tape_down() {
    let (heard, tape) = recorded(10_000);
    let text = serde_json::to_string(&tape.unwrap().0).unwrap();
    let tape: Tape = serde_json::from_str(&text).unwrap();
    let player = Player::new(Arc::new(tape), 5, None);
    assert_eq!(ask(&*player), heard);
    assert_eq!(player.unrecorded(), 0);
}

#[test]
fn a_tape_that_grows_too_large_is_none() {
    let (_, tape) = recorded(10_000);
    let (_, bytes) = tape.unwrap();
    assert!(recorded(bytes).1.is_some());
    assert!(recorded(bytes - 1).1.is_none());
}

#[test]
fn the_same_answer_again_and_again_takes_the_place_of_one() {
    let recorder = Recorder::new(Arc::new(Restless::default()), 10_000);
    for _ in 0..100_000 {
        recorder.kv_get("f", "absent").unwrap();
    }
    assert!(recorder.finish().unwrap().1 < 200);
}

#[test]
fn what_is_not_on_the_tape_comes_from_the_present_or_is_not_there_and_is_counted() {
    let player = Player::new(Arc::default(), 5, None);
    assert_eq!((player.now_ms(), player.elapsed(Duration::from_secs(1))), (5, Duration::ZERO));
    assert_eq!(player.remaining(Duration::from_secs(1)), Duration::from_secs(1));
    assert_eq!(player.kv_get("f", "a"), Ok(None));
    assert_eq!(player.kv_list("f", "", None, 5), Ok(Vec::new()));
    assert_eq!(player.unrecorded(), 2);
    let player = Player::new(Arc::default(), 5, Some(Arc::new(Restless::default())));
    assert!(player.http(&request("PUT")).is_err(), "a replay asks nobody");
    assert_eq!(player.twin_get("pump", TwinSection::Desired, "").unwrap().unwrap().json, "\"pump\"");
    assert_eq!(player.unrecorded(), 2);
}

#[test]
fn a_longer_run_hears_the_last_answers_for_ever_and_random_numbers_that_repeat() {
    let (heard, tape) = recorded(10_000);
    let tape = Arc::new(tape.unwrap().0);
    let long = || {
        let player = Player::new(tape.clone(), 5, None);
        ask(&*player);
        ask(&*player)
    };
    let again = long();
    assert_eq!(again.last(), heard.last(), "the last answer about the twin");
    assert_eq!(again, long());
}

#[test]
fn nothing_is_committed_by_a_tape() {
    let player = Player::new(Arc::default(), 0, Some(Arc::new(Restless::default())));
    let refused = Arc::new(std::sync::Mutex::new(None));
    let outcome = refused.clone();
    let ended = Box::new(move |result| *outcome.lock().unwrap() = Some(result));
    player.commit(Effects::default(), CommitDone { ordered: Box::new(|| ()), ended });
    assert!(matches!(*refused.lock().unwrap(), Some(Err(CommitFailure::Refused(_)))));
}
