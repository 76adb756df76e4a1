//! The groma program.

fn main() {}
