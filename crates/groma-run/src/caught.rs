//! Panics of libraries that are caught and told as errors.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// How many calls of [`catch_panic`] this thread is in.
    static CATCHING: Cell<u32> = const { Cell::new(0) };
}

/// Runs code of a library that may panic on hostile input; a panic is an error with its message.
///
/// What `work` was changing when it panicked may be half changed: the caller throws it away.
///
/// # Errors
/// The message of a panic.
pub fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    CATCHING.set(CATCHING.get() + 1);
    let result = catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(CATCHING.get() - 1);
    result.map_err(|panic| message(&*panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}

/// Lets panics inside of [`catch_panic`] print nothing; all others are told as before. For the start of a program, once.
pub fn silence_caught_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if CATCHING.try_with(Cell::get).unwrap_or(0) == 0 {
            before(panic);
        }
    }));
}
