//! Uniform random numbers.

use rand_chacha::rand_core::Rng;

/// A uniform number in `[0, 1)` with 24 random bits.
pub(crate) fn uniform(rng: &mut impl Rng) -> f32 {
    (rng.next_u32() >> 8) as f32 / (1u32 << 24) as f32
}
