//! yrs: a document with one shared map. A delta is the update of a transaction in version 1, which is the smaller one for
//! few writes; a saved state is the smaller of both versions. What was overwritten is collected, which is its default.

use std::collections::BTreeMap;

use yrs::updates::decoder::Decode;
use yrs::{Any, Doc, Map, MapRef, Out, ReadTxn, StateVector, Transact, Update};

use crate::contender::{Contender, Write};

/// A document.
pub struct Yrs {
    doc: Doc,
    map: MapRef,
}

impl Contender for Yrs {
    const NAME: &'static str = "yrs 0.28";

    fn new(number: u8) -> Self {
        // Names of clients are random numbers of 32 bits there.
        let doc = Doc::with_client_id(u64::from(u32::from(number + 1).wrapping_mul(0x9e37_79b9)));
        let map = doc.get_or_insert_map("reported");
        Self { doc, map }
    }

    fn write(&mut self, writes: &[Write<'_>]) {
        let mut transaction = self.doc.transact_mut();
        for write in writes {
            self.map.insert(&mut transaction, write.name, Any::from(write.value));
        }
    }

    fn write_and_tell(&mut self, writes: &[Write<'_>]) -> Vec<Vec<u8>> {
        let mut transaction = self.doc.transact_mut();
        for write in writes {
            self.map.insert(&mut transaction, write.name, Any::from(write.value));
        }
        vec![transaction.encode_update_v1()]
    }

    fn merge(&mut self, message: &[u8]) {
        let update = Update::decode_v1(message).expect("an update");
        self.doc.transact_mut().apply_update(update).expect("an update that fits");
    }

    fn save(&mut self) -> Vec<u8> {
        let transaction = self.doc.transact();
        let all = StateVector::default();
        let versions = [transaction.encode_state_as_update_v1(&all), transaction.encode_state_as_update_v2(&all)];
        versions.into_iter().min_by_key(Vec::len).expect("two versions")
    }

    fn read(&self) -> BTreeMap<String, i64> {
        let transaction = self.doc.transact();
        let read = |(name, value): (&str, Out)| match value {
            Out::Any(Any::Number(yrs::any::Number::Int(value))) => (name.to_owned(), value),
            other => panic!("{other:?} is no integer"),
        };
        self.map.iter(&transaction).map(read).collect()
    }
}
