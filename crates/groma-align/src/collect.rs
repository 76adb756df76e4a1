//! The first half of the loop: what a method has at hand while it gathers what it learns from.

use crate::ahead::{self, Done, Ended};
use crate::critic;
use crate::group::{Estimate, Group, Member};
pub(crate) use crate::moments::mean_and_deviation;
use crate::reader::{Aligning, Readers};
use crate::reference::Reference;
use crate::rewards::{Granularity, NamedReward, Remote, Rollout, placed, token_ends};
use crate::role::Role;
use crate::rollout::{Rollouts, Sampling, Voice};
use crate::sequence::Sequence;
use crate::taught::no_teacher;
use crate::time_spent::TimeSpent;
use crate::{Encode, Error, Metrics, sampled};
use groma_data::below;
use groma_model::generate::{
    Beside, Decoding, Event, Finish, Gathered, Generation, GenerationContext, GenerationPrompt, generate_each,
    generate_mixed,
};
use groma_model::guidance::{ActionMask, Guidance, Guide};
use groma_model::sampling::SamplingParameters;
use groma_model::{Transformer, View};
use groma_run::{Cancel, Seed};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// What is logged of the lengths of completions.
pub(crate) const COMPLETIONS: &[&str] = &[
    "completions/mean_length",
    "completions/min_length",
    "completions/max_length",
    "completions/mean_terminated_length",
    "completions/clipped_ratio",
];

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
    /// Who is learned from, where somebody is.
    pub(crate) teacher: Option<&'a Transformer>,
    /// What puts texts to them.
    pub(crate) teacher_encoder: Option<&'a dyn Encode>,
    /// Who says what is to be expected of prefixes, where it is another model than the policy.
    pub(crate) critic: Option<&'a Transformer>,
    /// The policy as it was some time ago, where that says what may be chosen.
    pub(crate) lagged: Option<&'a Transformer>,
    /// Of this collection alone.
    pub(crate) seed: Seed,
    pub(crate) metrics: &'a mut Metrics,
    /// Rows that may be sampled beside those that are collected; none of held-out ones.
    pub(crate) rows: &'a [Group],
    pub(crate) cancel: &'a Cancel,
    /// Tokens that were sampled.
    pub(crate) sampled: u64,
    /// How long sampling and asking for rewards took.
    pub(crate) spent: Cell<TimeSpent>,
}

impl<'a> Collector<'a> {
    /// Groups with what the reference says of their members.
    pub(crate) fn referenced<'g>(&self, groups: Vec<Cow<'g, Group>>) -> Result<Vec<Cow<'g, Group>>, Error> {
        match self.reference {
            Some(reference) => reference.attach(self.model, groups, self.temperature, self.pass_rows),
            None => Ok(groups),
        }
    }

    /// Groups with what the teacher says of their members, in the reference's place.
    ///
    /// # Errors
    /// [`Error::Role`] where there is none.
    pub(crate) fn told_by_teacher<'g>(&self, groups: Vec<Cow<'g, Group>>) -> Result<Vec<Cow<'g, Group>>, Error> {
        let teacher = Reference::Model(self.teacher.ok_or_else(no_teacher)?);
        teacher.attach(self.model, groups, self.temperature, self.pass_rows)
    }

    /// Groups with what a teacher reads of their members that has tokens of its own; notes which share of their tokens both say in
    /// the same places.
    ///
    /// # Errors
    /// [`Error::Role`] where there is none, and where of rows that say something none says the same in its tokens; those of its
    /// tokenizer and template.
    pub(crate) fn translated<'g>(
        &mut self,
        mut groups: Vec<Cow<'g, Group>>,
        aligning: Aligning,
    ) -> Result<Vec<Cow<'g, Group>>, Error> {
        let (teacher, its) = (self.teacher.ok_or_else(no_teacher)?, self.teacher_encoder.ok_or_else(no_teacher)?);
        let readers = Readers { own: self.voice()?.encoder, its, longest: teacher.spec().max_positions };
        let mut readings = Vec::new();
        for group in &mut groups {
            let read = group.members.iter().map(|member| readers.translate(group, member, aligning));
            let read = read.collect::<Result<Vec<_>, Error>>()?;
            let group = group.to_mut();
            for (member, (translation, met)) in group.members.iter_mut().zip(read) {
                let shared: usize = translation.spans.iter().map(|span| span.own.len()).sum();
                self.metrics.add("aligned", shared as f64, member.sequence.scored_count() as f64);
                // What is sampled may be anything.
                if member.sampled.is_empty() && met.texts {
                    readings.push((group.place.clone(), met.share));
                }
                member.translation = Some(translation);
            }
        }
        // One row may be an odd one.
        match &readings[..] {
            [(place, _), _, ..] if readings.iter().all(|(_, share)| !share) => Err(unreadable(place)),
            _ => Ok(groups),
        }
    }

    /// Completions of prompts by whoever it is, with their log-probabilities and rewards.
    ///
    /// # Errors
    /// Those of sampling and of rewards.
    pub(crate) fn rollouts(
        &mut self,
        who: Speaker,
        prompts: &[Cow<'_, Group>],
        rollouts: &Rollouts,
    ) -> Result<Vec<Group>, Error> {
        let voice = self.voice()?;
        let parameters = rollouts.sampling.parameters(voice, rollouts.num_generations);
        let mut answers = self.answers(who, prompts, (voice, &parameters), (self.seed, true))?;
        self.measure(&answers.groups);
        self.reward(&mut answers, rollouts)?;
        Ok(answers.groups)
    }

    /// Completions of so many prompts more, which are drawn from all rows; the `round`-th such draw of the collection.
    ///
    /// # Errors
    /// Those of sampling and of rewards.
    pub(crate) fn further(
        &mut self,
        who: Speaker,
        (round, count): (u64, usize),
        rollouts: &Rollouts,
    ) -> Result<Vec<Group>, Error> {
        let seed = self.seed.named("further prompts").index(round);
        let mut rng = seed.named("rows").rng();
        if self.rows.is_empty() {
            return Ok(Vec::new());
        }
        let drawn = (0..count).map(|_| below(&mut rng, self.rows.len() as u64) as usize);
        let prompts: Vec<Cow<'_, Group>> = drawn.map(|row| Cow::Borrowed(&self.rows[row])).collect();
        let own = std::mem::replace(&mut self.seed, seed);
        let groups = self.rollouts(who, &prompts, rollouts);
        self.seed = own;
        groups
    }

    /// So many completions of each prompt by whoever it is, with their log-probabilities, and as texts. The n-th of the m-th prompt
    /// is a function of the weights, the prompt and the collection's seed.
    ///
    /// # Errors
    /// [`Error::Role`] where there is nobody to decode, those of the model, and a request to stop.
    pub(crate) fn samples(
        &mut self,
        who: Speaker,
        prompts: &[Cow<'_, Group>],
        (sampling, samples): (&Sampling, usize),
    ) -> Result<(Vec<Group>, Vec<Vec<String>>), Error> {
        let voice = self.voice()?;
        let parameters = sampling.parameters(voice, samples);
        let Answers { groups, texts, .. } = self.answers(who, prompts, (voice, &parameters), (self.seed, false))?;
        self.measure(&groups);
        Ok((groups, texts))
    }

    /// Completions of prompts by whoever it is, with what they are worth, beside those that metrics tell of; the likeliest one of
    /// each prompt where `sampling` is `None`.
    ///
    /// # Errors
    /// [`Error::Role`] where there is nobody who could; those of sampling and of rewards.
    pub(crate) fn beside<'g>(
        &self,
        prompts: impl IntoIterator<Item = &'g Group>,
        who: Speaker,
        (sampling, drawn): (&Sampling, Option<usize>),
    ) -> Result<Vec<Group>, Error> {
        let voice = self.voice()?;
        let prompts: Vec<Cow<'_, Group>> = prompts.into_iter().map(Cow::Borrowed).collect();
        let parameters = match drawn {
            Some(samples) => sampling.parameters(voice, samples),
            None => sampling.greedy(voice),
        };
        let seed = self.seed.named("beside");
        let mut answers = self.answers(who, &prompts, (voice, &parameters), (seed, true))?;
        let (rewards, costs) = self.said(&answers, None)?;
        let (rewards, costs) = (total(&rewards), total(&costs));
        set_worth(&mut answers.groups, rewards, costs);
        Ok(answers.groups)
    }

    /// What turns tokens into text and texts into tokens.
    ///
    /// # Errors
    /// [`Error::Role`] where nobody can.
    pub(crate) fn voice(&self) -> Result<&'a Voice<'a>, Error> {
        let missing = || Error::Role { role: "decoder", problem: "sampling needs the model's tokenizer".into() };
        self.voice.ok_or_else(missing)
    }

    /// Completions of prompts, with their log-probabilities, as texts, and where `rewarded` with what was said of them meanwhile.
    fn answers(
        &self,
        who: Speaker,
        prompts: &[Cow<'_, Group>],
        (voice, parameters): (&Voice<'_>, &SamplingParameters),
        (seed, rewarded): (Seed, bool),
    ) -> Result<Answers, Error> {
        let asked = prompts.iter().enumerate();
        let asked = asked
            .map(|(index, group)| GenerationPrompt { ids: prompt(group).to_vec(), seed: seed.index(index as u64) });
        let asked: Vec<GenerationPrompt> = asked.collect();
        let context = GenerationContext { parameters, decode: voice.decode, view: View::plain() };
        let columns: Vec<&Map<String, Value>> = prompts.iter().map(|group| &group.columns).collect();
        let remotes: Vec<&dyn Remote> = self.rewarders().filter(|_| rewarded).filter_map(asked_ahead).collect();
        let mut gathered = Gathered::new(asked.len(), parameters.samples);
        let mut answers = vec![Vec::new(); asked.len()];
        let done = ahead::asking(&remotes, &columns, self.cancel, |tell| {
            self.speak(who, &asked, &context, &mut |event| {
                if let Event::Ended { prompt, sample, generation } = event {
                    tell(&Ended { prompt, sample, text: generation.text.clone(), tokens: generation.ids.len() });
                    if let Some(all) = gathered.put(prompt, sample, generation) {
                        answers[prompt] = all;
                    }
                }
                !self.cancel.is_requested()
            })
        });
        let Done { took, said, waited } = done?;
        self.spend(took, waited);
        let texts: Vec<Vec<String>> =
            answers.iter().map(|all| all.iter().map(|one| one.text.clone()).collect()).collect();
        let with = |(prompt, answers): (&Cow<'_, Group>, Vec<Generation>)| sampled(prompt, answers);
        Ok(Answers { groups: prompts.iter().zip(answers).map(with).collect(), texts, said })
    }

    /// Lets somebody complete prompts.
    fn speak(
        &self,
        who: Speaker,
        asked: &[GenerationPrompt],
        context: &GenerationContext<'_>,
        told: &mut dyn FnMut(Event<'_>) -> bool,
    ) -> Result<(), Error> {
        let reference = || {
            let missing = || Error::Role { role: "reference", problem: "nobody is there who could be sampled".into() };
            self.reference.ok_or_else(missing)?.speaker(self.model)
        };
        let decoding = Decoding::default();
        let made = match who {
            Speaker::Policy => generate_each(self.model, asked, context, &decoding, told),
            Speaker::Masked(mask) => {
                let missing = || Error::Role { role: "policy", problem: "nobody says what it may choose".into() };
                let transformer = self.lagged.ok_or_else(missing)?;
                let prompts: Vec<Vec<u32>> = asked.iter().map(|prompt| prompt.ids.clone()).collect();
                let guides = [Guide { transformer, view: View::plain(), prompts: &prompts }];
                let guidance = Guidance { guides: &guides, rule: &mask };
                let decoding = Decoding { guidance: Some(&guidance), ..Decoding::default() };
                generate_each(self.model, asked, context, &decoding, told)
            }
            Speaker::Reference => {
                let (model, adapter) = reference()?;
                let context = GenerationContext { view: View::with_adapter(adapter), ..*context };
                generate_each(model, asked, &context, &decoding, told)
            }
            Speaker::Mixture(share) => {
                let (transformer, adapter) = reference()?;
                let beside = Beside { transformer, adapter, share };
                generate_mixed(self.model, beside, asked, context, None, told)
            }
        };
        match made {
            Err(groma_model::Error::Cancelled) => Err(groma_run::Error::Interrupted.into()),
            made => Ok(made?),
        }
    }

    fn spend(&self, sampling: Duration, rewards: Duration) {
        let spent = self.spent.get();
        self.spent.set(TimeSpent { sampling: spent.sampling + sampling, rewards: spent.rewards + rewards, ..spent });
    }

    /// Sets what completions are worth, and what they cost.
    fn reward(&mut self, answers: &mut Answers, settings: &Rollouts) -> Result<(), Error> {
        let ends = self.token_ends(answers)?;
        let (opinions, costs) = self.said(answers, ends.as_deref())?;
        let Answers { groups, texts, .. } = answers;
        self.measure_said("rewards", &opinions);
        let weighed: Vec<_> = opinions.iter().map(|opinion| (opinion.named.weight, &opinion.said[..])).collect();
        sampled::measure_rewarders(self.metrics, &weighed);
        self.measure_said("costs", &costs);
        let mut rewards = total(&opinions);
        if settings.shuffle_rewards {
            shuffle(&mut rewards, self.seed.named("shuffled rewards"));
        } else {
            place(groups, &opinions);
        }
        set_worth(groups, rewards, total(&costs));
        for group in groups.iter() {
            let known: Vec<f64> = group.members.iter().filter_map(|member| member.reward).collect();
            let (mean, deviation) = mean_and_deviation(&known);
            self.metrics.add("reward", mean * known.len() as f64, known.len() as f64);
            // One alone, and what nobody said, are no spread of zero.
            if known.len() > 1 {
                self.metrics.add("reward_std", deviation, 1.0);
                self.metrics.add("frac_reward_zero_std", f64::from(u8::from(deviation == 0.0)), 1.0);
            }
        }
        sampled::measure_rewards(self.metrics, groups);
        sampled::measure_texts(self.metrics, groups, texts);
        Ok(())
    }

    /// Behind how many bytes of their texts the tokens of completions end, where somebody is to say what lies at which.
    fn token_ends(&self, Answers { groups, texts, .. }: &Answers) -> Result<Option<Vec<Vec<usize>>>, Error> {
        if self.rewards.iter().all(|named| named.granularity == Granularity::Completion) {
            return Ok(None);
        }
        let (voice, members) = (self.voice()?, groups.iter().flat_map(|group| &group.members));
        let of = |(member, text): (&Member, &String)| token_ends(sampled::completion(member), text, voice.decode);
        Ok(Some(members.zip(texts.iter().flatten()).map(of).collect()))
    }

    /// All who say what completions are worth, then all who say what they cost.
    fn rewarders(&self) -> impl Iterator<Item = &'a NamedReward<'a>> + use<'a> {
        self.rewards.iter().chain(self.costs)
    }

    /// What each says of completions that were rewarded, what is no number being nothing said: what they are worth, and what they cost.
    /// `ends`: of their tokens, where it matters what lies at which.
    fn said(
        &self,
        answers: &Answers,
        ends: Option<&[Vec<usize>]>,
    ) -> Result<(Vec<Opinion<'a>>, Vec<Opinion<'a>>), Error> {
        let rollouts = rollouts_of(&answers.groups, &answers.texts);
        let number = |value: Option<f64>| value.filter(|value| value.is_finite());
        let mut ahead = answers.said.iter();
        let mut one = |named: &'a NamedReward<'a>| {
            if let Some(ends) = ends.filter(|_| named.granularity != Granularity::Completion) {
                let placed = placed(named, &rollouts, ends, self.cancel)?;
                let said = placed.iter().map(|worth| number(Some(worth.as_ref()?.iter().sum()))).collect();
                return Ok(Opinion {
                    named,
                    said,
                    placed: placed.into_iter().map(Option::unwrap_or_default).collect(),
                });
            }
            let said = match asked_ahead(named) {
                Some(remote) => remote.read(ahead.next().map_or(&[], Vec::as_slice))?,
                None => named.reward.score(&rollouts, self.cancel)?,
            };
            Ok(Opinion { named, said: said.into_iter().map(number).collect(), placed: Vec::new() })
        };
        let started = Instant::now();
        let rewards = self.rewards.iter().map(&mut one).collect::<Result<_, Error>>();
        let costs = self.costs.iter().map(&mut one).collect::<Result<_, Error>>();
        self.spend(Duration::ZERO, started.elapsed());
        Ok((rewards?, costs?))
    }

    fn measure_said(&mut self, what: &str, opinions: &[Opinion<'_>]) {
        for Opinion { named: NamedReward { name, .. }, said, .. } in opinions {
            let known: Vec<f64> = said.iter().flatten().copied().collect();
            let (mean, deviation) = mean_and_deviation(&known);
            self.metrics.add(&format!("{what}/{name}/mean"), mean * known.len() as f64, known.len() as f64);
            self.metrics.add(&format!("{what}/{name}/std"), deviation, 1.0);
            self.metrics.add(&format!("{what}/{name}/unscored"), (said.len() - known.len()) as f64, 1.0);
        }
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

fn unreadable(place: &str) -> Error {
    let problem = format!(
        "{place} is another text in its tokens, and so are the rows beside it, from their first letter on: name a teacher whose \
         tokenizer and chat template leave texts as they are"
    );
    Error::Role { role: Role::Teacher.name(), problem }
}

/// Who is asked of each completion as soon as it has ended: who says something of wholes, elsewhere.
fn asked_ahead<'a>(named: &'a NamedReward<'a>) -> Option<&'a dyn Remote> {
    named.reward.remote().filter(|_| named.granularity == Granularity::Completion)
}

/// Completions of prompts.
struct Answers {
    groups: Vec<Group>,
    /// As texts, by prompt.
    texts: Vec<Vec<String>>,
    /// What was said of them while they were sampled, by those of [`Collector::rewarders`] who are elsewhere.
    said: Vec<ahead::Answers>,
}

/// Who completes prompts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Speaker {
    /// The policy as it is now.
    Policy,
    /// The same, where it chooses among what a copy of it finds likely.
    Masked(ActionMask),
    /// The reference.
    Reference,
    /// Both, token by token: the geometric mixture in which the reference has this share.
    Mixture(f32),
}

/// Somebody, and what they say of each completion.
struct Opinion<'w> {
    named: &'w NamedReward<'w>,
    said: Vec<Option<f64>>,
    /// By completion and token, where they say what lies at which.
    placed: Vec<Vec<f64>>,
}

/// The weighted sum of what is said of each completion, by those that say something, of whom an ensemble says one thing; nothing
/// where nobody is asked.
fn total(opinions: &[Opinion<'_>]) -> Vec<Option<f64>> {
    let ensemble = opinions.iter().find_map(|opinion| opinion.named.ensemble).unwrap_or_default();
    let count = opinions.first().map_or(0, |opinion| opinion.said.len());
    let said = |index: usize, together: bool| {
        let those = opinions.iter().filter(move |opinion| opinion.named.ensemble.is_some() == together);
        those.filter_map(move |opinion| Some(opinion.named.weight * opinion.said[index]?))
    };
    let of = |index: usize| {
        let alone = said(index, false).reduce(|sum, value| sum + value);
        let together = ensemble.of(&said(index, true).collect::<Vec<_>>());
        alone.map_or(together, |alone| Some(alone + together.unwrap_or(0.0)))
    };
    (0..count).map(of).collect()
}

/// Notes what lies at which token, by those that say so.
fn place(groups: &mut [Group], opinions: &[Opinion<'_>]) {
    let fine: Vec<&Opinion<'_>> = opinions.iter().filter(|opinion| !opinion.placed.is_empty()).collect();
    for (index, member) in
        groups.iter_mut().flat_map(|group| &mut group.members).enumerate().filter(|_| !fine.is_empty())
    {
        member.placed = vec![0.0; member.sampled.len()];
        for opinion in &fine {
            let said = member.placed.iter_mut().zip(&opinion.placed[index]);
            said.for_each(|(at, worth)| *at += opinion.named.weight * worth);
        }
    }
}

/// Completions as rewards see them.
fn rollouts_of<'r>(groups: &'r [Group], texts: &'r [Vec<String>]) -> Vec<Rollout<'r>> {
    let members = |(group, texts): (&'r Group, &'r Vec<String>)| {
        let of = |(member, text): (&'r Member, &'r String)| Rollout {
            columns: &group.columns,
            completion: text,
            tokens: member.sampled.len(),
        };
        group.members.iter().zip(texts).map(of).collect::<Vec<_>>()
    };
    groups.iter().zip(texts).flat_map(members).collect()
}

/// Notes of each completion, in their order, what it is worth and what it costs, where that is a number.
fn set_worth(groups: &mut [Group], rewards: Vec<Option<f64>>, costs: Vec<Option<f64>>) {
    let (mut rewards, mut costs) = (rewards.into_iter(), costs.into_iter());
    for member in groups.iter_mut().flat_map(|group| &mut group.members) {
        member.reward = rewards.next().flatten().filter(|reward| reward.is_finite());
        member.cost = costs.next().flatten().filter(|cost| cost.is_finite());
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

/// A uniform permutation, drawn from the seed.
fn shuffle<T>(values: &mut [T], seed: Seed) {
    let mut rng = seed.rng();
    for last in (1..values.len()).rev() {
        values.swap(last, below(&mut rng, last as u64 + 1) as usize);
    }
}
