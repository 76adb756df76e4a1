//! JSON lines.

use crate::error::Result;
use crate::limits::{Limits, bytes_text};
use crate::lines::Lines;
use crate::source::Source;
use crate::strict_json::{Fault, parse_object};
use crate::table::Collector;

/// One object a line; blank lines are counted and passed over.
pub(crate) fn read(source: Source, limits: &Limits, rows: &mut Collector) -> Result<()> {
    let mut lines = Lines::new(source, limits.row_bytes);
    while let Some(line) = lines.next()? {
        if line.too_long {
            rows.reject(line.number, Fault::whole(line.bytes, too_long(limits)))?;
        } else if line.is_blank() {
            rows.blank();
        } else {
            rows.row(line.number, parse_object(line.bytes, limits))?;
        }
    }
    Ok(())
}

/// The fault of a row beyond the limit.
pub(crate) fn too_long(limits: &Limits) -> String {
    format!("the row is longer than {}", bytes_text(limits.row_bytes))
}
