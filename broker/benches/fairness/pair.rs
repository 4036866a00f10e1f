//! The pair that is measured: one publisher and one subscriber, each a thread that blocks.

use std::{
    error::Error,
    io::{Read, Write},
    net::{Shutdown, SocketAddr},
    thread,
    time::{Duration, Instant},
};

use selvedge_codec::QoS;

use crate::wire;

const PER_SECOND: u32 = 500;
const TOPIC: &str = "pair/measured";
/// Not measured: the flood is getting up.
const WARM_UP: Duration = Duration::from_millis(500);
/// Time that the last messages have.
const PATIENCE: Duration = Duration::from_secs(3);

pub struct Latencies {
    /// Ascending, milliseconds.
    sorted: Vec<f64>,
    pub lost: usize,
}

impl Latencies {
    pub fn quantile(&self, quantile: f64) -> f64 {
        let last = self.sorted.len().saturating_sub(1);
        self.sorted.get((last as f64 * quantile).round() as usize).copied().unwrap_or(f64::NAN)
    }
}

pub fn run(address: SocketAddr, time: Duration) -> Result<Latencies, Box<dyn Error>> {
    let mut publisher = wire::open(address, "pair-publisher")?;
    let mut subscriber = wire::open(address, "pair-subscriber")?;
    subscriber.write_all(&wire::subscribe(&[TOPIC], QoS::AtMostOnce))?;
    subscriber.read_exact(&mut [0; 5])?;
    let origin = Instant::now();
    let packet_bytes = wire::publish(TOPIC, &[0; 8], None).len();
    let closer = subscriber.try_clone()?;
    let receiving = thread::spawn(move || {
        let mut latencies = Vec::new();
        let mut packet = vec![0; packet_bytes];
        while subscriber.read_exact(&mut packet).is_ok() {
            let now = origin.elapsed();
            let stamp = packet.last_chunk::<8>().map_or(0, |stamp| u64::from_be_bytes(*stamp));
            let sent = Duration::from_nanos(stamp);
            if sent >= WARM_UP {
                latencies.push((now.saturating_sub(sent)).as_secs_f64() * 1000.0);
            }
        }
        latencies
    });
    let mut sent = 0;
    let step = Duration::from_secs(1) / PER_SECOND;
    let mut due = Duration::ZERO;
    while due < WARM_UP + time {
        thread::sleep(due.saturating_sub(origin.elapsed()));
        let now = origin.elapsed();
        publisher.write_all(&wire::publish(TOPIC, &(now.as_nanos() as u64).to_be_bytes(), None))?;
        sent += usize::from(now >= WARM_UP);
        due += step;
    }
    // All that was published before the answer is under way to the subscriber.
    publisher.write_all(&wire::ping())?;
    publisher.set_read_timeout(Some(PATIENCE))?;
    publisher.read_exact(&mut [0; 2])?;
    thread::sleep(Duration::from_millis(100));
    closer.shutdown(Shutdown::Both)?;
    let mut sorted = receiving.join().map_err(|_| "the receiving thread panicked")?;
    sorted.sort_by(f64::total_cmp);
    let lost = sent - sorted.len().min(sent);
    Ok(Latencies { sorted, lost })
}
