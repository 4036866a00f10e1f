//! What a request does: read, checked against what is there, changed, put into a batch.

use std::sync::Arc;

use selvedge_store::Batch;

use super::{Change, Ending, Inner, Shelf, WriteError};
use crate::message::{self, Rejection, Reply, Request};
use crate::twin::{Section, Twin};

/// What a request leads to.
pub(super) enum Outcome {
    /// These replies, after what the twin has underway.
    Reply(Vec<Reply>),
    /// These replies, after this batch.
    Commit { batch: Batch, ending: Ending, replies: Vec<Reply> },
}

impl Inner {
    pub(super) fn get(
        &self,
        shelf: &mut Shelf,
        thing: &str,
        request: &Request,
        now_ms: u64,
    ) -> Result<Outcome, Rejection> {
        let twin = self.load_or_reject(shelf, thing)?;
        if !twin.exists {
            return Err(no_twin(thing));
        }
        Ok(Outcome::Reply(vec![message::get_reply(request, &twin, now_ms)]))
    }

    pub(super) fn update(
        &self,
        shelf: &mut Shelf,
        thing: &str,
        request: &Request,
        wall_ms: u64,
    ) -> Result<Outcome, Rejection> {
        self.check_health().map_err(|why| Rejection::new(500, why))?;
        let sections = request.update.patches.iter().map(|(section, _)| *section);
        self.check_allowed(shelf, thing, sections).map_err(|refusal| Rejection::of(&refusal))?;
        let before = self.load_or_reject(shelf, thing)?;
        let mut pen = shelf.pen(wall_ms);
        let updated = before.updated(&request.update, &mut pen, &self.config);
        let (after, touched) = updated.map_err(|refusal| Rejection::of(&refusal))?;
        let replies = message::update_replies(request, &before, &after, pen.time.ms());
        if after.version == before.version {
            return Ok(Outcome::Reply(replies));
        }
        self.commit(shelf, Change::new(thing, before, after, touched), replies)
    }

    pub(super) fn delete(
        &self,
        shelf: &mut Shelf,
        thing: &str,
        request: &Request,
        wall_ms: u64,
    ) -> Result<Outcome, Rejection> {
        let before = self.load_or_reject(shelf, thing)?;
        if !before.exists {
            return Err(no_twin(thing));
        }
        let filled = Section::ALL.into_iter().filter(|section| before.section(*section).live_count() > 0);
        self.check_allowed(shelf, thing, filled).map_err(|refusal| Rejection::of(&refusal))?;
        let mut pen = shelf.pen(wall_ms);
        let (after, touched) = before.deleted(&mut pen, &self.config);
        let replies = vec![message::delete_reply(request, &after, pen.time.ms())];
        self.commit(shelf, Change::new(thing, before, after, touched), replies)
    }

    fn commit(&self, shelf: &mut Shelf, change: Change, replies: Vec<Reply>) -> Result<Outcome, Rejection> {
        let (batch, ending) = self.write(shelf, &[change], Batch::new()).map_err(|error| match error {
            WriteError::Refused(refusal) => Rejection::of(&refusal),
            error => Rejection::new(500, error.to_string()),
        })?;
        Ok(Outcome::Commit { batch, ending, replies })
    }

    fn load_or_reject(&self, shelf: &mut Shelf, thing: &str) -> Result<Arc<Twin>, Rejection> {
        self.load(shelf, thing).map_err(|error| Rejection::new(500, error.to_string()))
    }
}

fn no_twin(thing: &str) -> Rejection {
    Rejection::new(404, format!("there is no twin of {thing:?}"))
}
