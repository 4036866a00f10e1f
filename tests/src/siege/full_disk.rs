//! A node whose disk fills under load, stays full for a while, and then has room again.
//!
//! Publishers fill sessions that are away with messages that have to be kept, twins are updated, and beside them clients that
//! need no disk go on. What has to hold: everybody is answered all the time, by a refusal if need be; the process stays up;
//! what was acknowledged is there in the end; and once there is room, everything works again without anybody's help.

mod disk;
mod publishers;
mod report;
mod sessions;
mod watchers;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use super::bystanders::{Account, Bystanders};
use super::fortress::Fortress;
use super::wire::{Target, wait_until};
use crate::node::Place;
pub use disk::Kind;
use disk::{Filler, SmallDisk};
use publishers::Publishers;
pub use report::{Filled, Latencies};
use sessions::Sessions;
use watchers::{Pings, Twins};

/// The longest that a ping, a message of QoS 0 or an answer about a twin may take. Loose: the machine of a test is busy.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Without an acknowledgement for so long, a publisher counts as waiting.
const WAIT: Duration = Duration::from_secs(1);
/// Acknowledged payload, as a multiple of the disk, from which it is clear that it does not go there.
const TIMES_THE_DISK: u64 = 4;

/// How space returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relief {
    /// The sessions come back for their messages.
    Drain,
    /// Most of the space was taken by a file, which is deleted.
    Filler,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The file system.
    pub kind: Kind,
    /// Its size.
    pub size_mb: u64,
    /// How space returns.
    pub relief: Relief,
    /// How long it stays full.
    pub stay_full: Duration,
    /// How long filling may take.
    pub fill_max: Duration,
}

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    /// It was done.
    Done(Box<Filled>),
    /// It cannot be done here, for this reason.
    Skipped(String),
}

/// Fills a disk and makes room again.
///
/// # Errors
/// Somebody was not answered in time, something acknowledged is lost, the node ended, or does not recover.
pub fn fill(plan: &Plan) -> anyhow::Result<Outcome> {
    let place = Place::new()?;
    let durable = knows_durability(&place)?;
    let place = Place::with_configuration(&configuration(durable, plan))?;
    let disk = match SmallDisk::mount(plan.kind, plan.size_mb, place.folder(), &place.data())? {
        Ok(disk) => disk,
        Err(reason) => return Ok(Outcome::Skipped(reason)),
    };
    let node = place.start()?;
    let target = Target::of(&node);
    let fortress = Fortress { node, target };
    let filled = run(plan, &fortress, &disk, durable).with_context(|| fortress.node.said())?;
    fortress.stop()?;
    filled.check()?;
    Ok(Outcome::Done(Box::new(filled)))
}

/// Everybody who depends on the disk or watches what it does.
struct Cast {
    sessions: Sessions,
    publishers: Publishers,
    pings: Pings,
    twins: Twins,
    publishing: AtomicBool,
    stop: AtomicBool,
}

fn run(plan: &Plan, fortress: &Fortress, disk: &SmallDisk, durable: bool) -> anyhow::Result<Filled> {
    let target = &fortress.target;
    let cast = Cast {
        sessions: Sessions::prepare(target)?,
        publishers: Publishers::default(),
        pings: Pings::default(),
        twins: Twins::default(),
        publishing: AtomicBool::new(true),
        stop: AtomicBool::new(false),
    };
    let bystanders = Bystanders::start(target)?;
    let mut filled = Filled { disk: plan.kind.name(), size_mb: plan.size_mb, durable, ..Filled::default() };
    let outcome = std::thread::scope(|scope| {
        let watching = [
            scope.spawn(|| cast.pings.watch(target, &cast.stop)),
            scope.spawn(|| cast.twins.watch(target, &cast.stop)),
            scope.spawn(|| cast.publishers.publish(target, &cast.publishing)),
            scope.spawn(|| cast.sessions.receive(target, &cast.stop)),
        ];
        // Publishers end when they are told to; nobody else before the time.
        let early = |(which, thread): (usize, &ScopedJoinHandle<'_, _>)| {
            thread.is_finished() && !(which == 2 && cast.publishers.ended())
        };
        let alive = || match watching.iter().enumerate().position(early) {
            None => Ok(()),
            Some(which) => bail!("{} ended before the time", ["pings", "twins", "publishers", "sessions"][which]),
        };
        let course = course(plan, disk, &cast, &alive, &mut filled);
        cast.publishing.store(false, Ordering::Relaxed);
        cast.stop.store(true, Ordering::Relaxed);
        // What ended a thread explains more than that it ended.
        for thread in watching {
            thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
        }
        course
    });
    let account = bystanders.finish().context("clients that need no disk");
    outcome?;
    book(&mut filled, &account?, &cast)?;
    Ok(filled)
}

/// Full, for a while, then room, then working again, then everything taken out.
fn course(
    plan: &Plan,
    disk: &SmallDisk,
    cast: &Cast,
    alive: &dyn Fn() -> anyhow::Result<()>,
    filled: &mut Filled,
) -> anyhow::Result<()> {
    let Cast { sessions, publishers, twins, publishing, .. } = cast;
    let begun = Instant::now();
    wait_until("everybody at work", || Ok(publishers.acknowledged() > 0 && twins.accepted() > 0), String::new)?;
    let filler = match plan.relief {
        Relief::Filler => Some(Filler::fill(disk.folder())?),
        Relief::Drain => None,
    };
    // Who waits while there is room waits for something else.
    let little = (plan.size_mb << 20) / 4;
    let waits = || anyhow::Ok(publishers.waits_for(WAIT) && disk.free_bytes()? < little);
    while !(publishers.refused() > 0 || twins.rejected() > 0 || waits()?) {
        alive()?;
        let taken = publishers.acknowledged_bytes();
        ensure!(
            plan.relief == Relief::Filler || taken < (TIMES_THE_DISK * plan.size_mb) << 20,
            "{} MB were acknowledged and {} MB of disk are not full: does the node keep sessions in memory?",
            taken >> 20,
            plan.size_mb
        );
        ensure!(begun.elapsed() < plan.fill_max, "the disk was not full within {:?}", plan.fill_max);
        std::thread::sleep(Duration::from_millis(5));
    }
    (filled.full_after_s, filled.free_when_full_bytes) = (begun.elapsed().as_secs_f64(), disk.free_bytes()?);
    let full = Instant::now();
    while full.elapsed() < plan.stay_full {
        alive()?;
        std::thread::sleep(Duration::from_millis(20));
    }
    filled.publishers_waited = publishers.waits_for(WAIT);
    let (acknowledged, accepted, relieved) = (publishers.acknowledged(), twins.accepted(), Instant::now());
    match filler {
        Some(filler) => filler.remove()?,
        None => sessions.come_back(),
    }
    let again = |what: &str, holds: &dyn Fn() -> bool| {
        wait_until(what, || alive().map(|()| holds()), String::new)?;
        anyhow::Ok(relieved.elapsed().as_secs_f64() * 1e3)
    };
    // More than were on the way.
    let further = acknowledged + 2 * publishers::IN_FLIGHT_MAX;
    filled.publishing_again_ms = again("publishing works again", &|| publishers.acknowledged() > further)?;
    filled.twins_again_ms = again("twins can be updated again", &|| twins.accepted() > accepted + 1)?;
    publishing.store(false, Ordering::Relaxed);
    sessions.come_back();
    wait_until(
        "everything acknowledged delivered",
        || alive().map(|()| publishers.ended() && sessions.missing(publishers) == 0),
        || format!("{} are missing", sessions.missing(publishers)),
    )?;
    filled.free_after_bytes = disk.free_bytes()?;
    Ok(())
}

fn book(filled: &mut Filled, account: &Account, cast: &Cast) -> anyhow::Result<()> {
    account.nothing_lost()?;
    cast.publishers.book(filled);
    cast.sessions.book(filled, &cast.publishers);
    cast.twins.book(filled);
    filled.pings = cast.pings.latencies();
    for pair in &account.pairs {
        let latencies = Latencies::of(pair.latencies_us.iter().map(|us| u64::from(*us)).collect());
        if pair.qos == 0 { filled.qos_0 = latencies } else { filled.qos_1 = latencies }
    }
    Ok(())
}

fn configuration(durable: bool, plan: &Plan) -> String {
    let limits = "[limits]\nqueue_messages_max = 10000000\nqueue_bytes_max = \"4GiB\"\n";
    if durable {
        format!("{limits}[durability]\nmode = \"fsync\"\n")
    } else {
        // Where the queues are all there is, they have to fit.
        format!("{limits}memory_bytes_max = \"{}MiB\"\n", (2 * TIMES_THE_DISK * plan.size_mb).max(256))
    }
}

/// Whether the binary takes a configuration with `[durability]`.
fn knows_durability(place: &Place) -> anyhow::Result<bool> {
    let path = place.folder().join("probe.toml");
    std::fs::write(&path, "[durability]\nmode = \"fsync\"\n").with_context(|| format!("write {}", path.display()))?;
    let words = ["check", "--config", utf8(&path)?];
    Ok(place.command(&words)?.output().context("ask selvedge about [durability]")?.status.success())
}

fn utf8(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("name the folder of temporary files in UTF-8")
}
