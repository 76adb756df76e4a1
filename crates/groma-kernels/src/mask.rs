//! The mask of dropout, which all backends draw alike: it is computed, not stored, a hash of the seed and an element's index.

/// Which elements are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mask {
    key: u64,
    bound: u64,
}

impl Mask {
    /// Keeps an element with probability `keep`.
    pub(crate) fn new(keep: f32, seed: u64) -> Self {
        let bound = (f64::from(keep.clamp(0.0, 1.0)) * (1u64 << 32) as f64) as u64;
        // Two seeds that differ by a little must not give shifted copies of one sequence, so the seed is hashed as well.
        Self { key: hash(seed, 0), bound }
    }

    #[inline]
    pub(crate) fn keeps(self, index: usize) -> bool {
        hash(self.key, index as u64) >> 32 < self.bound
    }
}

/// The finaliser of SplitMix64 (Steele, Lea & Flood 2014) over a Weyl sequence: a counter-based generator.
#[inline]
fn hash(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add((index + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
