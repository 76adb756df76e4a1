//! What a step of a chain of products does.
use super::simd::Vector;

/// What a step of a chain does.
pub(crate) trait MultiplyAdd {
    /// Holds sums, and what is multiplied.
    type Vector: Vector;

    /// `sum + a b`.
    #[inline(always)]
    fn multiply_add(a: Self::Vector, b: Self::Vector, sum: Self::Vector) -> Self::Vector {
        a.fma(b, sum)
    }

    /// The columns of one step of B: two vectors a panel, panels `panel_stride` apart.
    ///
    /// # Safety
    /// These words must be readable.
    #[inline(always)]
    unsafe fn columns<const VECTORS: usize>(b: *const f32, panel_stride: usize) -> [Self::Vector; VECTORS] {
        // SAFETY: the caller's promise.
        std::array::from_fn(|j| unsafe {
            Self::Vector::load(b.add(j / 2 * panel_stride + j % 2 * Self::Vector::LANES))
        })
    }
}
