//! What is wrong with a part of a task's file.

/// Where a problem is, in bytes of the file, and what it is.
pub(crate) type Problem = (usize, String);
