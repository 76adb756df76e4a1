//! What the numbers of a list add up to. The judge can add two of them.

use std::rc::Rc;

use groma_run::Random;

use crate::protocols::debate::claim::{Claim, Game, Question, coin, one_of};

pub(super) const GAME: Game = Game { id: "sum", pose };

/// Numbers are below this.
const LIMIT: usize = 100;

fn pose(size: usize, random: &mut Random) -> Question {
    let numbers: Rc<[i64]> = (0..size).map(|_| one_of(LIMIT, random) as i64).collect();
    let truth: i64 = numbers.iter().sum();
    let error = 1 + one_of(LIMIT / 10, random) as i64;
    let claim = |sum| Box::new(Sum { numbers: numbers.clone(), from: 0, to: size, sum });
    let wrong = truth + if coin(random) { error } else { -error };
    Question { text: format!("What is the sum of {numbers:?}?"), right: claim(truth), wrong: claim(wrong) }
}

/// The numbers from one place up to another add up to `sum`.
struct Sum {
    numbers: Rc<[i64]>,
    from: usize,
    to: usize,
    sum: i64,
}

impl Sum {
    /// By how much it is wrong.
    fn error(&self) -> i64 {
        self.sum - self.numbers[self.from..self.to].iter().sum::<i64>()
    }
}

impl Claim for Sum {
    fn says(&self) -> String {
        format!("numbers {} to {} add up to {}", self.from + 1, self.to, self.sum)
    }

    fn holds(&self) -> bool {
        self.error() == 0
    }

    /// The sums of both halves, which add up to what is claimed: a false one leaves the error in one of them.
    fn parts(&self, random: &mut Random) -> Vec<Box<dyn Claim>> {
        if self.to - self.from <= 2 {
            return Vec::new();
        }
        let middle = self.from.midpoint(self.to);
        let first: i64 = self.numbers[self.from..middle].iter().sum();
        let first = first + if coin(random) { self.error() } else { 0 };
        let half = |from, to, sum| -> Box<dyn Claim> { Box::new(Sum { numbers: self.numbers.clone(), from, to, sum }) };
        vec![half(self.from, middle, first), half(middle, self.to, self.sum - first)]
    }
}
