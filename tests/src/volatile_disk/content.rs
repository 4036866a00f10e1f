//! The bytes of one file: what programs read, and what would be left of it after a cut.
//!
//! It is not a file: no name, no owner. Invariant: with every page of `unsynced`, then of `syncing` and `abandoned` put back
//! and the size set to `durable_size`, the bytes are those of the last successful fsync.

use std::collections::BTreeMap;

use super::cut::{Fate, PAGE_BYTES};

/// Content of a file.
#[derive(Debug, Clone, Default)]
pub struct Content {
    bytes: Vec<u8>,
    durable_size: usize,
    /// Sizes since the last fsync, oldest first.
    sizes: Vec<usize>,
    /// What a page held when it was last durable (shorter than a page at the end of the file), for pages written since.
    unsynced: BTreeMap<usize, Vec<u8>>,
    /// As `unsynced`, for pages that the fsync in progress writes; a page can be in both.
    syncing: BTreeMap<usize, Vec<u8>>,
    /// Size, and how many of `sizes` there were, when the fsync in progress began.
    sync_began: Option<(usize, usize)>,
    /// As `unsynced`, for pages whose fsync has failed: as on Linux, no later fsync writes them unless they are written again.
    abandoned: BTreeMap<usize, Vec<u8>>,
}

impl Content {
    /// Durable bytes.
    pub fn durable(bytes: Vec<u8>) -> Self {
        Self { durable_size: bytes.len(), bytes, ..Self::default() }
    }

    /// What a program sees.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Up to `length` bytes from `offset`.
    pub fn read(&self, offset: usize, length: usize) -> &[u8] {
        let start = offset.min(self.bytes.len());
        &self.bytes[start..start.saturating_add(length).min(self.bytes.len())]
    }

    /// Writes, with zeros before it where the file was shorter.
    pub fn write(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        if data.is_empty() {
            return;
        }
        for page in offset / PAGE_BYTES..=(end - 1) / PAGE_BYTES {
            self.remember(page);
        }
        if end > self.bytes.len() {
            self.bytes.resize(end, 0);
            self.sizes.push(end);
        }
        self.bytes[offset..end].copy_from_slice(data);
    }

    /// Cuts the file or makes it longer with zeros.
    pub fn resize(&mut self, size: usize) {
        if size == self.bytes.len() {
            return;
        }
        if size < self.bytes.len() {
            for page in size / PAGE_BYTES..=(self.bytes.len() - 1) / PAGE_BYTES {
                self.remember(page);
            }
        }
        self.bytes.resize(size, 0);
        self.sizes.push(size);
    }

    /// An fsync begins; only what is there now becomes durable by it, and there is no other one in progress.
    pub fn sync_begins(&mut self) {
        self.syncing = std::mem::take(&mut self.unsynced);
        self.sync_began = Some((self.bytes.len(), self.sizes.len()));
    }

    /// The fsync in progress succeeds.
    pub fn sync_ends(&mut self) {
        let Some((size, changes)) = self.sync_began.take() else { return };
        self.syncing.clear();
        self.sizes.drain(..changes);
        self.durable_size = size;
    }

    /// A whole fsync that succeeds.
    pub fn sync(&mut self) {
        self.sync_begins();
        self.sync_ends();
    }

    /// An fsync that fails.
    pub fn sync_fails(&mut self) {
        self.abandoned.append(&mut self.unsynced);
    }

    /// What is left after a cut.
    pub fn survives(&self, fate: &mut Fate) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for (page, old) in self.unsynced.iter().chain(&self.syncing).chain(&self.abandoned) {
            if fate.keeps_page() {
                continue;
            }
            let (start, end) = (page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[start..end].fill(0);
            bytes[start..start + old.len()].copy_from_slice(old);
        }
        let changes = fate.prefix(self.sizes.len());
        let size = if changes == 0 { self.durable_size } else { self.sizes[changes - 1] };
        bytes.resize(size, 0);
        bytes
    }

    fn remember(&mut self, page: usize) {
        if self.unsynced.contains_key(&page) {
            return;
        }
        let old = self.abandoned.remove(&page).unwrap_or_else(|| self.read(page * PAGE_BYTES, PAGE_BYTES).to_vec());
        self.unsynced.insert(page, old);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dropped(content: &Content) -> Vec<u8> {
        content.survives(&mut Fate::drop())
    }

    #[test]
    fn what_was_not_synced_is_gone_with_its_size() {
        let mut content = Content::default();
        content.write(0, b"one");
        assert_eq!(dropped(&content), b"");
        content.sync();
        content.write(1, b"two, longer");
        assert_eq!(dropped(&content), b"one");
        content.resize(0);
        assert_eq!(dropped(&content), b"one");
        assert_eq!(content.bytes(), b"");
    }

    #[test]
    fn what_is_written_while_a_sync_is_in_progress_needs_another_one() {
        let mut content = Content::durable(vec![1]);
        content.write(0, &[2]);
        content.sync_begins();
        content.write(0, &[3, 3]);
        assert_eq!(dropped(&content), [1]);
        content.sync_ends();
        assert_eq!(dropped(&content), [2]);
        content.sync();
        assert_eq!(dropped(&content), [3, 3]);
    }

    #[test]
    fn a_cut_file_that_grows_again_has_zeros_and_comes_back_after_a_cut() {
        let mut content = Content::durable(vec![7; 10_000]);
        content.resize(1);
        content.resize(9_000);
        assert_eq!(content.read(0, 3), [7, 0, 0]);
        assert_eq!(dropped(&content), vec![7; 10_000]);
    }

    #[test]
    fn a_failed_sync_keeps_pages_from_ever_being_synced_unless_they_are_written_again() {
        let mut content = Content::durable(vec![1; 2 * PAGE_BYTES]);
        content.write(0, &[2]);
        content.write(PAGE_BYTES, &[2]);
        content.sync_fails();
        content.write(PAGE_BYTES, &[3]);
        content.sync();
        let left = dropped(&content);
        assert_eq!((left[0], left[PAGE_BYTES]), (1, 3));
    }
}
