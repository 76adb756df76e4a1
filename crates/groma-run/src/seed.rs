//! Random numbers that depend on a name, not on who drew before.
//!
//! A [`Seed`] is split by names and indices into further seeds; each yields its own ChaCha stream. So the noise of step 7
//! of a stage is a function of `(seed, stage, 7)` alone, and a resumed run draws what an undisturbed run would have drawn.

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

/// The generator that a seed gives.
pub type Random = ChaCha8Rng;

/// A point in the tree of seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// The root of a run.
    pub fn new(seed: u64) -> Self {
        Seed(*blake3::Hasher::new_derive_key("groma seed v1").update(&seed.to_le_bytes()).finalize().as_bytes())
    }

    /// The seed of a named part.
    pub fn named(self, name: &str) -> Self {
        self.child(b"name", name.as_bytes())
    }

    /// The seed of a numbered part.
    pub fn index(self, index: u64) -> Self {
        self.child(b"index", &index.to_le_bytes())
    }

    /// The random numbers of a purpose about a named thing, and of one of its numbered draws.
    pub fn draw(self, purpose: &str, name: &str, index: Option<u64>) -> Random {
        let seed = self.named(purpose).named(name);
        index.map_or(seed, |index| seed.index(index)).rng()
    }

    fn child(self, kind: &[u8], value: &[u8]) -> Self {
        Seed(*blake3::Hasher::new_keyed(&self.0).update(kind).update(value).finalize().as_bytes())
    }

    /// The generator of this seed, at its start.
    pub fn rng(self) -> Random {
        ChaCha8Rng::from_seed(self.0)
    }

    /// 64 bits of this seed, for counter-based kernels.
    pub fn bits(self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[..8]);
        u64::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_differ_and_repeat() {
        let root = Seed::new(42);
        assert_eq!(root.named("a").index(1), Seed::new(42).named("a").index(1));
        let all = [
            root,
            root.named("a"),
            root.named("b"),
            root.index(0),
            root.index(1),
            root.named("a").index(1),
            Seed::new(43),
        ];
        for (i, x) in all.iter().enumerate() {
            for y in &all[i + 1..] {
                assert_ne!(x.bits(), y.bits());
            }
        }
    }
}
