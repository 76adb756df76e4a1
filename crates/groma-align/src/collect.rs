//! The first half of the loop: what a method has at hand while it gathers what it learns from.

use crate::critic;
use crate::group::{Estimate, Group, Member};
use crate::reference::Reference;
use crate::rewards::{NamedReward, Rollout};
use crate::rollout::{Rollouts, Sampling, Voice};
use crate::sequence::Sequence;
use crate::{Error, Metrics};
use groma_data::below;
use groma_model::generate::{Finish, Generation, GenerationContext, GenerationPrompt, generate};
use groma_model::{Transformer, View};
use groma_run::{Cancel, Seed};
use std::borrow::Cow;

/// The policy as it is now, the roles, a decoder and rewards.
pub(crate) struct Collector<'a> {
    pub(crate) model: &'a Transformer,
    pub(crate) reference: Option<&'a Reference<'a>>,
    /// Token rows in a pass of the reference, at most.
    pub(crate) pass_rows: usize,
    /// Temperature of the log-probabilities that are learned from.
    pub(crate) temperature: f32,
    pub(crate) voice: Option<&'a Voice<'a>>,
    pub(crate) rewards: &'a [NamedReward<'a>],
    pub(crate) costs: &'a [NamedReward<'a>],
    /// Who says what is to be expected of prefixes, where it is another model than the policy.
    pub(crate) critic: Option<&'a Transformer>,
    /// Of this collection alone.
    pub(crate) seed: Seed,
    pub(crate) metrics: &'a mut Metrics,
    pub(crate) cancel: &'a Cancel,
    /// Tokens that were sampled.
    pub(crate) sampled: u64,
}

impl Collector<'_> {
    /// Groups with what the reference says of their members.
    pub(crate) fn referenced<'g>(&self, groups: Vec<Cow<'g, Group>>) -> Result<Vec<Cow<'g, Group>>, Error> {
        match self.reference {
            Some(reference) => reference.attach(self.model, groups, self.temperature, self.pass_rows),
            None => Ok(groups),
        }
    }

    /// Completions of prompts by the policy as it is now, with their log-probabilities and rewards.
    ///
    /// # Errors
    /// Those of sampling and of rewards.
    pub(crate) fn rollouts(&mut self, prompts: &[Cow<'_, Group>], rollouts: &Rollouts) -> Result<Vec<Group>, Error> {
        let (mut groups, texts) = self.samples(prompts, &rollouts.sampling, rollouts.num_generations)?;
        self.reward(&mut groups, &texts, rollouts)?;
        Ok(groups)
    }

    /// So many completions of each prompt by the policy as it is now, with their log-probabilities, and as texts. The n-th of the
    /// m-th prompt is a function of the weights, the prompt and the collection's seed.
    ///
    /// # Errors
    /// [`Error::Role`] where there is nobody to decode, those of the model, and a request to stop.
    pub(crate) fn samples(
        &mut self,
        prompts: &[Cow<'_, Group>],
        sampling: &Sampling,
        samples: usize,
    ) -> Result<(Vec<Group>, Vec<Vec<String>>), Error> {
        let Some(voice) = self.voice else {
            return Err(Error::Role { role: "decoder", problem: "sampling needs the model's tokenizer".into() });
        };
        let parameters = sampling.parameters(voice, samples);
        let asked = prompts.iter().enumerate().map(|(index, group)| GenerationPrompt {
            ids: prompt(group).to_vec(),
            seed: self.seed.index(index as u64),
        });
        let context = GenerationContext { parameters: &parameters, decode: voice.decode, view: View::plain() };
        let mut go_on = |_| !self.cancel.is_requested();
        let asked: Vec<GenerationPrompt> = asked.collect();
        let answers = match generate(self.model, &asked, &context, &mut go_on) {
            Err(groma_model::Error::Cancelled) => return Err(groma_run::Error::Interrupted.into()),
            answers => answers?,
        };
        let texts: Vec<Vec<String>> =
            answers.iter().map(|all| all.iter().map(|one| one.text.clone()).collect()).collect();
        let with = |(prompt, answers): (&Cow<'_, Group>, Vec<Generation>)| sampled(prompt, answers);
        let groups: Vec<Group> = prompts.iter().zip(answers).map(with).collect();
        self.measure(&groups);
        Ok((groups, texts))
    }

    /// Sets what completions are worth, and what they cost.
    fn reward(&mut self, groups: &mut [Group], texts: &[Vec<String>], settings: &Rollouts) -> Result<(), Error> {
        let rollouts: Vec<Rollout<'_>> = groups
            .iter()
            .zip(texts)
            .flat_map(|(group, texts)| group.members.iter().zip(texts).map(move |(member, text)| (group, member, text)))
            .map(|(group, member, text)| Rollout {
                columns: &group.columns,
                completion: text,
                tokens: member.sampled.len(),
            })
            .collect();
        let mut totals = self.said("rewards", self.rewards, &rollouts)?;
        let mut costs = self.said("costs", self.costs, &rollouts)?.into_iter();
        if settings.shuffle_rewards {
            shuffle(&mut totals, self.seed.named("shuffled rewards"));
        }
        let mut totals = totals.into_iter();
        for group in groups.iter_mut() {
            for (member, total) in group.members.iter_mut().zip(&mut totals) {
                member.reward = total.filter(|reward| reward.is_finite());
                member.cost = costs.next().flatten().filter(|cost| cost.is_finite());
            }
            let known: Vec<f64> = group.members.iter().filter_map(|member| member.reward).collect();
            let (mean, deviation) = mean_and_deviation(&known);
            self.metrics.add("reward", mean * known.len() as f64, known.len() as f64);
            if group.members.len() > 1 {
                self.metrics.add("reward_std", deviation, 1.0);
                self.metrics.add("frac_reward_zero_std", f64::from(u8::from(deviation == 0.0)), 1.0);
            }
        }
        Ok(())
    }

    /// The weighted sum of what some say of completions, of those that say something.
    fn said(&mut self, what: &str, who: &[NamedReward<'_>], of: &[Rollout<'_>]) -> Result<Vec<Option<f64>>, Error> {
        let mut totals: Vec<Option<f64>> = vec![None; of.len()];
        for NamedReward { name, weight, reward } in who {
            let said = reward.score(of, self.cancel)?;
            for (total, value) in totals.iter_mut().zip(&said) {
                *total = value.map(|value| total.unwrap_or(0.0) + weight * value).or(*total);
            }
            let known: Vec<f64> = said.into_iter().flatten().collect();
            let (mean, deviation) = mean_and_deviation(&known);
            self.metrics.add(&format!("{what}/{name}/mean"), mean * known.len() as f64, known.len() as f64);
            self.metrics.add(&format!("{what}/{name}/std"), deviation, 1.0);
            self.metrics.add(&format!("{what}/{name}/unscored"), (of.len() - known.len()) as f64, 1.0);
        }
        Ok(totals)
    }

    /// Notes what is to be expected before each scored token, by the critic or the policy's own head of values.
    ///
    /// # Errors
    /// Those of the model.
    pub(crate) fn estimate(&self, groups: &mut [Group]) -> Result<(), Error> {
        let critic = self.critic.unwrap_or(self.model);
        let sequences: Vec<Vec<&Sequence>> = groups.iter().map(|group| group.sequences().collect()).collect();
        let said = critic::values(critic, &sequences, self.pass_rows)?;
        for (member, values) in groups.iter_mut().flat_map(|group| &mut group.members).zip(said) {
            member.estimates = values.into_iter().map(|value| Estimate { value, ..Estimate::default() }).collect();
        }
        Ok(())
    }

    fn measure(&mut self, groups: &[Group]) {
        for member in groups.iter().flat_map(|group| &group.members) {
            let length = member.sampled.len() as f64;
            let cut = member.ended != Some(true);
            self.sampled += member.sampled.len() as u64;
            self.metrics.add("completions/mean_length", length, 1.0);
            self.metrics.smallest("completions/min_length", length);
            self.metrics.largest("completions/max_length", length);
            self.metrics.add("completions/clipped_ratio", f64::from(u8::from(cut)), 1.0);
            if !cut {
                self.metrics.add("completions/mean_terminated_length", length, 1.0);
            }
        }
    }
}

/// A prompt's group with its completions as members.
fn sampled(group: &Group, answers: Vec<Generation>) -> Group {
    let ids = prompt(group);
    let member = |answer: Generation| Member {
        sequence: Sequence::completion(ids, &answer.ids),
        sampled: answer.logps,
        ended: Some(answer.finish == Finish::Stop),
        ..Member::default()
    };
    let members = answers.into_iter().map(member).collect();
    Group { place: group.place.clone(), members, columns: group.columns.clone() }
}

/// The tokens that completions of a group follow.
fn prompt(group: &Group) -> &[u32] {
    group.members.first().map_or(&[], |member| member.sequence.prompt())
}

/// Mean and sample standard deviation; 0 of fewer than two values.
pub(crate) fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count.max(1.0);
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, if values.len() < 2 { 0.0 } else { (squares / (count - 1.0)).sqrt() })
}

/// A uniform permutation, drawn from the seed.
fn shuffle<T>(values: &mut [T], seed: Seed) {
    let mut rng = seed.rng();
    for last in (1..values.len()).rev() {
        values.swap(last, below(&mut rng, last as u64 + 1) as usize);
    }
}
