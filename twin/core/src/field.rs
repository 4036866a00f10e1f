//! A field: the cells at one path, and which of them is shown. A path is written as one value, as a set or as a counter;
//! where nodes disagree, the kind that was written last is shown, and nothing is lost in the cells.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cell::Cell;
use crate::clock::{HybridTime, Stamp};
use crate::dot::Dot;
use crate::event::{Body, Event};
use crate::place::Part;

/// The cells at one path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Field {
    register: Cell,
    #[expect(clippy::box_collection, reason = "most fields have none, which then takes 8 bytes and not 24")]
    parts: Option<Box<BTreeMap<Part, Cell>>>,
}

/// What a reader sees of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown<'a> {
    /// One value, as JSON text.
    Json(&'a str),
    /// An object, even if it has no members.
    Object,
    /// A set, as the JSON texts of its elements in their order.
    Set(Vec<&'a str>),
    /// A counter.
    Count(i128),
}

/// What a reader sees, and which event made it so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight<'a> {
    /// The rank of the event that decided.
    pub rank: (HybridTime, Dot),
    /// What is seen.
    pub shown: Shown<'a>,
}

impl Sight<'_> {
    /// When and where it was written.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        Stamp { time: self.rank.0, node: self.rank.1.origin.node }
    }
}

impl Shown<'_> {
    /// The JSON text. Of [`Shown::Object`], the empty object.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Shown::Json(text) => (*text).to_owned(),
            Shown::Object => "{}".to_owned(),
            Shown::Set(elements) => format!("[{}]", elements.join(",")),
            Shown::Count(count) => (*count).clamp(i64::MIN.into(), i64::MAX.into()).to_string(),
        }
    }

    /// The JSON value.
    #[must_use]
    pub fn to_value(&self) -> Value {
        // Whatever comes into a cell was parsed before.
        serde_json::from_str(&self.to_text()).unwrap_or(Value::Null)
    }
}

impl Field {
    /// The cell of `part`.
    #[must_use]
    pub fn cell(&self, part: &Part) -> Option<&Cell> {
        match part {
            Part::Register => Some(&self.register).filter(|cell| !cell.is_empty()),
            part => self.parts.as_ref()?.get(part),
        }
    }

    /// The cell of `part`, to change it. [`Field::tidy`] is to be called afterwards.
    pub(crate) fn cell_mut(&mut self, part: &Part) -> &mut Cell {
        match part {
            Part::Register => &mut self.register,
            part => self.parts.get_or_insert_default().entry(part.clone()).or_default(),
        }
    }

    /// All cells that know something, in the order of their parts.
    pub fn cells(&self) -> impl Iterator<Item = (&Part, &Cell)> {
        let register = Some((&Part::Register, &self.register)).filter(|(_, cell)| !cell.is_empty());
        register.into_iter().chain(self.parts.iter().flat_map(|parts| parts.iter()))
    }

    /// All cells, to change them. [`Field::tidy`] is to be called afterwards.
    pub(crate) fn cells_mut(&mut self) -> impl Iterator<Item = (&Part, &mut Cell)> {
        let register = (&Part::Register, &mut self.register);
        std::iter::once(register).chain(self.parts.iter_mut().flat_map(|parts| parts.iter_mut()))
    }

    /// Forgets cells that know nothing. Returns whether any is left.
    pub(crate) fn tidy(&mut self) -> bool {
        if let Some(parts) = &mut self.parts {
            parts.retain(|_, cell| !cell.is_empty());
            if parts.is_empty() {
                self.parts = None;
            }
        }
        self.parts.is_some() || !self.register.is_empty()
    }

    /// What a reader sees; `None` if nothing has a value.
    #[must_use]
    pub fn sight(&self) -> Option<Sight<'_>> {
        let register = self.register_sight();
        let Some(parts) = &self.parts else { return register };
        let (mut latest, mut add_wins, mut count) = (None, None, None);
        for (part, cell) in parts.iter() {
            match part {
                Part::Register => {}
                // The latest event decides whether the element is there.
                Part::Latest(element) => add_element(&mut latest, element, cell.latest()),
                Part::AddWins(element) => add_element(&mut add_wins, element, cell.winner()),
                Part::Share(_) => add_share(&mut count, cell),
            }
        }
        [register, latest, add_wins, count].into_iter().flatten().max_by_key(|sight| sight.rank)
    }

    /// Whether a reader sees something.
    #[must_use]
    pub fn is_live(&self) -> bool {
        match &self.parts {
            None => self.register.is_live(),
            Some(_) => self.sight().is_some(),
        }
    }

    fn register_sight(&self) -> Option<Sight<'_>> {
        let event = self.register.winner()?;
        let shown = match &event.body {
            Body::Json(text) => Shown::Json(text),
            _ => Shown::Object,
        };
        Some(Sight { rank: event.rank(), shown })
    }
}

fn add_element<'a>(set: &mut Option<Sight<'a>>, element: &'a str, decided: Option<&Event>) {
    let Some(event) = decided.filter(|event| event.has_value()) else { return };
    let sight = set.get_or_insert_with(|| Sight { rank: event.rank(), shown: Shown::Set(Vec::new()) });
    sight.rank = sight.rank.max(event.rank());
    if let Shown::Set(elements) = &mut sight.shown {
        elements.push(element);
    }
}

fn add_share(counter: &mut Option<Sight<'_>>, cell: &Cell) {
    let Some(share) = cell.share() else { return };
    let sight = counter.get_or_insert_with(|| Sight { rank: share.rank, shown: Shown::Count(0) });
    sight.rank = sight.rank.max(share.rank);
    if let Shown::Count(sum) = &mut sight.shown {
        *sum = sum.saturating_add(share.value);
    }
}
