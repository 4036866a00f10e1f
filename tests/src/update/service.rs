//! Whether a node takes clients, asked again and again: the time without service.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::raw_mqtt;

/// For the answer to one CONNECT.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Sends CONNECTs until it is stopped.
#[derive(Debug)]
pub struct ServiceWatch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Attempt>>>,
}

#[derive(Debug, Clone, Copy)]
struct Attempt {
    at: Instant,
    accepted: bool,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Service {
    /// CONNECTs that were sent, or could not be.
    pub attempts: usize,
    /// Those that were not answered with a good CONNACK.
    pub refused: usize,
    /// Longest time from one good CONNACK to the next.
    pub longest_gap: Duration,
    /// Pauses: times in which one CONNECT or more in a row were refused.
    pub pauses: Vec<Duration>,
}

impl ServiceWatch {
    /// Asks every `every`, with a new connection each time.
    pub fn start(address: SocketAddr, every: Duration) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut attempts = Vec::new();
            while !stopped.load(Ordering::Acquire) {
                let started = Instant::now();
                let accepted = is_let_in(address);
                attempts.push(Attempt { at: Instant::now(), accepted });
                std::thread::sleep(every.saturating_sub(started.elapsed()));
            }
            attempts
        });
        Self { stop, thread: Some(thread) }
    }

    /// Ends it.
    pub fn stop(mut self) -> Service {
        self.stop.store(true, Ordering::Release);
        let attempts = self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        Service::of(&attempts)
    }
}

impl Drop for ServiceWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

impl Service {
    fn of(attempts: &[Attempt]) -> Self {
        let mut last = attempts.first().map(|attempt| attempt.at);
        let (mut longest_gap, mut pauses, mut refused_since_last) = (Duration::ZERO, Vec::new(), false);
        for attempt in attempts {
            if !attempt.accepted {
                refused_since_last = true;
                continue;
            }
            let gap = last.map_or(Duration::ZERO, |last| attempt.at - last);
            longest_gap = longest_gap.max(gap);
            if std::mem::take(&mut refused_since_last) {
                pauses.push(gap);
            }
            last = Some(attempt.at);
        }
        let refused = attempts.iter().filter(|attempt| !attempt.accepted).count();
        Self { attempts: attempts.len(), refused, longest_gap, pauses }
    }
}

fn is_let_in(address: SocketAddr) -> bool {
    let answer = || -> std::io::Result<[u8; 4]> {
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.write_all(&raw_mqtt::connect(4, "asks-for-service"))?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        // DISCONNECT: no will, no log line about an end.
        stream.write_all(&[0xE0, 0])?;
        Ok(answer)
    };
    answer().is_ok_and(|answer| answer == [0x20, 2, 0, 0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_from_the_last_good_answer_to_the_next() {
        let start = Instant::now();
        let attempts: Vec<Attempt> = [(0, true), (5, true), (10, false), (15, false), (30, true), (38, true)]
            .map(|(at, accepted)| Attempt { at: start + Duration::from_millis(at), accepted })
            .to_vec();
        let service = Service::of(&attempts);
        assert_eq!((service.attempts, service.refused), (6, 2));
        assert_eq!(service.longest_gap, Duration::from_millis(25));
        assert_eq!(service.pauses, [Duration::from_millis(25)]);
    }
}
