use proptest::prelude::*;

use super::*;

fn at(segment: u32, offset: u32) -> Position {
    Position { segment, offset }
}

#[test]
fn a_million_messages_side_by_side_cost_less_than_ten_million_bytes() {
    let mut index = Index::default();
    for number in 0..1_000_000_u64 {
        index.add(number, at((number / 10_000) as u32, 40 + (number % 10_000) as u32 * 300));
        assert_eq!(index.hold(number, 1), Holders::Now(1));
    }
    assert!(index.memory() < 10_000_000, "{}", index.memory());
    // Moving them in order, as cleaning does, leaves them as small.
    for number in 0..1_000_000_u64 {
        let from = index.position(number).unwrap();
        assert!(index.relocate(number, from, at(1_000 + (number / 9_000) as u32, 40)));
    }
    assert!(index.memory() < 10_000_000, "{}", index.memory());
    // One in ten left: not more than a list of them.
    (0..1_000_000_u64).filter(|number| number % 10 != 0).for_each(|number| {
        index.remove(number).unwrap();
    });
    assert!(index.memory() < 100_000 * 24, "{}", index.memory());
    assert_eq!(index.live(), 100_000);
}

#[test]
fn what_nobody_claims_is_dead_after_adoption_and_what_was_added_since_is_not() {
    let mut index = Index::default();
    (1..=4).for_each(|number| assert_eq!(index.recover(number, at(1, number as u32)), None));
    assert_eq!(index.hold(1, -1), Holders::Unadopted);
    index.add(9, at(2, 40));
    index.hold(9, 1);
    let mut dead = Vec::new();
    index.adopt(&mut [(2, 3), (3, 0), (9, 7), (77, 1)].into_iter(), &mut |position| dead.push(position.offset));
    assert_eq!(dead, [1, 3, 4]);
    assert_eq!(
        (index.hold(2, 0), index.hold(9, 0), index.hold(1, 1)),
        (Holders::Now(3), Holders::Now(1), Holders::Unknown)
    );
    assert_eq!(index.live(), 2);
}

#[derive(Debug, Clone)]
enum Step {
    Add(u64, u32),
    Hold(u64, i32),
    RemoveUnheld(u64),
    Relocate(u64, u32),
}

fn any_step() -> impl Strategy<Value = Step> {
    let number = || prop_oneof![0..400_u64, 1_000_000..1_000_300_u64];
    prop_oneof![
        6 => (number(), 0..3_u32).prop_map(|(number, segment)| Step::Add(number, segment)),
        3 => (number(), -2..3_i32).prop_map(|(number, difference)| Step::Hold(number, difference)),
        4 => number().prop_map(Step::RemoveUnheld),
        1 => (number(), 3..5_u32).prop_map(|(number, segment)| Step::Relocate(number, segment)),
    ]
}

proptest! {
    #[test]
    fn it_is_a_map_from_number_to_place_and_holders(steps in proptest::collection::vec(any_step(), 0..900)) {
        let mut index = Index::default();
        let mut model: BTreeMap<u64, (Position, u32)> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Add(number, segment) => {
                    if let std::collections::btree_map::Entry::Vacant(vacant) = model.entry(number) {
                        index.add(number, at(segment, number as u32 + 1));
                        vacant.insert((at(segment, number as u32 + 1), 0));
                    }
                }
                Step::Hold(number, difference) => {
                    let expected = model.get_mut(&number).map_or(Holders::Unknown, |(_, holders)| {
                        *holders = holders.saturating_add_signed(difference);
                        Holders::Now(*holders)
                    });
                    prop_assert_eq!(index.hold(number, difference), expected);
                }
                Step::RemoveUnheld(number) => {
                    let dead = model.get(&number).filter(|(_, holders)| *holders == 0).map(|(position, _)| *position);
                    if dead.is_some() {
                        model.remove(&number);
                    }
                    prop_assert_eq!(index.remove_unheld(number), dead);
                }
                Step::Relocate(number, segment) => {
                    let from = model.get(&number).map_or(at(9, 9), |(position, _)| *position);
                    let moved = index.relocate(number, from, at(segment, 7));
                    prop_assert_eq!(moved, model.contains_key(&number));
                    model.entry(number).and_modify(|(position, _)| *position = at(segment, 7));
                }
            }
        }
        prop_assert_eq!(index.live(), model.len());
        for number in (0..400).chain(1_000_000..1_000_300) {
            prop_assert_eq!(index.position(number), model.get(&number).map(|(position, _)| *position));
        }
    }
}
