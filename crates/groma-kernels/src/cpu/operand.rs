//! An operand of a product, as it lies in memory.

/// One operand as it lies in memory. `i` counts rows of A or columns of B, `k` the inner dimension.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand<'a> {
    /// The elements.
    pub(crate) data: &'a [f32],
    /// Distance of two rows of `data`.
    pub(crate) stride: usize,
    /// Element `(i, k)` is `data[i * stride + k]` if so, else `data[k * stride + i]`.
    pub(crate) inner_is_contiguous: bool,
}

impl<'a> Operand<'a> {
    /// Rows along `i`: `data[i * stride + k]`.
    pub(crate) fn rows(data: &'a [f32], stride: usize) -> Self {
        Self { data, stride, inner_is_contiguous: true }
    }

    /// Rows along `k`: `data[k * stride + i]`.
    pub(crate) fn columns(data: &'a [f32], stride: usize) -> Self {
        Self { data, stride, inner_is_contiguous: false }
    }

    /// Whether both are the same elements in the same order.
    pub(crate) fn is(&self, other: Operand<'_>) -> bool {
        let order = (self.stride, self.inner_is_contiguous) == (other.stride, other.inner_is_contiguous);
        order && std::ptr::eq(self.data, other.data)
    }

    /// Panics unless all elements below the given ends are there.
    pub(crate) fn check(&self, i_end: usize, k_end: usize) {
        let (rows, width) = if self.inner_is_contiguous { (i_end, k_end) } else { (k_end, i_end) };
        let needed = if rows == 0 || width == 0 { 0 } else { (rows - 1) * self.stride + width };
        assert!(needed <= self.data.len() && width <= self.stride.max(1), "an operand is shorter than its shape");
    }
}
