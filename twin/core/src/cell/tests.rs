use proptest::prelude::*;

use super::*;
use crate::clock::NodeId;

/// A history of one cell on three nodes: what they do and what they hear of each other.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Write { node: usize, value: u8, wall: u64 },
    Remove { node: usize, wall: u64 },
    Hear { node: usize, from: usize },
}

pub(crate) const NODES: usize = 3;

pub(crate) fn any_step() -> impl Strategy<Value = Step> {
    let node = 0..NODES;
    prop_oneof![
        3 => (node.clone(), 0_u8..3, 0_u64..20).prop_map(|(node, value, wall)| Step::Write { node, value, wall }),
        1 => (node.clone(), 0_u64..20).prop_map(|(node, wall)| Step::Remove { node, wall }),
        2 => (node.clone(), node).prop_map(|(node, from)| Step::Hear { node, from }),
    ]
}

/// All states that the nodes went through.
pub(crate) fn states(steps: &[Step]) -> Vec<Cell> {
    let mut cells = vec![Cell::default(); NODES];
    let mut pens: Vec<Pen> = (0..NODES as u64).map(pen).collect();
    let mut states = vec![Cell::default()];
    for step in steps {
        let node = match *step {
            Step::Write { node, value, wall } => {
                tick(&mut pens[node], &cells[node], wall);
                cells[node].write(Body::Json(value.to_string().into()), &mut pens[node]);
                node
            }
            Step::Remove { node, wall } => {
                tick(&mut pens[node], &cells[node], wall);
                cells[node].remove(&mut pens[node]);
                node
            }
            Step::Hear { node, from } => {
                let heard = cells[from].clone();
                cells[node].join_all(&heard);
                node
            }
        };
        states.push(cells[node].clone());
    }
    states
}

pub(crate) fn pen(node: u64) -> Pen {
    Pen { origin: Origin::first(NodeId(node)), next_seq: 1, time: HybridTime(0), policy: PolicyVersion(0) }
}

fn tick(pen: &mut Pen, cell: &Cell, wall: u64) {
    let seen = cell.siblings().iter().map(|event| event.time).max().unwrap_or_default();
    pen.time = HybridTime(seen.max(pen.time).0 + 1).max(HybridTime(wall));
}

fn joined(mut a: Cell, b: &Cell) -> Cell {
    a.join_all(b);
    a
}

fn write(cell: &mut Cell, pen: &mut Pen, time: u64, value: &str) {
    pen.time = HybridTime(time);
    cell.write(Body::Json(value.into()), pen);
}

fn remove(cell: &mut Cell, pen: &mut Pen, time: u64) {
    pen.time = HybridTime(time);
    assert!(cell.remove(pen));
}

fn shown(cell: &Cell) -> Option<&str> {
    match &cell.winner()?.body {
        Body::Json(text) => Some(text),
        _ => None,
    }
}

#[test]
fn of_writes_that_did_not_know_of_each_other_the_later_one_is_shown() {
    let (mut here, mut there) = (Cell::default(), Cell::default());
    write(&mut here, &mut pen(1), 5, "1");
    write(&mut there, &mut pen(2), 4, "2");
    let both = joined(here, &there);
    assert_eq!((shown(&both), both.siblings().len()), (Some("1"), 2));
}

#[test]
fn a_removal_removes_what_it_saw_and_an_unseen_write_survives_it_whatever_the_clocks_say() {
    let (mut one, mut two) = (pen(1), pen(2));
    let mut here = Cell::default();
    write(&mut here, &mut one, 5, "1");
    let mut there = here.clone();
    remove(&mut here, &mut one, 1_000);
    assert_eq!(shown(&joined(here.clone(), &there)), None);
    write(&mut there, &mut two, 6, "2");
    assert_eq!(shown(&joined(here.clone(), &there)), Some("2"));
    assert_eq!(joined(here.clone(), &there), joined(there, &here));
}

#[test]
fn an_event_that_comes_late_finds_its_place_taken() {
    let mut one = pen(1);
    let mut cell = Cell::default();
    write(&mut cell, &mut one, 1, "1");
    let old = cell.siblings()[0].clone();
    write(&mut cell, &mut one, 2, "2");
    assert!(!cell.join(old));
    assert_eq!(shown(&cell), Some("2"));
}

#[test]
fn what_was_counted_unseen_is_left_after_a_removal() {
    let (mut one, mut two) = (pen(1), pen(2));
    let mut here = Cell::default();
    here.count(5, &mut one).unwrap();
    let mut there = here.clone();
    here.count(2, &mut one).unwrap();
    there.remove(&mut two);
    let mut both = joined(here, &there);
    assert_eq!(both.share().unwrap().value, 2);
    both.count(-3, &mut one).unwrap();
    assert_eq!((both.share().unwrap().value, both.siblings().len()), (-1, 1));
    both.remove(&mut two);
    assert_eq!(both.share(), None);
    both.count(4, &mut one).unwrap();
    assert_eq!(both.share().unwrap().value, 4);
}

#[test]
fn a_count_that_begins_anew_is_exact_where_the_removal_is_still_known() {
    let (mut one, mut two) = (pen(1), pen(2));
    let mut here = Cell::default();
    here.count(5, &mut one).unwrap();
    here.remove(&mut two);
    let there = here.clone();
    // Forgotten here, because everybody has seen it.
    let mut here = Cell::default();
    here.count(1, &mut one).unwrap();
    let both = joined(here.clone(), &there);
    assert_eq!((both.share().unwrap().value, here.share().unwrap().value), (1, 1));
    assert_eq!(both.tombstones(&Part::Share(one.origin)).count(), 1);
}

#[test]
fn a_removal_is_no_tombstone_while_it_hides_something() {
    let (mut one, mut two) = (pen(1), pen(2));
    let mut here = Cell::default();
    here.count(5, &mut one).unwrap();
    let mut there = here.clone();
    here.count(2, &mut one).unwrap();
    there.remove(&mut two);
    let both = joined(here, &there);
    assert_eq!(both.tombstones(&Part::Share(one.origin)).count(), 0);
    assert_eq!(there.tombstones(&Part::Share(one.origin)).count(), 1);

    let element = Part::Latest("1".into());
    let (mut here, mut there) = (Cell::default(), Cell::default());
    one.time = HybridTime(1);
    here.write(Body::Present, &mut one);
    there.write(Body::Present, &mut two);
    two.time = HybridTime(9);
    there.remove(&mut two);
    let both = joined(here, &there);
    assert_eq!((both.tombstones(&element).count(), both.tombstones(&Part::AddWins("1".into())).count()), (0, 1));
}

#[test]
fn a_counter_that_64_bits_do_not_hold_is_refused_and_stays_as_it_was() {
    let mut one = pen(1);
    let mut cell = Cell::default();
    cell.count(i64::MAX - 1, &mut one).unwrap();
    cell.count(1, &mut one).unwrap();
    let before = cell.clone();
    assert_eq!(cell.count(1, &mut one), Err(CountOverflow));
    assert_eq!(cell, before);
}

proptest! {
    #[test]
    fn joining_is_commutative_associative_and_idempotent(
        steps in proptest::collection::vec(any_step(), 1..24),
        picked in proptest::array::uniform3(any::<prop::sample::Index>()),
    ) {
        let states = states(&steps);
        let [a, b, c] = picked.map(|index| states[index.index(states.len())].clone());
        prop_assert_eq!(joined(a.clone(), &b), joined(b.clone(), &a));
        prop_assert_eq!(joined(joined(a.clone(), &b), &c), joined(a.clone(), &joined(b.clone(), &c)));
        prop_assert_eq!(joined(a.clone(), &a), a);
    }

    #[test]
    fn single_events_in_any_order_and_number_end_where_whole_states_do(
        steps in proptest::collection::vec(any_step(), 1..24),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let states = states(&steps);
        let events: Vec<Event> = states.iter().flat_map(|state| state.siblings().to_vec()).collect();
        let whole = states.iter().fold(Cell::default(), joined);
        let mut single = Cell::default();
        if !events.is_empty() {
            for index in order { single.join(events[index.index(events.len())].clone()); }
        }
        for event in events.into_iter().rev() { single.join(event); }
        prop_assert_eq!(single, whole);
    }

    #[test]
    fn a_write_has_a_greater_rank_than_all_that_it_takes_the_place_of(
        steps in proptest::collection::vec(any_step(), 1..24),
    ) {
        let states = states(&steps);
        let events: Vec<&Event> = states.iter().flat_map(Cell::siblings).collect();
        for (a, b) in events.iter().flat_map(|a| events.iter().map(move |b| (a, b))) {
            prop_assert!(!a.covers(b.dot) || a.rank() > b.rank());
        }
    }
}
