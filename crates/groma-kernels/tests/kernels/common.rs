//! Helpers of the kernel tests.

use groma_kernels::{Backend, Buffer, Cpu, Level, Naive, Precision};
use std::sync::LazyLock;

/// Values in [-1, 1), the same for the same seed (SplitMix64).
pub(crate) fn values(len: usize, seed: u64) -> Vec<f32> {
    (0..len as u64)
        .map(|i| {
            let mut z = (seed << 32 ^ i).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

static CPUS: LazyLock<Vec<Cpu>> =
    LazyLock::new(|| Level::ALL.into_iter().filter_map(|level| Cpu::with_level(level).ok()).collect());

static BF16_CPUS: LazyLock<Vec<Cpu>> = LazyLock::new(|| {
    let cpus = CPUS.iter().map(|cpu| cpu.clone().with_precision(Precision::Bf16));
    cpus.filter(|cpu| cpu.precision() == Precision::Bf16).collect()
});

/// A CPU for each level that this machine has.
pub(crate) fn cpus() -> impl Iterator<Item = &'static Cpu> {
    CPUS.iter()
}

/// All backends: the naive one, and the CPU on each level that this machine has.
pub(crate) fn backends() -> impl Iterator<Item = &'static dyn Backend> {
    std::iter::once(&Naive as &dyn Backend).chain(CPUS.iter().map(|cpu| cpu as &dyn Backend))
}

/// A backend for each way of computing products that this machine has: all of [`backends`], and the CPU in bf16.
#[allow(clippy::print_stdout, reason = "what is skipped is said")]
pub(crate) fn product_backends() -> impl Iterator<Item = &'static dyn Backend> {
    if BF16_CPUS.is_empty() {
        println!("SKIPPED: products in bf16, which this processor has no instructions for");
    }
    backends().chain(BF16_CPUS.iter().map(|cpu| cpu as &dyn Backend))
}

/// A weight of these values, of so many rows, uploaded or kept for reading alone.
#[allow(clippy::unwrap_used)]
pub(crate) fn weight(backend: &dyn Backend, values: &[f32], rows: usize, packed: bool) -> Buffer {
    if !packed {
        return backend.upload(values);
    }
    let mut rest = values;
    let mut next = |to: &mut [f32]| {
        let (run, after) = rest.split_at(to.len());
        to.copy_from_slice(run);
        rest = after;
        Ok(())
    };
    backend.weight(rows, values.len() / rows.max(1), &mut next).unwrap()
}

/// The value as a product of this precision sees it: bf16 keeps the upper 16 bits, rounded to the nearest, ties to even.
pub(crate) fn seen(value: f32, precision: Precision) -> f32 {
    match precision {
        Precision::F32 => value,
        Precision::Bf16 => {
            let bits = value.to_bits();
            f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
        }
    }
}

/// Runs on so many threads.
#[allow(clippy::unwrap_used)]
pub(crate) fn on_threads<T: Send>(threads: usize, run: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run)
}

pub(crate) fn doubles(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// Fails unless `got` is within `tolerance * (1 + |want|)` everywhere.
#[track_caller]
pub(crate) fn assert_close(got: &[f32], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
        let difference = (f64::from(got) - want).abs();
        assert!(difference <= tolerance * (1.0 + want.abs()), "{what}: element {i} is {got}, not {want}");
    }
}

/// Fails unless the bits agree.
#[track_caller]
pub(crate) fn assert_same(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: lengths");
    for (i, (a, b)) in got.iter().zip(want).enumerate() {
        assert!(a.to_bits() == b.to_bits(), "{what}: element {i} is {a:?} and {b:?}");
    }
}
