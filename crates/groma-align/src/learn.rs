//! The second half of the loop: from what was collected to a loss and its gradient, in micro-batches.

use crate::Error;
use crate::Metrics;
use crate::forest::{Forest, Run};
use crate::group::Group;
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::role::Role;
use groma_kernels::{Cotangent, Gradients, HeadOutput, HeadWants, Tape};
use groma_model::Transformer;
use groma_run::Seed;
use std::borrow::Cow;
use std::ops::Range;

/// A step's loss and how many items it is the mean of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Loss {
    pub(crate) value: f64,
    pub(crate) weight: f64,
}

/// With what a step is computed, and where its results go.
pub(crate) struct Learner<'a> {
    pub(crate) model: &'a Transformer,
    /// Where the method learns from one.
    pub(crate) teacher: Option<&'a Transformer>,
    /// `None`: evaluation.
    pub(crate) gradients: Option<&'a mut Gradients>,
    pub(crate) metrics: &'a mut Metrics,
    /// Draws dropout; `None` for none.
    pub(crate) dropout: Option<Seed>,
    /// Whether the backward pass runs each block again.
    pub(crate) recompute: bool,
}

impl Learner<'_> {
    /// The loss of an optimizer step, computed in micro-batches; adds gradients where they are collected.
    pub(crate) fn learn(
        &mut self,
        objective: &mut dyn Objective,
        groups: &[Cow<'_, Group>],
        micros: &[Range<usize>],
    ) -> Result<Loss, Error> {
        let step = Step { groups, total: objective.total(groups) };
        if objective.needs_whole_step() && micros.len() > 1 {
            self.survey(objective, step, micros)?;
        }
        let mut sum = 0.0;
        for (number, micro) in micros.iter().enumerate() {
            let forest = forest(&groups[micro.clone()]);
            sum += self.micro(objective, step, (number, micro.clone()), &forest)?.sum;
        }
        Ok(Loss { value: sum / step.total.max(1.0), weight: step.total })
    }

    /// One micro-batch, given by its number and place in the step.
    pub(crate) fn micro(
        &mut self,
        objective: &mut dyn Objective,
        step: Step<'_>,
        (number, micro): (usize, Range<usize>),
        forest: &Forest,
    ) -> Result<Slopes, Error> {
        let (temperature, half_temperature) = match objective.reads() {
            Reads::Scores => return self.scores(objective, step, (number, micro), forest),
            _ if forest.slot_count() == 0 => return Ok(Slopes::default()),
            Reads::Divergence { .. } => return self.divergences(objective, step, (number, micro), forest),
            Reads::Tokens { temperature, half_temperature } => (temperature, half_temperature),
        };
        let run = Run { temperature, half_temperature, ..self.policy(number) };
        let scored = forest.forward(self.model, self.tape(), run)?;
        let half = scored.half_temperature();
        let said = Said { forest, output: scored.output(), half, scores: &[], divergences: &[] };
        if objective.needs_whole_step() && micro.len() == step.groups.len() {
            objective.survey(step, &all_logps(&said, step.groups));
        }
        let slopes = objective.loss(step, micro, &said, self.metrics);
        if let Some(gradients) = self.gradients.as_deref_mut() {
            scored.backward(&slopes.logps, gradients);
        }
        Ok(slopes)
    }

    fn scores(
        &mut self,
        objective: &mut dyn Objective,
        step: Step<'_>,
        (number, micro): (usize, Range<usize>),
        forest: &Forest,
    ) -> Result<Slopes, Error> {
        let mut tape = self.tape();
        let scores = forest.forward_scores(self.model, &mut tape, self.policy(number))?;
        let values = self.model.backend().download(scores.buffer());
        let said = Said { forest, output: &HeadOutput::default(), half: None, scores: &values, divergences: &[] };
        let slopes = objective.loss(step, micro, &said, self.metrics);
        if let Some(gradients) = self.gradients.as_deref_mut() {
            let cotangent = self.model.backend().upload(&slopes.scores);
            tape.backward(vec![Cotangent::Value(&scores, cotangent)], gradients);
        }
        Ok(slopes)
    }

    fn divergences(
        &mut self,
        objective: &mut dyn Objective,
        step: Step<'_>,
        (number, micro): (usize, Range<usize>),
        forest: &Forest,
    ) -> Result<Slopes, Error> {
        let (Reads::Divergence { kind, temperature }, Some(teacher)) = (objective.reads(), self.teacher) else {
            return Err(Error::Role { role: Role::Teacher.name(), problem: "nobody is there to learn from".into() });
        };
        let taught = forest.taught(teacher)?;
        let mut tape = self.tape();
        let run = Run { temperature, ..self.policy(number) };
        let found = forest.forward_divergence(self.model, &mut tape, &taught, kind, run)?;
        let output = &HeadOutput::default();
        let said = Said { forest, output, half: None, scores: &[], divergences: found.values() };
        let slopes = objective.loss(step, micro, &said, self.metrics);
        if let Some(gradients) = self.gradients.as_deref_mut() {
            tape.backward(vec![Cotangent::Divergence { divergence: &found, d_value: &slopes.logps }], gradients);
        }
        Ok(slopes)
    }

    /// Shows the objective the log-probabilities of the whole step.
    fn survey(&mut self, objective: &mut dyn Objective, step: Step<'_>, micros: &[Range<usize>]) -> Result<(), Error> {
        let Reads::Tokens { temperature, .. } = objective.reads() else { return Ok(()) };
        let mut logps = Vec::new();
        for (number, micro) in micros.iter().enumerate() {
            let groups = &step.groups[micro.clone()];
            let forest = forest(groups);
            let run = Run { temperature, ..self.policy(number) };
            let scored = forest.forward(self.model, Tape::inference(self.model.backend().clone()), run)?;
            let said = Said { forest: &forest, output: scored.output(), half: None, scores: &[], divergences: &[] };
            logps.extend(all_logps(&said, groups));
        }
        objective.survey(step, &logps);
        Ok(())
    }

    /// A tape that records where gradients are collected.
    fn tape<'m>(&self) -> Tape<'m> {
        let backend = self.model.backend().clone();
        if self.gradients.is_some() { Tape::recording(backend) } else { Tape::inference(backend) }
    }

    /// The policy's pass over the micro-batch of that number.
    fn policy(&self, number: usize) -> Run {
        let dropout = self.dropout.map(|seed| seed.index(number as u64));
        let wants = HeadWants { entropy: true, mean_logit: true, argmax: true };
        Run { dropout, recompute: self.recompute, wants, ..Run::plain(true) }
    }
}

/// The tree of all members of some groups.
pub(crate) fn forest(groups: &[Cow<'_, Group>]) -> Forest {
    Forest::new(&groups.iter().flat_map(|group| group.sequences()).collect::<Vec<_>>())
}

fn all_logps(said: &Said<'_>, groups: &[Cow<'_, Group>]) -> Vec<Vec<f32>> {
    let members = groups.iter().map(|group| group.members.len()).sum();
    (0..members).map(|member| said.logps(member)).collect()
}
