//! Messages between nodes.
//!
//! ```text
//! message = 1 kind:u8 group:32 sender:u64le policy body signature:64
//! hello   = known seen floor sum:u64le * 256
//! delta   = count run...                   run    = origin after through count (key event signature:64)...
//! pull    = to:u64le number mode:u8 since option(claim) option(cursor) pages:u8 buckets:32
//! page    = to:u64le number mode:u8 known floor claim option(cursor) option(cursor) count cell...
//! cell    = key count dot... count (event signature:64)...
//! ask     = to:u64le after                 policies = to:u64le count bytes...
//! cursor  = key option(dot)                option(x) = 0 | 1 x
//! ```

mod codec;

pub(super) use self::codec::{event_bytes, key_bytes};

use thiserror::Error;

use super::knowledge::Mode;
use crate::clock::NodeId;
use crate::digest::{BUCKETS, Digests};
use crate::dot::{Dot, Origin};
use crate::event::{Event, PolicyVersion, Signature};
use crate::place::Key;
use crate::vector::VersionVector;
use crate::wire::DecodeError;

/// Largest message, in bytes. Larger ones are not read.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// A set of buckets of things, a bit each.
pub type Buckets = [u8; BUCKETS / 8];

/// A message, and from whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Who sends it.
    pub sender: NodeId,
    /// The sender's last policy.
    pub policy: PolicyVersion,
    /// What it says.
    pub message: Message,
}

/// What nodes say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// What the sender has.
    Hello(Box<Hello>),
    /// What was just written.
    Delta(Vec<Run>),
    /// A question for what is missing.
    Pull(Box<PullRequest>),
    /// A part of the answer.
    Page(Box<Page>),
    /// A question for the policies after one.
    PolicyRequest {
        /// To whom.
        to: NodeId,
        /// The last one that the sender has.
        after: PolicyVersion,
    },
    /// Policies, in order. Their signatures speak for themselves.
    Policies {
        /// To whom.
        to: NodeId,
        /// Signed.
        policies: Vec<Vec<u8>>,
    },
}

/// What a node has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// See [`super::Knowledge::known`].
    pub known: VersionVector,
    /// See [`super::Knowledge::seen`].
    pub seen: VersionVector,
    /// See [`super::Knowledge::floor`].
    pub floor: VersionVector,
    /// Sums of what it shows.
    pub digests: Digests,
}

/// Events of one origin without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Whose.
    pub origin: Origin,
    /// The number before the first.
    pub after: u64,
    /// The number of the last.
    pub through: u64,
    /// All that there are between, in order.
    pub events: Vec<(Key, Event)>,
}

/// A question for what is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// To whom.
    pub to: NodeId,
    /// Comes back in the pages.
    pub number: u64,
    /// What for.
    pub mode: Mode,
    /// What the sender has.
    pub since: VersionVector,
    /// What the first page claimed.
    pub claim: Option<VersionVector>,
    /// Where to go on.
    pub after: Option<Cursor>,
    /// How many pages may come.
    pub pages: u8,
    /// In [`Mode::Repair`], which buckets differ.
    pub buckets: Buckets,
}

/// A part of an answer: all cells from one place to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// To whom.
    pub to: NodeId,
    /// From the question.
    pub number: u64,
    /// From the question.
    pub mode: Mode,
    /// What the sender has now.
    pub known: VersionVector,
    /// The sender's floor now.
    pub floor: VersionVector,
    /// What the receiver has when all pages have come.
    pub claim: VersionVector,
    /// From where.
    pub after: Option<Cursor>,
    /// To where; to the end if none.
    pub upto: Option<Cursor>,
    /// In the order of their keys.
    pub cells: Vec<PageCell>,
}

/// A cell of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageCell {
    /// Which.
    pub key: Key,
    /// Events that are there too, but not in this page; in [`Mode::Whole`] only.
    pub present: Vec<Dot>,
    /// Events.
    pub events: Vec<Event>,
}

/// A place in the order of all events: after a cell, or after an event of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The cell.
    pub key: Key,
    /// The event, if others of the cell are to come.
    pub dot: Option<Dot>,
}

/// Why a message is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MessageRefusal {
    /// It cannot be read.
    #[error("the message cannot be read")]
    Decode(#[from] DecodeError),
    /// It is larger than [`MESSAGE_BYTES_MAX`].
    #[error("the message is larger than allowed")]
    Oversize,
    /// It is of another group.
    #[error("the message is of another group")]
    OtherGroup,
}

/// A message as it was read, with what its sender signed.
#[derive(Debug)]
pub struct Sealed<'a> {
    /// What it says.
    pub envelope: Envelope,
    /// What was signed.
    pub signed: Vec<u8>,
    /// The signature.
    pub signature: &'a Signature,
}

#[cfg(test)]
mod tests;
