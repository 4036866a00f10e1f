use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::simulation::engine::MemoryEngine;

type Change = (u8, Option<u8>);

fn key(index: u8) -> Vec<u8> {
    vec![Space::KeyValue as u8, index]
}

fn apply(state: &State, changes: &[Change], sequence: u64) {
    let owned: Vec<_> = changes.iter().map(|(index, value)| (key(*index), value.map(|value| vec![value]))).collect();
    let operations: Vec<_> =
        owned.iter().map(|(tree_key, value)| OperationAt { tree_key, value: value.as_deref() }).collect();
    state.apply(&operations, sequence, Room::Enough).unwrap();
}

fn all(state: &State) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut start = Bound::Unbounded;
    while let Some(key) = state.next_key(start.as_ref().map(Vec::as_slice)).unwrap() {
        found.insert(key.clone(), state.read(&key).unwrap().expect("a key has a value"));
        start = Bound::Excluded(key);
    }
    found
}

fn state_on(engine: &MemoryEngine) -> State {
    let reopened = engine.clone();
    State::new(Box::new(engine.clone()), Box::new(move || reopened.reopen()))
}

proptest! {
    #[test]
    fn readers_see_the_same_on_a_full_disk_and_after_it(
        before in proptest::collection::vec((0..20_u8, any::<Option<u8>>()), 0..20),
        behind in proptest::collection::vec((0..20_u8, any::<Option<u8>>()), 0..20),
    ) {
        let engine = MemoryEngine::new();
        let state = state_on(&engine);
        let mut model = BTreeMap::new();
        for (index, value) in before.iter().chain(&behind) {
            match value {
                Some(value) => model.insert(key(*index), vec![*value]),
                None => model.remove(&key(*index)),
            };
        }
        apply(&state, &before, 1);
        engine.set_full(true);
        apply(&state, &behind, 2);
        prop_assert!(state.is_behind() && state.has_failed());
        prop_assert_eq!(all(&state), model.clone());
        prop_assert_eq!(state.catch_up(), Ok(false));
        engine.set_full(false);
        let mut missing = |after: u64, overlay: &mut Overlay| {
            // The engine lost what it had not synced, or not: the journal has it.
            let again = State::new(Box::new(MemoryEngine::new()), Box::new(|| Err(String::new())));
            again.behind.store(true, Ordering::Release);
            [(1, &before), (2, &behind)].iter().filter(|(sequence, _)| *sequence > after)
                .for_each(|(sequence, changes)| apply(&again, changes, *sequence));
            *overlay = std::mem::take(&mut *again.overlay.write());
            Ok(())
        };
        prop_assert_eq!(state.reopen(&mut missing), Ok(true));
        prop_assert_eq!(all(&state), model.clone());
        prop_assert_eq!(state.catch_up(), Ok(true));
        prop_assert!(!state.is_behind() && !state.has_failed() && state.bytes_behind() == 0);
        prop_assert_eq!(all(&state), model.clone());
        prop_assert_eq!(engine.map(), model);
        prop_assert_eq!(state.engine_sequence(), 2);
    }
}

#[test]
fn with_little_room_the_engine_is_left_alone_and_gets_everything_later() {
    let engine = MemoryEngine::new();
    let state = state_on(&engine);
    let tree_key = key(1);
    let put = [OperationAt { tree_key: &tree_key, value: Some(b"v") }];
    state.apply(&put, 5, Room::Little).unwrap();
    assert!(state.is_behind() && !state.has_failed() && engine.map().is_empty());
    assert_eq!((state.read(&tree_key), state.bytes_behind()), (Ok(Some(b"v".to_vec())), 3));
    assert_eq!(state.sync(), Ok(Some(0)), "what is behind is not counted as durable in the engine");
    assert_eq!(state.catch_up(), Ok(true));
    assert_eq!((engine.map().len(), state.engine_sequence()), (1, 5));
}
