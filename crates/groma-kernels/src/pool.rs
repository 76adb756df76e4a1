//! Memory that is used again: a training step asks for the same sizes again and again, and only the first step should pay
//! for page faults.
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut, RangeInclusive};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Alignment of every block in bytes: a cache line, and the widest vector.
const ALIGNMENT: usize = 64;
/// Size and alignment of the operating system's large pages, in bytes; blocks of two or more ask for them.
const LARGE_PAGE: usize = 2 << 20;
/// What the pool may hold beyond the most that was ever in use, in bytes.
const SLACK: usize = 32 << 20;

/// An aligned array of `f32` that it owns.
#[derive(Debug)]
pub(crate) struct Block {
    data: NonNull<f32>,
    capacity: usize,
}

// SAFETY: a block owns its memory alone, as a `Vec<f32>` does, and gives it out only by reference.
unsafe impl Send for Block {}
// SAFETY: as above; shared references only read.
unsafe impl Sync for Block {}

impl Block {
    fn layout(capacity: usize) -> Layout {
        let bytes = capacity.saturating_mul(size_of::<f32>());
        let alignment = if bytes >= 2 * LARGE_PAGE { LARGE_PAGE } else { ALIGNMENT };
        Layout::from_size_align(bytes, alignment).unwrap_or_else(|_| handle_alloc_error(Layout::new::<f32>()))
    }

    fn new(capacity: usize) -> Self {
        if capacity == 0 {
            return Self::default();
        }
        let layout = Self::layout(capacity);
        // SAFETY: the layout's size is not zero.
        let Some(data) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        advise_large_pages(data, layout.size());
        // SAFETY: `layout.size()` bytes were just allocated; afterwards every value is initialised.
        unsafe { data.write_bytes(0, layout.size()) };
        Self { data: data.cast(), capacity }
    }

    fn bytes(&self) -> usize {
        self.capacity * size_of::<f32>()
    }

    /// All values.
    pub(crate) fn values(&self) -> &[f32] {
        // SAFETY: `capacity` initialised values are owned by `self`; a dangling pointer has capacity 0 and is aligned.
        unsafe { std::slice::from_raw_parts(self.data.as_ptr(), self.capacity) }
    }

    /// All values, for writing.
    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `values`, and `self` is borrowed for writing.
        unsafe { std::slice::from_raw_parts_mut(self.data.as_ptr(), self.capacity) }
    }
}

/// Asks the operating system to back a new block with large pages. Only a hint: a refusal changes nothing.
fn advise_large_pages(data: NonNull<u8>, bytes: usize) {
    #[cfg(target_os = "linux")]
    if bytes >= 2 * LARGE_PAGE {
        // SAFETY: the range was just allocated, and the advice does not change what is read from it.
        let _refused = unsafe {
            rustix::mm::madvise(
                data.as_ptr().cast(),
                bytes / LARGE_PAGE * LARGE_PAGE,
                rustix::mm::Advice::LinuxHugepage,
            )
        };
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (data, bytes);
}

impl Default for Block {
    fn default() -> Self {
        Self { data: NonNull::<Aligned>::dangling().cast(), capacity: 0 }
    }
}

/// Gives the dangling pointer of an empty block the alignment of the others.
#[repr(align(64))]
struct Aligned;

impl Drop for Block {
    fn drop(&mut self) {
        if self.capacity > 0 {
            // SAFETY: allocated in `new` with the same layout, and not freed before.
            unsafe { dealloc(self.data.as_ptr().cast(), Self::layout(self.capacity)) };
        }
    }
}

/// How much memory a backend's buffers hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// What living buffers asked for, in bytes; the blocks that they got may be larger (see [`MemoryUse::held_bytes`]).
    pub in_use_bytes: usize,
    /// The most that was in use at once since the start or [`crate::Cpu::reset_memory_peak`], in bytes.
    pub peak_bytes: usize,
    /// Kept for the next buffers, in bytes.
    pub idle_bytes: usize,
    /// All blocks, in use and idle, in bytes.
    pub held_bytes: usize,
}

/// Idle blocks, sorted by size.
///
/// Bounded: while blocks in use and idle ones together hold more than the most that was ever asked for at once, and 32 MiB,
/// idle ones are freed.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    idle: BTreeMap<usize, Vec<Block>>,
    memory: MemoryUse,
    /// The most that was ever in use, in bytes; never reset.
    ceiling: usize,
}

/// How long a block is going to be away, which says how much larger than needed it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stay {
    /// A step at the most: up to four times.
    Short,
    /// For good, perhaps, as weights and their packed copies: up to a quarter.
    Long,
}

impl Stay {
    /// The capacity that a new block gets for `len` values. What stays is no larger than asked for.
    fn capacity(self, len: usize) -> usize {
        match self {
            Stay::Short => size_class(len),
            Stay::Long => len.next_multiple_of(16),
        }
    }

    /// The largest capacity that serves a request for `capacity` values.
    fn largest(self, capacity: usize) -> usize {
        match self {
            Stay::Short => capacity.saturating_mul(4),
            Stay::Long => capacity.saturating_add(capacity / 4),
        }
    }
}

/// Capacity for a request: sizes in steps of an eighth of their power of two, so that nearly equal requests share blocks.
fn size_class(len: usize) -> usize {
    if len <= 256 {
        return len.next_multiple_of(16);
    }
    let step = 1usize << (len.ilog2() - 3);
    len.checked_next_multiple_of(step).unwrap_or(len)
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block of at least `len` values with unspecified contents. Before a new one is made, one that is too large is used
    /// again, the smallest first: batches differ in length, and fresh memory has to be cleared by the operating system.
    pub(crate) fn take(&self, len: usize, stay: Stay) -> Block {
        if len == 0 {
            return Block::default();
        }
        let capacity = stay.capacity(len);
        let mut evicted = Vec::new();
        let reused = {
            let mut state = self.lock();
            let reused = state.reuse(capacity..=stay.largest(capacity));
            if reused.is_none() {
                state.memory.held_bytes += capacity * size_of::<f32>();
            }
            state.use_more(capacity * size_of::<f32>());
            state.evict(&mut evicted);
            reused
        };
        drop(evicted);
        reused.unwrap_or_else(|| Block::new(capacity))
    }

    /// Takes a block back that was taken for `len` values and such a stay.
    pub(crate) fn give(&self, block: Block, len: usize, stay: Stay) {
        if block.capacity == 0 {
            return;
        }
        let mut evicted = Vec::new();
        {
            let mut state = self.lock();
            state.memory.in_use_bytes -= stay.capacity(len) * size_of::<f32>();
            state.memory.idle_bytes += block.bytes();
            state.idle.entry(block.capacity).or_default().push(block);
            state.evict(&mut evicted);
        }
        drop(evicted);
    }

    pub(crate) fn memory(&self) -> MemoryUse {
        self.lock().memory
    }

    pub(crate) fn reset_peak(&self) {
        let mut state = self.lock();
        state.memory.peak_bytes = state.memory.in_use_bytes;
    }

    /// Frees all idle blocks.
    pub(crate) fn trim(&self) {
        let idle = {
            let mut state = self.lock();
            state.memory.held_bytes -= state.memory.idle_bytes;
            state.memory.idle_bytes = 0;
            state.ceiling = state.memory.in_use_bytes;
            std::mem::take(&mut state.idle)
        };
        drop(idle);
    }
}

impl State {
    /// The smallest idle block of one of these capacities.
    fn reuse(&mut self, capacities: RangeInclusive<usize>) -> Option<Block> {
        let (&class, blocks) = self.idle.range_mut(capacities).next()?;
        let block = blocks.pop();
        if blocks.is_empty() {
            self.idle.remove(&class);
        }
        self.memory.idle_bytes -= block.as_ref().map_or(0, Block::bytes);
        block
    }

    fn use_more(&mut self, bytes: usize) {
        self.memory.in_use_bytes += bytes;
        self.memory.peak_bytes = self.memory.peak_bytes.max(self.memory.in_use_bytes);
        self.ceiling = self.ceiling.max(self.memory.in_use_bytes);
    }

    /// Moves the largest idle blocks out until the bound holds.
    fn evict(&mut self, evicted: &mut Vec<Block>) {
        while self.memory.held_bytes > self.ceiling + SLACK {
            let Some(mut class) = self.idle.last_entry() else { return };
            let block = class.get_mut().pop();
            if class.get().is_empty() {
                class.remove();
            }
            if let Some(block) = block {
                self.memory.idle_bytes -= block.bytes();
                self.memory.held_bytes -= block.bytes();
                evicted.push(block);
            }
        }
    }
}

/// Temporary values out of a pool, which go back on drop.
#[derive(Debug)]
pub(crate) struct Lease {
    block: Block,
    len: usize,
    stay: Stay,
    pool: Arc<Pool>,
}

impl Lease {
    /// `len` unspecified values for a short while.
    pub(crate) fn new(pool: &Arc<Pool>, len: usize) -> Self {
        Self::staying(pool, len, Stay::Short)
    }

    /// `len` unspecified values.
    pub(crate) fn staying(pool: &Arc<Pool>, len: usize, stay: Stay) -> Self {
        Self { block: pool.take(len, stay), len, stay, pool: Arc::clone(pool) }
    }

    /// The same values in another block, to stay.
    pub(crate) fn copied(&self) -> Self {
        let mut copy = Self::staying(&self.pool, self.len, Stay::Long);
        copy.copy_from_slice(self);
        copy
    }
}

impl Deref for Lease {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.block.values()[..self.len]
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.block.values_mut()[..self.len]
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.pool.give(std::mem::take(&mut self.block), self.len, self.stay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_waste_at_most_an_eighth() {
        for len in (1..5000).chain([1 << 20, (1 << 20) + 1, 12_345_678]) {
            let class = size_class(len);
            assert!(class >= len && class <= (len + len / 8).max(len + 15), "{len} -> {class}");
            assert_eq!(size_class(class), class);
        }
    }

    #[test]
    fn what_is_held_stays_bounded() {
        let pool = Pool::default();
        for round in 1..50 {
            let len = round * 37 % 50 * 300_000 + 1;
            let blocks: Vec<Block> = (0..4).map(|_| pool.take(len, Stay::Short)).collect();
            blocks.into_iter().for_each(|block| pool.give(block, len, Stay::Short));
            let memory = pool.memory();
            assert_eq!(memory.in_use_bytes, 0);
            assert_eq!(memory.held_bytes, memory.idle_bytes);
            assert!(memory.idle_bytes <= memory.peak_bytes + SLACK);
        }
        pool.trim();
        assert_eq!(pool.memory().idle_bytes, 0);
    }

    #[test]
    fn larger_blocks_serve_short_stays_alone() {
        let pool = Pool::default();
        pool.give(pool.take(4096, Stay::Long), 4096, Stay::Long);
        let short = pool.take(1024, Stay::Short);
        let memory = pool.memory();
        assert_eq!((memory.in_use_bytes, memory.held_bytes, memory.idle_bytes), (4096, 4 * 4096, 0));
        pool.give(short, 1024, Stay::Short);
        assert_eq!(pool.memory().in_use_bytes, 0);
        let long = pool.take(1024, Stay::Long);
        assert_eq!(pool.memory().held_bytes, 5 * 4096);
        pool.give(long, 1024, Stay::Long);
        assert_eq!((pool.memory().idle_bytes, pool.memory().in_use_bytes), (5 * 4096, 0));
    }

    #[test]
    fn the_peak_is_counted_and_reset() {
        let pool = Pool::default();
        let first = pool.take(1024, Stay::Long);
        let second = pool.take(1024, Stay::Long);
        pool.give(second, 1024, Stay::Long);
        assert_eq!(
            pool.memory(),
            MemoryUse { in_use_bytes: 4096, peak_bytes: 8192, idle_bytes: 4096, held_bytes: 8192 }
        );
        pool.reset_peak();
        assert_eq!(pool.memory().peak_bytes, 4096);
        pool.give(first, 1024, Stay::Long);
    }
}
