//! The direction that a behaviour hangs on: found, added, taken out of activations and of weights.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use groma_kernels::{Divergence, Edit, Tape, TeacherVar, Var};
use groma_lm::{Local, SamplingParameters};
use groma_model::generate::GenerationPrompt;
use groma_model::score::{ScoreOptions, ScoreRequest, score};
use groma_model::{Address, HookPoint, Hooks, Intervention, Pass, Positions, Site, TokenTree, Transformer, View};
use groma_run::figure::{Lines, Point, Series};
use groma_run::{Drawing, Figure, Group, Measurement, Pillar, Seed, Unit};
use serde::Deserialize;

use crate::activations::{Activations, Tokens};
use crate::direction::{Direction, ablated, orthogonalised};
use crate::error::{Error, Result};
use crate::instrument::{Found, Instrument, Look, Need, json_file, settings};
use crate::numbers::{factors, mean, ratio, share};
use crate::steering::{apart, random_direction};
use crate::subject::{Case, Material, Subject};

const ID: &str = "direction";
/// Candidates lie before this share of the layers (Arditi et al. 2024).
const DEPTH: f64 = 0.8;
/// The most that ablation may change predictions of the second class, in nats (the same).
const MOST_KL: f64 = 0.1;
/// Classes that differ by less than this in the behaviour's probability leave no gap to be closed.
const LEAST_GAP: f64 = 0.1;
/// Fewest prompts of a class in each part.
const FEWEST: usize = 4;
/// Prompts in one forward pass.
const AT_ONCE: usize = 32;

pub(super) const RECORD: Instrument = Instrument {
    id: ID,
    title: "the direction that a behaviour hangs on: found, added, taken out",
    paper: "Arditi et al. 2024 (2406.11717); Turner et al. 2023 (2308.10248)",
    doc: "takes the difference of the two classes' mean residual streams at the last tokens of prompts, over layers before 0.8 of \
          the depth, and keeps the one whose ablation brings the first class nearest to the behaviour of the second, while \
          predictions of the second class change by less than 0.1 nats and adding it there moves them towards the first; where \
          no ablation does, the one that does so taken off at the end of prompts. Means, choice and measurement have prompts of \
          their own. Behaviour is the probability of the first tokens of answers that show it, and what sampled answers are found \
          to do. Measured plain, ablated at all writers, with weights orthogonalised (in memory), moved (taken off at the end of \
          prompts and behind it), and with the direction added everywhere in a sweep of strengths; each beside a random direction \
          of the same length, and the perplexity of `texts` beside all. `restored` is what moving changes for the first class, \
          `ablation_effect` what ablation does, and `gap_closed` either over what the classes differ by: 1 where the first class \
          behaves as the second afterwards. No weights are written. Settings: `behaviour` (refuses; a name in the rows' `truth`), `before_last` (1, candidates: so many \
          last tokens), `strengths` ([0.5, 1.0, 2.0]), `answers` (40, sampled in each view; 0 for none), `max_new_tokens` (32), \
          `temperature` (1.0)",
    needs: &[Need::Against],
    finds: Some("restored"),
    make: |given| {
        let made: Steered = settings(given)?;
        made.check()?;
        Ok(Box::new(made))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Steered {
    behaviour: String,
    before_last: usize,
    strengths: Vec<f32>,
    answers: usize,
    max_new_tokens: usize,
    temperature: f32,
}

impl Default for Steered {
    fn default() -> Self {
        Steered {
            behaviour: "refuses".into(),
            before_last: 1,
            strengths: vec![0.5, 1.0, 2.0],
            answers: 40,
            max_new_tokens: 32,
            temperature: 1.0,
        }
    }
}

/// Prompts of both classes, for one part of the work.
struct Part<'a> {
    data: Vec<&'a Case>,
    against: Vec<&'a Case>,
}

/// A model as it is changed.
struct Changed<'a> {
    /// What was done, for the factor `change`.
    change: &'static str,
    /// `found`, `random` or `none`.
    direction: &'static str,
    strength: Option<f32>,
    transformer: &'a Transformer,
    edits: Edits,
}

/// What is done at hook points.
enum Edits {
    /// The same for every text.
    Everywhere(View),
    /// Something taken off at the end of each prompt, and behind it.
    AtEnds(HookPoint, Vec<f32>),
}

impl Look for Steered {
    fn look(&self, subject: &Subject<'_>, material: &Material) -> Result<Found> {
        let model = subject.local.transformer;
        let [means, choice, test] = parts(material, subject.seed)?;
        let tokens = self.behaviour_tokens(subject, material)?;
        let mut found = Found::default();
        let direction = self.choose(subject, &means, &choice, &tokens, &mut found)?;
        let random = random_direction(&direction.values, subject.seed.named("random direction"));
        let written = match orthogonalised(model, &direction.values) {
            Ok(made) => Some(made),
            Err(error) => {
                found.notes.push(format!("weights were not orthogonalised: {error}"));
                None
            }
        };
        let changes = self.changes(model, written.as_ref(), &direction, &random);
        let mut plain: Option<Shown> = None;
        let mut swept = Vec::new();
        subject.begin(ID, changes.len(), "change");
        for (done, changed) in changes.iter().enumerate() {
            subject.goes_on(done)?;
            let shown = self.measure(subject, changed, (&test, &material.texts), &tokens, &mut found)?;
            match &plain {
                None => plain = Some(shown.clone()),
                Some(before) => effect(subject, changed, before, &shown.data, &mut found),
            }
            swept.push(shown);
        }
        found.figures.push(sweep(subject, &changes, &swept, &self.behaviour));
        found.files.push(("direction.json".into(), json_file(&direction)));
        subject.done(changes.len(), "change");
        Ok(found)
    }
}

/// The probability of the behaviour for both classes of the test's prompts.
#[derive(Clone)]
struct Shown {
    data: Vec<f64>,
    against: Vec<f64>,
}

impl Steered {
    fn check(&self) -> Result<(), String> {
        match self {
            Steered { before_last: 0, .. } => Err("`before_last` must be at least 1".into()),
            _ if self.strengths.iter().any(|strength| !strength.is_finite()) => Err("a strength is not finite".into()),
            _ if !(self.temperature >= 0.0 && self.temperature.is_finite()) => {
                Err(format!("`temperature` must be 0 or more; found {}", self.temperature))
            }
            Steered { max_new_tokens: 0, .. } => Err("`max_new_tokens` must be at least 1".into()),
            _ => Ok(()),
        }
    }

    /// First tokens of answers that show the behaviour and of none that does not. Where rows do not say what answers do, those of
    /// the first class show it.
    fn behaviour_tokens(&self, subject: &Subject<'_>, material: &Material) -> Result<Vec<u32>> {
        let told: BTreeSet<&str> =
            material.data.iter().flat_map(|case| case.truth.0.keys()).map(String::as_str).collect();
        let known = told.contains(self.behaviour.as_str());
        if !known && !told.is_empty() {
            let told: Vec<&str> = told.into_iter().collect();
            let problem = format!("rows tell of answers: {}; and nothing of `{}`", told.join(", "), self.behaviour);
            return Err(Error::Setting { instrument: ID, problem });
        }
        let shows = |case: &Case, is_first: bool| match known {
            true => case.truth.holds(&self.behaviour, &subject.local.encoder.decode(&case.answer)),
            false => is_first,
        };
        let all =
            material.data.iter().map(|case| (case, true)).chain(material.against.iter().map(|case| (case, false)));
        let answered: Vec<(u32, bool)> =
            all.filter_map(|(case, is_first)| Some((*case.answer.first()?, shows(case, is_first)))).collect();
        let others: Vec<u32> = answered.iter().filter(|(_, shows)| !shows).map(|(token, _)| *token).collect();
        let mut tokens: Vec<u32> = answered
            .iter()
            .filter(|(token, shows)| *shows && !others.contains(token))
            .map(|(token, _)| *token)
            .collect();
        tokens.sort_unstable();
        tokens.dedup();
        match tokens.is_empty() {
            true => Err(Error::Rows {
                instrument: ID,
                problem: format!("no answer that shows `{}` begins with a token of its own", self.behaviour),
                hint: "give rows whose answers show the behaviour (completions, or `gold`), and others that do not",
            }),
            false => Ok(tokens),
        }
    }

    /// The candidate that does best on prompts of its own.
    fn choose(
        &self,
        subject: &Subject<'_>,
        means: &Part<'_>,
        choice: &Part<'_>,
        tokens: &[u32],
        found: &mut Found,
    ) -> Result<Direction> {
        let model = subject.local.transformer;
        let candidates = self.candidates(subject, means)?;
        subject.begin("choosing a direction", candidates.len(), "candidate");
        let behave = |edits: Edits, cases: &[&Case]| -> Result<f64> {
            let shown = behaviour((model, &edits), cases, tokens, subject)?;
            Ok(average(&log_odds(&shown)))
        };
        let plain = || Edits::Everywhere(View::default());
        let (aim, start) = (behave(plain(), &choice.against)?, behave(plain(), &choice.data)?);
        let mut best: Option<(bool, f64, Direction)> = None;
        for (done, direction) in candidates.into_iter().enumerate() {
            subject.goes_on(done)?;
            let without = || View::from(ablated(model.spec(), &direction.values));
            let ablated = (behave(Edits::Everywhere(without()), &choice.data)? - aim).abs();
            let with = Edits::Everywhere(added(&direction, &direction.values, 1.0).into());
            let induced = behave(with, &choice.against)? - aim;
            let kl = average(&divergences(model, &choice.against, &without())?);
            let fits = kl < MOST_KL && induced * (start - aim) > 0.0 && ablated < (start - aim).abs() / 2.0;
            let moved = Edits::AtEnds(direction.point, direction.values.clone());
            let left = if fits { ablated } else { (behave(moved, &choice.data)? - aim).abs() };
            if best.as_ref().is_none_or(|(fitted, least, _)| (fits, -left) > (*fitted, -least)) {
                best = Some((fits, left, direction));
            }
        }
        subject.control.progress.finish("chosen");
        let none =
            || Error::Rows { instrument: ID, problem: "there is no candidate".into(), hint: "give longer prompts" };
        let (fits, left, direction) = best.ok_or_else(none)?;
        let how = if fits { "ablated" } else { "taken off at the end of prompts, as no ablation does so much," };
        found.notes.push(format!(
            "direction from {}, {} before the last token; {how} it leaves the first class {left:.2} nats of log-odds from the \
             second, of {:.2}",
            direction.point,
            direction.before_last,
            (start - aim).abs()
        ));
        Ok(direction)
    }

    fn candidates(&self, subject: &Subject<'_>, means: &Part<'_>) -> Result<Vec<Direction>> {
        let model = subject.local.transformer;
        let layers = model.spec().layers.len();
        let points: Vec<HookPoint> = (1..layers.max(2))
            .filter(|&layer| layer < layers && (layer as f64) < DEPTH * layers as f64)
            .map(|layer| HookPoint::block(layer, Site::ResidPre))
            .collect();
        let points = if points.is_empty() { vec![HookPoint::block(0, Site::ResidPost)] } else { points };
        let mut candidates = Vec::new();
        for before_last in 0..self.before_last {
            let read = |cases: &[&Case]| -> Result<Vec<Activations>> {
                let cut = |case: &&Case| case.prompt[..case.prompt.len().saturating_sub(before_last)].to_vec();
                let texts: Vec<Vec<u32>> = cases.iter().map(cut).filter(|ids| !ids.is_empty()).collect();
                Ok(Activations::read(model, &points, &texts, Tokens::Last, &mut |_| subject.goes_on(0).is_ok())?)
            };
            let (first, second) = (read(&means.data)?, read(&means.against)?);
            let pairs = points.iter().zip(first.iter().zip(&second));
            let made =
                pairs.map(|(&point, (first, second))| Direction { point, before_last, values: apart(first, second) });
            candidates.extend(made.filter(|one| one.values.iter().any(|x| *x != 0.0)));
        }
        Ok(candidates)
    }

    fn changes<'a>(
        &self,
        model: &'a Transformer,
        written: Option<&'a Transformer>,
        direction: &Direction,
        random: &[f32],
    ) -> Vec<Changed<'a>> {
        let spec = model.spec();
        let both = [("found", direction.values.as_slice()), ("random", random)];
        let changed =
            |change, direction, strength, edits| Changed { change, direction, strength, transformer: model, edits };
        let everywhere = |hooks: Hooks| Edits::Everywhere(hooks.into());
        let mut all = vec![changed("plain", "none", None, everywhere(Hooks::new()))];
        for (name, values) in both {
            all.push(changed("ablated", name, None, everywhere(ablated(spec, values))));
            all.push(changed("moved", name, None, Edits::AtEnds(direction.point, values.to_vec())));
        }
        all.extend(written.map(|transformer| Changed {
            change: "orthogonalised",
            direction: "found",
            strength: None,
            transformer,
            edits: everywhere(Hooks::new()),
        }));
        for &strength in &self.strengths {
            for (name, values) in both {
                all.push(changed("added", name, Some(strength), everywhere(added(direction, values, strength))));
            }
        }
        all
    }

    fn measure(
        &self,
        subject: &Subject<'_>,
        changed: &Changed<'_>,
        (test, texts): (&Part<'_>, &[Vec<u32>]),
        tokens: &[u32],
        found: &mut Found,
    ) -> Result<Shown> {
        let behave = |cases: &[&Case]| behaviour((changed.transformer, &changed.edits), cases, tokens, subject);
        let shown = Shown { data: behave(&test.data)?, against: behave(&test.against)? };
        for (class, cases, shown) in [("data", &test.data, &shown.data), ("against", &test.against, &shown.against)] {
            let first = mean(subject.name, ID, "probability", shown).map(|number| Measurement {
                mode: format!("first token of answers that show `{}`", self.behaviour),
                unit: Unit::Share,
                ..number
            });
            let answers = self.answers(subject, changed, cases)?;
            let said = share(subject.name, ID, "shown", &answers).map(|number| Measurement {
                mode: format!("answers found to show `{}`, temperature {}", self.behaviour, self.temperature),
                ..number
            });
            for number in first.into_iter().chain(said) {
                let mut conditions = changed.factors();
                conditions.insert("rows".into(), class.into());
                found.measurements.push(changed.recorded(number, conditions));
            }
        }
        if let (Edits::Everywhere(view), false) = (&changed.edits, texts.is_empty()) {
            let number = perplexity(subject, (changed.transformer, view), texts)?;
            found.measurements.extend(number.map(|number| changed.recorded(number, changed.factors())));
        }
        Ok(shown)
    }

    /// Whether sampled answers show the behaviour, where rows say how that is told.
    fn answers(&self, subject: &Subject<'_>, changed: &Changed<'_>, cases: &[&Case]) -> Result<Vec<bool>> {
        let known: Vec<&&Case> =
            cases.iter().filter(|case| case.truth.0.contains_key(&self.behaviour)).take(self.answers).collect();
        // Sweeps of strengths are measured by first tokens alone.
        if known.is_empty() || changed.strength.is_some_and(|strength| strength != 1.0) {
            return Ok(Vec::new());
        }
        let prompt = |(index, case): (usize, &&&Case)| GenerationPrompt {
            ids: case.prompt.clone(),
            seed: subject.seed.named("answers").index(index as u64),
        };
        let prompts: Vec<GenerationPrompt> = known.iter().enumerate().map(prompt).collect();
        let parameters = SamplingParameters {
            max_new_tokens: self.max_new_tokens,
            temperature: self.temperature,
            ..SamplingParameters::default()
        };
        let mut said = Vec::new();
        for (prompts, cases) in prompts.chunks(AT_ONCE).zip(known.chunks(AT_ONCE)) {
            let view = changed.edits.view(&prompts.iter().map(|prompt| prompt.ids.len()).collect::<Vec<_>>());
            let local = Local { transformer: changed.transformer, view: &view, ..subject.local.clone() };
            let made = local.sample(prompts, &parameters, &mut |_| !subject.control.cancel.is_requested())?;
            let shows = |(case, made): (&&&Case, Vec<groma_model::generate::Generation>)| {
                made.iter().any(|one| case.truth.holds(&self.behaviour, &one.text))
            };
            said.extend(cases.iter().zip(made).map(shows));
        }
        Ok(said)
    }
}

impl Changed<'_> {
    fn factors(&self) -> BTreeMap<String, String> {
        let mut all =
            factors([("instrument", ID.into()), ("change", self.change.into()), ("direction", self.direction.into())]);
        all.extend(self.strength.map(|strength| ("strength".to_owned(), strength.to_string())));
        all
    }

    fn recorded(&self, number: Measurement, factors: BTreeMap<String, String>) -> Measurement {
        let group = if self.direction == "random" { Group::Control } else { Group::Other };
        Measurement { factors, group, ..number }
    }
}

impl Edits {
    /// The view of sequences, of which those that are prompts have these lengths.
    fn view(&self, prompts: &[usize]) -> View {
        match self {
            Edits::Everywhere(view) => view.clone(),
            Edits::AtEnds(point, values) => {
                let at_end = |hooks: Hooks, (sequence, length): (usize, &usize)| {
                    let positions = Positions::From(length.saturating_sub(1));
                    let address = Address { sequence: Some(sequence), positions, columns: None };
                    let edit = Edit::Add { vector: values.clone(), coefficient: -1.0 };
                    hooks.intervene(Intervention { point: *point, address, edit })
                };
                prompts.iter().enumerate().fold(Hooks::new(), at_end).into()
            }
        }
    }
}

/// What taking out or moving changes for the first class, prompt by prompt; and how much that is of what the classes differ by.
fn effect(subject: &Subject<'_>, changed: &Changed<'_>, plain: &Shown, after: &[f64], found: &mut Found) {
    let [metric, closed] = match (changed.change, changed.direction) {
        ("moved", "found") => ["restored", "gap_closed"],
        ("moved", _) => ["restored_by_random_direction", "gap_closed_by_random_direction"],
        ("ablated", "found") => ["ablation_effect", "gap_closed_by_ablation"],
        ("ablated", _) => ["ablation_effect_of_random_direction", "gap_closed_by_ablation_of_random_direction"],
        _ => return,
    };
    let changes: Vec<f64> = plain.data.iter().zip(after).map(|(before, after)| after - before).collect();
    let number = mean(subject.name, ID, metric, &changes);
    found.measurements.extend(number.map(|number| {
        let mode = "probability of the behaviour's first tokens, less that of the plain model, first class";
        changed.recorded(Measurement { unit: Unit::Share, mode: mode.into(), ..number }, changed.factors())
    }));
    let aim = average(&plain.against);
    if (aim - average(&plain.data)).abs() < LEAST_GAP {
        return;
    }
    let parts: Vec<[f64; 2]> =
        changes.iter().zip(&plain.data).map(|(change, before)| [*change, aim - before]).collect();
    let seed = subject.seed.named(closed);
    found.measurements.extend(ratio([subject.name, ID, closed], &parts, seed).map(|number| {
        let mode = "what that changes, over what the second class's plain probability has beyond the first's";
        let number = Measurement { mode: mode.into(), secondary: true, chance: Some(0.0), ..number };
        changed.recorded(number, changed.factors())
    }));
}

/// Prompts for means, for the choice and for the measurement: a half is measured on, a quarter of the others chooses.
fn parts(material: &Material, seed: Seed) -> Result<[Part<'_>; 3]> {
    let split = |cases: &'_ [Case], name: &str| -> Vec<Vec<usize>> {
        let order = groma_data::order(cases.len(), seed.named("parts").named(name), 0);
        let (learned, test) = order.split_at(cases.len() / 2);
        let (choice, means) = learned.split_at(learned.len() / 4);
        [means, choice, test].map(<[usize]>::to_vec).to_vec()
    };
    let (data, against) = (split(&material.data, "data"), split(&material.against, "against"));
    let of = |cases: &'_ [Case], places: &[usize]| -> Vec<usize> {
        places.iter().copied().filter(|&at| !cases[at].prompt.is_empty()).collect()
    };
    let part = |index: usize| Part {
        data: of(&material.data, &data[index]).into_iter().map(|at| &material.data[at]).collect(),
        against: of(&material.against, &against[index]).into_iter().map(|at| &material.against[at]).collect(),
    };
    let all = [part(0), part(1), part(2)];
    match all.iter().find(|part| part.data.len().min(part.against.len()) < FEWEST) {
        Some(_) => Err(Error::Rows {
            instrument: ID,
            problem: format!(
                "{} and {} prompts are too few to take means, choose and measure on prompts of their own",
                material.data.len(),
                material.against.len()
            ),
            hint: "give at least 32 rows of each class",
        }),
        None => Ok(all),
    }
}

/// The direction added to the residual stream at its place, at all positions.
fn added(direction: &Direction, values: &[f32], strength: f32) -> Hooks {
    let edit = Edit::Add { vector: values.to_vec(), coefficient: strength };
    Hooks::new().intervene(Intervention { point: direction.point, address: Address::default(), edit })
}

/// The probability that an answer begins with one of the tokens, prompt by prompt.
fn behaviour(
    (model, edits): (&Transformer, &Edits),
    cases: &[&Case],
    tokens: &[u32],
    subject: &Subject<'_>,
) -> Result<Vec<f64>> {
    let request = |case: &&Case| {
        let context = case.prompt.clone();
        tokens.iter().map(move |&token| ScoreRequest { context: context.clone(), continuation: vec![token] })
    };
    let requests: Vec<ScoreRequest> = cases.iter().flat_map(request).collect();
    let view = edits.view(&requests.iter().map(|request| request.context.len()).collect::<Vec<_>>());
    let options = ScoreOptions { view: &view, ..ScoreOptions::default() };
    let scored = score(model, &requests, &options, &mut |_| !subject.control.cancel.is_requested())?;
    let together = |of_case: &[groma_model::score::ContinuationScore]| of_case.iter().map(|one| one.sum().exp()).sum();
    Ok(scored.chunks(tokens.len().max(1)).map(together).collect())
}

/// `log p - log(1 - p)`, with `p` kept `1e-8` away from both ends.
fn log_odds(probabilities: &[f64]) -> Vec<f64> {
    let odds = |p: &f64| {
        let p = p.clamp(1e-8, 1.0 - 1e-8);
        p.ln() - (1.0 - p).ln()
    };
    probabilities.iter().map(odds).collect()
}

fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// `KL(plain | changed)` of what is predicted behind each prompt, in nats.
fn divergences(model: &Transformer, cases: &[&Case], view: &View) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for cases in cases.chunks(AT_ONCE) {
        let mut tree = TokenTree::new();
        cases.iter().for_each(|case| _ = tree.root(&case.prompt));
        let ends: Arc<[u32]> =
            tree.leaves().into_iter().filter_map(|leaf| tree.last_row(leaf)).map(|row| row as u32).collect();
        let mut tape = Tape::inference(model.backend().clone());
        let hidden: Var = model.hidden_at(&mut tape, &tree, &ends, &Pass::of(View::plain()))?;
        let changed = model.hidden_at(&mut tape, &tree, &ends, &Pass::of(view))?;
        let (unembed, softcap) = (model.unembed()?, model.spec().final_softcap);
        let teacher = TeacherVar { hidden, unembed: unembed.clone(), softcap };
        let apart = tape.divergence(&changed, &unembed, &teacher, Divergence::ForwardKl, softcap, 1.0);
        all.extend(apart.values().iter().map(|&value| f64::from(value)));
    }
    Ok(all)
}

/// Cross entropy of texts in nats a token, exponentiated with its interval.
fn perplexity(
    subject: &Subject<'_>,
    (model, view): (&Transformer, &View),
    texts: &[Vec<u32>],
) -> Result<Option<Measurement>> {
    let request = |ids: &Vec<u32>| ScoreRequest { context: Vec::new(), continuation: ids.clone() };
    let requests: Vec<ScoreRequest> = texts.iter().map(request).collect();
    let options = ScoreOptions { view, ..ScoreOptions::default() };
    let going = &mut |_| !subject.control.cancel.is_requested();
    let scored = score(model, &requests, &options, going)?;
    let sums: Vec<[f64; 2]> = scored.iter().map(|one| [-one.sum(), one.logps.len() as f64]).collect();
    let number = ratio([subject.name, ID, "perplexity"], &sums, subject.seed.named("perplexity"));
    Ok(number.map(|number| {
        let ends =
            number.interval.map(|ends| groma_run::Interval { low: ends.low.exp(), high: ends.high.exp(), ..ends });
        Measurement {
            value: number.value.exp(),
            interval: ends,
            mode: "exp of nats a token of texts".into(),
            higher_is_better: Some(false),
            ..number
        }
    }))
}

/// Behaviour of both classes against strength.
fn sweep(subject: &Subject<'_>, changes: &[Changed<'_>], shown: &[Shown], behaviour: &str) -> Figure {
    let start = shown.first().map_or(f64::NAN, |plain| average(&plain.against));
    let line = |direction: &str| {
        let of_line = changes.iter().zip(shown).filter(|(changed, _)| changed.direction == direction);
        let swept = of_line.filter_map(|(changed, shown)| {
            changed.strength.map(|strength| (f64::from(strength), average(&shown.against)))
        });
        let mut points: Vec<(f64, f64)> = std::iter::once((0.0, start)).chain(swept).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let name = format!("{direction} direction");
        Series { name, points: points.into_iter().map(|(x, y)| Point::new(x, y, None)).collect() }
    };
    Figure {
        pillar: Pillar::Interpretability,
        title: format!("{}: `{behaviour}` along the direction", subject.name),
        caption: "Probability that an answer to the second class begins as the behaviour does, with the direction added so often."
            .into(),
        drawing: Drawing::Lines(Lines {
            x: "strength".into(),
            y: "probability".into(),
            unit: Unit::Share,
            series: vec![line("found"), line("random")],
        }),
    }
}
