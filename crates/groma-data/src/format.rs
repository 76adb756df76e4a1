//! How a file is written, by its name.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use crate::error::{Error, Result};

/// The extensions that are understood.
const KNOWN: &str = ".jsonl, .ndjson, .json, .csv, .tsv, .parquet, .txt";

/// The layout of rows in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// A JSON array of objects, or an object holding one array.
    Json,
    /// Comma-separated values with a header (RFC 4180).
    Csv,
    /// Tab-separated values with a header.
    Tsv,
    /// Apache Parquet.
    Parquet,
    /// Plain text.
    Text,
}

impl Format {
    /// Whether every value of this format is a string, so that numbers and booleans must be read out of strings.
    pub fn is_untyped(self) -> bool {
        matches!(self, Format::Csv | Format::Tsv | Format::Text)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Jsonl => "jsonl",
            Format::Json => "json",
            Format::Csv => "csv",
            Format::Tsv => "tsv",
            Format::Parquet => "parquet",
            Format::Text => "text",
        })
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "jsonl" | "ndjson" => Format::Jsonl,
            "json" => Format::Json,
            "csv" => Format::Csv,
            "tsv" => Format::Tsv,
            "parquet" => Format::Parquet,
            "text" | "txt" => Format::Text,
            _ => {
                return Err(Error::Argument {
                    name: "format",
                    value: name.to_owned(),
                    why: "expected jsonl, json, csv, tsv, parquet or text".to_owned(),
                });
            }
        })
    }
}

/// How a file is compressed as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// The compression that a path's last extension names, and the path's name without it.
pub(crate) fn compression_of(path: &Path) -> (Compression, String) {
    let name = path.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    for (ending, compression) in [(".gz", Compression::Gzip), (".zst", Compression::Zstd)] {
        if let Some(stem) = name.strip_suffix(ending) {
            return (compression, stem.to_owned());
        }
    }
    (Compression::None, name)
}

/// The format that a path's name says, compression aside.
pub(crate) fn format_of(path: &Path) -> Result<Format> {
    let (_, stem) = compression_of(path);
    let extension = Path::new(&stem).extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
    let known = matches!(&*extension, "jsonl" | "ndjson" | "json" | "csv" | "tsv" | "parquet" | "txt");
    if !known {
        return Err(Error::UnknownFormat { file: path.display().to_string(), expected: KNOWN });
    }
    extension.parse()
}

/// What the first bytes of a file betray, where they betray something.
pub(crate) fn magic_of(head: &[u8]) -> Option<&'static str> {
    const MAGIC: [(&[u8], &str); 8] = [
        (b"\x1f\x8b", "gzip"),
        (b"\x28\xb5\x2f\xfd", "Zstandard"),
        (b"PAR1", "Parquet"),
        (b"PK\x03\x04", "a zip archive"),
        (b"\xff\xfe", "UTF-16 text"),
        (b"\xfe\xff", "UTF-16 text"),
        (b"ARROW1", "Arrow IPC"),
        (b"\x80\x04", "a Python pickle"),
    ];
    MAGIC.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, name)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_format_and_compression() {
        let of = |name: &str| (format_of(Path::new(name)).unwrap(), compression_of(Path::new(name)).0);
        assert_eq!(of("a/b.jsonl"), (Format::Jsonl, Compression::None));
        assert_eq!(of("a.b/C.JSONL.GZ"), (Format::Jsonl, Compression::Gzip));
        assert_eq!(of("x.csv.zst"), (Format::Csv, Compression::Zstd));
        assert_eq!(of("x.parquet"), (Format::Parquet, Compression::None));
        for name in ["", "rows", "rows.gz", "rows.zip", "rows.tar.gz", ".jsonl", "rows.pkl"] {
            assert!(matches!(format_of(Path::new(name)), Err(Error::UnknownFormat { .. })), "{name}");
        }
    }

    #[test]
    fn names_of_formats_round_trip() {
        for format in [Format::Jsonl, Format::Json, Format::Csv, Format::Tsv, Format::Parquet, Format::Text] {
            assert_eq!(format.to_string().parse::<Format>().unwrap(), format);
        }
        assert!("yaml".parse::<Format>().is_err());
    }
}
