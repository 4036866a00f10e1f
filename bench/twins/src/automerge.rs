//! automerge: a document whose root map has the fields. A delta is the change that a commit makes, as bytes, applied with
//! `apply_changes`, which is what its documentation has for live exchange.

use std::collections::BTreeMap;

use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, Change, ROOT, ReadDoc};

use crate::contender::{Contender, Write};

/// A document.
pub struct Automerge(AutoCommit);

impl Contender for Automerge {
    const NAME: &'static str = "automerge 0.12";

    fn new(number: u8) -> Self {
        // Names of actors are 16 random bytes.
        let actor = (0..16_u8).map(|at| at.wrapping_mul(37) ^ number.wrapping_mul(101)).collect::<Vec<u8>>();
        Self(AutoCommit::new().with_actor(ActorId::from(actor)))
    }

    fn write(&mut self, writes: &[Write<'_>]) {
        for write in writes {
            self.0.put(ROOT, write.name, write.value).expect("a write");
        }
        self.0.commit();
    }

    fn write_and_tell(&mut self, writes: &[Write<'_>]) -> Vec<Vec<u8>> {
        self.write(writes);
        vec![self.0.get_last_local_change().expect("a change").bytes().into_owned()]
    }

    fn merge(&mut self, message: &[u8]) {
        self.0.apply_changes([Change::try_from(message).expect("a change")]).expect("a change that fits");
    }

    fn save(&mut self) -> Vec<u8> {
        self.0.save()
    }

    fn read(&self) -> BTreeMap<String, i64> {
        let read = |name: String| {
            let (value, _) = self.0.get(ROOT, &name).expect("a document").expect("a value");
            let value = value.as_i64().expect("an integer");
            (name, value)
        };
        self.0.keys(ROOT).map(read).collect()
    }
}
