//! Many twins on one node: what they cost in memory and at the start, how long a question to all of them takes, and how many
//! updates a second are durable.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::json;

use crate::PATIENCE;
use crate::node::{Node, Place};
use crate::random::Random;
use crate::siege::footprint;
use crate::spread::quantile;

/// What is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Twins.
    pub twins: usize,
    /// Fields of each, half of them desired.
    pub fields: usize,
    /// Writers at once.
    pub writers: usize,
    /// Seconds of updates.
    pub seconds: u64,
    /// Questions of each kind.
    pub questions: usize,
    /// More configuration of the node.
    pub configuration: String,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Twins, and fields of each.
    pub twins: usize,
    /// The same.
    pub fields: usize,
    /// To make them all, seconds.
    pub filled_s: f64,
    /// Of the idle node without twins, after it made them, and after a start with them; PSS in KiB.
    pub empty_kib: u64,
    /// The same.
    pub filled_kib: u64,
    /// The same.
    pub started_kib: u64,
    /// From the start of the process until it says that it is ready, milliseconds: empty, and with all twins.
    pub ready_empty_ms: f64,
    /// The same.
    pub ready_ms: f64,
    /// Questions that about one in fifty twins answers, milliseconds.
    pub few: Spread,
    /// Questions that about half of them answer, until the first hundred.
    pub half: Spread,
    /// Questions that none answers.
    pub none: Spread,
    /// Durable updates a second, and how long each took, milliseconds.
    pub updates_per_s: f64,
    /// The same.
    pub update: Spread,
    /// Processor time of the node for an update, microseconds.
    pub update_cpu_us: f64,
    /// Size of the data directory, bytes.
    pub disk_bytes: u64,
}

/// Of many durations.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    /// Half took less.
    pub p50: f64,
    /// 99 of a hundred took less.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Spread {
    fn of(mut milliseconds: Vec<f64>) -> Self {
        milliseconds.sort_by(f64::total_cmp);
        let at = |share| quantile(&milliseconds, share).unwrap_or(f64::NAN);
        Self { p50: at(0.5), p99: at(0.99), max: at(1.0) }
    }
}

/// Measures; `tell` hears of each step.
///
/// # Errors
/// The node does not start, or refuses a request.
pub fn measure(plan: &Plan, tell: &mut dyn FnMut(&str)) -> anyhow::Result<Measured> {
    let place = Place::with_configuration(&plan.configuration)?;
    let (node, ready_empty_ms) = start(&place)?;
    let empty_kib = settled(&node)?;
    tell("filling");
    let begun = Instant::now();
    let socket = place.socket();
    all_at_once(plan.writers, |writer| {
        let mut connection = Connection::open(&socket)?;
        for index in (writer..plan.twins).step_by(plan.writers) {
            connection.send("PATCH", &format!("/v1/twins/thing-{index:05}"), &first(index, plan.fields))?;
        }
        Ok(Vec::new())
    })?;
    let filled_s = begun.elapsed().as_secs_f64();
    let filled_kib = settled(&node)?;
    node.stop()?;
    tell("starting again");
    let (node, ready_ms) = start(&place)?;
    let started_kib = settled(&node)?;
    tell("asking");
    let ask = |condition: &str, limit: usize| -> anyhow::Result<Spread> {
        let mut connection = Connection::open(&socket)?;
        let mut took = Vec::new();
        for _ in 0..plan.questions {
            let begun = Instant::now();
            let mut after = String::new();
            loop {
                let answer =
                    connection.send("GET", &format!("/v1/twins?where={condition}&limit={limit}{after}"), "")?;
                let answer: serde_json::Value = serde_json::from_str(&answer)?;
                match answer["next"].as_str() {
                    Some(next) if limit > 100 => after = format!("&after={next}"),
                    _ => break,
                }
            }
            took.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        Ok(Spread::of(took))
    };
    let few = ask("reported.f1%20%3E%2097", 1000)?;
    let half = ask("reported.f1%20%3E%2049", 100)?;
    let none = ask("reported.f1%20%3E%201000", 1000)?;
    tell("updating");
    let cpu = footprint::cpu(node.id())?;
    let begun = Instant::now();
    let until = begun + Duration::from_secs(plan.seconds);
    let took = all_at_once(plan.writers, |writer| {
        let mut connection = Connection::open(&socket)?;
        let mut random = Random::new(writer as u64);
        let mut took = Vec::new();
        while Instant::now() < until {
            let (index, field) = (random.below(plan.twins), 1 + 2 * random.below(plan.fields / 2));
            let body = json!({ "reported": { format!("f{field}"): random.below(100) } }).to_string();
            let begun = Instant::now();
            connection.send("PATCH", &format!("/v1/twins/thing-{index:05}"), &body)?;
            took.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        Ok(took)
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let update_cpu_us = (footprint::cpu(node.id())? - cpu).as_secs_f64() * 1e6 / took.len().max(1) as f64;
    let disk_bytes = size_of(&place.data())?;
    node.stop()?;
    Ok(Measured {
        twins: plan.twins,
        fields: plan.fields,
        filled_s,
        empty_kib,
        filled_kib,
        started_kib,
        ready_empty_ms,
        ready_ms,
        few,
        half,
        none,
        updates_per_s: took.len() as f64 / seconds,
        update: Spread::of(took),
        update_cpu_us,
        disk_bytes,
    })
}

fn start(place: &Place) -> anyhow::Result<(Node, f64)> {
    let begun = Instant::now();
    let node = place.start()?;
    Ok((node, begun.elapsed().as_secs_f64() * 1e3))
}

/// What a new twin has: numbers of which field `f1` is spread evenly from 0 to 99.
fn first(index: usize, fields: usize) -> String {
    let section = |odd: usize| -> serde_json::Map<String, serde_json::Value> {
        (0..fields)
            .filter(|field| field % 2 == odd)
            .map(|field| (format!("f{field}"), ((index + field) % 100).into()))
            .collect()
    };
    json!({ "desired": section(0), "reported": section(1) }).to_string()
}

fn all_at_once(writers: usize, work: impl Fn(usize) -> anyhow::Result<Vec<f64>> + Sync) -> anyhow::Result<Vec<f64>> {
    let results = Mutex::new(Ok(Vec::new()));
    std::thread::scope(|scope| {
        for writer in 0..writers {
            let (work, results) = (&work, &results);
            scope.spawn(move || {
                let done = work(writer);
                let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                match (&mut *results, done) {
                    (Ok(all), Ok(took)) => all.extend(took),
                    (Ok(_), Err(error)) => *results = Err(error),
                    (Err(_), _) => {}
                }
            });
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// A kept connection to the node's socket.
struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    fn open(socket: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(socket).context("connect to the node's socket")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Gives the body of an answer with status 200.
    fn send(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<String> {
        let length = body.len();
        let head = format!("{method} {path} HTTP/1.1\r\nhost: node\r\ncontent-length: {length}\r\n\r\n");
        self.stream.get_mut().write_all((head + body).as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        let body = String::from_utf8(body)?;
        ensure!(status == "200", "{method} {path} is answered with {status} {body}");
        Ok(body)
    }
}

/// PSS of the node when it has come to rest, in KiB.
fn settled(node: &Node) -> anyhow::Result<u64> {
    // The store hands its memory back some seconds after the last change.
    std::thread::sleep(Duration::from_secs(12));
    footprint::pss_kib(node.id())
}

fn size_of(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { size_of(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

/// As a table.
#[must_use]
pub fn print(measured: &Measured) -> String {
    let Measured { twins, fields, few, half, none, update, .. } = measured;
    let spread =
        |spread: &Spread| format!("p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms", spread.p50, spread.p99, spread.max);
    format!(
        "{twins} twins of {fields} fields, made in {:.1} s, {:.1} MB on disk\n\
         PSS idle: empty {:.1} MB, after making them {:.1} MB, started with them {:.1} MB\n\
         ready after: empty {:.0} ms, with them {:.0} ms\n\
         question that 1 in 50 answers, all of them: {}\n\
         question that half answer, the first 100:   {}\n\
         question that none answers:                 {}\n\
         durable updates: {:.0} a second, {}; {:.0} us of processor time each\n",
        measured.filled_s,
        measured.disk_bytes as f64 / 1e6,
        measured.empty_kib as f64 / 1e3,
        measured.filled_kib as f64 / 1e3,
        measured.started_kib as f64 / 1e3,
        measured.ready_empty_ms,
        measured.ready_ms,
        spread(few),
        spread(half),
        spread(none),
        measured.updates_per_s,
        spread(update),
        measured.update_cpu_us,
    )
}
