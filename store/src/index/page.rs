//! 256 numbers side by side: few of them as a sorted list, many as a table by number.

use super::Position;

/// Numbers in one page.
pub(super) const PAGE: u64 = 256;

/// A list that grows past this becomes a table.
const LIST_MAX: usize = 64;
/// A table that shrinks to this becomes a list.
const TABLE_MIN: u16 = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) position: Position,
    pub(super) holders: u32,
}

#[derive(Debug)]
pub(super) enum Page {
    List(Vec<(u8, Slot)>),
    Table(Table),
}

#[derive(Debug)]
pub(super) struct Table {
    /// Offset and holders; offset 0, where no message can be, stands for none.
    cells: Box<[(u32, u32); PAGE as usize]>,
    /// The segment of all of them, unless `segments` says it of each.
    segment: u32,
    segments: Option<Box<[u32; PAGE as usize]>>,
    len: u16,
}

impl Default for Page {
    fn default() -> Self {
        Page::List(Vec::new())
    }
}

impl Page {
    pub(super) fn len(&self) -> usize {
        match self {
            Page::List(list) => list.len(),
            Page::Table(table) => usize::from(table.len),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn get(&self, at: u8) -> Option<Slot> {
        match self {
            Page::List(list) => place(list, at).ok().map(|place| list[place].1),
            Page::Table(table) => table.get(at),
        }
    }

    /// Which of the numbers are there, ascending.
    pub(super) fn places(&self) -> impl Iterator<Item = u8> {
        (0..=u8::MAX).filter(|at| self.get(*at).is_some())
    }

    pub(super) fn holders_mut(&mut self, at: u8) -> Option<&mut u32> {
        match self {
            Page::List(list) => place(list, at).ok().map(|place| &mut list[place].1.holders),
            Page::Table(table) => {
                let (offset, holders) = &mut table.cells[usize::from(at)];
                (*offset != 0).then_some(holders)
            }
        }
    }

    /// Puts a slot and gives the one that was there.
    pub(super) fn put(&mut self, at: u8, slot: Slot) -> Option<Slot> {
        match self {
            Page::List(list) => match place(list, at) {
                Ok(place) => return Some(std::mem::replace(&mut list[place].1, slot)),
                Err(place) => list.insert(place, (at, slot)),
            },
            Page::Table(table) => return table.put(at, slot),
        }
        if self.len() > LIST_MAX {
            self.make_table();
        }
        None
    }

    pub(super) fn remove(&mut self, at: u8) -> Option<Slot> {
        let removed = match self {
            Page::List(list) => place(list, at).ok().map(|place| list.remove(place).1),
            Page::Table(table) => table.remove(at),
        };
        self.shrink();
        removed
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(Slot) -> bool) {
        match self {
            Page::List(list) => list.retain(|(_, slot)| keep(*slot)),
            Page::Table(table) => {
                for at in 0..=u8::MAX {
                    if table.get(at).is_some_and(|slot| !keep(slot)) {
                        table.remove(at);
                    }
                }
            }
        }
        self.shrink();
    }

    fn make_table(&mut self) {
        let Page::List(list) = self else { return };
        let segment = list.first().map_or(0, |(_, slot)| slot.position.segment);
        let mut table = Table { cells: Box::new([(0, 0); PAGE as usize]), segment, segments: None, len: 0 };
        list.iter().for_each(|(at, slot)| {
            table.put(*at, *slot);
        });
        *self = Page::Table(table);
    }

    fn shrink(&mut self) {
        if let Page::Table(table) = self
            && table.len <= TABLE_MIN
        {
            let list = (0..=u8::MAX).filter_map(|at| table.get(at).map(|slot| (at, slot)));
            *self = Page::List(list.collect());
        }
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        match self {
            Page::List(list) => list.capacity() * size_of::<(u8, Slot)>(),
            Page::Table(table) => 2048 + if table.segments.is_some() { 1024 } else { 0 },
        }
    }
}

impl Table {
    fn get(&self, at: u8) -> Option<Slot> {
        let (offset, holders) = self.cells[usize::from(at)];
        let segment = self.segments.as_ref().map_or(self.segment, |segments| segments[usize::from(at)]);
        (offset != 0).then_some(Slot { position: Position { segment, offset }, holders })
    }

    fn put(&mut self, at: u8, slot: Slot) -> Option<Slot> {
        let old = self.get(at);
        let segment = slot.position.segment;
        if self.segments.is_none() && segment != self.segment {
            self.segments = Some(Box::new([self.segment; PAGE as usize]));
        }
        self.cells[usize::from(at)] = (slot.position.offset, slot.holders);
        if let Some(segments) = &mut self.segments {
            segments[usize::from(at)] = segment;
        }
        self.len += u16::from(old.is_none());
        self.make_uniform(segment);
        old
    }

    fn remove(&mut self, at: u8) -> Option<Slot> {
        let old = self.get(at)?;
        self.cells[usize::from(at)] = (0, 0);
        self.len -= 1;
        Some(old)
    }

    /// Drops the list of segments if all are in `segment`: worth looking when the last number of a page was put.
    fn make_uniform(&mut self, segment: u32) {
        let Some(segments) = &self.segments else { return };
        let mut present = self.cells.iter().zip(segments.iter()).filter(|((offset, _), _)| *offset != 0);
        if present.all(|(_, of_cell)| *of_cell == segment) {
            (self.segment, self.segments) = (segment, None);
        }
    }
}

fn place(list: &[(u8, Slot)], at: u8) -> Result<usize, usize> {
    // Numbers ascend, so most are put at the end.
    if list.last().is_some_and(|(last, _)| *last < at) {
        return Err(list.len());
    }
    list.binary_search_by_key(&at, |(known, _)| *known)
}
