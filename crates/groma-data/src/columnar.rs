//! Apache Parquet, row by row.
//!
//! Sizes are checked against the limits from the footer and the page headers (see `page_scan`) before the Parquet library
//! sees the file; rows are then built one at a time. A panic inside that library on a damaged file becomes an error.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use groma_run::counted;
use parquet::basic::{Compression, Type as PhysicalType};
use parquet::column::reader::ColumnReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::record::reader::TreeBuilder;
use parquet::record::{Field, Row};
use serde_json::{Map, Number, Value};

use crate::error::{Error, Result};
use crate::limits::{Limits, bytes_text};
use crate::page_scan::{ChunkSizes, scan_chunk, schema_depth};
use crate::page_size::Packing;
use crate::source::{io_error, open_file};
use crate::strict_json::{stand_in, unreadable};
use crate::table::Collector;

/// Bytes at the end of a file: the footer's length and the magic number.
const TAIL_BYTES: u64 = 8;
/// Values that the library holds at a time for each column.
const BATCH_VALUES: u64 = 1024;
/// Bytes that they may take.
const BATCH_BYTES: u64 = 64 << 20;

/// Reads all rows of a file.
pub(crate) fn read(path: &Path, limits: &Limits) -> Result<Collector> {
    let (file, disk_bytes) = open_file(path)?;
    let name: Arc<str> = path.display().to_string().into();
    let memory = limits.table_bytes.min(limits.grown(disk_bytes));
    let checked = Checked { path, name: &name, limits, memory, disk_bytes };
    checked.footer(&file)?;
    let mut rows = Collector::new(Arc::clone(&name), limits, memory);
    let outcome = groma_run::catch_panic(|| checked.rows(file, &mut rows));
    outcome.unwrap_or_else(|_| Err(checked.damaged("its columns contradict each other")))?;
    Ok(rows)
}

struct Checked<'a> {
    path: &'a Path,
    name: &'a str,
    limits: &'a Limits,
    memory: u64,
    disk_bytes: u64,
}

impl Checked<'_> {
    fn damaged(&self, why: impl std::fmt::Display) -> Error {
        Error::Damaged { place: self.name.to_owned(), why: format!("damaged Parquet file: {why}") }
    }

    fn limit(&self, what: String, limit: String) -> Error {
        Error::Limit { file: self.name.to_owned(), what, limit }
    }

    fn library(&self, error: ParquetError) -> Error {
        match error {
            ParquetError::NYI(why) => {
                let why = format!("uses a feature of Parquet that is not supported: {why}");
                Error::WrongFormat { file: self.name.to_owned(), why }
            }
            error => self.damaged(error),
        }
    }

    /// Checks the footer's length and the depth of the schema.
    fn footer(&self, mut file: &File) -> Result<()> {
        let read = |error| io_error("read", self.path, error);
        if self.disk_bytes == 0 {
            return Err(Error::Empty { file: self.name.to_owned() });
        }
        if self.disk_bytes < 4 + TAIL_BYTES {
            return Err(self.damaged("it is shorter than any"));
        }
        let mut head = [0; 4];
        let mut tail = [0; TAIL_BYTES as usize];
        file.read_exact(&mut head).map_err(read)?;
        file.seek(SeekFrom::Start(self.disk_bytes - TAIL_BYTES)).map_err(read)?;
        file.read_exact(&mut tail).map_err(read)?;
        let (length, magic) = tail.split_at(4);
        if head != *b"PAR1" || magic != b"PAR1" {
            let why = "is not a Parquet file, or it is cut short (its magic number is missing)".to_owned();
            return Err(Error::WrongFormat { file: self.name.to_owned(), why });
        }
        let length = length.iter().rev().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        if length > self.disk_bytes - TAIL_BYTES {
            return Err(self.damaged("the footer is longer than the file"));
        }
        if length > self.limits.parquet_footer_bytes {
            return Err(self.limit("the footer".to_owned(), bytes_text(self.limits.parquet_footer_bytes)));
        }
        let mut footer = vec![0; usize::try_from(length).unwrap_or(0)];
        file.seek(SeekFrom::Start(self.disk_bytes - TAIL_BYTES - length)).map_err(read)?;
        file.read_exact(&mut footer).map_err(read)?;
        let depth = schema_depth(&footer).map_err(|error| self.damaged(error))?;
        if depth > self.limits.depth {
            return Err(self.limit("the nesting of the schema".to_owned(), format!("{} levels", self.limits.depth)));
        }
        Ok(())
    }

    fn rows(&self, file: File, rows: &mut Collector) -> Result<()> {
        let scanned = file.try_clone().map_err(|error| io_error("read", self.path, error))?;
        let mut scanned = BufReader::new(scanned);
        let reader = SerializedFileReader::new(file).map_err(|error| self.library(error))?;
        let mut line = 0;
        for index in 0..reader.num_row_groups() {
            let group = reader.get_row_group(index).map_err(|error| self.library(error))?;
            let batch = self.group(&mut scanned, group.as_ref())?;
            let schema = group.metadata().schema_descr_ptr();
            let records = TreeBuilder::new().with_batch_size(batch).as_iter(schema, group.as_ref());
            for record in records.map_err(|error| self.library(error))? {
                line += 1;
                rows.row(line, Ok(fields(record.map_err(|error| self.library(error))?)))?;
            }
        }
        Ok(())
    }

    /// Checks what one row group claims; returns how many values to hold at a time.
    fn group(&self, scanned: &mut BufReader<File>, group: &dyn RowGroupReader) -> Result<usize> {
        let metadata = group.metadata();
        let count = u64::try_from(metadata.num_rows()).map_err(|_| self.damaged("a negative number of rows"))?;
        if count > self.limits.rows {
            return Err(self.limit("the number of rows".to_owned(), self.limits.rows.to_string()));
        }
        if metadata.num_columns() > self.limits.fields {
            return Err(self.limit("the number of columns".to_owned(), self.limits.fields.to_string()));
        }
        let mut batch = BATCH_VALUES;
        for (index, column) in metadata.columns().iter().enumerate() {
            let sizes = self.column(scanned, column, count)?;
            let largest = sizes.page_bytes.max(1);
            batch = batch.min((BATCH_BYTES / largest).max(1));
            let is_list = column.column_descr().max_rep_level() > 0;
            if is_list && sizes.decoded_bound() > self.memory {
                self.measure(group, metadata, index, &sizes)?;
            }
        }
        Ok(usize::try_from(batch).unwrap_or(1))
    }

    fn column(&self, scanned: &mut BufReader<File>, column: &ColumnChunkMetaData, rows: u64) -> Result<ChunkSizes> {
        let path = column.column_path().string();
        let packing = self.packing(column.compression(), &path)?;
        let offset = column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset());
        let range = u64::try_from(offset).ok().zip(u64::try_from(column.compressed_size()).ok());
        let Some((start, end)) = range.and_then(|(start, length)| Some((start, start.checked_add(length)?))) else {
            return Err(self.damaged(format!("column `{path}` has an impossible place")));
        };
        if end > self.disk_bytes {
            return Err(self.damaged(format!("column `{path}` lies beyond the end of the file")));
        }
        let sizes =
            scan_chunk(scanned, (start, end), packing).map_err(|e| self.damaged(format!("column `{path}`: {e}")))?;
        let what = |what: &str| format!("{what} of column `{path}`");
        if sizes.page_bytes > self.limits.parquet_page_bytes {
            return Err(self.limit(what("a page"), bytes_text(self.limits.parquet_page_bytes)));
        }
        if sizes.values > self.limits.parquet_chunk_values || sizes.page_values > self.limits.parquet_chunk_values {
            let limit = format!("{} in a row group", counted(self.limits.parquet_chunk_values, "value"));
            return Err(self.limit(what("the content"), limit));
        }
        if sizes.bytes > self.memory {
            return Err(self.limit(what("the decompressed content"), bytes_text(self.memory)));
        }
        let is_list = column.column_descr().max_rep_level() > 0;
        if sizes.values < rows || (!is_list && sizes.values > rows) {
            return Err(self.damaged(format!(
                "column `{path}` has {} for {}",
                counted(sizes.values, "value"),
                counted(rows, "row")
            )));
        }
        Ok(sizes)
    }

    /// How a column is packed, where its pages could be larger than they say.
    fn packing(&self, compression: Compression, column: &str) -> Result<Option<Packing>> {
        let name = match compression {
            // The library unpacks these into as many bytes as a page claims, and no more.
            Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_) | Compression::LZ4_RAW => {
                return Ok(None);
            }
            Compression::GZIP(_) => return Ok(Some(Packing::Gzip)),
            Compression::LZ4 => return Ok(Some(Packing::Lz4)),
            Compression::BROTLI(_) => "Brotli",
            Compression::LZO => "LZO",
        };
        let why = format!(
            "has the column `{column}` compressed with {name}, which is not supported; write it with snappy, zstd, lz4 or gzip"
        );
        Err(Error::WrongFormat { file: self.name.to_owned(), why })
    }

    /// Adds up the strings of a list column whose dictionary could make them exceed the memory: one row may hold all.
    fn measure(
        &self,
        group: &dyn RowGroupReader,
        metadata: &RowGroupMetaData,
        index: usize,
        sizes: &ChunkSizes,
    ) -> Result<()> {
        let column = metadata.column(index);
        let path = column.column_path().string();
        if sizes.delta_strings || column.column_type() == PhysicalType::FIXED_LEN_BYTE_ARRAY {
            let what = format!("what list column `{path}` may decode to (write it without delta or fixed encoding)");
            return Err(self.limit(what, bytes_text(self.memory)));
        }
        let reader = group.get_column_reader(index).map_err(|error| self.library(error))?;
        let ColumnReader::ByteArrayColumnReader(mut reader) = reader else { return Ok(()) };
        let (mut total, mut definitions, mut repetitions, mut values) = (0_u64, Vec::new(), Vec::new(), Vec::new());
        loop {
            let (def, rep) = (Some(&mut definitions), Some(&mut repetitions));
            let (records, ..) = reader.read_records(64, def, rep, &mut values).map_err(|e| self.library(e))?;
            total = values.iter().fold(total, |total, value| total.saturating_add(value.len() as u64));
            if total > self.memory {
                let what = format!("what column `{path}` decodes to");
                return Err(self.limit(what, bytes_text(self.memory)));
            }
            if records == 0 {
                return Ok(());
            }
            definitions.clear();
            repetitions.clear();
            values.clear();
        }
    }
}

/// The fields of one row.
fn fields(row: Row) -> Map<String, Value> {
    let mut fields = Map::new();
    for (name, field) in row.into_columns() {
        fields.insert(name, value(field));
    }
    fields
}

/// As JSON; what that cannot hold becomes a stand-in, which spoils nothing where nobody reads it.
fn value(field: Field) -> Value {
    let float =
        |value: f64| Number::from_f64(value).map_or_else(|| stand_in(format!("the number {value}")), Value::Number);
    match field {
        Field::Null => Value::Null,
        Field::Bool(value) => value.into(),
        Field::Byte(value) => value.into(),
        Field::Short(value) => value.into(),
        Field::Int(value) => value.into(),
        Field::Long(value) => value.into(),
        Field::UByte(value) => value.into(),
        Field::UShort(value) => value.into(),
        Field::UInt(value) => value.into(),
        Field::ULong(value) => value.into(),
        Field::Float16(value) => float(f64::from(f32::from(value))),
        Field::Float(value) => float(f64::from(value)),
        Field::Double(value) => float(value),
        Field::Str(text) => Value::String(text),
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => Value::String(text.to_owned()),
            Err(_) => stand_in("binary data, which is no text"),
        },
        Field::Group(row) => Value::Object(fields(row)),
        Field::ListInternal(list) => {
            let items = list.elements().iter().cloned().map(value);
            // One stand-in for the list: a million of them would take a gigabyte.
            let all = items.map(|item| if unreadable(&item).is_some() { Err(item) } else { Ok(item) });
            all.collect::<std::result::Result<_, _>>().map_or_else(|stand_in| stand_in, Value::Array)
        }
        Field::MapInternal(map) => {
            Value::Object(map.entries().iter().map(|(key, entry)| (text_of(key), value(entry.clone()))).collect())
        }
        other @ (Field::Decimal(_)
        | Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_)) => Value::String(other.to_string()),
    }
}

fn text_of(key: &Field) -> String {
    match key {
        Field::Str(text) => text.clone(),
        other => other.to_string(),
    }
}
