//! Lines of bounded length.

use std::io;

use crate::error::Result;
use crate::source::Source;

/// Reads a source line by line; a line beyond the limit is skipped, not stored.
pub(crate) struct Lines {
    source: Source,
    limit: u64,
    number: u64,
    buffer: Vec<u8>,
}

/// One line, without its end (LF or CRLF).
pub(crate) struct Line<'a> {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// Its bytes; a prefix of them if it is too long.
    pub(crate) bytes: &'a [u8],
    /// Whether it is longer than the limit.
    pub(crate) too_long: bool,
}

impl Line<'_> {
    /// Whether it holds nothing but white space.
    pub(crate) fn is_blank(&self) -> bool {
        self.bytes.iter().all(u8::is_ascii_whitespace)
    }
}

impl Lines {
    pub(crate) fn new(source: Source, limit: u64) -> Self {
        Lines { source, limit, number: 0, buffer: Vec::new() }
    }

    /// The next line; a byte-order mark before the first is dropped.
    pub(crate) fn next(&mut self) -> Result<Option<Line<'_>>> {
        let number = self.number + 1;
        let read = self.fill().map_err(|error| self.source.failure(number, error))?;
        let Some(too_long) = read else { return Ok(None) };
        self.number = number;
        let mut bytes = &*self.buffer;
        if number == 1 {
            bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        }
        bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        Ok(Some(Line { number, bytes, too_long }))
    }

    /// Reads up to the next line feed into the buffer. None at the end; else whether the line was too long.
    fn fill(&mut self) -> io::Result<Option<bool>> {
        self.buffer.clear();
        let (mut any, mut too_long) = (false, false);
        loop {
            let chunk = self.source.input.fill_buf()?;
            if chunk.is_empty() {
                return Ok(any.then_some(too_long));
            }
            any = true;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let piece = &chunk[..end.unwrap_or(chunk.len())];
            let room = usize::try_from(self.limit).unwrap_or(usize::MAX).saturating_sub(self.buffer.len());
            too_long |= piece.len() > room;
            self.buffer.extend_from_slice(&piece[..piece.len().min(room)]);
            let consumed = end.map_or(chunk.len(), |end| end + 1);
            self.source.input.consume(consumed);
            if end.is_some() {
                return Ok(Some(too_long));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8], limit: u64) -> Vec<(u64, Vec<u8>, bool)> {
        let mut reader = Lines::new(Source::of_bytes("x", bytes), limit);
        let mut all = Vec::new();
        while let Some(line) = reader.next().unwrap() {
            all.push((line.number, line.bytes.to_vec(), line.too_long));
        }
        all
    }

    #[test]
    fn ends_marks_and_limits() {
        assert!(lines(b"", 10).is_empty());
        assert_eq!(
            lines(b"\xef\xbb\xbfa\r\n\nbb", 10),
            [(1, b"a".to_vec(), false), (2, Vec::new(), false), (3, b"bb".to_vec(), false)]
        );
        assert_eq!(lines(b"abcdef\nab", 3), [(1, b"abc".to_vec(), true), (2, b"ab".to_vec(), false)]);
        assert_eq!(lines(b"abc\n", 3), [(1, b"abc".to_vec(), false)]);
    }
}
