//! Messages that come back from disk when their turn has come.

use std::sync::Arc;

use super::Core;
use crate::{
    authorize::Action, effect::Effects, id::SessionToken, journal::message, message::Message, session::queue::Dropped,
    time::Moment,
};

impl Core {
    pub(super) fn on_fetched(
        &mut self,
        token: SessionToken,
        messages: &[(u64, Option<Vec<u8>>)],
        now: Moment,
        effects: &mut Effects,
    ) {
        let clock = self.journal.clock;
        let Some(session) = self.sessions.get_mut(token.0) else { return };
        session.queue.stored.is_fetching = false;
        // With the last of them, what is on disk has none that is unjudged any more.
        let unjudged = session.queue.stored.is_unjudged();
        let mut lost: Vec<Dropped> = Vec::new();
        let mut lost_in_flight: Vec<(u64, u64)> = Vec::new();
        for (number, body) in messages {
            let decoded = body.as_deref().and_then(|body| message::decode(body, *number, clock)).map(Arc::new);
            if let Some(message) = &decoded {
                message.charge(&self.account.messages);
            }
            let may_have = |message: &Message| {
                !unjudged || self.authorizer.may(session.principal(), Action::Subscribe, message.topic())
            };
            let for_flight = decoded.as_ref().filter(|message| may_have(message));
            session.in_flight.arrive(*number, for_flight, &mut |entry| lost_in_flight.push((entry, *number)));
            session.queue.arrive([(*number, decoded)], &mut |dropped| lost.push(dropped));
        }
        if unjudged {
            session.queue.question_all();
        }
        session.settle(&mut self.account);
        let (number, connection) = (session.number, session.connection);
        for (entry, message) in lost_in_flight {
            self.statistics.lost_on_disk += 1;
            self.journal.done(number, entry, message);
        }
        for dropped in &lost {
            self.statistics.lost_on_disk += 1;
            self.statistics.queued_messages -= 1;
            self.statistics.queued_bytes -= dropped.cost as u64;
            self.journal.done(number, dropped.entry, dropped.message);
        }
        effects.work += messages.len();
        if let Some(connection) = connection {
            self.pump(connection, now, effects);
        }
    }
}
