use super::*;
use proptest::prelude::*;
use selvedge_ebpf_abi::{Direction, FlowShape, IpVersion, PortClass, Protocol};

fn key(peer: u32) -> FlowKey {
    key_on(2, peer)
}

fn key_on(interface: u32, peer: u32) -> FlowKey {
    let shape = FlowShape::new(Direction::In, IpVersion::V4, PortClass::Other);
    FlowKey { peer: Peer::from_ipv4(peer), details: FlowDetails::new(interface, 0, shape, Protocol::Tcp) }
}

fn reading(packets: u64, born_ns: u64) -> abi::Counts {
    abi::Counts { packets, bytes: packets * 100, born_ns, ..Default::default() }
}

fn table(capacity: usize) -> FlowTable {
    let mut table = FlowTable::new(capacity);
    table.add_interface(2, InterfaceName::new("eth0"));
    table
}

fn drain(table: &mut FlowTable, readings: &[(u32, u64, u64)]) {
    table.start_drain();
    for (peer, packets, born) in readings {
        table.take(key(*peer), reading(*packets, *born));
    }
}

fn packets(table: &FlowTable, peer: u32) -> Option<(u64, u64)> {
    let row = table.rows().find(|row| row.peer == Some((Peer::from_ipv4(peer), 0)))?;
    Some((row.sum.all.packets, row.sum.recent.packets))
}

fn everything(table: &FlowTable) -> u64 {
    table.rows().map(|row| row.sum.all.packets).sum()
}

#[test]
fn a_flow_grows_by_what_came_since_the_last_drain() {
    let mut table = table(8);
    drain(&mut table, &[(1, 5, 10)]);
    assert_eq!(packets(&table, 1), Some((5, 5)));
    drain(&mut table, &[(1, 7, 10)]);
    assert_eq!(packets(&table, 1), Some((7, 2)));
    drain(&mut table, &[]);
    assert_eq!(packets(&table, 1), Some((7, 0)));
}

#[test]
fn a_flow_that_the_kernel_forgot_and_met_again_goes_on_growing() {
    let mut table = table(8);
    drain(&mut table, &[(1, 50, 10)]);
    drain(&mut table, &[]);
    drain(&mut table, &[(1, 3, 99)]);
    assert_eq!(packets(&table, 1), Some((53, 3)));
    drain(&mut table, &[(1, 60, 120)]);
    assert_eq!(packets(&table, 1), Some((113, 60)), "a larger reading of a record made anew is new as a whole");
}

#[test]
fn a_full_table_folds_the_flow_that_was_silent_longest_and_loses_nothing() {
    let mut table = table(2);
    drain(&mut table, &[(1, 10, 1)]);
    drain(&mut table, &[(2, 20, 2)]);
    drain(&mut table, &[(2, 20, 2)]);
    drain(&mut table, &[(2, 20, 2), (3, 30, 3)]);
    assert_eq!((packets(&table, 1), packets(&table, 2), packets(&table, 3)), (None, Some((20, 0)), Some((30, 30))));
    assert_eq!(everything(&table), 60);
    assert_eq!(table.statistics(), FlowStatistics { folded: 1, deferred: 0 });
    let other = table.rows().find(|row| row.peer.is_none()).unwrap();
    assert_eq!((other.interface.as_str(), other.sum.all.packets), ("eth0", 10));
}

#[test]
fn without_room_a_flow_waits_and_is_counted_once_there_is() {
    let mut table = table(2);
    drain(&mut table, &[(1, 10, 1), (2, 20, 2), (3, 30, 3)]);
    assert_eq!((table.tracked(), table.live(), table.statistics().deferred), (2, 3, 1));
    drain(&mut table, &[(2, 20, 2), (3, 31, 3)]);
    assert_eq!(packets(&table, 3), None, "the kernel had 1 until just now");
    drain(&mut table, &[(2, 20, 2), (3, 32, 3)]);
    assert_eq!(packets(&table, 3), Some((32, 32)));
    assert_eq!(everything(&table), 62);
}

#[test]
fn with_twice_the_room_of_the_kernel_no_flow_ever_waits() {
    let mut table = table(8);
    for round in 0..100_u32 {
        let all: Vec<_> = (0..4).map(|peer| (round * 4 + peer, 1, u64::from(round) + 1)).collect();
        drain(&mut table, &all);
    }
    assert_eq!((everything(&table), table.statistics().deferred), (400, 0));
}

#[test]
fn an_interface_that_goes_leaves_its_sums_without_peers() {
    let mut table = table(8);
    drain(&mut table, &[(1, 10, 1), (2, 20, 2)]);
    table.remove_interface(2);
    assert_eq!((table.tracked(), everything(&table)), (0, 30));
    drain(&mut table, &[(1, 10, 1)]);
    assert_eq!(everything(&table), 30, "what the kernel still has of it is not counted again");
    table.add_interface(2, InterfaceName::new("eth0"));
    drain(&mut table, &[(1, 4, 9)]);
    assert_eq!(everything(&table), 34);
}

#[test]
fn names_that_come_and_go_for_ever_take_bounded_room_and_lose_nothing() {
    let mut table = FlowTable::new(8);
    for index in 0..1000 {
        table.add_interface(index, InterfaceName::new(&format!("veth{index}")));
        table.start_drain();
        table.take(key_on(index, 1), reading(1, u64::from(index) + 1));
        table.remove_interface(index);
    }
    assert_eq!(everything(&table), 1000);
    assert_eq!(table.rows().count(), GONE_NAMES_MAX + 1);
}

#[derive(Debug, Clone)]
enum Step {
    Count { peer: u32, packets: u64 },
    Evict { peer: u32 },
    Drain,
}

/// Flows that the kernel of the model holds.
const KERNEL_CAPACITY: usize = 4;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..12_u32, 1..100_u64).prop_map(|(peer, packets)| Step::Count { peer, packets }),
        1 => (0..12_u32).prop_map(|peer| Step::Evict { peer }),
        2 => Just(Step::Drain),
    ]
}

proptest! {
    /// Against a kernel that is a map, and evicts at any moment.
    #[test]
    fn sums_only_grow_and_never_exceed_what_was_counted(steps in prop::collection::vec(step(), 0..200), capacity in 4..16_usize) {
        let mut table = table(capacity);
        let mut kernel: HashMap<u32, abi::Counts> = HashMap::new();
        let (mut counted, mut clock, mut before, mut evicted) = (0, 0, 0, 0);
        let mut unread: HashMap<u32, u64> = HashMap::new();
        for step in steps {
            match step {
                Step::Count { peer, packets } => {
                    clock += 1;
                    if !kernel.contains_key(&peer) && kernel.len() == KERNEL_CAPACITY {
                        let victim = *kernel.keys().min().unwrap();
                        kernel.remove(&victim);
                        evicted += unread.remove(&victim).unwrap_or(0);
                    }
                    let record = kernel.entry(peer).or_insert(reading(0, clock));
                    record.packets += packets;
                    *unread.entry(peer).or_default() += packets;
                    counted += packets;
                }
                Step::Evict { peer } => {
                    if kernel.remove(&peer).is_some() {
                        evicted += unread.remove(&peer).unwrap_or(0);
                    }
                }
                Step::Drain => {
                    table.start_drain();
                    for (peer, record) in &kernel {
                        table.take(key(*peer), *record);
                    }
                    let sum = everything(&table);
                    prop_assert!(sum >= before && sum <= counted);
                    prop_assert!(table.tracked() <= capacity);
                    if capacity >= 2 * KERNEL_CAPACITY {
                        prop_assert_eq!(sum, counted - evicted, "with room enough only evicted packets are missing");
                    }
                    unread.clear();
                    before = sum;
                }
            }
        }
    }
}
