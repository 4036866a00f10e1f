use super::*;
use crate::batch::Space;
use crate::entry::Commit;
use crate::journal::locator::LOCATOR_BYTES;

const MESSAGE: &[u8] = b"some message";

fn entry(number: u64, holders: i32) -> Entry {
    let mut records = b"record".to_vec();
    records.extend_from_slice(MESSAGE);
    Entry {
        messages: std::iter::once(6..records.len() as u32).collect(),
        records,
        first_message: number,
        holds: vec![(number, holders)],
        ..Entry::default()
    }
}

fn append(front: &mut Front, entry: Entry) -> u64 {
    front.append(entry, 1, Box::new(|_| {}))
}

fn release(front: &mut Front, holds: &[(u64, i32)]) -> u64 {
    append(front, Entry { records: b"released".to_vec(), holds: holds.to_vec(), ..Entry::default() })
}

fn places(front: &Front) -> Vec<(u64, u64, u64)> {
    let places = front.waiting().iter().filter_map(|pending| pending.place);
    places.map(|place| (place.segment, place.offset, place.bytes)).collect()
}

#[test]
fn batches_stand_one_behind_the_other_and_a_full_segment_is_followed_by_the_next() {
    let mut front = Front::new(400, 5);
    assert_eq!((1..=6).map(|number| append(&mut front, entry(number, 1))).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    let places = places(&front);
    let bytes = places[0].2;
    assert!(bytes > 40 + 12 + 18);
    for pair in places.windows(2) {
        let (segment, offset, _) = pair[0];
        let behind =
            if offset + 2 * bytes > 400 { (segment + 1, SEGMENT_HEADER_BYTES) } else { (segment, offset + bytes) };
        assert_eq!((pair[1].0, pair[1].1), behind);
    }
    assert_eq!((places[0].0, places[0].1), (5, SEGMENT_HEADER_BYTES));
    let opening: Vec<_> = front.waiting().iter().filter_map(|pending| pending.place?.opens).collect();
    assert_eq!(opening.len(), front.segments.len());
    assert!(opening.iter().all(|header| header.state_sequence == 0));
}

#[test]
fn a_batch_larger_than_a_segment_has_one_for_itself() {
    let mut front = Front::new(400, 1);
    append(&mut front, entry(1, 1));
    append(&mut front, Entry { records: vec![0; 1_000], ..Entry::default() });
    append(&mut front, entry(2, 1));
    assert_eq!(places(&front).iter().map(|place| place.0).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn a_message_is_found_in_memory_until_it_is_written_and_at_its_locator_then() {
    let mut front = Front::new(4_096, 1);
    let first = append(&mut front, entry(10, 1));
    append(&mut front, entry(20, 1));
    let in_memory = |front: &Front, number| match front.find(number) {
        Found::Memory(records, range) => records.bytes[range] == *MESSAGE,
        _ => false,
    };
    assert!(in_memory(&front, 10) && in_memory(&front, 20));
    assert!(matches!(front.find(15), Found::Nowhere));
    front.written(first);
    assert!(in_memory(&front, 20));
    let expected = SEGMENT_HEADER_BYTES + BATCH_HEADER_BYTES + 5;
    assert!(matches!(front.find(10), Found::Disk(position) if u64::from(position.offset) == expected));
    front.written(first + 1);
    assert!(matches!(front.find(20), Found::Disk(_)));
    let batch = places(&front)[0].2;
    assert_eq!(batch, BATCH_HEADER_BYTES + 5 + LOCATOR_BYTES as u64 + 5 + 6 + MESSAGE.len() as u64);
}

#[test]
fn a_message_dies_when_nobody_holds_it_after_an_entry_and_not_within_one() {
    let mut front = Front::new(4_096, 1);
    append(&mut front, entry(1, 2));
    append(&mut front, entry(2, 0));
    assert_eq!(front.index.live(), 1, "nobody ever held the second");
    release(&mut front, &[(1, -2), (1, 1)]);
    assert_eq!(front.index.live(), 1);
    release(&mut front, &[(1, -1), (2, 1)]);
    assert_eq!((front.index.live(), front.segments.message_bytes_live()), (0, 0));
    release(&mut front, &[(1, 1)]);
    assert_eq!(front.index.live(), 0, "a dead one stays dead");
}

#[test]
fn an_image_takes_effect_when_the_last_of_it_is_durable() {
    let mut front = Front::new(4_096, 1);
    append(&mut front, entry(1, 1));
    let began = append(&mut front, Entry { records: vec![1; 500], ..Entry::default() });
    let ended = append(&mut front, Entry { records: vec![2; 500], ..Entry::default() });
    front.image.asked = true;
    front.image_complete(began);
    assert!(!front.image.asked && front.image.bytes >= 600);
    front.durable(ended - 1);
    assert_eq!(front.image.superseded_before, 0);
    front.durable(ended);
    assert_eq!(front.image.superseded_before, began);
    // One that is durable already takes effect at once.
    let again = append(&mut front, Entry { records: b"all".to_vec(), ..Entry::default() });
    front.durable(again);
    front.image_complete(again);
    assert_eq!(front.image.superseded_before, again);
}

#[test]
fn an_entry_without_anything_to_write_has_no_place_and_the_number_of_the_one_before() {
    let mut front = Front::new(4_096, 1);
    let last = append(&mut front, entry(1, 1));
    assert_eq!(append(&mut front, Entry::default()), last);
    let commit = Commit { batch: Batch::new(), on_durable: Box::new(|_| {}) };
    assert_eq!(append(&mut front, Entry { state: vec![commit], ..Entry::default() }), last);
    assert_eq!((places(&front).len(), front.waiting().len()), (1, 3));
    assert_eq!(append(&mut front, Entry { holds: vec![(1, -1)], ..Entry::default() }), last);
    assert_eq!(front.index.live(), 0, "holders change all the same");
}

#[test]
fn state_operations_are_remembered_for_the_next_segment() {
    let mut front = Front::new(200, 1);
    let mut batch = Batch::new();
    batch.put(Space::Node, b"key", &[0; 100]).unwrap();
    batch.delete(Space::Node, b"other").unwrap();
    let state = vec![Commit { batch, on_durable: Box::new(|_| {}) }];
    let sequence = append(&mut front, Entry { state, ..Entry::default() });
    append(&mut front, Entry { records: vec![0; 150], ..Entry::default() });
    let header = front.waiting()[1].place.and_then(|place| place.opens).unwrap();
    assert_eq!((header.first_sequence, header.state_sequence), (sequence + 1, sequence));
    let oldest = front.segments.oldest().unwrap();
    assert_eq!((oldest.puts, oldest.state_last), (1, sequence));
}
