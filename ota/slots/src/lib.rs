//! Two slots for the program, and the record that says which of them starts.
//!
//! ```text
//! FOLDER/boot            which slot is good, which is on trial and how often it was tried, how the last trial ended
//! FOLDER/current      -> slots/a or slots/b: what starts next
//! FOLDER/slots/a/selvedge, FOLDER/slots/a/image     the program, and what it has to be: length, hash, version
//! FOLDER/slots/b/...
//! FOLDER/lock            held by whoever changes any of it
//! ```
//!
//! The updater fills the slot that the record does not name, puts it on trial and turns `current` to it ([`Slots`]). The
//! launcher counts each start of a slot on trial before it starts it, and goes back to the good one when they are used up or
//! the program is not what it has to be ([`next_start`]). Not here: where an image comes from and whether to believe it.
//!
//! Invariant: a slot that the record names is never written, so at each moment, whatever stops the machine, there is a whole
//! program to start: the good slot, or the program of the package where no update was confirmed yet.

mod causes;
pub mod disk;
mod image;
mod lock;
mod record;
mod replace;
mod sealed_text;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
mod slot;
mod slots;
mod start;
mod stream_hash;

pub use causes::with_causes;
pub use disk::{Disk, LocalDisk, ReadAt, WriteFile};
pub use image::{Image, ImageError};
pub use lock::{Lock, LockError};
pub use record::{BootRecord, Candidate, Ended, Outcome, RecordError};
pub use replace::replace;
pub use slot::Slot;
pub use slots::{ChangeError, Slots, WayBack};
pub use start::{Start, StartError, Started, next_start};
pub use stream_hash::{Digest, HashError, digest_of};
