//! From a path to a table.

use std::path::Path;

use crate::error::{Error, Result};
use crate::format::{Compression, Format, compression_of, format_of};
use crate::limits::Limits;
use crate::policy::OnBadRow;
use crate::source::Source;
use crate::table::{Collector, Rename, Table};
use crate::text::TextUnit;
use crate::{columnar, delimited, document, jsonl, text};

/// How to read a file; the default takes everything from its name.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// The format, where the name does not say it.
    pub format: Option<Format>,
    /// The compression, where the name does not say it.
    pub compression: Option<Compression>,
    /// What a bad row does.
    pub on_bad_row: OnBadRow,
    /// Columns to call by another name.
    pub rename: Vec<Rename>,
    /// Columns to do without; taken away after renaming.
    pub drop: Vec<String>,
    /// The field that holds the rows of a JSON document with several arrays.
    pub array: Option<String>,
    /// What a row of plain text is.
    pub text_unit: TextUnit,
    /// Bounds on what the file may ask for.
    pub limits: Limits,
}

/// Reads a file's rows.
///
/// The format and the compression come from the file's name (`.jsonl`, `.ndjson`, `.json`, `.csv`, `.tsv`, `.parquet`,
/// `.txt`, and all but Parquet also `.gz` or `.zst`) unless the options name them. A byte-order mark and CRLF line ends
/// are accepted everywhere. A `.json` file that holds several objects one after another is read as JSON lines.
///
/// # Errors
/// A file that cannot be opened, is of another kind, damaged, empty or beyond the limits; bad rows beyond what
/// [`ReadOptions::on_bad_row`] accepts.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Table> {
    let limits = &options.limits;
    let format = match options.format {
        Some(format) => format,
        None => format_of(path)?,
    };
    let compression = options.compression.unwrap_or_else(|| compression_of(path).0);
    let table = if format == Format::Parquet {
        read_parquet(path, compression, options)?
    } else {
        let source = Source::open(path, compression, limits)?;
        let memory = match compression {
            Compression::None => limits.table_bytes,
            Compression::Gzip | Compression::Zstd => limits.table_bytes.min(limits.grown(source.disk_bytes)),
        };
        let mut rows = Collector::new(source.name.clone(), limits, memory);
        match format {
            Format::Jsonl => jsonl::read(source, limits, &mut rows),
            Format::Json => document::read(source, options.array.as_deref(), limits, &mut rows),
            Format::Csv => delimited::read(source, b',', limits, &mut rows),
            Format::Tsv => delimited::read(source, b'\t', limits, &mut rows),
            Format::Text | Format::Parquet => text::read(source, &options.text_unit, limits, &mut rows),
        }?;
        rows.finish(format, options.on_bad_row)?
    };
    table.rename(&options.rename)?.drop(&options.drop)
}

fn read_parquet(path: &Path, compression: Compression, options: &ReadOptions) -> Result<Table> {
    let file = path.display().to_string();
    if compression != Compression::None {
        let why = "is a compressed Parquet file; Parquet is compressed inside, so decompress it first".to_owned();
        return Err(Error::WrongFormat { file, why });
    }
    columnar::read(path, &options.limits)?.finish(Format::Parquet, options.on_bad_row)
}
