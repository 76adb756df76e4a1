//! A JSON document: an array of rows, or an object that holds one.
//!
//! The elements are found by a scan for their ends and then parsed one by one, so that a bad element is one bad row with
//! a place, and no value tree of the whole document is built beside the rows.

use std::io::Read;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::jsonl::{self, too_long};
use crate::limits::{Limits, bytes_text};
use crate::source::Source;
use crate::strict_json::{Fault, kind_of, parse_object, parse_value};
use crate::table::Collector;

/// Reads the rows of a document. `array` names the field that holds them, where an object holds several arrays.
pub(crate) fn read(mut source: Source, array: Option<&str>, limits: &Limits, rows: &mut Collector) -> Result<()> {
    let bytes = slurp(&mut source, limits)?;
    let name = source.name.clone();
    let mut document = Document { bytes: &bytes, at: 0, name: &name, depth: limits.depth };
    document.space();
    match document.peek() {
        None => Ok(()),
        Some(b'[') => document.rows(limits, rows),
        Some(b'{') => match document.holder(array)? {
            Holder::Array(at) => Document { at, ..document }.rows(limits, rows),
            Holder::Lines => {
                source.input = Box::new(std::io::Cursor::new(bytes));
                jsonl::read(source, limits, rows)
            }
        },
        Some(_) => Err(document.damaged("expected an array of rows, or an object that holds one")),
    }
}

/// The whole document, without a byte-order mark.
fn slurp(source: &mut Source, limits: &Limits) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut input = (&mut source.input).take(limits.document_bytes + 1);
    let read = input.read_to_end(&mut bytes);
    read.map_err(|error| source.failure(1, error))?;
    if bytes.len() as u64 > limits.document_bytes {
        let what = "the JSON document (JSON lines are read without holding the whole)".to_owned();
        return Err(Error::Limit { file: source.name.to_string(), what, limit: bytes_text(limits.document_bytes) });
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    Ok(bytes)
}

/// Where the rows of an object are.
enum Holder {
    /// In the array that begins at this byte.
    Array(usize),
    /// The object is itself the first of several: JSON lines under the name .json.
    Lines,
}

struct Document<'a> {
    bytes: &'a [u8],
    at: usize,
    name: &'a str,
    depth: usize,
}

impl Document<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn damaged(&self, why: impl Into<String>) -> Error {
        let fault = Fault::at(self.bytes, self.at, why);
        let column = fault.column.unwrap_or(1);
        let place = format!("{}:{}:{column}", self.name, fault.line_offset + 1);
        Error::Damaged { place, why: format!("{}, near `{}`", fault.why, fault.excerpt) }
    }

    /// Passes over one value by its brackets and quotes alone, and returns its bytes' range.
    fn value(&mut self) -> Result<std::ops::Range<usize>> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => self.string()?,
            Some(b'[' | b'{') => self.nested()?,
            _ => self.scalar(),
        }
        if self.at == start { Err(self.damaged("expected a value")) } else { Ok(start..self.at) }
    }

    /// Passes over what is neither quoted nor bracketed.
    fn scalar(&mut self) {
        let ends = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b',' | b']' | b'}' | b':');
        while self.peek().is_some_and(|byte| !ends(byte)) {
            self.at += 1;
        }
    }

    /// Passes over an array or object, up to the bracket that closes it.
    fn nested(&mut self) -> Result<()> {
        let mut depth = 0_usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
            // One level for the array of rows and one for its holder.
            if depth > self.depth + 2 {
                return Err(self.damaged("lists and objects are nested too deeply"));
            }
        }
        Err(self.damaged("the document ends inside a value (cut short?)"))
    }

    fn string(&mut self) -> Result<()> {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return Ok(());
            }
        }
        self.at = start;
        Err(self.damaged("this string never ends"))
    }

    /// After an element: whether another follows. Consumes the comma or the closing bracket.
    fn more(&mut self, close: u8) -> Result<bool> {
        self.space();
        let next = self.peek();
        if next == Some(b',') || next == Some(close) {
            self.at += 1;
            self.space();
            return Ok(next == Some(b','));
        }
        let shown = char::from(close);
        Err(self.damaged(format!("expected a comma or `{shown}` after an element")))
    }

    /// Opens an array or object; whether it has elements.
    fn open(&mut self, close: u8) -> bool {
        self.at += 1;
        self.space();
        let empty = self.peek() == Some(close);
        self.at += usize::from(empty);
        !empty
    }

    fn rows(mut self, limits: &Limits, rows: &mut Collector) -> Result<()> {
        let (mut line, mut line_start, mut counted) = (1, 0, 0);
        let mut more = self.open(b']');
        while more {
            let range = self.value()?;
            // What was passed over is looked at once, however long the line is.
            for (at, _) in self.bytes[counted..range.start].iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
                (line, line_start) = (line + 1, counted + at + 1);
            }
            counted = range.start;
            let element = &self.bytes[range.clone()];
            rows.row(line, row(element, limits).map_err(|fault| shifted(fault, range.start - line_start)))?;
            more = self.more(b']')?;
        }
        Ok(())
    }

    /// Finds the rows in an object.
    fn holder(&mut self, wanted: Option<&str>) -> Result<Holder> {
        let mut arrays: Vec<(String, usize)> = Vec::new();
        let mut more = self.open(b'}');
        while more {
            let key = self.value()?;
            let key = serde_json::from_slice::<String>(&self.bytes[key])
                .map_err(|_| self.damaged("expected the quoted name of a field"))?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.damaged("expected a colon after the name of a field"));
            }
            self.at += 1;
            self.space();
            let value = self.value()?;
            if self.bytes[value.start] == b'[' {
                arrays.push((key, value.start));
            }
            more = self.more(b'}')?;
        }
        self.space();
        if self.peek().is_some() {
            return Ok(Holder::Lines);
        }
        self.choose(&arrays, wanted).map(Holder::Array)
    }

    fn choose(&self, arrays: &[(String, usize)], wanted: Option<&str>) -> Result<usize> {
        let names = || arrays.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        let wrong = |why| Err(Error::WrongFormat { file: self.name.to_owned(), why });
        match (wanted, arrays) {
            (None, [(_, at)]) => Ok(*at),
            (None, []) => wrong("holds one JSON object without an array of rows".to_owned()),
            (None, _) => wrong(format!("holds several arrays ({}); name the one that holds the rows", names())),
            (Some(name), _) => match arrays.iter().find(|(key, _)| key == name) {
                Some((_, at)) => Ok(*at),
                None => wrong(format!("holds no array `{name}`; its arrays are: {}", names())),
            },
        }
    }
}

/// One element: an object, or a string, which becomes the column `text`.
fn row(element: &[u8], limits: &Limits) -> Result<Map<String, Value>, Fault> {
    if element.len() as u64 > limits.row_bytes {
        return Err(Fault::whole(element, too_long(limits)));
    }
    if element.starts_with(b"{") {
        return parse_object(element, limits);
    }
    match parse_value(element, limits)? {
        Value::String(text) => Ok(Map::from_iter([("text".to_owned(), Value::String(text))])),
        other => Err(Fault::whole(element, format!("expected an object or a string, found {}", kind_of(&other)))),
    }
}

/// Moves a fault on an element's first line to that line's columns.
fn shifted(mut fault: Fault, columns: usize) -> Fault {
    if fault.line_offset == 0 {
        fault.column = Some(fault.column.unwrap_or(1) + columns as u64);
    }
    fault
}
