//! Limits on what is read and written; checked before memory is taken.

/// A manifest, a marker or another small JSON file, in bytes.
pub const MANIFEST_BYTES: u64 = 16 << 20;
/// One line of a journal, in bytes.
pub const JOURNAL_LINE_BYTES: usize = 4 << 20;
/// All of one journal, in bytes.
pub const JOURNAL_BYTES: u64 = 1 << 30;
/// One row of a samples file, uncompressed, in bytes.
pub const SAMPLE_LINE_BYTES: usize = 16 << 20;
/// All of one samples file, uncompressed, in bytes.
pub const SAMPLES_BYTES: u64 = 4 << 30;
/// Rows of one samples file.
pub const SAMPLES_ROWS: usize = 10_000_000;
/// The holder's description in a lock file, in bytes.
pub const LOCK_BYTES: u64 = 4096;
/// The name of a run, a stage, a file: at most so many bytes, as file systems have it.
pub const NAME_BYTES: usize = 255;
/// How deeply directories that groma writes may be nested.
pub const DIRECTORY_DEPTH: usize = 16;
