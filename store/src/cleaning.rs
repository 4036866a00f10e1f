//! Removing the oldest segment, in small steps between writes, after everything in it that is still wanted was written
//! again at the head.
//!
//! A segment may go when the owner's records in it are superseded by an image, its live messages and its puts that are
//! still what the state says stand at the head, durable, and a durable state holds everything that it did. Deletes
//! need nothing: what they deleted stood in front of them and is gone. What says that a message is not wanted any more
//! has to be durable too, or a power cut brings back a holder without the message.
//!
//! Invariant: only the oldest segment is ever removed, never the newest, and the next only when the removal is durable.

mod copy;
mod salvage;

use std::io;

use crate::front::Front;
use crate::journal::file_name;
use crate::segments::Segment;
use crate::writer::{Writer, full_disk};
use copy::Cursor;

/// More segments than this, beside what the live bytes need, are cleaned although they are small.
const SEGMENTS_MIN: u64 = 64;

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is more to do at once.
    More,
    /// Nothing to do until something happens.
    Idle,
}

#[derive(Default)]
pub(crate) struct Cleaning {
    /// The oldest segment, while what is wanted of it is written again.
    cursor: Option<Cursor>,
    /// The newest segment when the cleaning began, and the bytes that callers had appended by then: when all segments up
    /// to it are gone, everything was written again once.
    pass: Option<(u64, u64)>,
    /// Bytes past the limit that the last whole pass could not do away with.
    excess: u64,
}

/// The journal as it stands, for one decision.
struct View {
    oldest: Segment,
    newest: u64,
    segments: u64,
    bytes: u64,
    live: u64,
    bytes_appended: u64,
    adopted: bool,
    superseded_before: u64,
    clean_until: u64,
}

impl View {
    fn of(front: &Front, state_bytes: u64) -> Option<Self> {
        let oldest = *front.segments.oldest()?;
        let newest = front.segments.newest()?.number;
        if front.cleaning_stopped {
            return None;
        }
        // One that is written to no more may be gone through although there is none after it yet.
        let compacting = front.clean_until >= oldest.number && !front.head_open;
        (oldest.number != newest || compacting).then(|| Self {
            oldest,
            newest,
            segments: front.segments.len() as u64,
            bytes: front.segments.bytes(),
            live: live_bytes(front, state_bytes),
            bytes_appended: front.bytes_appended,
            adopted: front.adopted,
            superseded_before: front.image.superseded_before,
            clean_until: front.clean_until,
        })
    }

    /// Whether nothing of the owner's would be missed.
    fn is_superseded(&self) -> bool {
        let records = self.oldest.records_last == 0 || self.oldest.records_last < self.superseded_before;
        self.adopted && records || self.oldest.records_last == 0 && self.oldest.messages == 0
    }

    fn is_dead(&self) -> bool {
        self.is_superseded() && self.oldest.messages_live == 0 && self.oldest.puts == 0
    }
}

/// About how many bytes the journal would have with nothing dead in it.
pub(crate) fn live_bytes(front: &Front, state_bytes: u64) -> u64 {
    front.segments.message_bytes_live() + state_bytes + front.image.bytes
}

impl Cleaning {
    /// Does a little. `Err`: an fsync failed.
    pub(crate) fn step(&mut self, writer: &mut Writer) -> Result<Progress, String> {
        let state_bytes = writer.shared.state.live_bytes();
        let view = writer.shared.intake.with(|front| View::of(front, state_bytes));
        let Some(view) = view else { return Ok(Progress::Idle) };
        if view.oldest.last_sequence > writer.durable() {
            return Ok(Progress::Idle);
        }
        if self.cursor.is_none() {
            if !view.is_dead() && !self.is_wanted(&view, writer) {
                return Ok(Progress::Idle);
            }
            if !view.is_superseded() {
                ask_for_image(&view, writer);
                return Ok(Progress::Idle);
            }
            if view.is_dead() {
                self.cursor = Some(Cursor::at_end(&view.oldest));
            } else if writer.shared.is_stuck() {
                return Ok(Progress::Idle);
            } else {
                match Cursor::open(&view.oldest, writer) {
                    Ok(cursor) => self.cursor = Some(cursor),
                    Err(error) => return Ok(self.stop(writer, &view.oldest, "opening it", &error.to_string())),
                }
            }
        }
        self.advance(&view, writer)
    }

    fn advance(&mut self, view: &View, writer: &mut Writer) -> Result<Progress, String> {
        let Some(cursor) = &mut self.cursor else { return Ok(Progress::Idle) };
        if !cursor.is_at_end() {
            // A state that is only behind can be read; what of it is written again goes the way of every change. On a disk that
            // is almost full, what is dead has to go before the state can catch up.
            if writer.shared.is_stuck() || writer.shared.state.has_failed() {
                return Ok(Progress::Idle);
            }
            if writer.has_unapplied() {
                writer.want_sync();
                return Ok(Progress::More);
            }
            return Ok(match cursor.step(writer) {
                Ok(()) => Progress::More,
                Err(cause) => self.stop(writer, &view.oldest, "reading the state", &cause),
            });
        }
        let last = writer.shared.intake.with(|front| front.last_sequence());
        if cursor.needed_until(last) > writer.durable() {
            writer.want_sync();
            return Ok(if writer.shared.is_stuck() { Progress::Idle } else { Progress::More });
        }
        if view.oldest.state_last > writer.checkpoint.synced() {
            let has_more = writer.shared.state.engine_sequence() > writer.checkpoint.synced();
            if writer.shared.state.is_behind() && !(has_more && full_disk::may_sync_state(&writer.shared)) {
                return Ok(Progress::Idle);
            }
            writer.checkpoint.begin(&writer.shared)?;
            return Ok(if view.oldest.state_last > writer.checkpoint.synced() {
                Progress::Idle
            } else {
                Progress::More
            });
        }
        let damaged = cursor.is_damaged();
        self.cursor = None;
        if view.oldest.number == view.newest {
            // Nothing came after it: it stays, because it says where the numbers stand.
            writer.shared.intake.with(|front| front.clean_until = 0);
            return Ok(Progress::Idle);
        }
        self.remove(view, damaged, writer)
    }

    /// Removes the oldest segment, or sets it aside if it is damaged.
    fn remove(&mut self, view: &View, damaged: bool, writer: &mut Writer) -> Result<Progress, String> {
        let shared = &writer.shared;
        let path = shared.journal_dir.join(file_name::of_segment(view.oldest.number));
        let aside = shared.journal_dir.join(file_name::of_damaged(view.oldest.number, 0, 0));
        let removed = if damaged { shared.disk.rename(&path, &aside) } else { shared.disk.remove(&path) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Ok(self.stop(writer, &view.oldest, "removing it", &error.to_string()));
            }
            _ => {}
        }
        let synced = shared.disk.sync_directory(&shared.journal_dir);
        synced.map_err(|error| format!("fsync of the journal's directory: {error}"))?;
        shared.intake.with(|front| front.segments.remove_oldest());
        shared.counters.segment_cleaned();
        tracing::debug!(
            segment = view.oldest.number,
            bytes = view.oldest.bytes,
            "a segment of the journal was removed"
        );
        Ok(Progress::More)
    }

    /// Whether there is so much that is dead that it is worth writing the rest again.
    fn is_wanted(&mut self, view: &View, writer: &Writer) -> bool {
        let config = &writer.shared.config;
        let limit = view.live.saturating_mul(2).saturating_add(config.slack_bytes);
        if let Some((_, appended)) = self.pass.take_if(|(until, _)| view.oldest.number > *until) {
            // Everything was written again. What is too much and did not come since is live: the estimate is wrong.
            let since = view.bytes_appended - appended;
            self.excess = view.bytes.saturating_sub(limit).saturating_sub(since);
        }
        if view.bytes <= limit {
            self.excess = 0;
        }
        let allowed = if self.excess == 0 { limit } else { limit + self.excess + config.slack_bytes / 2 };
        let segments_max = SEGMENTS_MIN + allowed.div_ceil(config.segment_bytes.max(1)) * 2;
        let asked_for = view.oldest.number <= view.clean_until;
        let wanted = view.bytes > allowed || view.segments > segments_max || asked_for;
        if !wanted {
            self.pass = None;
        } else if view.is_superseded() {
            self.pass.get_or_insert((view.newest, view.bytes_appended));
        }
        wanted
    }

    fn stop(&mut self, writer: &Writer, segment: &Segment, attempted: &str, cause: &str) -> Progress {
        tracing::error!(
            segment = segment.number,
            attempted,
            cause,
            "the oldest segment of the journal cannot be cleaned: the journal grows until the next start"
        );
        self.cursor = None;
        writer.shared.intake.with(|front| front.cleaning_stopped = true);
        Progress::Idle
    }
}

fn ask_for_image(view: &View, writer: &Writer) {
    let wanted = writer.shared.image_wanted.lock().clone();
    let Some(wanted) = wanted.filter(|_| view.adopted) else { return };
    let asked = writer.shared.intake.with(|front| std::mem::replace(&mut front.image.asked, true));
    if !asked {
        wanted();
    }
}
