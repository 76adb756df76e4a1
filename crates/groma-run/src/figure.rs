//! Pictures as data: what a stage found, as the report draws it.

use crate::{Pillar, Unit, number};
use serde::{Deserialize, Serialize};

/// A picture of what a stage found. It lies among the run's events (see [`crate::Recorder::figure`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The panel that it is drawn in.
    pub pillar: Pillar,
    /// What it shows, unique among the stage's pictures.
    pub title: String,
    /// What a reader must know to read it; may be empty.
    #[serde(default)]
    pub caption: String,
    /// The picture.
    pub drawing: Drawing,
}

/// Kinds of pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "form", rename_all = "kebab-case")]
pub enum Drawing {
    /// A number for each row and column, as colour.
    Heat(Heat),
    /// Numbers over a number, as lines with bands.
    Lines(Lines),
    /// Ways through a small world of cells.
    Paths(Paths),
}

/// A number for each row and column: tokens by layers, layers by heads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heat {
    /// What the rows are, such as `layer`.
    pub row_axis: String,
    /// What the columns are, such as `token`.
    pub column_axis: String,
    /// Names of the rows, from above.
    pub rows: Vec<String>,
    /// Names of the columns, from the left.
    pub columns: Vec<String>,
    /// The numbers, row by row; what is not finite is left blank. Numbers below zero get a colour of their own.
    pub values: Vec<Vec<number::Number>>,
    /// What is written into the cells, row by row; the numbers stand in their tool tips alone where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub texts: Vec<Vec<String>>,
    /// How the numbers are written.
    #[serde(default)]
    pub unit: Unit,
}

/// Numbers over a number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lines {
    /// What goes to the right, such as `queries`.
    pub x: String,
    /// What goes up.
    pub y: String,
    /// How what goes up is written.
    #[serde(default)]
    pub unit: Unit,
    /// The lines.
    pub series: Vec<Series>,
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<Point>,
}

/// A point of a line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// How far right.
    #[serde(with = "number")]
    pub x: f64,
    /// How far up.
    #[serde(with = "number")]
    pub y: f64,
    /// The ends of its interval, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<[number::Number; 2]>,
}

/// Ways through a small world of cells; cell (0, 0) is at the upper left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Paths {
    /// Cells from left to right, at most [`Paths::MOST_CELLS`].
    pub width: u16,
    /// Cells from top to bottom, likewise.
    pub height: u16,
    /// Cells that cannot be entered, as column and row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub walls: Vec<[u16; 2]>,
    /// Things that lie in cells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// The ways.
    pub paths: Vec<Path>,
}

/// A thing in a cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Column and row.
    pub cell: [u16; 2],
    /// What it is, such as `coin`; its first letter stands in the cell.
    pub name: String,
}

/// A way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Path {
    /// Its name in the legend.
    pub name: String,
    /// The cells that it goes through, as column and row.
    pub cells: Vec<[u16; 2]>,
}

impl Heat {
    /// A picture without texts in its cells.
    pub fn of(axes: [&str; 2], rows: Vec<String>, columns: Vec<String>, values: &[Vec<f64>]) -> Self {
        let [row_axis, column_axis] = axes.map(str::to_owned);
        let values = values.iter().map(|row| row.iter().copied().map(number::Number).collect()).collect();
        Heat { row_axis, column_axis, rows, columns, values, texts: Vec::new(), unit: Unit::Plain }
    }
}

impl Point {
    /// A point with or without an interval.
    pub fn new(x: f64, y: f64, ends: Option<(f64, f64)>) -> Self {
        Point { x, y, ends: ends.map(|(low, high)| [number::Number(low), number::Number(high)]) }
    }
}

impl Paths {
    /// The largest world that is drawn, in cells across.
    pub const MOST_CELLS: u16 = 64;
}
