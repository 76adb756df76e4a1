//! Which rows and columns of an activation are meant, in terms that hold for every pass: sequences, positions, columns.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

/// Positions of a sequence, the first token's being 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Positions {
    /// All.
    #[default]
    All,
    /// This one and all behind it, those of tokens that are yet to be sampled among them.
    From(usize),
    /// These.
    At(Vec<usize>),
}

impl Positions {
    /// Where `position` is among these.
    fn index(&self, position: usize) -> Option<usize> {
        match self {
            Positions::All => Some(position),
            Positions::From(first) => position.checked_sub(*first),
            Positions::At(list) => list.iter().position(|&at| at == position),
        }
    }
}

/// Part of an activation: the default is all of it.
///
/// A *sequence* is one that the call was given: in a forward pass the paths that end in the tree's leaves (segments that no
/// other continues), in their order; in scoring the requests; in generation the samples, where sample `i` of `n` of prompt
/// `p` has the number `p * n + i`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Address {
    /// Which sequence; `None` for all. What several sequences share is computed once, so that in a forward pass an address
    /// that means one of them alone is an error; scoring and generation compute it apart.
    pub sequence: Option<usize>,
    /// Which positions.
    pub positions: Positions,
    /// Which columns, `None` for all; those of a head are [`HookPoint::head`](super::HookPoint::head).
    pub columns: Option<Range<usize>>,
}

/// Which token a row of an activation belongs to. A row that sequences share has a cell for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The sequence, see [`Address`].
    pub sequence: usize,
    /// The token's position in it.
    pub position: usize,
    /// The row.
    pub row: usize,
}

/// What an address means in a pass: rows, each with where its position is among those of the address.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) rows: Vec<u32>,
    pub(super) indices: Vec<usize>,
}

impl Address {
    /// All columns of one position of one sequence.
    pub fn token(sequence: usize, position: usize) -> Self {
        Address { sequence: Some(sequence), positions: Positions::At(vec![position]), columns: None }
    }

    /// All of some positions, in all sequences.
    pub fn positions(positions: Positions) -> Self {
        Address { positions, ..Address::default() }
    }

    /// Whether a cell is meant, and where its position is among the address's.
    fn index(&self, cell: &Cell) -> Option<usize> {
        if self.sequence.is_some_and(|sequence| sequence != cell.sequence) {
            return None;
        }
        self.positions.index(cell.position)
    }

    /// The rows meant among `cells`.
    ///
    /// # Errors
    /// The cell of a row that belongs to a sequence which is not meant, too.
    pub(super) fn rows(&self, cells: &[Cell]) -> Result<Rows, Cell> {
        let found: BTreeMap<usize, usize> =
            cells.iter().filter_map(|cell| self.index(cell).map(|index| (cell.row, index))).collect();
        if self.sequence.is_some() {
            let shared = cells.iter().find(|cell| found.contains_key(&cell.row) && self.index(cell).is_none());
            if let Some(cell) = shared {
                return Err(*cell);
            }
        }
        Ok(Rows { rows: found.keys().map(|&row| row as u32).collect(), indices: found.into_values().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(list: &[(usize, usize, usize)]) -> Vec<Cell> {
        list.iter().map(|&(sequence, position, row)| Cell { sequence, position, row }).collect()
    }

    #[test]
    fn addresses_mean_rows() {
        // Two sequences of three tokens that share the first.
        let cells = cells(&[(0, 0, 0), (0, 1, 1), (0, 2, 2), (1, 0, 0), (1, 1, 3), (1, 2, 4)]);
        let rows = |address: Address| address.rows(&cells).map(|rows| (rows.rows, rows.indices));
        assert_eq!(rows(Address::default()), Ok((vec![0, 1, 2, 3, 4], vec![0, 1, 2, 1, 2])));
        assert_eq!(rows(Address::positions(Positions::From(1))), Ok((vec![1, 2, 3, 4], vec![0, 1, 0, 1])));
        assert_eq!(rows(Address::positions(Positions::At(vec![2, 0]))), Ok((vec![0, 2, 4], vec![1, 0, 0])));
        assert_eq!(rows(Address::token(1, 2)), Ok((vec![4], vec![0])));
        assert_eq!(rows(Address::token(1, 9)), Ok((vec![], vec![])));
        assert_eq!(rows(Address::token(1, 0)), Err(cells[0]));
    }

    #[test]
    fn addresses_serialise() {
        let address = Address { sequence: Some(2), positions: Positions::From(3), columns: Some(8..16) };
        let text = serde_json::to_string(&address).unwrap();
        assert_eq!(serde_json::from_str::<Address>(&text).unwrap(), address);
        assert_eq!(serde_json::from_str::<Address>("{}").unwrap(), Address::default());
        assert!(serde_json::from_str::<Address>(r#"{"position": 3}"#).is_err());
    }
}
