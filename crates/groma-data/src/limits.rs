//! What a file may ask for. Every limit is checked before the memory it guards is spent.

const KIB: u64 = 1 << 10;
const MIB: u64 = KIB << 10;
const GIB: u64 = MIB << 10;

/// Bounds on one file; [`Limits::default`] holds the values that groma uses.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Bytes of one row: a line, an element of a JSON array, a CSV record, a text.
    pub row_bytes: u64,
    /// Rows of one file.
    pub rows: u64,
    /// Bytes of one file after decompression.
    pub file_bytes: u64,
    /// Bytes of a JSON document that is not JSON lines, which must be held whole.
    pub document_bytes: u64,
    /// Levels of nested lists and objects in one row.
    pub depth: usize,
    /// Fields of one row.
    pub fields: usize,
    /// Bytes of memory that all rows together may take, by the estimate of [`crate::Record`].
    pub table_bytes: u64,
    /// A file may grow to `free_bytes` whatever its size on disk ...
    pub free_bytes: u64,
    /// ... and beyond that to at most this many times its size on disk.
    pub expansion: u64,
    /// Bytes of the footer of a Parquet file.
    pub parquet_footer_bytes: u64,
    /// Bytes of one decompressed Parquet page.
    pub parquet_page_bytes: u64,
    /// Values of one column in one Parquet row group.
    pub parquet_chunk_values: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            row_bytes: 32 * MIB,
            rows: 20_000_000,
            file_bytes: 8 * GIB,
            document_bytes: 512 * MIB,
            depth: 64,
            fields: 4096,
            table_bytes: 8 * GIB,
            free_bytes: 256 * MIB,
            expansion: 300,
            parquet_footer_bytes: 64 * MIB,
            parquet_page_bytes: 256 * MIB,
            parquet_chunk_values: 8 << 20,
        }
    }
}

impl Limits {
    /// The most that a file of `disk_bytes` may grow to in memory.
    pub(crate) fn grown(&self, disk_bytes: u64) -> u64 {
        self.free_bytes.max(disk_bytes.saturating_mul(self.expansion))
    }
}

/// A number of bytes for people: `32 MiB`, `513 bytes`.
pub(crate) fn bytes_text(bytes: u64) -> String {
    match bytes {
        b if b >= GIB && b.is_multiple_of(GIB) => format!("{} GiB", b / GIB),
        b if b >= MIB && b.is_multiple_of(MIB) => format!("{} MiB", b / MIB),
        b if b >= KIB && b.is_multiple_of(KIB) => format!("{} KiB", b / KIB),
        b => groma_run::counted(b, "byte"),
    }
}
