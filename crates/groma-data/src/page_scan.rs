//! What a Parquet file claims, read before the Parquet library allocates by it.
//!
//! A footer or a page header of a few bytes can ask for gigabytes. This walks the footer's schema and every page header
//! with a small reader of Thrift's compact protocol that allocates nothing, and returns the sizes for checking.

use crate::page_size::Packing;
use std::io::{self, BufRead, Read, Seek};

/// Nested structures in one Thrift value.
const MAX_THRIFT_DEPTH: usize = 32;

/// What the page headers of one column chunk say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChunkSizes {
    /// Values (with nulls) of all data pages.
    pub(crate) values: u64,
    /// Values of the page that has most.
    pub(crate) page_values: u64,
    /// Decompressed bytes of the largest page.
    pub(crate) page_bytes: u64,
    /// Decompressed bytes of all pages.
    pub(crate) bytes: u64,
    /// Decompressed bytes of the dictionary page, 0 without one.
    pub(crate) dictionary_bytes: u64,
    /// Whether a page stores values as differences to the value before, so that few bytes are many.
    pub(crate) delta_strings: bool,
}

/// Reads the page headers between two offsets of a file. Where the Parquet library would unpack a page to its end, whatever
/// size it claims, the pages are unpacked here first, into nothing, up to that size.
pub(crate) fn scan_chunk(
    file: &mut (impl BufRead + Seek),
    (start, end): (u64, u64),
    packing: Option<Packing>,
) -> io::Result<ChunkSizes> {
    let mut sizes = ChunkSizes::default();
    let mut at = start;
    file.seek(io::SeekFrom::Start(start))?;
    while at < end {
        let page = page_header(file)?;
        let body = page.compressed.ok_or_else(|| damaged("a page without a size"))?;
        let after_header = file.stream_position()?;
        at = after_header
            .checked_add(body)
            .filter(|at| *at <= end)
            .ok_or_else(|| damaged("a page beyond its column"))?;
        if let Some(packing) = packing.filter(|_| page.is_packed) {
            let levels = page.levels.min(body);
            file.seek_relative(i64::try_from(levels).map_err(|_| damaged("a page too large"))?)?;
            let size = page.uncompressed.unwrap_or(0).saturating_sub(levels);
            if packing.exceeds(file.by_ref().take(body - levels), size) {
                return Err(damaged("a page that is larger than it says"));
            }
        }
        file.seek(io::SeekFrom::Start(at))?;
        sizes.add(&page);
    }
    Ok(sizes)
}

impl ChunkSizes {
    fn add(&mut self, page: &PageHeader) {
        let bytes = page.uncompressed.unwrap_or(0);
        self.page_bytes = self.page_bytes.max(bytes);
        self.bytes = self.bytes.saturating_add(bytes);
        self.page_values = self.page_values.max(page.values);
        if page.is_dictionary {
            self.dictionary_bytes = self.dictionary_bytes.max(bytes);
        } else {
            self.values = self.values.saturating_add(page.values);
        }
        self.delta_strings |= page.encoding == DELTA_BYTE_ARRAY;
    }

    /// The most bytes that the values of this chunk can take once decoded.
    pub(crate) fn decoded_bound(&self) -> u64 {
        let each = if self.delta_strings { self.page_bytes.max(self.dictionary_bytes) } else { self.dictionary_bytes };
        self.bytes.max(self.values.saturating_mul(each))
    }
}

const DELTA_BYTE_ARRAY: i64 = 7;

/// The sizes in one page header.
struct PageHeader {
    uncompressed: Option<u64>,
    compressed: Option<u64>,
    values: u64,
    encoding: i64,
    is_dictionary: bool,
    /// Bytes before the values that are never packed: the levels of a page of version 2.
    levels: u64,
    is_packed: bool,
}

fn page_header(input: &mut impl BufRead) -> io::Result<PageHeader> {
    let mut page = PageHeader {
        uncompressed: None,
        compressed: None,
        values: 0,
        encoding: 0,
        is_dictionary: false,
        levels: 0,
        is_packed: true,
    };
    Thrift { input }.fields(0, |thrift, id, kind, depth| match (id, kind) {
        (2, I32) => thrift.size().map(|size| page.uncompressed = Some(size)),
        (3, I32) => thrift.size().map(|size| page.compressed = Some(size)),
        (5 | 7 | 8, STRUCT) => {
            page.is_dictionary = id == 7;
            let encoding_field = if id == 8 { 4 } else { 2 };
            thrift.fields(depth, |thrift, inner, kind, depth| match (inner, kind) {
                (1, I32) => thrift.size().map(|size| page.values = size),
                (inner, I32) if inner == encoding_field => thrift.zigzag().map(|value| page.encoding = value),
                (5 | 6, I32) if id == 8 => thrift.size().map(|bytes| page.levels = page.levels.saturating_add(bytes)),
                (7, FALSE) if id == 8 => {
                    page.is_packed = false;
                    Ok(())
                }
                _ => thrift.skip(kind, depth),
            })
        }
        _ => thrift.skip(kind, depth),
    })?;
    Ok(page)
}

/// The levels of nesting of a footer's schema.
pub(crate) fn schema_depth(footer: &[u8]) -> io::Result<usize> {
    // Children still to come at each open level.
    let mut open: Vec<u64> = Vec::new();
    let mut deepest = 0;
    let mut input = footer;
    Thrift { input: &mut input }.fields(0, |thrift, id, kind, depth| {
        if (id, kind) != (2, LIST) {
            return thrift.skip(kind, depth);
        }
        let (element, count) = thrift.list()?;
        if element != STRUCT {
            return Err(damaged("a schema of another type"));
        }
        for _ in 0..count {
            let children = schema_element(thrift, depth)?;
            while open.last() == Some(&0) {
                open.pop();
            }
            if let Some(left) = open.last_mut() {
                *left -= 1;
            }
            if children > 0 {
                open.push(children);
                deepest = deepest.max(open.len());
            }
        }
        Ok(())
    })?;
    Ok(deepest)
}

/// The number of children of the next schema element.
fn schema_element<R: BufRead>(thrift: &mut Thrift<'_, R>, depth: usize) -> io::Result<u64> {
    let mut children = 0;
    thrift.fields(depth, |thrift, id, kind, depth| match (id, kind) {
        (5, I32) => thrift.size().map(|size| children = size),
        _ => thrift.skip(kind, depth),
    })?;
    Ok(children)
}

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const I8: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

fn damaged(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// A reader of Thrift's compact protocol that keeps nothing.
struct Thrift<'a, R> {
    input: &'a mut R,
}

impl<R: BufRead> Thrift<'_, R> {
    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.input.read_exact(&mut byte)?;
        Ok(byte[0])
    }

    fn varint(&mut self) -> io::Result<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged("a number that never ends"))
    }

    fn zigzag(&mut self) -> io::Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A number that must not be negative.
    fn size(&mut self) -> io::Result<u64> {
        u64::try_from(self.zigzag()?).map_err(|_| damaged("a negative size"))
    }

    fn list(&mut self) -> io::Result<(u8, u64)> {
        let head = self.byte()?;
        let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        Ok((head & 15, count))
    }

    /// Calls `take` for each field of a struct with its number, kind and depth.
    fn fields(
        &mut self,
        depth: usize,
        mut take: impl FnMut(&mut Self, i64, u8, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        if depth > MAX_THRIFT_DEPTH {
            return Err(damaged("structures nested too deeply"));
        }
        let mut id = 0_i64;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(());
            }
            let step = i64::from(head >> 4);
            id = if step == 0 { self.zigzag()? } else { id.saturating_add(step) };
            take(self, id, head & 15, depth + 1)?;
        }
    }

    fn skip(&mut self, kind: u8, depth: usize) -> io::Result<()> {
        match kind {
            TRUE | FALSE => Ok(()),
            I8 => self.byte().map(drop),
            I16 | I32 | I64 => self.varint().map(drop),
            DOUBLE => self.skip_bytes(8),
            BINARY => self.varint().and_then(|length| self.skip_bytes(length)),
            LIST | SET => {
                let (element, count) = self.list()?;
                (0..count).try_for_each(|_| self.skip_element(element, depth))
            }
            MAP => {
                let count = self.varint()?;
                let kinds = if count > 0 { self.byte()? } else { 0 };
                (0..count).try_for_each(|_| {
                    self.skip_element(kinds >> 4, depth)?;
                    self.skip_element(kinds & 15, depth)
                })
            }
            STRUCT => self.fields(depth, |thrift, _, kind, depth| thrift.skip(kind, depth)),
            _ => Err(damaged("an unknown Thrift type")),
        }
    }

    /// A boolean in a list or map is a byte of its own, unlike one in a struct.
    fn skip_element(&mut self, kind: u8, depth: usize) -> io::Result<()> {
        if depth > MAX_THRIFT_DEPTH {
            return Err(damaged("structures nested too deeply"));
        }
        if kind == TRUE || kind == FALSE { self.byte().map(drop) } else { self.skip(kind, depth + 1) }
    }

    fn skip_bytes(&mut self, count: u64) -> io::Result<()> {
        let skipped = io::copy(&mut self.input.by_ref().take(count), &mut io::sink())?;
        if skipped == count { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lies_are_errors() {
        let cases: [&[u8]; 6] = [
            b"",
            b"\x15",                                         // a number cut short
            b"\x18\xff\xff\xff\xff\x0f",                     // a string of 4 GiB
            b"\x15\x00\x15\x01\x15\x00\x00",                 // a negative size
            &[0x1c; 200],                                    // structures in structures
            b"\x15\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", // a number that never ends
        ];
        for bytes in cases {
            assert!(page_header(&mut &*bytes).is_err(), "{bytes:?}");
        }
        let lists = [&[0x29_u8, 0xfc, 0x7f][..], &[0x00; 20]].concat();
        assert!(schema_depth(&lists).is_err(), "more elements than bytes");
    }
}
