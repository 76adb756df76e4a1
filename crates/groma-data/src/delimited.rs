//! Comma- and tab-separated values (RFC 4180) with a header line.
//!
//! Reads what the `csv` crate reads, and names what it passes over: a quote that never closes, text after a closing
//! quote, a row that is too long, too many or too few fields, each with its line and column.

use std::io;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::jsonl::too_long;
use crate::limits::Limits;
use crate::source::Source;
use crate::strict_json::{Fault, utf8};
use crate::table::Collector;

/// Reads the rows below the header; every value is a string.
pub(crate) fn read(source: Source, delimiter: u8, limits: &Limits, rows: &mut Collector) -> Result<()> {
    let mut reader = Reader { source, delimiter, limits, line: 1, column: 0, peeked: None };
    reader.skip_mark()?;
    let Some(header) = reader.record(rows)? else { return Ok(()) };
    let header = checked_header(&reader.source.name, header, limits)?;
    while let Some(record) = reader.record(rows)? {
        rows.row(record.line, row(&header, record))?;
    }
    Ok(())
}

/// One record, as bytes.
#[derive(Default)]
struct Raw {
    line: u64,
    /// The fields' bytes, one after another.
    bytes: Vec<u8>,
    /// Where each field ends in `bytes`.
    ends: Vec<usize>,
    /// Whether any field was quoted.
    quoted: bool,
    /// What is wrong with its quotes.
    fault: Option<Fault>,
}

impl Raw {
    /// Ends a field; beyond `limit` fields only the fact that there are more is kept.
    fn end_field(&mut self, limit: usize) {
        if self.ends.len() <= limit {
            self.ends.push(self.bytes.len());
        }
    }

    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        self.ends.iter().scan(0, |start, end| {
            let field = &self.bytes[*start..*end];
            *start = *end;
            Some(field)
        })
    }
}

fn checked_header(file: &str, record: Raw, limits: &Limits) -> Result<Vec<String>> {
    let damaged = |why: String| Error::Damaged { place: format!("{file}:{}", record.line), why };
    if let Some(fault) = record.fault {
        return Err(damaged(format!("the header is broken: {}", fault.why)));
    }
    if record.ends.len() > limits.fields {
        return Err(damaged(format!("the header has more than {} columns", limits.fields)));
    }
    let mut names: Vec<String> = Vec::new();
    for field in record.fields() {
        let name = utf8(field).map_err(|fault| damaged(format!("the header is broken: {}", fault.why)))?.trim();
        if name.contains('\0') {
            return Err(damaged("the header holds a NUL byte; is this a text file?".to_owned()));
        }
        if names.iter().any(|known| known == name) {
            return Err(damaged(format!("the header names the column {name:?} twice")));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

fn row(header: &[String], record: Raw) -> Result<Map<String, Value>, Fault> {
    if let Some(fault) = record.fault {
        return Err(fault);
    }
    if record.ends.len() != header.len() {
        let why = format!("{} fields where the header has {}", record.ends.len(), header.len());
        return Err(Fault::whole(&record.bytes, why));
    }
    let mut fields = Map::new();
    for (name, field) in header.iter().zip(record.fields()) {
        let text = utf8(field).map_err(|fault| Fault::whole(field, format!("column {name:?}: {}", fault.why)))?;
        if text.contains('\0') {
            return Err(Fault::whole(field, format!("column {name:?}: a NUL byte; is this a text file?")));
        }
        fields.insert(name.clone(), Value::String(text.to_owned()));
    }
    Ok(fields)
}

/// Where a reader is within a record.
#[derive(Clone, Copy, PartialEq)]
enum State {
    FieldStart,
    Unquoted,
    Quoted,
    QuoteInQuoted,
}

struct Reader<'a> {
    source: Source,
    delimiter: u8,
    limits: &'a Limits,
    line: u64,
    column: u64,
    peeked: Option<u8>,
}

impl Reader<'_> {
    fn skip_mark(&mut self) -> Result<()> {
        let head = self.source.input.fill_buf();
        let marked = head.map(|bytes| bytes.starts_with(b"\xef\xbb\xbf")).map_err(|e| self.source.failure(1, e))?;
        self.source.input.consume(if marked { 3 } else { 0 });
        Ok(())
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        if let Some(byte) = self.peeked.take() {
            return Ok(Some(byte));
        }
        let byte = self.source.input.fill_buf()?.first().copied();
        self.source.input.consume(usize::from(byte.is_some()));
        self.column += 1;
        Ok(byte)
    }

    /// The next record that is not an empty line.
    fn record(&mut self, rows: &mut Collector) -> Result<Option<Raw>> {
        loop {
            let line = self.line;
            let record = self.raw();
            let Some(record) = record.map_err(|error| self.source.failure(line, error))? else { return Ok(None) };
            if record.bytes.is_empty() && record.ends.len() == 1 && !record.quoted {
                rows.blank();
                continue;
            }
            if record.bytes.len() as u64 > self.limits.row_bytes {
                return Err(Error::Damaged {
                    place: format!("{}:{}", self.source.name, record.line),
                    why: format!("{} (is a quote left open there?)", too_long(self.limits)),
                });
            }
            return Ok(Some(record));
        }
    }

    fn raw(&mut self) -> io::Result<Option<Raw>> {
        let mut record = Raw { line: self.line, ..Raw::default() };
        let mut state = State::FieldStart;
        let mut opened = (self.line, self.column);
        let mut any = false;
        while let Some(byte) = self.byte()? {
            any = true;
            let ends = byte == b'\n' || byte == b'\r';
            state = match (state, byte) {
                (State::FieldStart, b'"') => {
                    opened = (self.line, self.column);
                    record.quoted = true;
                    State::Quoted
                }
                (State::Quoted, b'"') => State::QuoteInQuoted,
                (State::QuoteInQuoted, b'"') => {
                    record.bytes.push(b'"');
                    State::Quoted
                }
                (State::Quoted, _) => {
                    record.bytes.push(byte);
                    self.count_line(byte == b'\n');
                    State::Quoted
                }
                (_, byte) if byte == self.delimiter => {
                    record.end_field(self.limits.fields);
                    State::FieldStart
                }
                _ if ends => {
                    self.finish_line(byte)?;
                    record.end_field(self.limits.fields);
                    return Ok(Some(record));
                }
                (State::QuoteInQuoted, byte) => {
                    self.fault(&mut record, self.column, "text after a closing quote");
                    record.bytes.push(byte);
                    State::Unquoted
                }
                (State::FieldStart | State::Unquoted, byte) => {
                    record.bytes.push(byte);
                    State::Unquoted
                }
            };
            if record.bytes.len() as u64 > self.limits.row_bytes {
                break;
            }
        }
        if state == State::Quoted {
            let why = format!("the quote opened at line {}, column {} never closes", opened.0, opened.1);
            self.fault(&mut record, opened.1, &why);
        }
        record.end_field(self.limits.fields);
        Ok(any.then_some(record))
    }

    fn fault(&self, record: &mut Raw, column: u64, why: &str) {
        record.fault.get_or_insert_with(|| Fault { column: Some(column), ..Fault::whole(&record.bytes, why) });
    }

    fn count_line(&mut self, ends: bool) {
        if ends {
            self.line += 1;
            self.column = 0;
        }
    }

    /// Passes over the line feed that may follow a carriage return.
    fn finish_line(&mut self, byte: u8) -> io::Result<()> {
        if byte == b'\r' {
            self.peeked = self.byte()?.filter(|next| *next != b'\n');
        }
        self.line += 1;
        self.column = u64::from(self.peeked.is_some());
        Ok(())
    }
}
