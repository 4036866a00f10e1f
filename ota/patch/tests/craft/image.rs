//! Images and chances from a seed, so that a failure can be repeated.

/// A small generator (SplitMix64).
pub struct Chance(pub u64);

impl Chance {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, 0 where that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// Bytes that do not compress.
    pub fn noise(&mut self, bytes: usize) -> Vec<u8> {
        (0..bytes).map(|_| (self.next() >> 56) as u8).collect()
    }

    /// `image` with a few bytes changed, a piece put in, one taken out and one moved, as between two releases.
    pub fn similar(&mut self, image: &[u8]) -> Vec<u8> {
        let mut new = image.to_vec();
        for _ in 0..1 + new.len() / 50 {
            let position = self.below(new.len());
            if let Some(byte) = new.get_mut(position) {
                *byte = byte.wrapping_add(4);
            }
        }
        let put_at = self.below(new.len());
        let piece_bytes = self.below(60);
        let piece = self.noise(piece_bytes);
        new.splice(put_at..put_at, piece);
        let start = self.below(new.len());
        let end = start + self.below((new.len() - start).min(40));
        let moved: Vec<u8> = new.drain(start..end).collect();
        if self.below(2) == 0 {
            new.extend(moved);
        }
        new
    }
}
