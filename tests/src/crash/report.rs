//! What was promised and what was kept, in numbers and, where it was not kept, in words.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::swaps::Swapped;

/// What can be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A QoS 1 message for one session.
    AtLeastOnce,
    /// A QoS 2 message for one session.
    ExactlyOnce,
    /// The retained message of a topic.
    Retained,
    /// A session.
    Session,
    /// A subscription, or that it was taken back.
    Subscription,
    /// A twin.
    Twin,
    /// An input of a function, by its output or its count.
    Function,
    /// A will.
    Will,
    /// The node itself: it starts, stays and speaks the protocol.
    Node,
}

impl Kind {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::AtLeastOnce => "QoS 1 messages",
            Self::ExactlyOnce => "QoS 2 messages",
            Self::Retained => "retained",
            Self::Session => "sessions",
            Self::Subscription => "subscriptions",
            Self::Twin => "twins",
            Self::Function => "function inputs",
            Self::Will => "wills",
            Self::Node => "node",
        }
    }
}

/// What was not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Breach {
    /// Acknowledged and gone.
    Lost,
    /// Came or took effect once more than was promised.
    Twice,
    /// A message before an earlier one of its topic.
    Disordered,
    /// Something that may not be: a message without a subscription, a broken rule of the protocol, a node that does not start.
    Wrong,
}

/// Numbers of one kind.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    /// What was acknowledged and owed, whether it was given before a crash or after it.
    pub acknowledged: u64,
    /// Of that, messages that had not arrived when a crash came, counted at each crash.
    pub outstanding: u64,
    /// Breaches, in the order of [`Breach`].
    pub breaches: [u64; 4],
}

/// Everything that a run found.
#[derive(Debug, Default)]
pub struct Report {
    tallies: BTreeMap<Kind, Tally>,
    /// QoS 1 messages that came again, which is allowed.
    pub repeated: u64,
    /// Publications that the broker refused, which is allowed.
    pub refused: u64,
    /// Publications that were acknowledged.
    pub published: u64,
    /// What was done to the versions of functions.
    pub swapped: Swapped,
    /// Crashes.
    pub rounds: u64,
    /// Rounds in which something was wrong, with the first words about it.
    words: Vec<String>,
    shown: usize,
    /// Breaches of a kind in this round are printed up to a number.
    in_round: BTreeMap<(Kind, Breach), u64>,
    seed: u64,
    /// Runs of which it tells, each with the next seed.
    seeds: u64,
}

/// Breaches of one kind that a round describes.
const DESCRIBED_PER_ROUND: u64 = 3;
/// Descriptions that a report keeps.
const DESCRIBED: usize = 200;

impl Report {
    /// Of a run with this seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, seeds: 1, ..Self::default() }
    }

    /// Of no run yet; the first will have this seed.
    pub fn of_none(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// A crash has happened.
    pub fn next_round(&mut self) {
        self.rounds += 1;
        self.in_round.clear();
    }

    /// Versions changed hands in this round.
    pub fn swapped(&mut self, round: Swapped) {
        self.swapped.swaps += round.swaps;
        self.swapped.trials += round.trials;
        self.swapped.taken_back += round.taken_back;
    }

    /// Those of another run are added.
    pub fn add(&mut self, other: Self) {
        for (kind, tally) in other.tallies {
            let sum = self.tallies.entry(kind).or_default();
            sum.acknowledged += tally.acknowledged;
            sum.outstanding += tally.outstanding;
            sum.breaches.iter_mut().zip(tally.breaches).for_each(|(sum, breaches)| *sum += breaches);
        }
        self.repeated += other.repeated;
        self.refused += other.refused;
        self.published += other.published;
        self.rounds += other.rounds;
        self.seeds += other.seeds;
        self.swapped(other.swapped);
        self.words.extend(other.words);
    }

    /// Something was owed.
    pub fn owed(&mut self, kind: Kind, number: u64) {
        self.tallies.entry(kind).or_default().acknowledged += number;
    }

    /// Something that was owed had not been given when the crash came.
    pub fn outstanding(&mut self, kind: Kind) {
        self.tallies.entry(kind).or_default().outstanding += 1;
    }

    /// Something was not kept.
    pub fn breach(&mut self, kind: Kind, breach: Breach, describe: impl FnOnce() -> String) {
        self.tallies.entry(kind).or_default().breaches[breach as usize] += 1;
        let in_round = self.in_round.entry((kind, breach)).or_default();
        *in_round += 1;
        if *in_round <= DESCRIBED_PER_ROUND && self.shown < DESCRIBED {
            self.shown += 1;
            let words = format!("seed {} round {}: {} {breach:?}: {}", self.seed, self.rounds, kind.name(), describe());
            eprintln!("{words}");
            self.words.push(words);
        }
    }

    /// Of one kind.
    pub fn tally(&self, kind: Kind) -> Tally {
        self.tallies.get(&kind).copied().unwrap_or_default()
    }

    /// All breaches.
    pub fn breaches(&self) -> u64 {
        self.tallies.values().flat_map(|tally| tally.breaches).sum()
    }

    /// What it says about breaches.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Whether all was kept.
    ///
    /// # Errors
    /// Something was not; the text says what.
    pub fn all_kept(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.breaches() == 0,
            "{} breaches\n{}\n{}",
            self.breaches(),
            self.table(),
            self.words.join("\n")
        );
        Ok(())
    }

    /// In one line.
    pub fn line(&self) -> String {
        let Swapped { swaps, trials, taken_back } = self.swapped;
        let inputs = self.tally(Kind::Function);
        format!(
            "{} kills, {} function inputs acknowledged, {} of them open at a kill, {swaps} changes of live versions, {trials} \
             canaries, {taken_back} of them taken back, {} breaches",
            self.rounds,
            inputs.acknowledged,
            inputs.outstanding,
            self.breaches()
        )
    }

    /// A table for a person.
    pub fn table(&self) -> String {
        let seeds = if self.seeds > 1 { format!("{} seeds, ", self.seeds) } else { String::new() };
        let mut lines = format!(
            "{seeds}{} rounds, {} publications acknowledged, {} refused, {} QoS 1 messages came again\n",
            self.rounds, self.published, self.refused, self.repeated
        );
        if self.swapped.swaps > 0 {
            let Swapped { swaps, trials, taken_back } = self.swapped;
            lines += &format!("{swaps} changes of live versions, {trials} canaries, {taken_back} of them taken back\n");
        }
        lines += &format!(
            "{:<16} {:>12} {:>11} {:>8} {:>8} {:>10} {:>8}\n",
            "", "acknowledged", "outstanding", "lost", "twice", "disordered", "wrong"
        );
        for (kind, tally) in &self.tallies {
            let [lost, twice, disordered, wrong] = tally.breaches;
            let (name, outstanding) = (kind.name(), tally.outstanding);
            lines += &format!(
                "{name:<16} {:>12} {outstanding:>11} {lost:>8} {twice:>8} {disordered:>10} {wrong:>8}\n",
                tally.acknowledged
            );
        }
        lines
    }

    /// The same for a program.
    pub fn to_json(&self) -> Value {
        let kinds: serde_json::Map<String, Value> = self
            .tallies
            .iter()
            .map(|(kind, tally)| {
                let [lost, twice, disordered, wrong] = tally.breaches;
                let numbers = json!({
                    "acknowledged": tally.acknowledged, "outstanding": tally.outstanding, "lost": lost, "twice": twice,
                    "disordered": disordered, "wrong": wrong,
                });
                (kind.name().to_owned(), numbers)
            })
            .collect();
        json!({
            "seed": self.seed, "seeds": self.seeds, "rounds": self.rounds, "published": self.published, "refused": self.refused,
            "repeated": self.repeated, "kinds": kinds, "words": self.words,
            "swaps": self.swapped.swaps, "canaries": self.swapped.trials, "canaries_taken_back": self.swapped.taken_back,
        })
    }
}
