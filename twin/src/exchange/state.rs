//! The documents of all things as the exchange sees them: those in the store, those that are on their way there, and what
//! the call has changed so far.

use std::cell::{Cell as Slot, RefCell};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use selvedge_store::ReadError;
use selvedge_twin_core::cell::Cell;
use selvedge_twin_core::digest::{self, BUCKETS, Digests};
use selvedge_twin_core::event::Event;
use selvedge_twin_core::place::{Key, Section};
use selvedge_twin_core::sync::{Knowledge, State, Wanted};

use super::Workings;
use crate::cache::Cache;
use crate::record::Header;
use crate::repository::{Inner, Shelf};
use crate::storage;
use crate::sums::Sums;
use crate::twin::{Touched, Twin};

/// A twin that a call changes.
pub(crate) struct Working {
    pub(crate) before: Arc<Twin>,
    pub(crate) after: Twin,
    pub(crate) touched: Touched,
}

/// See the module. What could not be read is remembered in `failed`: what the call did is not to be kept then.
pub(crate) struct StoreState<'a> {
    inner: &'a Inner,
    cache: &'a Cache,
    digests: Option<&'a Digests>,
    pub(crate) working: Workings,
    pub(crate) is_dirty: bool,
    pub(crate) failed: RefCell<Option<ReadError>>,
}

impl<'a> StoreState<'a> {
    pub(crate) fn new(inner: &'a Inner, cache: &'a Cache, digests: Option<&'a Digests>) -> Self {
        Self { inner, cache, digests, working: Workings::new(), is_dirty: false, failed: RefCell::default() }
    }

    fn is_broken(&self) -> bool {
        self.failed.borrow().is_some()
    }

    fn look(&self, thing: &str) -> Arc<Twin> {
        if self.is_broken() {
            return Arc::default();
        }
        self.inner.look(self.cache, thing).unwrap_or_else(|error| {
            self.failed.borrow_mut().get_or_insert(error);
            Arc::default()
        })
    }

    fn working(&mut self, thing: &str) -> &mut Working {
        if !self.working.contains_key(thing) {
            let before = self.look(thing);
            let after = (*before).clone();
            self.working.insert(thing.into(), Working { before, after, touched: Touched::default() });
        }
        self.working.entry(thing.into()).or_insert_with(|| Working {
            before: Arc::default(),
            after: Twin::default(),
            touched: Touched::default(),
        })
    }

    /// Shows the twin's cells after `after`.
    fn show(
        thing: &str,
        twin: &Twin,
        after: Option<&Key>,
        visit: &mut dyn FnMut(Key, &Cell) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        for section in Section::ALL {
            for (path, part, cell) in twin.section(section).cells() {
                let key = Key { thing: thing.into(), section, path: path.clone(), part: part.clone() };
                if after.is_none_or(|after| key > *after) {
                    visit(key, cell)?;
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// Shows one thing, if it is wanted. `sums` are those of its header.
    fn visit_thing(
        &self,
        thing: &str,
        sums: Option<&Sums>,
        after: Option<&Key>,
        wanted: Wanted<'_>,
        visit: &mut dyn FnMut(Key, &Cell) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if let Wanted::Buckets(buckets) = wanted
            && !digest::is_among(buckets, thing)
        {
            return ControlFlow::Continue(());
        }
        let may_want = |sums: &Sums| match wanted {
            Wanted::All | Wanted::Buckets(_) => true,
            Wanted::Beyond(vector) => !vector.includes(&sums.newest),
            Wanted::Removals => sums.removals > 0,
        };
        // What the call has changed has other sums, and is worth a look.
        if let Some(working) = self.working.get(thing) {
            return Self::show(thing, &working.after, after, visit);
        }
        let in_memory = self.cache.peek(thing);
        match in_memory.map(|twin| &twin.sums).or(sums) {
            Some(sums) if !may_want(sums) => ControlFlow::Continue(()),
            _ => match in_memory {
                Some(twin) => Self::show(thing, twin, after, visit),
                None => Self::show(thing, &self.look(thing), after, visit),
            },
        }
    }
}

impl State for StoreState<'_> {
    fn cell(&self, key: &Key) -> Cell {
        let find = |twin: &Twin| twin.section(key.section).cell(&key.path, &key.part).cloned();
        let found = match self.working.get(&key.thing) {
            Some(working) => find(&working.after),
            None => find(&self.look(&key.thing)),
        };
        found.unwrap_or_default()
    }

    fn scan(&self, after: Option<&Key>, wanted: Wanted<'_>, visit: &mut dyn FnMut(Key, &Cell) -> ControlFlow<()>) {
        let is_ahead = |thing: &str| after.is_none_or(|after| *thing >= *after.thing);
        let underway = self.cache.underway().map(|(thing, _)| thing);
        let changed = self.working.keys().map(|thing| &**thing);
        // Those that the store may not have yet.
        let mut unwritten: BTreeSet<&str> = underway.chain(changed).filter(|thing| is_ahead(thing)).collect();
        let stopped = Slot::new(false);
        let mut show = |thing: &str, sums: Option<&Sums>| {
            let flow = self.visit_thing(thing, sums, after, wanted, visit);
            stopped.set(flow.is_break() || self.is_broken());
        };
        for entry in storage::headers_from(&self.inner.store, after.map(|after| &*after.thing), &self.inner.damage) {
            let (thing, Header { sums, .. }) = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    self.failed.borrow_mut().get_or_insert(error);
                    return;
                }
            };
            while let Some(before) = unwritten.first().copied().filter(|before| **before < *thing) {
                unwritten.remove(before);
                show(before, None);
                if stopped.get() {
                    return;
                }
            }
            unwritten.remove(thing.as_str());
            show(&thing, sums.as_ref());
            if stopped.get() {
                return;
            }
        }
        for thing in unwritten {
            show(thing, None);
            if stopped.get() {
                return;
            }
        }
    }

    fn join(&mut self, key: &Key, event: Event) {
        let Working { after, touched, .. } = self.working(&key.thing);
        if after.section_mut(key.section).join(&key.path, &key.part, event) {
            touched.add(key.section, &key.path);
        }
    }

    fn drop_events(&mut self, key: &Key, is_dead: &mut dyn FnMut(&Event) -> bool) {
        let Working { after, touched, .. } = self.working(&key.thing);
        if after.section_mut(key.section).drop_events(&key.path, &key.part, is_dead) {
            touched.add(key.section, &key.path);
        }
    }

    fn digests(&self) -> Box<Digests> {
        let mut digests = self.digests.map_or_else(|| Box::new([0; BUCKETS]), |digests| Box::new(*digests));
        for (thing, working) in &self.working {
            let after = working.before.sums.after(thing, &working.before, &working.after, &working.touched);
            if let Some(sum) = digests.get_mut(digest::bucket(thing)) {
                *sum = sum.wrapping_sub(working.before.sums.digest).wrapping_add(after.digest);
            }
        }
        digests
    }

    fn save(&mut self, _: &Knowledge) {
        self.is_dirty = true;
    }
}

/// The sums of all twins, by bucket.
pub(crate) fn digests(inner: &Inner, shelf: &Shelf) -> Result<Box<Digests>, ReadError> {
    let mut digests = Box::new([0_u64; BUCKETS]);
    let mut add = |thing: &str, digest: u64| {
        if let Some(sum) = digests.get_mut(digest::bucket(thing)) {
            *sum = sum.wrapping_add(digest);
        }
    };
    let mut underway: BTreeSet<&str> = shelf.cache.underway().map(|(thing, _)| thing).collect();
    for entry in storage::headers_from(&inner.store, None, &inner.damage) {
        let (thing, header) = entry?;
        underway.remove(thing.as_str());
        let in_memory = shelf.cache.peek(&thing).map(|twin| twin.sums.digest);
        match in_memory.or(header.sums.map(|sums| sums.digest)) {
            Some(digest) => add(&thing, digest),
            None => add(&thing, inner.look(&shelf.cache, &thing)?.sums.digest),
        }
    }
    for thing in underway {
        add(thing, inner.look(&shelf.cache, thing)?.sums.digest);
    }
    Ok(digests)
}

/// For what looks at no document.
pub(crate) struct Unchanging;

impl State for Unchanging {
    fn cell(&self, _: &Key) -> Cell {
        Cell::default()
    }

    fn scan(&self, _: Option<&Key>, _: Wanted<'_>, _: &mut dyn FnMut(Key, &Cell) -> ControlFlow<()>) {}

    fn join(&mut self, _: &Key, _: Event) {}

    fn drop_events(&mut self, _: &Key, _: &mut dyn FnMut(&Event) -> bool) {}

    fn digests(&self) -> Box<Digests> {
        Box::new([0; BUCKETS])
    }

    fn save(&mut self, _: &Knowledge) {}
}
