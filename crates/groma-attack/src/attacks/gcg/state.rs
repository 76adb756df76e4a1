//! Where a search stands, and what it goes on from.

use serde::{Deserialize, Serialize};

/// A suffix and its loss, which belong together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) ids: Vec<u32>,
    pub(super) loss: f64,
}

/// Where a search stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// Steps done.
    pub(super) step: u64,
    /// What is gone on from.
    pub(super) current: Entry,
    /// The best of all.
    pub(super) best: Entry,
    /// The best of all, where a number of them is gone on from; the best first.
    buffer: Vec<Entry>,
    /// What was put to the target last.
    pub(super) put: Vec<u32>,
    /// Whether the best of all is to be put to the target next.
    pub(super) is_to_be_put: bool,
}

/// Which candidate is gone on from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rule {
    /// The best of a step.
    Always,
    /// The best of a step, if it is better than what was gone on from.
    Improving,
    /// A worse one too, if a draw from 0 to 1 falls below `exp(-worse / temperature)`. It is held against the loss that was
    /// accepted, where llm-attacks takes that of the step before, accepted or not.
    Annealing { temperature: f64, draw: f64 },
    /// The best of so many that are kept; one enters by being better than the worst of them.
    Buffer(usize),
}

impl State {
    /// Before the first step.
    pub(super) fn new(first: Entry) -> Self {
        State {
            step: 0,
            current: first.clone(),
            best: first.clone(),
            buffer: vec![first],
            put: Vec::new(),
            is_to_be_put: false,
        }
    }

    /// Takes note of the best candidate of a step; says whether it is the best of all.
    pub(super) fn accept(&mut self, entry: Entry, rule: Rule) -> bool {
        let is_best = entry.loss < self.best.loss;
        if is_best {
            self.best = entry.clone();
        }
        let worse = entry.loss - self.current.loss;
        match rule {
            Rule::Buffer(size) => {
                let place = self.buffer.partition_point(|other| other.loss <= entry.loss);
                if !self.buffer.contains(&entry) {
                    self.buffer.insert(place, entry);
                }
                self.buffer.truncate(size);
                self.current.clone_from(&self.buffer[0]);
            }
            Rule::Improving if worse >= 0.0 => {}
            Rule::Annealing { temperature, draw } if worse >= 0.0 && (-worse / temperature).exp() < draw => {}
            Rule::Always | Rule::Improving | Rule::Annealing { .. } => self.current = entry,
        }
        is_best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(loss: f64) -> Entry {
        Entry { ids: vec![(loss * 10.0) as u32], loss }
    }

    /// What is gone on from after candidates of these losses, begun at 3.
    fn after(losses: &[f64], rule: Rule) -> (f64, Entry) {
        let mut state = State::new(entry(3.0));
        losses.iter().for_each(|loss| _ = state.accept(entry(*loss), rule));
        assert_eq!(state.best.ids, entry(state.best.loss).ids, "suffix and loss belong together");
        (state.current.loss, state.best)
    }

    #[test]
    fn rules_go_on_from_what_they_say() {
        assert_eq!(after(&[2.0, 2.5], Rule::Always), (2.5, entry(2.0)));
        assert_eq!(after(&[2.0, 2.5], Rule::Improving), (2.0, entry(2.0)));
        assert_eq!(after(&[4.0, 5.0], Rule::Improving), (3.0, entry(3.0)));
        assert_eq!(after(&[4.0, 2.5, 5.0], Rule::Buffer(2)), (2.5, entry(2.5)));
        let hot = Rule::Annealing { temperature: 1.0, draw: 0.5 };
        // exp(-0.5) is above a half, exp(-1) is not, and a refused loss does not become the one to beat.
        assert_eq!(after(&[3.5], hot), (3.5, entry(3.0)));
        assert_eq!(after(&[4.0, 3.9], hot), (3.0, entry(3.0)));
    }
}
