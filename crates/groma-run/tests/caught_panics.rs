//! Caught panics become messages and print nothing; others are told.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail and say so")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use groma_run::{catch_panic, silence_caught_panics};

// The hook belongs to the process, and so this file has one test.
#[test]
fn caught_panics_are_silent_and_others_are_not() {
    let told = Arc::new(AtomicU32::new(0));
    let count = told.clone();
    std::panic::set_hook(Box::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    }));
    silence_caught_panics();
    assert_eq!(catch_panic(|| 7), Ok(7));
    assert_eq!(catch_panic(|| -> u32 { panic!("a {}", "b") }), Err("a b".into()));
    assert_eq!(catch_panic(|| catch_panic(|| -> u32 { panic!("inner") })), Ok(Err("inner".into())));
    assert_eq!(told.load(Ordering::SeqCst), 0);
    let elsewhere = catch_panic(|| std::thread::spawn(|| panic!("outside")).join().is_err());
    assert_eq!((elsewhere, told.load(Ordering::SeqCst)), (Ok(true), 1), "another thread's panic is not caught here");
    assert!(std::panic::catch_unwind(|| panic!("later")).is_err());
    assert_eq!(told.load(Ordering::SeqCst), 2);
}
