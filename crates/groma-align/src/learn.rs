//! The second half of the loop: from what was collected to a loss and its gradient, in micro-batches.

use crate::Error;
use crate::Metrics;
use crate::forest::{Beside, Forest, Run, SlopesBySlot};
use crate::forgetful::forgotten;
use crate::group::{Group, Member};
use crate::noise::Noise;
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::reference::Reference;
use crate::rivals::Draws;
use crate::role::Role;
use crate::sequence::Sequence;
use crate::spans::{self, Spans};
use crate::taught::{Taught, no_teacher};
use crate::vocabularies::Vocabularies;
use groma_kernels::{Backend, Cotangent, Gradients, HeadOutput, HeadWants, Tape, TeacherVar, Var};
use groma_model::{Head, Transformer};
use groma_run::Seed;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// A step's loss and how many items it is the mean of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Loss {
    pub(crate) value: f64,
    pub(crate) weight: f64,
}

/// The models that a step is computed with.
#[derive(Clone, Copy)]
pub(crate) struct Models<'a> {
    pub(crate) policy: &'a Transformer,
    /// Where the method compares with one.
    pub(crate) reference: Option<&'a Reference<'a>>,
    /// Where the method learns from one.
    pub(crate) teacher: Option<&'a Transformer>,
    /// Which of its tokens are the policy's, where it has tokens of its own.
    pub(crate) vocabularies: Option<&'a Arc<Vocabularies>>,
    /// Where it is another model than the policy.
    pub(crate) critic: Option<&'a Transformer>,
    /// The policy as it was some time ago, where that says what may be chosen.
    pub(crate) lagged: Option<&'a Transformer>,
}

/// Gradients of the models that train.
#[derive(Debug, Default)]
pub(crate) struct Both {
    pub(crate) policy: Gradients,
    pub(crate) critic: Gradients,
}

impl Both {
    /// The norm of all of them together.
    pub(crate) fn norm(&self, backend: &dyn Backend) -> f64 {
        match self.critic.iter().next() {
            None => self.policy.norm(backend),
            Some(_) => self.policy.norm(backend).hypot(self.critic.norm(backend)),
        }
    }
}

/// With what a step is computed, and where its results go.
pub(crate) struct Learner<'a> {
    pub(crate) models: Models<'a>,
    /// `None`: evaluation.
    pub(crate) gradients: Option<&'a mut Both>,
    pub(crate) metrics: &'a mut Metrics,
    /// Draws dropout; `None` for none.
    pub(crate) dropout: Option<Seed>,
    /// Draws noise on embeddings, where the objective wants some; `None` for none.
    pub(crate) noise: Option<Seed>,
    /// Draws what is forgotten, where the objective wants something to be; `None` for nothing.
    pub(crate) forgets: Option<Seed>,
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
            let forest = self.forest(objective, groups, micro.clone());
            sum += self.micro(objective, step, (number, micro.clone()), &forest)?.sum;
        }
        Ok(Loss { value: sum / step.total.max(1.0), weight: step.total })
    }

    /// The tree of a micro-batch, in which some tokens may be forgotten; which, hangs on their place in the step alone.
    fn forest(&self, objective: &dyn Objective, groups: &[Cow<'_, Group>], micro: Range<usize>) -> Forest {
        let most = objective.forgets();
        let Some(seed) = self.forgets.filter(|_| most > 0.0) else { return forest(&groups[micro]) };
        let before: usize = groups[..micro.start].iter().map(|group| group.members.len()).sum();
        let sequences: Vec<&Sequence> = groups[micro].iter().flat_map(|group| group.sequences()).collect();
        let drawn = sequences.iter().zip(before as u64..);
        let forgotten: Vec<Vec<bool>> =
            drawn.map(|(sequence, index)| forgotten(sequence.ids.len(), most, seed.index(index))).collect();
        Forest::forgetful(&sequences, &forgotten)
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
            Reads::Scores | Reads::Steps => return self.scores(objective, step, (number, micro), forest),
            _ if forest.slot_count() == 0 => return Ok(Slopes::default()),
            Reads::Divergence { .. } => return self.divergences(objective, step, (number, micro), forest),
            Reads::Spans { .. } => return self.spans(objective, step, (number, micro), forest),
            Reads::Tokens { temperature, half_temperature } => (temperature, half_temperature),
            Reads::Rivals => (1.0, false),
        };
        let beside = self.beside(objective, &step.groups[micro.clone()], forest)?;
        let own_values = objective.has_critic() && self.models.critic.is_none();
        let seed = self.noise.map(|seed| seed.index(number as u64));
        let noise = objective.embedding_noise().zip(seed).map(|(alpha, seed)| Noise { alpha, seed });
        let run = Run { temperature, half_temperature, noise, values: own_values, ..self.policy(number) };
        let scored = match objective.lag().zip(self.models.lagged) {
            Some((lag, lagged)) => forest.forward_masked(self.models.policy, self.tape(), run, (lagged, lag.mask))?,
            None => forest.forward(self.models.policy, self.tape(), run, &beside)?,
        };
        let critic = self.models.critic.map(|critic| self.criticise(critic, forest)).transpose()?;
        let values = critic.as_ref().map(Criticised::said).or_else(|| scored.values()).unwrap_or_default();
        let half = scored.half_temperature();
        let rivals = scored.rivals().unwrap_or_default();
        let (divergences, taught, actions) = (scored.divergences(), scored.taught(), scored.actions());
        let said = Said {
            half,
            values: &values,
            rivals: &rivals,
            divergences,
            taught,
            actions: &actions,
            ..Said::of_tokens(forest, scored.output())
        };
        if objective.needs_whole_step() && micro.len() == step.groups.len() {
            objective.survey(step, &of_all(&said, step.groups, &scored.output().logp));
            objective.survey_entropies(&of_all(&said, step.groups, &scored.output().entropy));
        }
        let slopes = objective.loss(step, micro, &said, self.metrics);
        if let Some(gradients) = self.gradients.as_deref_mut() {
            let Slopes { logps, entropies, values, rivals, divergences, actions, .. } = &slopes;
            let slopes = SlopesBySlot { logps, entropies, values, rivals, divergences, actions };
            scored.backward(slopes, &mut gradients.policy);
            if let Some(critic) = critic {
                critic.backward(values, &mut gradients.critic);
            }
        }
        Ok(slopes)
    }

    /// What is read of a micro-batch beside log-probabilities.
    fn beside(&self, objective: &dyn Objective, groups: &[Cow<'_, Group>], forest: &Forest) -> Result<Beside, Error> {
        let rivals = (objective.reads() == Reads::Rivals).then(|| {
            let mut keys = vec![0; forest.slot_count()];
            for (member, sequence) in groups.iter().flat_map(|group| group.sequences()).enumerate() {
                let of_member = Draws::keys(sequence);
                forest.slots(member).iter().zip(of_member).for_each(|(&slot, key)| keys[slot as usize] = key);
            }
            Draws { among: objective.rivals(), keys }
        });
        let compared = objective.compared();
        let compared = compared.map(|(what, by)| Ok::<_, Error>((self.taught(by, groups, forest)?, what)));
        Ok(Beside { rivals, compared: compared.transpose()?, actions: objective.action_values().is_some() })
    }

    /// What who teaches says of a micro-batch.
    fn taught(&self, by: Taught, groups: &[Cow<'_, Group>], forest: &Forest) -> Result<TeacherVar, Error> {
        let policy = self.models.policy;
        let (role, teacher) = match by {
            Taught::Teacher => (Role::Teacher, self.models.teacher.map(|teacher| (teacher, true))),
            Taught::Reference => {
                (Role::Reference, self.models.reference.map(|reference| reference.speaker(policy)).transpose()?)
            }
            Taught::Policy => (Role::Reference, Some((policy, true))),
        };
        let missing = || Error::Role { role: role.name(), problem: "nobody is there to be compared with".into() };
        let teacher = teacher.ok_or_else(missing)?;
        let members = || groups.iter().flat_map(|group| &group.members);
        if by == Taught::Teacher || members().all(|member| member.context.is_empty()) {
            return forest.taught(teacher, forest);
        }
        let read: Vec<Sequence> = members().map(Member::taught).collect();
        forest.taught(teacher, &Forest::new(&read.iter().collect::<Vec<_>>()))
    }

    /// A critic's pass over the micro-batch.
    fn criticise<'m>(&self, critic: &'m Transformer, forest: &Forest) -> Result<Criticised<'m>, Error> {
        let mut tape = self.tape();
        let run = Run { recompute: self.recompute, ..Run::plain(true) };
        let values = forest.forward_values(critic, &mut tape, run)?;
        Ok(Criticised { tape, values })
    }

    fn scores(
        &mut self,
        objective: &mut dyn Objective,
        step: Step<'_>,
        (number, micro): (usize, Range<usize>),
        forest: &Forest,
    ) -> Result<Slopes, Error> {
        let (head, rows) = match objective.reads() {
            Reads::Steps => (Head::STEP, step_rows(forest, &step.groups[micro.clone()])),
            _ => (Head::SCORE, forest.last_rows()),
        };
        if rows.is_empty() {
            return Ok(Slopes::default());
        }
        let mut tape = self.tape();
        let scores = forest.forward_head(self.models.policy, &mut tape, (&head.name, &rows), self.policy(number))?;
        let values = self.models.policy.backend().download(scores.buffer());
        let output = &HeadOutput::default();
        let said = Said { scores: &values, ..Said::of_tokens(forest, output) };
        let slopes = objective.loss(step, micro, &said, self.metrics);
        if let Some(gradients) = self.gradients.as_deref_mut() {
            let cotangent = self.models.policy.backend().upload(&slopes.scores);
            tape.backward(vec![Cotangent::Value(&scores, cotangent)], &mut gradients.policy);
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
        let Reads::Divergence { kind, temperature, taught } = objective.reads() else { return Ok(Slopes::default()) };
        let taught = self.taught(taught, &step.groups[micro.clone()], forest)?;
        let mut tape = self.tape();
        let run = Run { temperature, ..self.policy(number) };
        let found = forest.forward_divergence(self.models.policy, &mut tape, &taught, kind, run)?;
        let output = &HeadOutput::default();
        let said = Said { divergences: found.values(), ..Said::of_tokens(forest, output) };
        let slopes = objective.loss(step, micro, &said, self.metrics);
        if let Some(gradients) = self.gradients.as_deref_mut() {
            let cotangent = Cotangent::Divergence { divergence: &found, d_value: &slopes.logps };
            tape.backward(vec![cotangent], &mut gradients.policy);
        }
        Ok(slopes)
    }

    fn spans(
        &mut self,
        objective: &mut dyn Objective,
        step: Step<'_>,
        (number, micro): (usize, Range<usize>),
        forest: &Forest,
    ) -> Result<Slopes, Error> {
        let Reads::Spans { loss, likelihood } = objective.reads() else { return Ok(Slopes::default()) };
        let (policy, teacher) = (self.models.policy, self.models.teacher.ok_or_else(no_teacher)?);
        let vocabularies = self.models.vocabularies.ok_or_else(no_teacher)?;
        let comparison = spans::Comparison { policy, teacher, vocabularies, loss, likelihood };
        let members: Vec<&Member> = step.groups[micro.clone()].iter().flat_map(|group| &group.members).collect();
        let found = Spans::of(comparison, (forest, &members), (self.tape(), self.policy(number)))?;
        let none = HeadOutput::default();
        let said = Said { spans: found.values(), ..Said::of_tokens(forest, found.likelihood().unwrap_or(&none)) };
        let slopes = objective.loss(step, micro, &said, self.metrics);
        if let Some(gradients) = self.gradients.as_deref_mut() {
            found.backward(&slopes.spans, &slopes.logps, &mut gradients.policy);
        }
        Ok(slopes)
    }

    /// Shows the objective the log-probabilities of the whole step.
    fn survey(&mut self, objective: &mut dyn Objective, step: Step<'_>, micros: &[Range<usize>]) -> Result<(), Error> {
        let Reads::Tokens { temperature, .. } = objective.reads() else { return Ok(()) };
        let (mut logps, mut entropies) = (Vec::new(), Vec::new());
        for (number, micro) in micros.iter().enumerate() {
            let groups = &step.groups[micro.clone()];
            let forest = forest(groups);
            let run = Run { temperature, ..self.policy(number) };
            let tape = Tape::inference(self.models.policy.backend().clone());
            let scored = forest.forward(self.models.policy, tape, run, &Beside::default())?;
            let said = Said::of_tokens(&forest, scored.output());
            logps.extend(of_all(&said, groups, &scored.output().logp));
            entropies.extend(of_all(&said, groups, &scored.output().entropy));
        }
        objective.survey(step, &logps);
        objective.survey_entropies(&entropies);
        Ok(())
    }

    /// A tape that records where gradients are collected.
    fn tape<'m>(&self) -> Tape<'m> {
        let backend = self.models.policy.backend().clone();
        if self.gradients.is_some() { Tape::recording(backend) } else { Tape::inference(backend) }
    }

    /// The policy's pass over the micro-batch of that number.
    fn policy(&self, number: usize) -> Run {
        let dropout = self.dropout.map(|seed| seed.index(number as u64));
        let wants = HeadWants { entropy: true, mean_logit: true, argmax: true };
        Run { dropout, recompute: self.recompute, wants, ..Run::plain(true) }
    }
}

/// What a critic said of a micro-batch, and the tape that differentiates it.
struct Criticised<'m> {
    tape: Tape<'m>,
    values: Var,
}

impl Criticised<'_> {
    fn said(&self) -> Vec<f32> {
        self.tape.backend().download(self.values.buffer())
    }

    /// Adds the gradients of `sum d_value[slot] * value[slot]`.
    fn backward(self, d_value: &[f32], gradients: &mut Gradients) {
        let cotangent = Cotangent::Value(&self.values, self.tape.backend().upload(d_value));
        self.tape.backward(vec![cotangent], gradients);
    }
}

/// The tree of all members of some groups; who is taught behind something else shares no slot.
pub(crate) fn forest(groups: &[Cow<'_, Group>]) -> Forest {
    let members = || groups.iter().flat_map(|group| &group.members);
    let mut contexts = BTreeMap::new();
    let numbers: Vec<u32> = members()
        .map(|member| {
            let next = contexts.len() as u32;
            *contexts.entry(&member.context[..]).or_insert(next)
        })
        .collect();
    Forest::told_apart(&members().map(|member| &member.sequence).collect::<Vec<_>>(), &numbers)
}

/// The rows in which the steps of the groups' members end, in their order.
fn step_rows(forest: &Forest, groups: &[Cow<'_, Group>]) -> Vec<u32> {
    let members = groups.iter().flat_map(|group| &group.members).enumerate();
    let rows = |(index, member): (usize, &Member)| forest.rows_behind(index, member.steps.iter().map(|step| step.0));
    members.flat_map(rows).collect()
}

/// Of a value by slot, those of all members of some groups.
fn of_all(said: &Said<'_>, groups: &[Cow<'_, Group>], by_slot: &[f32]) -> Vec<Vec<f32>> {
    let members = groups.iter().map(|group| group.members.len()).sum();
    (0..members).map(|member| said.of(member, by_slot)).collect()
}
