//! How large a report may become.

/// How large a report may become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Side-by-side samples shown of each task.
    pub samples_a_task: usize,
    /// Bytes of samples in all.
    pub samples_bytes: usize,
    /// Bytes of the page; samples give way until it fits.
    pub page_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { samples_a_task: 200, samples_bytes: 3_000_000, page_bytes: 5_000_000 }
    }
}
