//! Opening a file: decompression under a cap, and errors with a place.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{Compression, magic_of};
use crate::limits::{Limits, bytes_text};

/// A stream of the decompressed bytes of one file.
pub(crate) struct Source {
    /// The bytes; reading beyond the limits is an error.
    pub(crate) input: Box<dyn BufRead>,
    /// The file as the user named it.
    pub(crate) name: Arc<str>,
    /// Bytes on disk, 0 for what is not a regular file.
    pub(crate) disk_bytes: u64,
    /// How it is compressed.
    pub(crate) compression: Compression,
    /// The most bytes that it may grow to.
    cap: u64,
}

impl Source {
    /// Opens a text format; the content must not betray another kind.
    pub(crate) fn open(path: &Path, compression: Compression, limits: &Limits) -> Result<Self> {
        let (file, disk_bytes) = open_file(path)?;
        let name: Arc<str> = path.display().to_string().into();
        let mut raw = BufReader::with_capacity(1 << 16, file);
        check_compression(&mut raw, compression, path)?;
        let cap = match compression {
            Compression::None => limits.file_bytes,
            Compression::Gzip | Compression::Zstd => limits.file_bytes.min(limits.grown(disk_bytes)),
        };
        let plain: Box<dyn Read> = match compression {
            Compression::None => Box::new(raw),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(raw)),
            Compression::Zstd => Box::new(zstd::Decoder::with_buffer(raw).map_err(|e| io_error("read", path, e))?),
        };
        let input = Box::new(BufReader::with_capacity(1 << 16, Capped { inner: plain, left: cap }));
        let mut source = Source { input, name, disk_bytes, compression, cap };
        source.check_content()?;
        Ok(source)
    }

    /// A source over bytes in memory, named for messages.
    #[cfg(test)]
    pub(crate) fn of_bytes(name: &str, bytes: &[u8]) -> Self {
        Source {
            input: Box::new(io::Cursor::new(bytes.to_vec())),
            name: name.into(),
            disk_bytes: bytes.len() as u64,
            compression: Compression::None,
            cap: u64::MAX,
        }
    }

    fn check_content(&mut self) -> Result<()> {
        let found = match self.input.fill_buf() {
            Ok(head) => magic_of(head),
            Err(error) => return Err(self.failure(1, error)),
        };
        match found {
            None => Ok(()),
            Some(kind @ "UTF-16 text") => Err(self.wrong(format!("is {kind}; convert it to UTF-8"))),
            Some(kind) => Err(self.wrong(format!("holds {kind} where text was expected"))),
        }
    }

    fn wrong(&self, why: String) -> Error {
        Error::WrongFormat { file: self.name.to_string(), why }
    }

    /// The error for a failed read at a line.
    pub(crate) fn failure(&self, line: u64, error: io::Error) -> Error {
        if error.get_ref().is_some_and(|inner| inner.is::<TooLarge>()) {
            let what = match self.compression {
                Compression::None => "the file".to_owned(),
                _ => format!("what the {} on disk decompress to", groma_run::counted(self.disk_bytes, "byte")),
            };
            return Error::Limit { file: self.name.to_string(), what, limit: bytes_text(self.cap) };
        }
        let stream = match self.compression {
            Compression::None => return io_error("read", Path::new(&*self.name), error),
            Compression::Gzip => "gzip",
            Compression::Zstd => "Zstandard",
        };
        let place = format!("{}:{line}", self.name);
        Error::Damaged { place, why: format!("the {stream} stream is damaged or cut short ({error})") }
    }
}

/// Opens a file for reading, and says how long it is.
pub(crate) fn open_file(path: &Path) -> Result<(File, u64)> {
    let file = File::open(path).map_err(|e| io_error("open", path, e))?;
    let metadata = file.metadata().map_err(|e| io_error("read", path, e))?;
    if metadata.is_dir() {
        return Err(io_error("read", path, io::ErrorKind::IsADirectory.into()));
    }
    Ok((file, metadata.len()))
}

pub(crate) fn io_error(action: &'static str, path: &Path, source: io::Error) -> Error {
    Error::Io { action, path: path.to_owned(), source }
}

fn check_compression(raw: &mut impl BufRead, compression: Compression, path: &Path) -> Result<()> {
    let head = raw.fill_buf().map_err(|e| io_error("read", path, e))?;
    if head.is_empty() {
        return Err(Error::Empty { file: path.display().to_string() });
    }
    let found = magic_of(head);
    let wrong = |why: String| Err(Error::WrongFormat { file: path.display().to_string(), why });
    match (compression, found) {
        (Compression::None, Some("gzip" | "Zstandard")) => {
            let found = found.unwrap_or_default();
            wrong(format!("is compressed with {found}; name it .gz or .zst, or name the compression explicitly"))
        }
        (Compression::Gzip, kind) if kind != Some("gzip") => wrong("is not a gzip file".to_owned()),
        (Compression::Zstd, kind) if kind != Some("Zstandard") => wrong("is not a Zstandard file".to_owned()),
        _ => Ok(()),
    }
}

/// Reads at most `left` bytes and fails if there are more.
struct Capped<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other(TooLarge))?;
        Ok(read)
    }
}

/// Marks the error of a stream that exceeds its cap.
#[derive(Debug, thiserror::Error)]
#[error("more bytes than allowed")]
struct TooLarge;
