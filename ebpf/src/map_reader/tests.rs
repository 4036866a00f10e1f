use super::*;
use proptest::prelude::*;
use std::mem::offset_of;

#[test]
fn a_key_comes_back_as_it_went() {
    let key = FlowKey { peer: Peer([1, 2]), details: FlowDetails(3) };
    assert_eq!(parse_key(&key_bytes(&key)), Some(key));
    assert_eq!(parse_key(&[0; KEY_BYTES - 1]), None);
}

#[test]
fn counts_are_read_from_where_the_kernel_has_them() {
    for (at, read) in [
        (offset_of!(abi::Counts, packets), (|counts| counts.packets) as fn(abi::Counts) -> u64),
        (offset_of!(abi::Counts, bytes), |counts| counts.bytes),
        (offset_of!(abi::Counts, born_ns), |counts| counts.born_ns),
        (offset_of!(abi::Counts, buffers), |counts| counts.buffers.into()),
        (offset_of!(abi::Counts, syn), |counts| counts.syn.into()),
        (offset_of!(abi::Counts, syn_ack), |counts| counts.syn_ack.into()),
        (offset_of!(abi::Counts, reset), |counts| counts.reset.into()),
        (offset_of!(abi::Counts, finish), |counts| counts.finish.into()),
        (offset_of!(abi::Counts, mqtt_attempts), |counts| counts.mqtt_attempts.into()),
        (offset_of!(abi::Counts, fragments), |counts| counts.fragments.into()),
        (offset_of!(abi::Counts, malformed), |counts| counts.malformed.into()),
    ] {
        let mut bytes = [0; COUNTS_BYTES];
        bytes[at..at + 4].copy_from_slice(&1_u32.to_ne_bytes());
        let expected = if cfg!(target_endian = "little") || at >= 24 { 1 } else { 1 << 32 };
        assert_eq!(read(parse_counts(&bytes).unwrap()), expected, "offset {at}");
    }
}

#[test]
fn processors_are_summed() {
    let mut bytes = [0; 3 * COUNTS_BYTES];
    for processor in 0..3 {
        bytes[processor * COUNTS_BYTES] = 2;
    }
    assert_eq!(sum(&bytes).packets, 3 * u64::from_ne_bytes([2, 0, 0, 0, 0, 0, 0, 0]));
}

#[test]
fn arguments_have_the_size_that_the_kernel_wants() {
    assert_eq!((size_of::<ElementArguments>(), size_of::<BatchArguments>()), (32, 56));
    assert_eq!(offset_of!(BatchArguments, count), 32);
}

#[test]
fn more_records_than_there_is_room_for_are_not_believed() {
    let reader = MapReader::new(2);
    let mut given = 0;
    reader.give(usize::MAX, &mut |_, _| given += 1);
    assert_eq!(given, BATCH as usize);
    let mut given = 0;
    MapReader::new(0).give(usize::MAX, &mut |_, _| given += 1);
    assert_eq!(given, 0, "no processors, no values");
}

proptest! {
    #[test]
    fn no_record_of_another_length_panics(bytes: Vec<u8>) {
        prop_assert_eq!(parse_key(&bytes).is_some(), bytes.len() >= KEY_BYTES);
        prop_assert_eq!(parse_counts(&bytes).is_some(), bytes.len() >= COUNTS_BYTES);
        if bytes.len() < COUNTS_BYTES {
            prop_assert_eq!(sum(&bytes), abi::Counts::default());
        }
    }
}
