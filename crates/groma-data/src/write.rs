//! Rows back into a file.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use groma_run::Disk;
use groma_run::atomic::AtomicFile;

use crate::error::{Error, Result};
use crate::format::{Compression, compression_of};
use crate::row::Fields;

/// Level of Zstandard compression: its default.
const ZSTD_LEVEL: i32 = 3;

/// Writes rows as JSON lines, compressed if the name ends in `.gz` or `.zst`. The file is there whole or not at all: an
/// error or a kill leaves what was there before.
///
/// # Errors
/// What the system says, such as no space.
pub fn write_jsonl<'a, T: Fields + 'a>(path: &Path, rows: impl IntoIterator<Item = &'a T>) -> Result<()> {
    let failed = |source| Error::Write { source };
    let mut file = AtomicFile::create(&Disk::files(), path).map_err(failed)?;
    let written = match compression_of(path).0 {
        Compression::None => write_rows(BufWriter::new(&mut file), rows).and_then(|mut writer| writer.flush()),
        Compression::Gzip => {
            let encoder = flate2::write::GzEncoder::new(&mut file, flate2::Compression::default());
            write_rows(encoder, rows).and_then(|encoder| encoder.finish().map(drop))
        }
        Compression::Zstd => zstd::Encoder::new(&mut file, ZSTD_LEVEL)
            .and_then(|mut encoder| encoder.include_checksum(true).map(|()| encoder))
            .and_then(|encoder| write_rows(encoder, rows))
            .and_then(|encoder| encoder.finish().map(drop)),
    };
    written.map_err(|source| Error::Io { action: "write", path: path.to_owned(), source })?;
    file.commit().map_err(failed)
}

fn write_rows<'a, W: Write, T: Fields + 'a>(mut writer: W, rows: impl IntoIterator<Item = &'a T>) -> io::Result<W> {
    for row in rows {
        serde_json::to_writer(&mut writer, &row.fields())?;
        writer.write_all(b"\n")?;
    }
    Ok(writer)
}
