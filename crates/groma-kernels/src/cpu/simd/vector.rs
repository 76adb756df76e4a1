//! What every vector type does.

/// A vector of `f32`.
pub(crate) trait Vector: Copy {
    /// Number of values in a vector.
    const LANES: usize;

    /// Reads a vector.
    ///
    /// # Safety
    /// `LANES` values must be readable from `from` on.
    unsafe fn load(from: *const f32) -> Self;
    /// Writes a vector.
    ///
    /// # Safety
    /// `LANES` values must be writable from `to` on.
    unsafe fn store(self, to: *mut f32);
    /// Reads the first `count <= LANES` values; the others are 0.
    ///
    /// # Safety
    /// `count` values must be readable from `from` on.
    unsafe fn load_first(from: *const f32, count: usize) -> Self;
    /// Writes the first `count <= LANES` values.
    ///
    /// # Safety
    /// `count` values must be writable from `to` on.
    unsafe fn store_first(self, to: *mut f32, count: usize);
    /// The same value everywhere.
    fn splat(value: f32) -> Self;
    /// `self + other`.
    fn add(self, other: Self) -> Self;
    /// `self - other`.
    fn sub(self, other: Self) -> Self;
    /// `self * other`.
    fn mul(self, other: Self) -> Self;
    /// `self / other`.
    fn div(self, other: Self) -> Self;
    /// `self * factor + summand`, rounded once where the level has that instruction.
    fn fma(self, factor: Self, summand: Self) -> Self;
    /// The larger, `other` if either is NaN.
    fn max(self, other: Self) -> Self;
    /// The smaller, `other` if either is NaN.
    fn min(self, other: Self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// The nearest whole number, ties to even.
    fn round(self) -> Self;
    /// `2^self` for whole numbers of -126 to 127.
    fn power_of_two(self) -> Self;
    /// `then` where `self < other`, else `otherwise`; `otherwise` if either is NaN.
    fn select_less(self, other: Self, then: Self, otherwise: Self) -> Self;
    /// Reads a vector of f16.
    ///
    /// # Safety
    /// `LANES` values must be readable from `from` on; on AVX2 the processor has F16C, too.
    unsafe fn load_f16(from: *const u16) -> Self;
    /// The values whose upper 16 bits are the lower 16 of these, and whose lower 16 are 0.
    fn lower_halves(self) -> Self;
    /// These values with their lower 16 bits 0.
    fn upper_halves(self) -> Self;
    /// Sum of the values, in an order fixed by the level.
    fn sum(self) -> f32;
    /// The largest of the values.
    fn largest(self) -> f32;
    /// Reads `rows <= LANES` rows of `LANES` values, `from_stride` apart, and writes the transpose as `LANES` rows of
    /// `LANES` values, `to_stride` apart; values of missing rows are 0.
    ///
    /// # Safety
    /// All of these values must be readable and writable.
    unsafe fn transpose(from: *const f32, from_stride: usize, rows: usize, to: *mut f32, to_stride: usize);

    /// Asks for the cache line at an address, which need not be valid.
    #[inline(always)]
    fn prefetch(from: *const f32) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: every x86-64 processor has the instruction, and it never faults.
        unsafe {
            std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(from.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = from;
    }

    /// 0 everywhere.
    #[inline(always)]
    fn zero() -> Self {
        Self::splat(0.0)
    }

    /// The absolute value.
    #[inline(always)]
    fn abs(self) -> Self {
        self.max(Self::zero().sub(self))
    }
}
