//! All sessions, by key and by client identifier.
//!
//! Those of anonymous clients that are away stand in the order in which they went, because they give way when the table is
//! full and a user comes.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use foldhash::fast::RandomState;

use super::Session;
use crate::{
    account::Account,
    id::{SessionKey, SessionToken},
};

#[derive(Debug)]
struct Slot {
    generation: u32,
    session: Option<Box<Session>>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_client: HashMap<Arc<str>, SessionKey, RandomState>,
    anonymous: usize,
    away: BTreeMap<u64, SessionKey>,
    departures: u64,
}

impl Sessions {
    pub(crate) fn len(&self) -> usize {
        self.by_client.len()
    }

    /// Sessions of clients without a user; consumers inside the node do not count.
    pub(crate) fn anonymous(&self) -> usize {
        self.anonymous
    }

    pub(crate) fn find(&self, client_id: &str) -> Option<SessionKey> {
        self.by_client.get(client_id).copied()
    }

    /// A new session without a connection.
    pub(crate) fn insert(&mut self, client_id: Arc<str>, user: Option<Arc<str>>, account: &mut Account) -> SessionKey {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, session: None });
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        let key = SessionKey { index, generation: slot.generation };
        let mut session = Box::new(Session::new(SessionToken(key), client_id.clone(), user));
        session.settle(account);
        self.anonymous += usize::from(is_anonymous(&session));
        slot.session = Some(session);
        self.by_client.insert(client_id, key);
        account.sessions = self.len();
        key
    }

    #[inline]
    pub(crate) fn get(&self, key: SessionKey) -> Option<&Session> {
        let slot = self.slots.get(key.index as usize)?;
        if slot.generation == key.generation { slot.session.as_deref() } else { None }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: SessionKey) -> Option<&mut Session> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation == key.generation { slot.session.as_deref_mut() } else { None }
    }

    pub(crate) fn remove(&mut self, key: SessionKey, account: &mut Account) -> Option<Box<Session>> {
        self.came_back(key);
        self.get(key)?;
        let session = self.slots.get_mut(key.index as usize)?.session.take()?;
        self.by_client.remove(&session.client_id);
        self.anonymous -= usize::from(is_anonymous(&session));
        self.free.push(key.index);
        account.forget(session.counted);
        account.sessions = self.len();
        Some(session)
    }

    /// The client of the session has gone.
    pub(crate) fn went_away(&mut self, key: SessionKey) {
        self.departures += 1;
        let departure = self.departures;
        let Some(session) = self.get_mut(key) else { return };
        if is_anonymous(session) && session.away.is_none() {
            session.away = Some(departure);
            self.away.insert(departure, key);
        }
    }

    /// The client of the session is there (again).
    pub(crate) fn came_back(&mut self, key: SessionKey) {
        if let Some(departure) = self.get_mut(key).and_then(|session| session.away.take()) {
            self.away.remove(&departure);
        }
    }

    /// The session of an anonymous client that has been away for longest.
    pub(crate) fn longest_away(&self) -> Option<SessionKey> {
        self.away.first_key_value().map(|(_, key)| *key)
    }

    /// The first session at `index` or after it.
    pub(crate) fn at_or_after(&self, index: u32) -> Option<SessionKey> {
        let slots = self.slots.get(index as usize..)?;
        let (offset, slot) = slots.iter().enumerate().find(|(_, slot)| slot.session.is_some())?;
        Some(SessionKey { index: index + offset as u32, generation: slot.generation })
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = (SessionKey, &Session)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let key = SessionKey { index: index as u32, generation: slot.generation };
            Some((key, slot.session.as_deref()?))
        })
    }

    /// Sessions that may give way to a user.
    pub(crate) fn count_away(&self) -> usize {
        self.away.len()
    }
}

fn is_anonymous(session: &Session) -> bool {
    session.user.is_none() && !session.is_internal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_an_ended_session_does_not_find_the_one_that_took_its_place() {
        let mut account = Account::new(1_000_000);
        let mut sessions = Sessions::default();
        let ended = sessions.insert("a".into(), None, &mut account);
        assert!(sessions.remove(ended, &mut account).is_some());
        let other = sessions.insert("b".into(), None, &mut account);
        assert_eq!(other.index, ended.index, "the place is used again");
        assert!(sessions.get(other).is_some());
        assert!(sessions.get(ended).is_none() && sessions.get_mut(ended).is_none());
        assert!(sessions.remove(ended, &mut account).is_none());
        assert_eq!(sessions.find("b"), Some(other));
    }
}
