//! Names of connections and sessions. An index is reused, a generation is not, so a late event of a dead
//! connection or session never reaches its successor.

/// One network connection or internal attachment. The shell hands these out: `slot` is small and dense (it indexes
/// a table), `generation` differs whenever a slot is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    /// Dense index, reused.
    pub slot: u32,
    /// Tells users of one slot apart.
    pub generation: u32,
}

/// A session, for the shell to give back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionToken(pub(crate) SessionKey);

/// One session inside the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SessionKey {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}
