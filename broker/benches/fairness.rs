//! What one well-behaved pair of clients feels while others misbehave (promise P2): a publisher that sends 500 QoS 0
//! messages a second and its subscriber, undisturbed and beside a flood, in interleaved rounds, over real sockets.
//!
//! `cargo bench -p selvedge-broker --bench fairness -- [SCENARIO…] [--rounds N] [--seconds N] [--nice N] [--share µs]`
//!
//! Printed for each scenario: latency of the pair (the worst round), its ratio to the undisturbed one, how long the
//! reactor's thread ran and how long it waited for a processor (from the kernel's `schedstat`), and what its longest turn
//! was. On a machine whose processors are all busy with the flood's generator, the kernel's scheduler is a part of each
//! figure; `--nice` (default 10) makes the generator yield to the pair and the reactor.

#[path = "fairness/flood.rs"]
mod flood;
#[path = "fairness/pair.rs"]
mod pair;
#[path = "fairness/scheduling.rs"]
mod scheduling;
#[path = "fairness/wire.rs"]
mod wire;

use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};

use selvedge_broker::{AnonymousAccess, Broker, Config, Listener, Running, Transport};
use selvedge_core::OpenAccess;

use crate::{
    flood::{Flood, SCENARIOS},
    pair::Latencies,
    scheduling::Scheduling,
};

struct Options {
    scenarios: Vec<String>,
    rounds: usize,
    time: Duration,
    nice: i32,
    turn_share: Duration,
}

impl Options {
    fn parse() -> Result<Self, Box<dyn Error>> {
        let mut options = Self {
            scenarios: Vec::new(),
            rounds: 3,
            time: Duration::from_secs(4),
            nice: 10,
            turn_share: Config::default().turn_share,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--bench" => {}
                "--rounds" => options.rounds = value()?.parse()?,
                "--seconds" => options.time = Duration::from_secs(value()?.parse()?),
                "--share" => options.turn_share = Duration::from_micros(value()?.parse()?),
                "--nice" => options.nice = value()?.parse()?,
                name => options.scenarios.push(name.to_owned()),
            }
        }
        Ok(options)
    }
}

/// One round of one scenario.
struct Round {
    latencies: Latencies,
    scheduling: Scheduling,
    longest_turn_us: u64,
    stalls: u64,
    flooded: u64,
}

fn start(options: &Options) -> Result<Running, Box<dyn Error>> {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = Config {
        connections_per_address_max: 0,
        connect_rate_per_address_per_s: 0,
        turn_share: options.turn_share,
        ..Config::default()
    };
    let running = Broker {
        config,
        core: selvedge_core::Config { sys_interval_s: 0, ..selvedge_core::Config::default() },
        authorizer: Box::new(OpenAccess),
        authenticator: Arc::new(AnonymousAccess),
        seed: 1,
        continuation: None,
        listeners: vec![Listener::bind(any_port, Transport::Tcp)?],
    }
    .start()?;
    running.handle.open();
    Ok(running)
}

/// A fresh broker for each round, so that none inherits the queues of another.
fn round(flood: Option<&Flood>, options: &Options) -> Result<Round, Box<dyn Error>> {
    let running = start(options)?;
    let address = running.addresses[0];
    let flooding = flood.map(|flood| flood.start(address, options.nice));
    let before = Scheduling::of_thread("mqtt-reactor")?;
    let latencies = pair::run(address, options.time)?;
    let scheduling = Scheduling::of_thread("mqtt-reactor")?.since(before);
    let shell = running.handle.statistics_blocking()?.shell;
    let flooded = flooding.map_or(0, flood::Flooding::stop);
    running.handle.shutdown(Duration::from_millis(100));
    running.join()?;
    Ok(Round { latencies, scheduling, longest_turn_us: shell.longest_turn_us, stalls: shell.stalls, flooded })
}

fn print(name: &str, rounds: &mut [Round], undisturbed: Option<(f64, f64)>) -> (f64, f64) {
    let worst = |of: &dyn Fn(&Round) -> f64| rounds.iter().map(of).fold(0.0, f64::max);
    let p50 = worst(&|round| round.latencies.quantile(0.5));
    let p99 = worst(&|round| round.latencies.quantile(0.99));
    let max = worst(&|round| round.latencies.quantile(1.0));
    let mut p99s: Vec<f64> = rounds.iter().map(|round| round.latencies.quantile(0.99)).collect();
    p99s.sort_by(f64::total_cmp);
    let median_p99 = p99s.get(p99s.len() / 2).copied().unwrap_or(f64::NAN);
    let lost: usize = rounds.iter().map(|round| round.latencies.lost).sum();
    let ran = worst(&|round| round.scheduling.ran_share());
    let waited = worst(&|round| round.scheduling.waited_share());
    let turn = worst(&|round| round.longest_turn_us as f64) / 1000.0;
    let stalls: u64 = rounds.iter().map(|round| round.stalls).sum();
    let flooded = worst(&|round| round.flooded as f64 / round.scheduling.seconds());
    let ratio = undisturbed.map_or(1.0, |(_, p99_before)| p99 / p99_before);
    println!(
        "{name:<14} p50 {p50:7.3} ms  p99 {p99:7.3} ms (median {median_p99:7.3})  max {max:7.2} ms  x{ratio:4.1}  lost {lost:<4} \
         ran {ran:4.2} waited {waited:4.2}  turn max {turn:6.2} ms  stalls {stalls}  flood {flooded:9.0}/s"
    );
    (p50, p99)
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse()?;
    scheduling::raise_descriptor_limit();
    let chosen: Vec<&Flood> = SCENARIOS
        .iter()
        .filter(|flood| options.scenarios.is_empty() || options.scenarios.iter().any(|name| name == flood.name))
        .collect();
    let mut results: Vec<Vec<Round>> = (0..=chosen.len()).map(|_| Vec::new()).collect();
    for _ in 0..options.rounds {
        results[0].push(round(None, &options)?);
        for (index, flood) in chosen.iter().enumerate() {
            results[index + 1].push(round(Some(flood), &options)?);
        }
    }
    let undisturbed = print("undisturbed", &mut results[0], None);
    for (flood, rounds) in chosen.iter().zip(&mut results[1..]) {
        print(flood.name, rounds, Some(undisturbed));
    }
    Ok(())
}
