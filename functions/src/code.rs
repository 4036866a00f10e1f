//! The native code of a version: in memory while it is used, on disk otherwise.
//!
//! Invariants: what is in memory carried the node's MAC when it was loaded; beside those that ran within [`IDLE`] at most
//! `Config::loaded_max` stay.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wasmtime::component::{Component, Linker};

use crate::artifact::ArtifactStore;
use crate::bindings::FunctionPre;
use crate::deployment::DeployError;
use crate::engine::RunningEngine;
use crate::invocation::InvocationState;
use crate::world::{self, World};
use crate::{capability, wasi};

/// Code that was not used for so long gives way, where there is more than may stay.
const IDLE: Duration = Duration::from_secs(10);

/// Code that can be instantiated.
pub(crate) type Linked = Arc<FunctionPre<InvocationState>>;

/// See the module.
pub(crate) struct Code {
    artifacts: Arc<ArtifactStore>,
    digest: String,
    loaded: Mutex<Option<Loaded>>,
}

struct Loaded {
    linked: Linked,
    used: Instant,
}

impl Code {
    /// Of a component that was just loaded; also gives its world.
    pub(crate) fn new(
        artifacts: &Arc<ArtifactStore>,
        digest: &str,
        component: &Component,
        engine: &RunningEngine,
    ) -> Result<(Arc<Self>, World), DeployError> {
        let (world, linked) = link(component, engine)?;
        let loaded = Loaded { linked: Arc::new(linked), used: Instant::now() };
        let code = Self { artifacts: artifacts.clone(), digest: digest.to_owned(), loaded: Mutex::new(Some(loaded)) };
        let code = Arc::new(code);
        engine.shelf.add(&code);
        Ok((code, world))
    }

    /// The code, loaded if it is not in memory.
    pub(crate) fn get(self: &Arc<Self>, engine: &RunningEngine, now: Instant) -> Result<Linked, DeployError> {
        let mut loaded = self.loaded.lock();
        if let Some(loaded) = &mut *loaded {
            loaded.used = now;
            return Ok(loaded.linked.clone());
        }
        let component = self.artifacts.load(engine, &self.digest)?;
        let (_, linked) = link(&component, engine)?;
        let linked = Arc::new(linked);
        *loaded = Some(Loaded { linked: linked.clone(), used: now });
        drop(loaded);
        engine.shelf.add(self);
        Ok(linked)
    }

    fn used(&self) -> Option<Instant> {
        self.loaded.lock().as_ref().map(|loaded| loaded.used)
    }
}

/// Checks the component against the worlds and links it.
fn link(component: &Component, engine: &RunningEngine) -> Result<(World, FunctionPre<InvocationState>), DeployError> {
    let types = component.component_type();
    let imports: Vec<String> = types.imports(&engine.engine).map(|(name, _)| name.to_owned()).collect();
    let exports: Vec<String> = types.exports(&engine.engine).map(|(name, _)| name.to_owned()).collect();
    let world = world::detect(&imports, &exports)?;
    let link_error = |error: wasmtime::Error| DeployError::Link(format!("{error:#}"));
    let mut linker = Linker::new(&engine.engine);
    capability::add_to_linker(&mut linker).map_err(link_error)?;
    wasi::add_to_linker(&mut linker, component, world).map_err(link_error)?;
    let linked = linker.instantiate_pre(component).and_then(FunctionPre::new).map_err(link_error)?;
    component.initialize_copy_on_write_image().map_err(link_error)?;
    Ok((world, linked))
}

/// Which code is in memory.
pub(crate) struct CodeShelf {
    loaded_max: usize,
    /// There is more than may stay and nobody has been asked to sweep: what a run looks at.
    is_sweep_wanted: AtomicBool,
    inner: Mutex<Shelf>,
}

#[derive(Default)]
struct Shelf {
    codes: Vec<Weak<Code>>,
    /// Somebody will call [`CodeShelf::sweep`] then.
    sweep_at: Option<Instant>,
}

impl CodeShelf {
    pub(crate) fn new(loaded_max: usize) -> Self {
        Self { loaded_max, is_sweep_wanted: AtomicBool::new(false), inner: Mutex::default() }
    }

    fn add(&self, code: &Arc<Code>) {
        let mut shelf = self.inner.lock();
        shelf.codes.push(Arc::downgrade(code));
        self.tell(&shelf);
    }

    /// When to call [`CodeShelf::sweep`], where there is too much and nobody has been asked to.
    pub(crate) fn sweep_wanted(&self, now: Instant) -> Option<Instant> {
        if !self.is_sweep_wanted.load(Ordering::Relaxed) || !self.is_sweep_wanted.swap(false, Ordering::Relaxed) {
            return None;
        }
        let mut shelf = self.inner.lock();
        shelf.sweep_at = Some(now + IDLE);
        shelf.sweep_at
    }

    /// Takes from memory what is too much and idle; when to call this again, if there is still too much.
    pub(crate) fn sweep(&self, now: Instant) -> Option<Instant> {
        let mut shelf = self.inner.lock();
        let (gone, left) = self.take_down(&mut shelf, now, IDLE);
        shelf.sweep_at = left;
        self.tell(&shelf);
        drop(shelf);
        // Unmapping takes time.
        drop::<Vec<Loaded>>(gone);
        left
    }

    /// Takes from memory what is too much, whether idle or not.
    pub(crate) fn sweep_all(&self) {
        let mut shelf = self.inner.lock();
        let (gone, _) = self.take_down(&mut shelf, Instant::now(), Duration::ZERO);
        self.tell(&shelf);
        drop(shelf);
        drop::<Vec<Loaded>>(gone);
    }

    /// Has the next run ask for a sweep, where one is needed and nobody will come.
    fn tell(&self, shelf: &Shelf) {
        let wanted = shelf.codes.len() > self.loaded_max && shelf.sweep_at.is_none();
        self.is_sweep_wanted.store(wanted, Ordering::Relaxed);
    }

    /// Takes out what is too much and was not used for so long; with it, when more of what is left will have been idle so long.
    fn take_down(&self, shelf: &mut Shelf, now: Instant, idle: Duration) -> (Vec<Loaded>, Option<Instant>) {
        let mut gone = Vec::new();
        let mut codes: Vec<(Instant, Arc<Code>)> =
            shelf.codes.iter().filter_map(Weak::upgrade).filter_map(|code| Some((code.used()?, code))).collect();
        codes.sort_by_key(|(used, _)| *used);
        let too_many = codes.len().saturating_sub(self.loaded_max);
        let idle_ones = codes.iter().take(too_many).take_while(|(used, _)| *used + idle <= now).count();
        for (_, code) in codes.drain(..idle_ones) {
            gone.extend(code.loaded.lock().take());
        }
        shelf.codes = codes.iter().map(|(_, code)| Arc::downgrade(code)).collect();
        shelf.codes.shrink_to(self.loaded_max.max(codes.len()));
        let left = (codes.len() > self.loaded_max).then(|| codes.first().map(|(used, _)| *used + idle)).flatten();
        (gone, left)
    }
}
