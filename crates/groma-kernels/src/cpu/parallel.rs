//! Work split over threads so that results cannot depend on their number: tasks are cut by fixed rules, and no two write
//! to the same place.
use super::team;
use rayon::prelude::*;
use std::marker::PhantomData;

/// Fewer elementary operations than this run on the calling thread: waking others costs more.
const SERIAL_WORK: usize = 1 << 17;
/// The same where threads are at hand, to which work goes over in half a microsecond.
const SERIAL_WORK_AT_HAND: usize = 1 << 14;
/// Elements that one task of a row-wise kernel handles.
const CHUNK_ELEMENTS: usize = 1 << 14;

/// Whether work of that many elementary operations should be spread over threads.
pub(crate) fn is_worth(work: usize) -> bool {
    (work >= SERIAL_WORK || work >= SERIAL_WORK_AT_HAND && team::is_at_hand()) && rayon::current_num_threads() > 1
}

/// Runs `task` for each index below `tasks`, of `work` elementary operations in all.
pub(crate) fn for_each(tasks: usize, work: usize, task: impl Fn(usize) + Sync + Send) {
    if tasks < 2 || !is_worth(work) {
        (0..tasks).for_each(task);
    } else if !team::share(tasks, &task) {
        (0..tasks).into_par_iter().with_max_len(1).for_each(task);
    }
}

/// What `task` returns for each index below `tasks`, in order; `blank` is any value.
pub(crate) fn collect<T: Copy + Send>(
    tasks: usize,
    work: usize,
    blank: T,
    task: impl Fn(usize) -> T + Sync + Send,
) -> Vec<T> {
    let mut results = vec![blank; tasks];
    let shared = SharedMut::new(&mut results);
    // SAFETY: each task has its own element.
    for_each(tasks, work, |index| unsafe { shared.slice(index, 1) }[0] = task(index));
    results
}

/// Gives each item, with its index, to `task`: on the threads that kernels run on (see [`super::together`]), if all of it
/// takes `work` elementary operations and that is worth it.
pub fn for_each_mut<T: Send>(items: &mut [T], work: usize, task: impl Fn(usize, &mut T) + Sync + Send) {
    let (len, items) = (items.len(), SharedMut::new(items));
    // SAFETY: each task has its own item.
    for_each(len, work, |index| task(index, &mut unsafe { items.slice(index, 1) }[0]));
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
    let (len, chunk) = (y.len(), rows * width);
    let shared = SharedMut::new(y);
    for_each(len.div_ceil(chunk), len * cost, |index| {
        // SAFETY: each task has its own chunk.
        let chunk = unsafe { shared.slice(index * chunk, chunk.min(len - index * chunk)) };
        task(index * rows, chunk);
    });
}

/// A slice that several tasks write to, each to its own elements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SharedMut<'a, T = f32> {
    data: *mut T,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a mutable slice whose users promise, at each `slice`, not to overlap.
unsafe impl<T: Send> Send for SharedMut<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}

impl<'a, T> SharedMut<'a, T> {
    /// Shares `values` for as long as they are borrowed.
    pub(crate) fn new(values: &'a mut [T]) -> Self {
        Self { data: values.as_mut_ptr(), len: values.len(), borrow: PhantomData }
    }

    /// A pointer to the element at `start`, of which `len` elements may be used.
    ///
    /// Panics if that reaches beyond the end.
    pub(crate) fn pointer(&self, start: usize, len: usize) -> *mut T {
        assert!(start.checked_add(len).is_some_and(|end| end <= self.len), "a task reaches beyond its slice");
        self.data.wrapping_add(start)
    }

    /// Where the element at `start` would be, for prefetching.
    pub(crate) fn hint(&self, start: usize) -> *const T {
        self.data.wrapping_add(start)
    }

    /// The elements `start..start + len`.
    ///
    /// # Safety
    /// While the result lives, nobody else may use any of these elements.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn slice(&self, start: usize, len: usize) -> &'a mut [T] {
        let pointer = self.pointer(start, len);
        // SAFETY: inside the borrowed slice (checked above), and used by nobody else (the caller's promise).
        unsafe { std::slice::from_raw_parts_mut(pointer, len) }
    }
}
