//! What the exchange needs of the place where documents are. In a node that is the store with its cache, in tests a map.

use std::ops::ControlFlow;

use super::knowledge::Knowledge;
use super::message::Buckets;
use crate::cell::Cell;
use crate::digest::Digests;
use crate::event::Event;
use crate::place::Key;
use crate::vector::VersionVector;

/// Which things a scan is for. A place that cannot tell quickly may show more.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'a> {
    /// All.
    All,
    /// Those with events that this vector lacks.
    Beyond(&'a VersionVector),
    /// Those with removals.
    Removals,
    /// Those of these buckets ([`crate::digest::bucket`]).
    Buckets(&'a Buckets),
}

/// Documents of all things, and what goes with them. All changes of one call become durable together.
pub trait State {
    /// The cell at `key`; empty if nothing is known.
    fn cell(&self, key: &Key) -> Cell;

    /// Shows the cells after `after`, or all, of the things that are wanted, in the order of their keys, until told to stop.
    fn scan(&self, after: Option<&Key>, wanted: Wanted<'_>, visit: &mut dyn FnMut(Key, &Cell) -> ControlFlow<()>);

    /// Takes an event in.
    fn join(&mut self, key: &Key, event: Event);

    /// Removes the events of a cell that `is_dead` names.
    fn drop_events(&mut self, key: &Key, is_dead: &mut dyn FnMut(&Event) -> bool);

    /// The sums of what has a value ([`crate::digest::share`]), by bucket.
    fn digests(&self) -> Box<Digests>;

    /// Keeps what the node knows, together with what this call changed before.
    fn save(&mut self, knowledge: &Knowledge);
}
