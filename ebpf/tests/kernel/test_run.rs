//! The programs without an interface: the kernel runs them on one packet after the other (`BPF_PROG_TEST_RUN`).

use std::collections::BTreeMap;

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, MapData, PerCpuArray, PerCpuHashMap},
    programs::{SchedClassifier, TestRun as _, TestRunOptions},
};
use selvedge_ebpf::OBJECT;
use selvedge_ebpf_abi::{Direction, FlowDetails, FlowKey, Peer, PortGroup, TOTALS_PER_SLOT, TotalKey, map};

use crate::reference;

/// The interface that the kernel takes for such runs: `lo`.
pub const INTERFACE: u32 = 1;
const SLOT: u32 = 1;

/// Packets, bytes, and the narrow counters in the order in which they lie in the record.
pub type Numbers = [u64; 10];

/// Loaded programs that count for `lo`.
pub struct Bench {
    kernel: Ebpf,
}

impl Bench {
    /// `flags` are those of the interface's record.
    pub fn new(flows_max: u32, flags: u16) -> Self {
        let mut loader = EbpfLoader::new();
        loader.btf(None).map_max_entries(map::FLOWS, flows_max);
        let mut kernel = loader.load(OBJECT).expect("maps");
        for name in [map::PROGRAM_IN, map::PROGRAM_OUT] {
            let program: &mut SchedClassifier = kernel.program_mut(name).expect(name).try_into().expect("its kind");
            program.load().expect("the verifier");
        }
        let mut ports: Array<&mut MapData, u64> = kernel.map_mut(map::PORTS).unwrap().try_into().unwrap();
        let mut groups = BTreeMap::<u32, PortGroup>::new();
        for port in 0..=u16::MAX {
            let class = reference::class(port);
            let group = groups.entry(PortGroup::place(port)).or_default();
            *group = group.with(port, class);
        }
        for (place, group) in groups {
            ports.set(place, group.0, 0).unwrap();
        }
        let mut bench = Self { kernel };
        bench.set_record(u64::from(INTERFACE) | u64::from(SLOT) << 32 | u64::from(flags) << 48);
        bench
    }

    /// From now on nothing is known of the interface.
    pub fn forget_interface(&mut self) {
        self.set_record(0);
    }

    fn set_record(&mut self, record: u64) {
        let map = self.kernel.map_mut(map::INTERFACES).unwrap();
        let mut interfaces: Array<&mut MapData, u64> = map.try_into().unwrap();
        interfaces.set(INTERFACE, record, 0).unwrap();
    }

    /// Runs a frame through the program of its direction; what the program says, or none when the kernel does not take
    /// the frame.
    pub fn run(&self, direction: Direction, frame: &[u8]) -> Option<i32> {
        self.run_with(direction, frame, None)
    }

    /// The same with a context: number of segments and their size.
    pub fn run_segments(&self, direction: Direction, frame: &[u8], segments: u32, size: u32) -> Option<i32> {
        // `struct __sk_buff`: gso_segs lies at 164, gso_size at 176 (linux/bpf.h).
        let mut context = [0; 192];
        context[164..168].copy_from_slice(&segments.to_ne_bytes());
        context[176..180].copy_from_slice(&size.to_ne_bytes());
        self.run_with(direction, frame, Some(&context))
    }

    fn run_with(&self, direction: Direction, frame: &[u8], context: Option<&[u8]>) -> Option<i32> {
        let name = match direction {
            Direction::In => map::PROGRAM_IN,
            Direction::Out => map::PROGRAM_OUT,
        };
        let program: &SchedClassifier = self.kernel.program(name).unwrap().try_into().unwrap();
        let options = TestRunOptions { data_in: Some(frame), ctx_in: context, ..TestRunOptions::default() };
        program.test_run(options).ok().map(|result| result.return_value.cast_signed())
    }

    /// What the totals of the interface say, those that are not 0.
    pub fn totals(&self) -> BTreeMap<TotalKey, Numbers> {
        let totals: PerCpuArray<&MapData, [u64; 7]> = self.kernel.map(map::TOTALS).unwrap().try_into().unwrap();
        let places = (0..TOTALS_PER_SLOT).filter_map(|place| Some((place, TotalKey::at(place)?)));
        let read = places.map(|(place, key)| (key, totals.get(&(SLOT * TOTALS_PER_SLOT + place), 0).unwrap()));
        read.map(|(key, values)| (key, sum(values.iter())))
            .filter(|(_, numbers)| *numbers != Numbers::default())
            .collect()
    }

    /// What the flows say.
    pub fn flows(&self) -> BTreeMap<FlowKey, Numbers> {
        let flows: PerCpuHashMap<&MapData, [u64; 3], [u64; 7]> =
            self.kernel.map(map::FLOWS).unwrap().try_into().unwrap();
        let entries = flows.iter().map(|entry| entry.expect("an entry"));
        let key = |[high, low, details]: [u64; 3]| FlowKey { peer: Peer([high, low]), details: FlowDetails(details) };
        entries.map(|(words, values)| (key(words), sum(values.iter()))).collect()
    }

    /// One of the numbers that the programs count about themselves.
    pub fn statistic(&self, statistic: selvedge_ebpf_abi::Statistic) -> u64 {
        let map: PerCpuArray<&MapData, u64> = self.kernel.map(map::STATISTICS).unwrap().try_into().unwrap();
        map.get(&(statistic as u32), 0).unwrap().iter().sum()
    }
}

/// Packets and bytes, then the eight narrow counters; the birth is left out.
fn sum<'a>(values: impl Iterator<Item = &'a [u64; 7]>) -> Numbers {
    let mut sum = Numbers::default();
    for [packets, bytes, _birth, narrow @ ..] in values {
        sum[0] += packets;
        sum[1] += bytes;
        for (at, pair) in narrow.iter().enumerate() {
            let (low, high) =
                if cfg!(target_endian = "little") { (*pair as u32, (*pair >> 32) as u32) } else { (0, 0) };
            sum[2 + 2 * at] += u64::from(low);
            sum[3 + 2 * at] += u64::from(high);
        }
    }
    sum
}
