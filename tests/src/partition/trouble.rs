//! What goes wrong in a round: wires cut, nodes and the broker killed, each mended after a while, some of it at once.

use std::time::{Duration, Instant};

use super::{NODES, Round, World};
use crate::random::Random;

/// What is broken now, and until when.
enum Broken {
    Wire(usize),
    Node(usize),
    Broker,
}

/// See the module.
pub struct Trouble<'a> {
    world: &'a mut World,
    random: &'a mut Random,
    broken: Vec<(Instant, Broken)>,
}

impl<'a> Trouble<'a> {
    /// Nothing is broken yet.
    pub fn new(world: &'a mut World, random: &'a mut Random) -> Self {
        Self { world, random, broken: Vec::new() }
    }

    /// Breaks and mends until then; in the end everything is mended.
    ///
    /// # Errors
    /// Something does not come back.
    pub fn make_until(mut self, until: Instant, round: &mut Round) -> anyhow::Result<()> {
        while Instant::now() < until {
            self.mend(Instant::now())?;
            self.break_something(round)?;
            // The experiment itself: how long things stay as they are.
            std::thread::sleep(Duration::from_millis(self.milliseconds(200, 1_500)));
        }
        self.mend(Instant::now() + Duration::from_secs(3600))
    }

    fn break_something(&mut self, round: &mut Round) -> anyhow::Result<()> {
        let index = self.random.below(NODES);
        let (what, ms) = match self.random.below(10) {
            0..=3 => (Broken::Wire(index), self.milliseconds(500, 8_000)),
            4..=6 => (Broken::Node(index), self.milliseconds(0, 3_000)),
            7 => (Broken::Broker, self.milliseconds(0, 4_000)),
            _ => return Ok(()),
        };
        let same = |broken: &(Instant, Broken)| match (&broken.1, &what) {
            (Broken::Wire(a), Broken::Wire(b)) | (Broken::Node(a), Broken::Node(b)) => a == b,
            (Broken::Broker, Broken::Broker) => true,
            _ => false,
        };
        if self.broken.iter().any(same) {
            return Ok(());
        }
        match what {
            Broken::Wire(index) => {
                self.world.star.cut(index)?;
                round.cuts += 1;
            }
            Broken::Node(index) => {
                self.world.kill_node(index)?;
                round.kills += 1;
            }
            Broken::Broker => {
                self.world.kill_broker()?;
                round.broker_kills += 1;
            }
        }
        self.broken.push((Instant::now() + Duration::from_millis(ms), what));
        Ok(())
    }

    fn milliseconds(&mut self, from: u64, to: u64) -> u64 {
        from + self.random.below(usize::try_from(to - from).unwrap_or(usize::MAX)) as u64
    }

    fn mend(&mut self, until: Instant) -> anyhow::Result<()> {
        let (due, rest) = std::mem::take(&mut self.broken).into_iter().partition(|(at, _)| *at <= until);
        self.broken = rest;
        for (_, broken) in due {
            match broken {
                Broken::Wire(index) => self.world.star.mend(index)?,
                Broken::Node(index) => self.world.start_node(index)?,
                Broken::Broker => self.world.start_broker()?,
            }
        }
        Ok(())
    }
}
