//! Buffers kept for the next outbox that needs one, so that an idle connection holds none.

/// See the module. Large ones are not kept.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    buffers: Vec<Vec<u8>>,
}

const POOLED_BUFFERS_MAX: usize = 128;
const POOLED_BYTES_MAX: usize = 16 * 1024;
const POOLED_WHEN_IDLE: usize = 4;
const FIRST_BYTES: usize = 1024;

impl BufferPool {
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_else(|| Vec::with_capacity(FIRST_BYTES))
    }

    pub(super) fn give(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= POOLED_BYTES_MAX && self.buffers.len() < POOLED_BUFFERS_MAX {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    /// Give most of the memory back: nothing happened for a while.
    pub(crate) fn trim(&mut self) {
        self.buffers.truncate(POOLED_WHEN_IDLE);
        self.buffers.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_buffers_are_not_pooled_and_idle_ones_are_given_back() {
        let mut pool = BufferPool::default();
        pool.give(Vec::with_capacity(POOLED_BYTES_MAX + 1));
        assert_eq!(pool.buffers.len(), 0);
        for _ in 0..POOLED_BUFFERS_MAX + 1 {
            pool.give(Vec::with_capacity(POOLED_BYTES_MAX));
        }
        assert_eq!(pool.buffers.len(), POOLED_BUFFERS_MAX);
        pool.trim();
        assert_eq!(pool.buffers.len(), POOLED_WHEN_IDLE);
    }
}
