//! Plain text: a row is a line, a paragraph, what lies between separators, or the whole file.

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::jsonl::too_long;
use crate::limits::Limits;
use crate::lines::Lines;
use crate::source::Source;
use crate::strict_json::{Fault, utf8};
use crate::table::Collector;

/// What a row of plain text is. Rows have the one column `text`; blank ones are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TextUnit {
    /// A line.
    #[default]
    Line,
    /// Lines up to a blank line.
    Paragraph,
    /// What lies between occurrences of this string, such as `<|endoftext|>`.
    Separator(String),
    /// The whole file.
    File,
}

impl FromStr for TextUnit {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "line" => Ok(TextUnit::Line),
            "paragraph" => Ok(TextUnit::Paragraph),
            "file" => Ok(TextUnit::File),
            _ => match name.strip_prefix("separator:").filter(|separator| !separator.is_empty()) {
                Some(separator) => Ok(TextUnit::Separator(separator.to_owned())),
                None => Err(Error::Argument {
                    name: "text unit",
                    value: name.to_owned(),
                    why: "expected line, paragraph, file or separator:TEXT".to_owned(),
                }),
            },
        }
    }
}

/// Rows with the one column `text`.
pub(crate) fn read(source: Source, unit: &TextUnit, limits: &Limits, rows: &mut Collector) -> Result<()> {
    let mut lines = Lines::new(source, limits.row_bytes);
    let mut piece = Piece::default();
    while let Some(line) = lines.next()? {
        if line.too_long || (piece.text.len() + line.bytes.len()) as u64 > limits.row_bytes {
            rows.reject(line.number, Fault::whole(line.bytes, too_long(limits)))?;
            piece = Piece::default();
            continue;
        }
        let blank = line.is_blank();
        if blank && matches!(unit, TextUnit::Line | TextUnit::Paragraph) {
            rows.blank();
            piece.finish(rows)?;
            continue;
        }
        piece.add(line.number, line.bytes);
        match unit {
            TextUnit::Line => piece.finish(rows)?,
            TextUnit::Separator(separator) => piece.finish_separated(separator.as_bytes(), rows)?,
            TextUnit::Paragraph | TextUnit::File => {}
        }
    }
    piece.finish(rows)
}

/// The row that is being gathered.
#[derive(Default)]
struct Piece {
    line: u64,
    text: Vec<u8>,
    /// Bytes at the start in which no separator begins.
    searched: usize,
}

impl Piece {
    fn add(&mut self, line: u64, bytes: &[u8]) {
        if self.text.is_empty() {
            self.line = line;
        } else {
            self.text.push(b'\n');
        }
        self.text.extend_from_slice(bytes);
    }

    /// Hands over what was gathered, unless it is blank.
    fn finish(&mut self, rows: &mut Collector) -> Result<()> {
        let text = std::mem::take(&mut self.text);
        self.searched = 0;
        emit(self.line, &text, rows)
    }

    /// Hands over everything before each separator that ends within what was gathered.
    fn finish_separated(&mut self, separator: &[u8], rows: &mut Collector) -> Result<()> {
        if separator.is_empty() {
            return Ok(());
        }
        while let Some(at) = self.find(separator) {
            let rest = self.text.split_off(at + separator.len());
            self.text.truncate(at);
            let lines = self.text.iter().filter(|byte| **byte == b'\n').count() as u64;
            let text = std::mem::replace(&mut self.text, rest);
            emit(self.line, &text, rows)?;
            self.line += lines;
        }
        Ok(())
    }

    fn find(&mut self, separator: &[u8]) -> Option<usize> {
        let from = self.searched.min(self.text.len());
        let found = self.text[from..].windows(separator.len()).position(|window| window == separator);
        self.searched = if found.is_some() { 0 } else { (self.text.len() + 1).saturating_sub(separator.len()) };
        found.map(|at| from + at)
    }
}

fn emit(line: u64, bytes: &[u8], rows: &mut Collector) -> Result<()> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    let fields = utf8(bytes).and_then(|text| match text.find('\0') {
        Some(at) => Err(Fault::at(bytes, at, "a NUL byte; is this a text file?")),
        None => Ok(Map::from_iter([("text".to_owned(), Value::String(text.trim_matches('\n').to_owned()))])),
    });
    rows.row(line, fields)
}
