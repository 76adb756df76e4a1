//! Work split over threads so that results cannot depend on their number: tasks are cut by fixed rules, and no two write
//! to the same place.
use rayon::prelude::*;
use std::marker::PhantomData;

/// Fewer elementary operations than this run on the calling thread: waking others costs more.
const SERIAL_WORK: usize = 1 << 17;
/// Elements that one task of a row-wise kernel handles.
const CHUNK_ELEMENTS: usize = 1 << 14;

/// Whether work of that many elementary operations should be spread over threads.
pub(crate) fn is_worth(work: usize) -> bool {
    work >= SERIAL_WORK && rayon::current_num_threads() > 1
}

/// Runs `task` for each index below `tasks`, of `work` elementary operations in all.
pub(crate) fn for_each(tasks: usize, work: usize, task: impl Fn(usize) + Sync + Send) {
    if tasks > 1 && is_worth(work) {
        (0..tasks).into_par_iter().with_max_len(1).for_each(task);
    } else {
        (0..tasks).for_each(task);
    }
}

/// Rows of `width` that one task handles.
pub(crate) fn rows_per_chunk(width: usize) -> usize {
    (CHUNK_ELEMENTS / width.max(1)).max(1)
}

/// Cuts `y` into chunks of whole rows and gives each, with the index of its first row, to `task`. `cost` is the number of
/// elementary operations an element takes.
pub(crate) fn for_rows(y: &mut [f32], width: usize, cost: usize, task: impl Fn(usize, &mut [f32]) + Sync + Send) {
    if y.is_empty() {
        return;
    }
    let rows = rows_per_chunk(width);
    let work = y.len() * cost;
    if is_worth(work) && y.len() > rows * width {
        y.par_chunks_mut(rows * width).enumerate().for_each(|(index, chunk)| task(index * rows, chunk));
    } else {
        y.chunks_mut(rows * width).enumerate().for_each(|(index, chunk)| task(index * rows, chunk));
    }
}

/// A slice that several tasks write to, each to its own elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedMut<'a> {
    data: *mut f32,
    len: usize,
    borrow: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a mutable slice whose users promise, at each `slice`, not to overlap.
unsafe impl Send for SharedMut<'_> {}
// SAFETY: as above.
unsafe impl Sync for SharedMut<'_> {}

impl<'a> SharedMut<'a> {
    /// Shares `values` for as long as they are borrowed.
    pub(crate) fn new(values: &'a mut [f32]) -> Self {
        Self { data: values.as_mut_ptr(), len: values.len(), borrow: PhantomData }
    }

    /// A pointer to the element at `start`, of which `len` elements may be used.
    ///
    /// Panics if that reaches beyond the end.
    pub(crate) fn pointer(&self, start: usize, len: usize) -> *mut f32 {
        assert!(start.checked_add(len).is_some_and(|end| end <= self.len), "a task reaches beyond its slice");
        self.data.wrapping_add(start)
    }

    /// Where the element at `start` would be, for prefetching.
    pub(crate) fn hint(&self, start: usize) -> *const f32 {
        self.data.wrapping_add(start)
    }

    /// The elements `start..start + len`.
    ///
    /// # Safety
    /// While the result lives, nobody else may use any of these elements.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn slice(&self, start: usize, len: usize) -> &'a mut [f32] {
        let pointer = self.pointer(start, len);
        // SAFETY: inside the borrowed slice (checked above), and used by nobody else (the caller's promise).
        unsafe { std::slice::from_raw_parts_mut(pointer, len) }
    }
}
