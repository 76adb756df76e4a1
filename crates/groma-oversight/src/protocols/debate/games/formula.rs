//! Whether a formula whose variables are bound by quantifiers in turn holds, as in the paper's theorem on PSPACE. The judge can
//! evaluate it once all variables have a value.

use std::rc::Rc;

use groma_run::Random;

use crate::protocols::debate::claim::{Claim, Game, Question, coin, one_of};

pub(super) const GAME: Game = Game { id: "formula", pose };

fn pose(size: usize, random: &mut Random) -> Question {
    let variables = size.ilog2() as usize;
    let formula = Rc::new(Formula {
        exists: (0..variables).map(|_| coin(random)).collect(),
        table: (0..size).map(|_| coin(random)).collect(),
    });
    let truth = formula.value(0, 0);
    let claim = |value| Box::new(Value { formula: formula.clone(), bound: 0, row: 0, value });
    Question { text: formula.says(), right: claim(truth), wrong: claim(!truth) }
}

/// Quantifiers, from the outermost on, and the table of the formula's values; the first variable is a row's highest bit.
struct Formula {
    exists: Vec<bool>,
    table: Vec<bool>,
}

impl Formula {
    fn says(&self) -> String {
        let quantifiers = self.exists.iter().enumerate();
        let quantifiers: String =
            quantifiers.map(|(i, exists)| format!("{}x{} ", if *exists { "∃" } else { "∀" }, i + 1)).collect();
        let table: String = self.table.iter().map(|value| if *value { '1' } else { '0' }).collect();
        format!("Does {quantifiers}f hold, where the values of f are {table}?")
    }

    /// Its value where the first `bound` variables are those of `row`.
    fn value(&self, bound: usize, row: usize) -> bool {
        match self.exists.get(bound) {
            None => self.table[row],
            Some(true) => (0..2).any(|bit| self.value(bound + 1, 2 * row + bit)),
            Some(false) => (0..2).all(|bit| self.value(bound + 1, 2 * row + bit)),
        }
    }
}

/// With these variables bound, the formula has this value.
struct Value {
    formula: Rc<Formula>,
    bound: usize,
    row: usize,
    value: bool,
}

impl Value {
    fn with(&self, bit: usize) -> Value {
        Value { formula: self.formula.clone(), bound: self.bound + 1, row: 2 * self.row + bit, value: self.value }
    }
}

impl Claim for Value {
    fn says(&self) -> String {
        let holds = if self.value { "holds" } else { "does not hold" };
        format!("with the first {} variables as {:0width$b} it {holds}", self.bound, self.row, width = self.bound)
    }

    fn holds(&self) -> bool {
        self.formula.value(self.bound, self.row) == self.value
    }

    /// Where one value is enough for the claim, its defender names it; else both are claimed.
    fn parts(&self, random: &mut Random) -> Vec<Box<dyn Claim>> {
        let Some(exists) = self.formula.exists.get(self.bound) else { return Vec::new() };
        if *exists != self.value {
            return (0..2).map(|bit| -> Box<dyn Claim> { Box::new(self.with(bit)) }).collect();
        }
        let first = one_of(2, random);
        let named = [first, 1 - first].map(|bit| self.with(bit));
        let at = named.iter().position(Claim::holds).unwrap_or(0);
        named.into_iter().nth(at).into_iter().map(|part| -> Box<dyn Claim> { Box::new(part) }).collect()
    }
}
