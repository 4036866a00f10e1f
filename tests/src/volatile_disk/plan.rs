//! What is counted, and what happens at the n-th operation of a kind: a fault, or the cut.

use rustix::io::Errno;
use serde::Serialize;

/// Kinds of operations that a program can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Opening a file that exists.
    Open,
    /// Reading.
    Read,
    /// A new file, link or socket.
    Create,
    /// Writing.
    Write,
    /// A new size.
    Resize,
    /// fsync or fdatasync of a file.
    FileSync,
    /// fsync of a directory.
    DirectorySync,
    /// Renaming.
    Rename,
    /// Removing a file.
    Unlink,
    /// A new directory.
    MakeDirectory,
    /// Removing a directory.
    RemoveDirectory,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Open,
        Self::Read,
        Self::Create,
        Self::Write,
        Self::Resize,
        Self::FileSync,
        Self::DirectorySync,
        Self::Rename,
        Self::Unlink,
        Self::MakeDirectory,
        Self::RemoveDirectory,
    ];

    /// Whether it changes what is on the disk, or what of that is durable.
    pub fn changes(self) -> bool {
        !matches!(self, Self::Open | Self::Read)
    }
}

/// Which operations are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those of one kind.
    Only(Operation),
    /// All that change something.
    Changes,
}

impl Which {
    fn includes(self, operation: Operation) -> bool {
        match self {
            Self::Only(kind) => kind == operation,
            Self::Changes => operation.changes(),
        }
    }
}

/// How many operations there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    operations: [u64; Operation::ALL.len()],
    /// Bytes written.
    pub written_bytes: u64,
    /// Bytes read.
    pub read_bytes: u64,
}

impl Counters {
    /// Of one kind.
    pub fn of(&self, operation: Operation) -> u64 {
        self.operations[operation as usize]
    }

    /// Of all that change something.
    pub fn changes(&self) -> u64 {
        Operation::ALL.into_iter().filter(|operation| operation.changes()).map(|operation| self.of(operation)).sum()
    }

    /// By name.
    pub fn to_json(&self) -> serde_json::Value {
        let mut object = serde_json::Map::new();
        for operation in Operation::ALL {
            let name = serde_json::to_value(operation).ok().and_then(|name| name.as_str().map(str::to_owned));
            object.insert(name.unwrap_or_default().replace('-', "_"), self.of(operation).into());
        }
        object.insert("written_bytes".to_owned(), self.written_bytes.into());
        object.insert("read_bytes".to_owned(), self.read_bytes.into());
        object.into()
    }
}

/// An operation that fails.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Which operations are counted.
    pub which: Which,
    /// Which of them fails, counted from 1 when the fault is armed.
    pub nth: u64,
    /// What the program is told.
    pub errno: Errno,
    /// Whether all later ones fail as well.
    pub lasting: bool,
}

/// Where the power is cut.
#[derive(Debug, Clone, Copy)]
pub struct CutPoint {
    /// Which operations are counted.
    pub which: Which,
    /// Which of them is the first that does not happen any more, counted from 1 when the point is armed.
    pub nth: u64,
}

/// What is to happen, and how far it has come.
#[derive(Debug, Default)]
pub struct Plan {
    counters: Counters,
    cut_point: Option<CutPoint>,
    faults: Vec<Fault>,
    frozen: bool,
    /// Operations that failed because of a fault.
    pub injected: u64,
}

impl Plan {
    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether the power is cut.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// Cuts now.
    pub fn freeze(&mut self) {
        self.frozen = true;
    }

    /// Cuts later.
    pub fn cut_at(&mut self, point: CutPoint) {
        self.cut_point = Some(point);
    }

    /// Fails later.
    pub fn fail_at(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// No more failures than there were.
    pub fn disarm(&mut self) {
        self.faults.clear();
        self.cut_point = None;
    }

    /// Asks whether the next operation may happen.
    pub fn admit(&mut self, operation: Operation, bytes: usize) -> Result<(), Errno> {
        if let Some(point) = self.cut_point.as_mut().filter(|point| point.which.includes(operation)) {
            point.nth = point.nth.saturating_sub(1);
            self.frozen |= point.nth == 0;
        }
        if self.frozen {
            return Err(Errno::IO);
        }
        self.counters.operations[operation as usize] += 1;
        for fault in self.faults.iter_mut().filter(|fault| fault.which.includes(operation)) {
            let due = fault.nth == 1 || fault.nth == 0 && fault.lasting;
            fault.nth = fault.nth.saturating_sub(1);
            if due {
                self.injected += 1;
                return Err(fault.errno);
            }
        }
        match operation {
            Operation::Write => self.counters.written_bytes += bytes as u64,
            Operation::Read => self.counters.read_bytes += bytes as u64,
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_hits_the_nth_operation_of_its_kind_and_a_lasting_one_all_later_ones() {
        for (lasting, expected) in [(false, [true, false, true]), (true, [true, false, false])] {
            let mut plan = Plan::default();
            plan.fail_at(Fault { which: Which::Only(Operation::Write), nth: 2, errno: Errno::NOSPC, lasting });
            assert!(plan.admit(Operation::FileSync, 0).is_ok());
            assert_eq!([(); 3].map(|()| plan.admit(Operation::Write, 1).is_ok()), expected);
        }
    }

    #[test]
    fn after_the_cut_nothing_happens_any_more() {
        let mut plan = Plan::default();
        plan.cut_at(CutPoint { which: Which::Changes, nth: 2 });
        assert!(plan.admit(Operation::Write, 1).is_ok());
        assert!(plan.admit(Operation::Read, 1).is_ok());
        assert_eq!(plan.admit(Operation::FileSync, 0), Err(Errno::IO));
        assert_eq!(plan.admit(Operation::Read, 1), Err(Errno::IO));
        assert_eq!(plan.counters().changes(), 1);
    }
}
