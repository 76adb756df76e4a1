//! Records and the tables they come in.

use std::str::FromStr;
use std::sync::Arc;

use groma_run::Seed;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::excerpt::excerpt;
use crate::fingerprint::{Digest, Fingerprint, fields_digest};
use crate::format::Format;
use crate::limits::{Limits, bytes_text};
use crate::location::Location;
use crate::policy::OnBadRow;
use crate::problem::{BadRows, RowProblem};
use crate::select::sample;
use crate::strict_json::Fault;

/// Estimated bytes of an object beside its entries.
const OBJECT_BYTES: u64 = 80;
/// Estimated bytes of an entry of an object; entries are made room for in powers of two, at least four.
const ENTRY_BYTES: u64 = 116;
/// Estimated bytes of an item of a list, with the same room.
const ITEM_BYTES: u64 = 80;
/// Estimated bytes of a piece of text beside its characters.
const TEXT_BYTES: u64 = 32;
const LEAST_ROOM: usize = 4;

/// One row: where it comes from and its fields, in the file's order.
///
/// Against [`Limits::table_bytes`] a record counts with what it takes in memory, which for short fields is a multiple of
/// what it takes in the file: measured, half a kilobyte for `{"a":1}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Where it begins.
    pub location: Location,
    /// Column names and values.
    pub fields: Map<String, Value>,
}

/// The rows of one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The file as the user named it.
    pub file: Arc<str>,
    /// How it was written.
    pub format: Format,
    /// The good rows, in order.
    pub records: Vec<Record>,
    /// The bad rows that were left out.
    pub bad: BadRows,
    /// Blank lines, which are no rows.
    pub blank_lines: u64,
}

impl Table {
    /// The columns of the table, those of the first row first, each with the number of rows that have it (nulls aside).
    pub fn columns(&self) -> Vec<(String, u64)> {
        let mut counts: Map<String, Value> = Map::new();
        for record in &self.records {
            for (name, _) in record.fields.iter().filter(|(_, value)| !value.is_null()) {
                let count = counts.get(name).and_then(Value::as_u64).unwrap_or(0);
                counts.insert(name.clone(), Value::from(count + 1));
            }
        }
        counts.into_iter().map(|(name, count)| (name, count.as_u64().unwrap_or(0))).collect()
    }

    /// The columns for a message.
    pub(crate) fn column_names(&self) -> String {
        self.columns().into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(", ")
    }

    /// Renames columns. Every source column must exist, and no row may already have the new name.
    ///
    /// # Errors
    /// [`Error::Rename`], naming the columns that exist.
    pub fn rename(mut self, renames: &[Rename]) -> Result<Self> {
        for rename in renames {
            self.check(rename)?;
            for record in &mut self.records {
                if !record.fields.contains_key(&rename.from) {
                    continue;
                }
                let fields = std::mem::take(&mut record.fields);
                let named = |name: String| if name == rename.from { rename.to.clone() } else { name };
                record.fields = fields.into_iter().map(|(name, value)| (named(name), value)).collect();
            }
        }
        Ok(self)
    }

    fn check(&self, rename: &Rename) -> Result<()> {
        let wrong = |why| {
            let (from, to) = (rename.from.clone(), rename.to.clone());
            Err(Error::Rename { file: self.file.to_string(), from, to, why })
        };
        if !self.records.iter().any(|record| record.fields.contains_key(&rename.from)) {
            return wrong(format!("there is no such column; the columns are {}", self.column_names()));
        }
        match self.records.iter().find(|record| record.fields.contains_key(&rename.to)) {
            Some(record) if rename.to != rename.from => wrong(format!("{} has that column already", record.location)),
            _ => Ok(()),
        }
    }

    /// The table without some columns. Each must exist in some row.
    ///
    /// # Errors
    /// [`Error::Drop`], naming the columns that exist.
    pub fn drop(mut self, columns: &[String]) -> Result<Self> {
        for column in columns {
            if !self.records.iter().any(|record| record.fields.contains_key(column)) {
                let (file, column, found) = (self.file.to_string(), column.clone(), self.column_names());
                return Err(Error::Drop { file, column, found });
            }
            self.records.iter_mut().for_each(|record| drop(record.fields.shift_remove(column)));
        }
        Ok(self)
    }

    /// The first `n` rows.
    #[must_use]
    pub fn limit(mut self, n: usize) -> Self {
        self.records.truncate(n);
        self
    }

    /// The rows at these indices, in their order; an index beyond the end is passed over.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        let records = indices.iter().filter_map(|index| self.records.get(*index).cloned()).collect();
        Table { records, ..self.without_records() }
    }

    /// At most `limit` of the rows, drawn by the seed, in their order.
    #[must_use]
    pub fn limited(self, limit: Option<usize>, seed: Seed) -> Self {
        match limit {
            Some(limit) if limit < self.records.len() => self.select(&sample(self.records.len(), limit, seed)),
            _ => self,
        }
    }

    fn without_records(&self) -> Self {
        Table {
            file: Arc::clone(&self.file),
            format: self.format,
            records: Vec::new(),
            bad: self.bad.clone(),
            blank_lines: self.blank_lines,
        }
    }
}

impl Fingerprint for Record {
    fn fingerprint(&self) -> Digest {
        fields_digest("record", &self.fields)
    }
}

/// A wish to call a column by another name; read from `to=from`, such as `prompt=question`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// The name that a shape knows.
    pub to: String,
    /// The name in the file.
    pub from: String,
}

impl FromStr for Rename {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('=') {
            Some((to, from)) if !to.is_empty() && !from.is_empty() => {
                Ok(Rename { to: to.to_owned(), from: from.to_owned() })
            }
            _ => Err(Error::Argument {
                name: "rename",
                value: text.to_owned(),
                why: "expected new=old, such as prompt=question".to_owned(),
            }),
        }
    }
}

/// Gathers rows and bad rows, and keeps to the limits.
pub(crate) struct Collector {
    file: Arc<str>,
    rows_limit: u64,
    bytes_limit: u64,
    bytes: u64,
    records: Vec<Record>,
    bad: BadRows,
    blank_lines: u64,
    /// The last line that a row began at, and how many rows begin there.
    last: (u64, u64),
}

impl Collector {
    /// `bytes_limit`: the most memory that the rows may take.
    pub(crate) fn new(file: Arc<str>, limits: &Limits, bytes_limit: u64) -> Self {
        Collector {
            file,
            rows_limit: limits.rows,
            bytes_limit,
            bytes: 0,
            records: Vec::new(),
            bad: BadRows::default(),
            blank_lines: 0,
            last: (0, 0),
        }
    }

    /// Takes a row that begins at this line, good or bad.
    pub(crate) fn row(&mut self, line: u64, row: Result<Map<String, Value>, Fault>) -> Result<()> {
        let fields = match row {
            Ok(fields) => fields,
            Err(fault) => return self.reject(line, fault),
        };
        self.count()?;
        let nth = self.nth(line);
        self.bytes = self.bytes.saturating_add(object_bytes(&fields));
        if self.bytes > self.bytes_limit {
            return Err(self.limit("the memory that the rows take", bytes_text(self.bytes_limit)));
        }
        self.records.push(Record { location: Location { file: Arc::clone(&self.file), line, nth }, fields });
        Ok(())
    }

    /// Takes a bad row.
    pub(crate) fn reject(&mut self, line: u64, fault: Fault) -> Result<()> {
        self.count()?;
        let nth = if fault.line_offset == 0 { self.nth(line) } else { 1 };
        let location = Location { file: Arc::clone(&self.file), line: line + fault.line_offset, nth };
        self.bad.push(RowProblem { location, column: fault.column, why: fault.why, excerpt: fault.excerpt });
        Ok(())
    }

    /// The number of a row among those that begin on its line.
    fn nth(&mut self, line: u64) -> u64 {
        self.last = (line, if self.last.0 == line { self.last.1 + 1 } else { 1 });
        self.last.1
    }

    /// Counts a line that is no row.
    pub(crate) fn blank(&mut self) {
        self.blank_lines += 1;
    }

    fn count(&mut self) -> Result<()> {
        self.bad.total += 1;
        if self.bad.total > self.rows_limit {
            return Err(self.limit("the number of rows", self.rows_limit.to_string()));
        }
        Ok(())
    }

    fn limit(&self, what: &str, limit: String) -> Error {
        Error::Limit { file: self.file.to_string(), what: what.to_owned(), limit }
    }

    /// The table, if its bad rows are acceptable and there is any good one.
    pub(crate) fn finish(self, format: Format, policy: OnBadRow) -> Result<Table> {
        self.bad.check(policy)?;
        if self.records.is_empty() {
            return Err(Error::Empty { file: self.file.to_string() });
        }
        let Collector { file, records, bad, blank_lines, .. } = self;
        Ok(Table { file, format, records, bad, blank_lines })
    }
}

/// The problem of a record that a shape cannot use.
pub(crate) fn unusable(location: Location, shown: &str, why: String) -> RowProblem {
    RowProblem { location, column: None, why, excerpt: excerpt(shown.as_bytes(), 0) }
}

fn object_bytes(fields: &Map<String, Value>) -> u64 {
    let texts: u64 = fields.iter().map(|(key, value)| TEXT_BYTES + key.len() as u64 + value_bytes(value)).sum();
    OBJECT_BYTES + ENTRY_BYTES * room(fields.len()) + texts
}

/// Bytes of a value beside its place in an object or list.
fn value_bytes(value: &Value) -> u64 {
    match value {
        Value::String(text) => TEXT_BYTES + text.len() as u64,
        Value::Array(items) => ITEM_BYTES * room(items.len()) + items.iter().map(value_bytes).sum::<u64>(),
        Value::Object(fields) => object_bytes(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

fn room(count: usize) -> u64 {
    count.next_power_of_two().max(LEAST_ROOM) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn memory_is_estimated_with_the_room_that_is_made() {
        let bytes = |value: Value| value_bytes(&value);
        assert_eq!(bytes(json!(1)), 0);
        assert_eq!(bytes(json!("abc")), 35);
        assert_eq!(bytes(json!([1, 2, 3])), 4 * 80);
        assert_eq!(bytes(json!([1, 2, 3, 4, 5])), 8 * 80);
        assert_eq!(bytes(json!({"a": 1})), 80 + 4 * 116 + 33);
        assert_eq!(bytes(json!({"a": {"b": "c"}})), 2 * (80 + 4 * 116 + 33) + 33);
    }
}
