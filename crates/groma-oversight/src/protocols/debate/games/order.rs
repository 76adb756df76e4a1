//! Whether a list is in ascending order. The judge can compare two neighbours.

use std::rc::Rc;

use groma_run::Random;

use crate::protocols::debate::claim::{Claim, Game, Question, coin, one_of};

pub(super) const GAME: Game = Game { id: "order", pose };

fn pose(size: usize, random: &mut Random) -> Question {
    let mut numbers: Vec<usize> = Vec::with_capacity(size);
    for _ in 0..size {
        numbers.push(numbers.last().copied().unwrap_or_default() + 1 + one_of(9, random));
    }
    let place = one_of(size - 1, random);
    let in_order = coin(random);
    if !in_order {
        numbers.swap(place, place + 1);
    }
    let text = format!("Is {numbers:?} in ascending order?");
    let numbers: Rc<[usize]> = numbers.into();
    let ascends: Box<dyn Claim> = Box::new(Ascends { numbers: numbers.clone(), from: 0, to: size - 1 });
    let descends: Box<dyn Claim> = Box::new(Descends { numbers, at: place });
    let (right, wrong) = if in_order { (ascends, descends) } else { (descends, ascends) };
    Question { text, right, wrong }
}

/// The numbers from one place to another are in order.
struct Ascends {
    numbers: Rc<[usize]>,
    from: usize,
    to: usize,
}

impl Claim for Ascends {
    fn says(&self) -> String {
        format!("numbers {} to {} are in order", self.from + 1, self.to + 1)
    }

    fn holds(&self) -> bool {
        self.numbers[self.from..=self.to].is_sorted()
    }

    /// Both halves, which share the number in the middle.
    fn parts(&self, _: &mut Random) -> Vec<Box<dyn Claim>> {
        if self.to - self.from == 1 {
            return Vec::new();
        }
        let middle = self.from.midpoint(self.to);
        let half = |from, to| -> Box<dyn Claim> { Box::new(Ascends { numbers: self.numbers.clone(), from, to }) };
        vec![half(self.from, middle), half(middle, self.to)]
    }
}

/// A number is larger than the next.
struct Descends {
    numbers: Rc<[usize]>,
    at: usize,
}

impl Claim for Descends {
    fn says(&self) -> String {
        format!("number {} is larger than the next", self.at + 1)
    }

    fn holds(&self) -> bool {
        self.numbers[self.at] > self.numbers[self.at + 1]
    }

    fn parts(&self, _: &mut Random) -> Vec<Box<dyn Claim>> {
        Vec::new()
    }
}
