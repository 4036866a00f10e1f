//! A list of all that was done, and what it comes to. Knows nothing of contexts, floors and vectors: of each deed, which
//! others its doer had seen, and sorts.

use std::collections::{BTreeMap, BTreeSet};

use selvedge_twin_core::cell::Cell;
use selvedge_twin_core::clock::HybridTime;
use selvedge_twin_core::dot::Dot;
use selvedge_twin_core::event::{Body, Event};
use selvedge_twin_core::path::Path;
use selvedge_twin_core::place::{Key, Part, Section};

type Rank = (HybridTime, Dot);
/// Thing, section and path of a field.
type Place = (Box<str>, Section, Path);

#[derive(Debug, Clone)]
struct Deed {
    key: Key,
    rank: Rank,
    body: Body,
    /// What was added to a counter.
    amount: i64,
    /// All deeds of the cell that the doer had seen.
    seen: BTreeSet<Dot>,
}

#[derive(Debug, Default)]
pub struct Oracle {
    deeds: BTreeMap<Dot, Deed>,
    /// Cells of which part was declared void: what they show is for the nodes to agree on.
    pub uncertain: BTreeSet<Place>,
}

/// What a list says of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    Json(String),
    Object,
    Set(BTreeSet<String>),
    Count(i128),
}

impl Oracle {
    /// Notes what `event` did to the cell that was `before`.
    pub fn note(&mut self, key: &Key, event: &Event, before: &Cell, amount: i64) {
        let mut seen = BTreeSet::new();
        for sibling in before.siblings() {
            seen.insert(sibling.dot);
            if let Some(deed) = self.deeds.get(&sibling.dot) {
                seen.extend(deed.seen.iter().copied());
            }
        }
        // Whatever it forgot meanwhile, a node has seen what it did itself.
        let origin = event.dot.origin;
        for (dot, deed) in self.deeds.range(origin.dot(0)..event.dot).filter(|(_, deed)| deed.key == *key) {
            seen.insert(*dot);
            seen.extend(deed.seen.iter().copied());
        }
        let (key, rank, body) = (key.clone(), event.rank(), event.body.clone());
        self.deeds.insert(event.dot, Deed { key, rank, body, amount, seen });
    }

    /// Forgets deeds that nobody knows any more.
    pub fn retain(&mut self, mut is_known: impl FnMut(Dot) -> bool) {
        let mut kept: BTreeSet<Dot> = self.deeds.keys().copied().filter(|dot| is_known(*dot)).collect();
        let seen: Vec<Dot> = kept.iter().flat_map(|dot| self.deeds[dot].seen.iter().copied()).collect();
        kept.extend(seen);
        self.deeds.retain(|dot, _| kept.contains(dot));
    }

    /// No longer knows what there is where deeds are that `is_known` does not name: someone may bring them back, or not.
    pub fn doubt(&mut self, mut is_known: impl FnMut(Dot) -> bool) {
        let mut known: BTreeSet<Dot> = self.deeds.keys().copied().filter(|dot| is_known(*dot)).collect();
        let seen: Vec<Dot> = known.iter().flat_map(|dot| self.deeds[dot].seen.iter().copied()).collect();
        known.extend(seen);
        for (_, deed) in self.deeds.iter().filter(|(dot, _)| !known.contains(dot)) {
            self.uncertain.insert((deed.key.thing.clone(), deed.key.section, deed.key.path.clone()));
        }
    }

    /// Forgets deeds that were declared void, and no longer knows what was there.
    pub fn declare_void(&mut self, mut is_void: impl FnMut(Dot) -> bool) {
        let uncertain = &mut self.uncertain;
        self.deeds.retain(|dot, deed| {
            let void = is_void(*dot);
            if void {
                uncertain.insert((deed.key.thing.clone(), deed.key.section, deed.key.path.clone()));
            }
            !void
        });
    }

    /// What is shown at each path.
    pub fn expected(&self) -> BTreeMap<Place, Expected> {
        let mut cells: BTreeMap<&Key, Vec<(Dot, &Deed)>> = BTreeMap::new();
        for (dot, deed) in &self.deeds {
            cells.entry(&deed.key).or_default().push((*dot, deed));
        }
        let mut fields: BTreeMap<Place, BTreeMap<u8, (Rank, Expected)>> = BTreeMap::new();
        for (key, deeds) in cells {
            let Some((kind, rank, shown)) = shown(key, &deeds) else { continue };
            let field = fields.entry((key.thing.clone(), key.section, key.path.clone())).or_default();
            let known = field.entry(kind).or_insert_with(|| (rank, nothing(&shown)));
            known.0 = known.0.max(rank);
            merge(&mut known.1, shown);
        }
        let latest = |kinds: BTreeMap<u8, (Rank, Expected)>| kinds.into_values().max_by_key(|(rank, _)| *rank);
        fields.into_iter().filter_map(|(at, kinds)| Some((at, latest(kinds)?.1))).collect()
    }
}

/// What the deeds of one cell come to, with its kind and when it came so.
fn shown(key: &Key, deeds: &[(Dot, &Deed)]) -> Option<(u8, Rank, Expected)> {
    let last = deeds.iter().filter(|(dot, _)| !deeds.iter().any(|(_, other)| other.seen.contains(dot)));
    let last: Vec<&Deed> = last.map(|(_, deed)| *deed).collect();
    let is_removal = |deed: &Deed| matches!(deed.body, Body::Removed { .. });
    let winner = last.iter().filter(|deed| !is_removal(deed)).max_by_key(|deed| deed.rank);
    let one = |element: &str| Expected::Set(BTreeSet::from([element.to_owned()]));
    match &key.part {
        Part::Register => winner.map(|deed| match &deed.body {
            Body::Json(text) => (0, deed.rank, Expected::Json(text.to_string())),
            _ => (0, deed.rank, Expected::Object),
        }),
        Part::Latest(element) => {
            let (_, latest) = deeds.iter().max_by_key(|(_, deed)| deed.rank)?;
            (!is_removal(latest)).then(|| (1, latest.rank, one(element)))
        }
        Part::AddWins(element) => winner.map(|deed| (2, deed.rank, one(element))),
        Part::Share(_) => {
            let is_removed = |dot| deeds.iter().any(|(_, other)| is_removal(other) && other.seen.contains(dot));
            let left = deeds.iter().filter(|(dot, deed)| !is_removal(deed) && !is_removed(dot));
            let sum = left.map(|(_, deed)| i128::from(deed.amount)).sum();
            winner.map(|deed| (3, deed.rank, Expected::Count(sum)))
        }
    }
}

fn nothing(like: &Expected) -> Expected {
    match like {
        Expected::Set(_) => Expected::Set(BTreeSet::new()),
        Expected::Count(_) => Expected::Count(0),
        other => other.clone(),
    }
}

fn merge(into: &mut Expected, more: Expected) {
    match (into, more) {
        (Expected::Set(set), Expected::Set(more)) => set.extend(more),
        (Expected::Count(sum), Expected::Count(more)) => *sum += more,
        _ => {}
    }
}
