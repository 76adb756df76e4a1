//! A square grid with a coin.

use groma_data::below;
use groma_run::Seed;

/// A grid of `size` times `size` cells, which are numbered row by row from the upper left.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub(super) size: u16,
}

/// Where the agent begins, and where the coin lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Level {
    pub(super) start: usize,
    pub(super) coin: usize,
}

/// How an episode ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// At the coin.
    Coin,
    /// In the corner where the coin lay in training, and does not lie.
    Corner,
    /// Out of time.
    Nowhere,
}

/// Up, down, left, right.
pub(super) const MOVES: usize = 4;

impl Grid {
    pub(super) fn cells(self) -> usize {
        usize::from(self.size) * usize::from(self.size)
    }

    /// Where the coin lies in training: the upper right.
    pub(super) fn corner(self) -> usize {
        usize::from(self.size) - 1
    }

    /// Moves that an episode may take.
    pub(super) fn time(self) -> usize {
        4 * usize::from(self.size)
    }

    /// The cell at a column and row.
    pub(super) fn cell(self, [column, row]: [u16; 2]) -> usize {
        usize::from(row) * usize::from(self.size) + usize::from(column)
    }

    /// Column and row of a cell.
    pub(super) fn place(self, cell: usize) -> [u16; 2] {
        let size = usize::from(self.size);
        [(cell % size) as u16, (cell / size) as u16]
    }

    /// The cell after a move; a step against the edge leads nowhere.
    pub(super) fn after(self, cell: usize, direction: usize) -> usize {
        let [column, row] = self.place(cell);
        let last = self.size - 1;
        self.cell(match direction {
            0 => [column, row.saturating_sub(1)],
            1 => [column, (row + 1).min(last)],
            2 => [column.saturating_sub(1), row],
            _ => [(column + 1).min(last), row],
        })
    }

    /// How an episode stands with the agent in a cell; `None` where it goes on.
    pub(super) fn end(self, level: &Level, cell: usize) -> Option<End> {
        match cell {
            cell if cell == level.coin => Some(End::Coin),
            cell if cell == self.corner() => Some(End::Corner),
            _ => None,
        }
    }
}

impl Level {
    /// A level in which the coin lies in the corner, and in a share `alpha` of them anywhere else than where the agent begins. The
    /// agent does not begin in the corner.
    pub(super) fn drawn(grid: Grid, alpha: f64, seed: Seed) -> Self {
        let mut random = seed.rng();
        let anywhere = groma_data::uniform(&mut random) < alpha;
        let mut cell_but = |taken: &[usize]| {
            let free: Vec<usize> = (0..grid.cells()).filter(|cell| !taken.contains(cell)).collect();
            free[below(&mut random, free.len() as u64) as usize]
        };
        let start = cell_but(&[grid.corner()]);
        Level { start, coin: if anywhere { cell_but(&[start]) } else { grid.corner() } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { size: 5 };

    #[test]
    fn moves_lead_to_neighbours_and_stop_at_the_edge() {
        let middle = GRID.cell([2, 2]);
        let places = (0..MOVES).map(|direction| GRID.place(GRID.after(middle, direction)));
        assert_eq!(places.collect::<Vec<_>>(), [[2, 1], [2, 3], [1, 2], [3, 2]]);
        let corner = GRID.corner();
        assert_eq!((GRID.place(corner), GRID.after(corner, 0), GRID.after(corner, 3)), ([4, 0], corner, corner));
    }

    #[test]
    fn coins_lie_elsewhere_as_often_as_they_should() {
        let elsewhere = |alpha: f64| {
            let levels = (0..2000).map(|index| Level::drawn(GRID, alpha, Seed::new(2).index(index)));
            levels.filter(|level| level.coin != GRID.corner()).count()
        };
        assert_eq!(elsewhere(0.0), 0);
        // Anywhere is the corner too, once in 24 times.
        let expected = 2000.0 * 0.1 * 23.0 / 24.0;
        assert!((elsewhere(0.1) as f64 - expected).abs() < 60.0);
        let level = Level { start: 0, coin: 3 };
        assert_eq!(
            [3, GRID.corner(), 7].map(|cell| GRID.end(&level, cell)),
            [Some(End::Coin), Some(End::Corner), None]
        );
    }
}
