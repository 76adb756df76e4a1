//! From records to rows with a meaning.
//!
//! A row that does not have what its shape needs is a bad row: named with its place, counted, and handled as the policy
//! says. Nothing is repaired by a guess.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::format::Format;
use crate::layout::Layout;
use crate::policy::OnBadRow;
use crate::reader::{RowReader, shown};
use crate::repeated;
use crate::row::{Row, Rows};
use crate::shape::Shape;
use crate::table::{Record, Table, unusable};
use crate::unfit;

/// How records become rows.
#[derive(Clone, Debug, Default)]
pub struct ShapeOptions {
    /// The name of the layout (see [`Layout`]), where its detection is not wanted.
    pub layout: Option<String>,
    /// What a row that does not fit does; the share counts what reading left out, too.
    pub on_bad_row: OnBadRow,
}

impl Table {
    /// Rows of one of the `accepted` shapes: that of the table's own layout, or prompts where prompts will do and the
    /// layout names them (its further columns stay beside them).
    ///
    /// # Errors
    /// [`Error::UnknownShape`] or [`Error::WrongShape`] if the columns do not make such rows, [`Error::BadRows`] or
    /// [`Error::TooManyBadRows`] beyond the policy, [`Error::Empty`] if no row is left.
    pub fn into_rows(self, options: &ShapeOptions, accepted: &[Shape]) -> Result<Rows> {
        let layout = match &options.layout {
            Some(name) => Layout::find(name)?,
            None => Layout::detect_among(&self, accepted)?,
        };
        let shape = layout.shape_among(accepted).ok_or_else(|| self.wrong_shape(layout, accepted))?;
        let (untyped, filled) = (self.format.is_untyped(), self.format == Format::Parquet);
        let Table { file, records, mut bad, .. } = self;
        let mut rows = Vec::with_capacity(records.len());
        let mut notes: BTreeMap<String, u64> = BTreeMap::new();
        for Record { location, fields } in records {
            let excerpt = fields.iter().find(|(_, value)| !value.is_null()).map(|(_, value)| shown(value));
            let mut reader = RowReader { fields, untyped, filled, ..RowReader::default() };
            match layout.row(&mut reader, shape) {
                Ok(parts) => {
                    rows.push(Row { location, other: reader.fields, ..parts });
                    reader.notes.into_iter().for_each(|note| *notes.entry(note).or_default() += 1);
                }
                Err(why) => bad.push(unusable(location, &excerpt.unwrap_or_default(), why)),
            }
        }
        bad.check(options.on_bad_row)?;
        if rows.is_empty() {
            return Err(Error::Empty { file: file.to_string() });
        }
        repeated::take_off(&mut rows, &mut notes);
        Ok(Rows { rows, shape, layout: layout.name, notes, bad })
    }

    fn wrong_shape(&self, found: &Layout, accepted: &[Shape]) -> Error {
        let needed: Vec<&str> = accepted.iter().map(|shape| shape.name()).collect();
        Error::WrongShape {
            file: self.file.to_string(),
            found: found.name.to_owned(),
            columns: self.column_names(),
            needed: format!("{} rows are needed{}", needed.join(" or "), unfit::help(found.shape, accepted)),
        }
    }
}
