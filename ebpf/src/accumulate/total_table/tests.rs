use super::*;
use selvedge_ebpf_abi::{Direction, IpVersion, PortClass, Protocol};

const ICMP_IN: TotalKey =
    TotalKey { direction: Direction::In, version: IpVersion::V4, protocol: Protocol::Icmp, class: PortClass::Other };

fn reading(packets: u64) -> SlotReading {
    let mut reading = [abi::Counts::default(); TOTALS_PER_SLOT as usize];
    reading[ICMP_IN.place() as usize].packets = packets;
    reading
}

fn packets(table: &TotalTable, name: &str) -> u64 {
    table.rows().filter(|(interface, ..)| interface.as_str() == name).map(|(.., sum)| sum.all.packets).sum()
}

#[test]
fn totals_grow_by_what_came_since_the_last_drain() {
    let mut table = TotalTable::default();
    table.assign(1, InterfaceName::new("eth0"), reading(0));
    table.start_drain();
    table.take(1, &reading(5));
    table.start_drain();
    table.take(1, &reading(7));
    let (name, key, sum) = table.rows().next().unwrap();
    assert_eq!((name.as_str(), key, sum.all.packets, sum.recent.packets), ("eth0", ICMP_IN, 7, 2));
    assert_eq!(table.rows().count(), 1, "what was never counted has no row");
}

#[test]
fn a_slot_that_goes_to_another_interface_begins_where_it_stands() {
    let mut table = TotalTable::default();
    table.assign(1, InterfaceName::new("eth0"), reading(0));
    table.take(1, &reading(5));
    table.release(1);
    table.assign(1, InterfaceName::new("wwan0"), reading(5));
    table.take(1, &reading(6));
    assert_eq!((packets(&table, "eth0"), packets(&table, "wwan0")), (5, 1));
}

#[test]
fn an_interface_that_comes_back_goes_on_growing() {
    let mut table = TotalTable::default();
    for round in 1..=3_u16 {
        table.assign(round, InterfaceName::new("ppp0"), reading(0));
        table.take(round, &reading(10));
        table.release(round);
        assert_eq!(packets(&table, "ppp0"), u64::from(round) * 10);
    }
}

#[test]
fn there_are_as_many_slots_as_the_kernel_has_and_none_is_number_0() {
    let mut table = TotalTable::default();
    let mut slots = Vec::new();
    while let Some(slot) = table.free_slot() {
        table.assign(slot, InterfaceName::new("x"), reading(0));
        slots.push(slot);
    }
    assert_eq!(slots, (1..33).collect::<Vec<u16>>());
    table.release(7);
    assert_eq!(table.free_slot(), Some(7));
}

#[test]
fn names_that_come_and_go_for_ever_take_bounded_room_and_lose_nothing() {
    let mut table = TotalTable::default();
    for number in 0..1000 {
        table.assign(1, InterfaceName::new(&format!("veth{number}")), reading(0));
        table.take(1, &reading(1));
        table.release(1);
    }
    assert_eq!(table.rows().map(|(.., sum)| sum.all.packets).sum::<u64>(), 1000);
    assert_eq!(table.rows().count(), GONE_NAMES_MAX + 1);
    assert_eq!(packets(&table, super::super::GONE), 1000 - GONE_NAMES_MAX as u64);
}

#[test]
fn a_reading_of_a_slot_that_nobody_has_counts_for_nobody() {
    let mut table = TotalTable::default();
    table.take(3, &reading(9));
    assert_eq!(table.rows().count(), 0);
}
