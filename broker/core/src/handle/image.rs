//! An image of all that is kept, written in steps between other work.

use super::{Core, disconnect::split_shared};
use crate::{effect::Effects, journal::image::ImageRound, router::SubscriptionOptions};

/// Bytes of records that one step writes, about: one session more may go over.
const BYTES_PER_STEP: usize = 64 * 1024;
const SESSIONS_PER_STEP: usize = 256;

impl Core {
    pub(super) fn begin_image(&mut self) {
        if self.journal.is_on() {
            self.image = Some(ImageRound { next: 0, begun: false });
        }
    }

    /// One step of the image that is being written.
    pub(super) fn write_image(&mut self, effects: &mut Effects) {
        let Some(mut round) = self.image.take() else { return };
        // One that was begun anew does not share a part with its predecessor.
        if !round.begun && self.journal.image_part().ends {
            self.image = Some(round);
            return;
        }
        if !round.begun {
            round.begun = true;
            self.journal.begin_image();
            self.journal.image_of_retained(self.router.retained.all().into_iter().map(|message| &**message));
        }
        let before = self.journal.bytes();
        for _ in 0..SESSIONS_PER_STEP {
            let Some(key) = self.sessions.at_or_after(round.next) else {
                self.journal.end_image();
                return;
            };
            round.next = key.index + 1;
            let Some(session) = self.sessions.get(key).filter(|session| session.number != 0) else { continue };
            let filters: Vec<(&str, SubscriptionOptions)> = session
                .filters
                .iter()
                .filter_map(|filter| {
                    let (group, plain) = split_shared(filter);
                    Some((&**filter, self.router.tree.options(plain, group, key)?))
                })
                .collect();
            self.journal.image_of(session, &filters);
            if self.journal.bytes() - before > BYTES_PER_STEP {
                break;
            }
        }
        effects.work += (self.journal.bytes() - before) / 256;
        self.image = Some(round);
    }
}
