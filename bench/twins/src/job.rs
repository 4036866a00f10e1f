//! The timed job. Four replicas begin with the same 1,000 fields. One writes without telling anybody. Two write at the same
//! time, each without knowing of the other, and then take in what the other wrote; a third, who wrote nothing, takes in
//! both, in turn. In the end these three show the same.

use std::time::Duration;

use crate::contender::{Contender, Write};
use crate::cpu;

const FIELDS: usize = 1_000;

/// What the job took.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    pub name: &'static str,
    /// CPU time of one write that nobody is told of.
    pub write: Duration,
    /// CPU time of one write together with what others are sent.
    pub write_and_tell: Duration,
    /// CPU time of taking in one write, where both replicas wrote.
    pub merge: Duration,
    /// CPU time of taking in one write, where others wrote.
    pub follow: Duration,
    /// Bytes that others are sent for one write.
    pub bytes: f64,
}

/// The median of each figure of one contender.
pub fn median<const CONTENDERS: usize>(rounds: &[[Figures; CONTENDERS]], contender: usize) -> Figures {
    let middle = |figure: &dyn Fn(&Figures) -> Duration| {
        let mut found: Vec<Duration> = rounds.iter().map(|round| figure(&round[contender])).collect();
        found.sort();
        found[found.len() / 2]
    };
    Figures {
        write: middle(&|run| run.write),
        write_and_tell: middle(&|run| run.write_and_tell),
        merge: middle(&|run| run.merge),
        follow: middle(&|run| run.follow),
        ..rounds[0][contender]
    }
}

/// Does the job once.
pub fn run<C: Contender>(writes: usize, batch: usize) -> Figures {
    let names: Vec<String> = (0..FIELDS).map(|field| format!("field-{field:04}")).collect();
    let first: Vec<Write<'_>> = names.iter().map(|name| Write { name, value: 0 }).collect();
    let mut replicas: Vec<C> = (0..4).map(C::new).collect();
    let [quiet, a, b, follower] = &mut replicas[..] else { unreachable!("four were made") };
    let start = follower.write_and_tell(&first);
    for replica in [&mut *quiet, &mut *a, &mut *b] {
        start.iter().for_each(|message| replica.merge(message));
    }

    let plan_of = |seed| plan(&names, writes, seed);
    let (plan_a, plan_b) = (plan_of(1), plan_of(2));
    let (write, ()) = cpu::time(|| plan_a.chunks(batch).for_each(|writes| quiet.write(writes)));
    let tell = |replica: &mut C, plan: &[Write<'_>]| -> Vec<Vec<u8>> {
        plan.chunks(batch).flat_map(|writes| replica.write_and_tell(writes)).collect()
    };
    let (write_and_tell, of_a) = cpu::time(|| tell(a, &plan_a));
    let of_b = tell(b, &plan_b);
    let (merge, ()) = cpu::time(|| of_b.iter().for_each(|message| a.merge(message)));
    of_a.iter().for_each(|message| b.merge(message));
    let (follow, ()) = cpu::time(|| {
        for (one, other) in of_a.iter().zip(&of_b) {
            follower.merge(one);
            follower.merge(other);
        }
    });
    let shown = a.read();
    assert_eq!(shown.len(), FIELDS, "{}", C::NAME);
    assert!(b.read() == shown && follower.read() == shown, "replicas of {} differ", C::NAME);

    let each = |time: Duration, count: usize| time / u32::try_from(count).expect("a few writes");
    Figures {
        name: C::NAME,
        write: each(write, writes),
        write_and_tell: each(write_and_tell, writes),
        merge: each(merge, writes),
        follow: each(follow, 2 * writes),
        bytes: of_a.iter().map(Vec::len).sum::<usize>() as f64 / writes as f64,
    }
}

/// Writes to fields that an xorshift picks.
fn plan(names: &[String], writes: usize, seed: u64) -> Vec<Write<'_>> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..writes).map(|_| Write { name: &names[next() as usize % FIELDS], value: (next() % 10_000) as i64 }).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_contender_converges_and_a_batch_costs_fewer_bytes_a_write() {
        fn check<C: super::Contender>() {
            assert!(super::run::<C>(200, 1).bytes > super::run::<C>(200, 100).bytes, "{}", C::NAME);
        }
        check::<crate::exchange::Exchange>();
        check::<crate::automerge::Automerge>();
        check::<crate::yrs::Yrs>();
        // In the core a write is on its own.
        super::run::<crate::core::Core>(200, 100);
    }
}
