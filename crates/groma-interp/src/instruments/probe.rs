//! Whether a model tells two kinds of prompts apart inside, where, and by more than their words.

use std::collections::{BTreeMap, BTreeSet};

use groma_lm::{Local, SamplingParameters};
use groma_model::generate::GenerationPrompt;
use groma_model::{HookPoint, Hooks, Site, Transformer, View};
use groma_run::figure::{Lines, Point, Series};
use groma_run::{Drawing, Figure, Group, Measurement, Pillar, Seed, Unit};
use groma_stats::{LEVEL, auroc, auroc_interval};
use serde::Deserialize;

use crate::activations::{Activations, Tokens};
use crate::error::{Error, Result};
use crate::instrument::{Found, Instrument, Look, Need, json_file, settings};
use crate::logistic::Logistic;
use crate::numbers::{apart, factors, kept, share};
use crate::probe::Probe;
use crate::steering::random_direction;
use crate::subject::{Case, Material, Subject};

const ID: &str = "probe";
/// Random directions whose areas a probe's is held against.
const RANDOM: usize = 50;
/// Fewest rows of a class on either side of the split.
const FEWEST: usize = 4;

pub(super) const RECORD: Instrument = Instrument {
    id: ID,
    title: "whether two kinds of prompts are told apart inside, and where",
    paper: "Alain and Bengio 2016 (1610.01644); Hewitt and Liang 2019 (1909.03368); MacDiarmid et al. 2024 (defection probes)",
    doc: "logistic regression with an L2 penalty on the residual stream behind each block, at the last token of the prompt, learned on \
          one part of the prompts and measured on the others: accuracy, area under the ROC curve with Newcombe's interval, and \
          by how much more of one class than of the other is read as the first (`effect`, at `layer`). With `--test` rows it is \
          learned on all of `--data` and `--against` and measured on those: does it carry over? Where all rows of a class have something \
          else in common, that is what is learned: an area near 1 may then go with an effect near 0. Null controls: a control task \
          that labels by the prompt's last word (selectivity is what accuracy is above it), shuffled labels, random directions, \
          and a probe of the bag of tokens. `generate` tokens are also sampled, and read on the way. Probes are kept as JSON. \
          Settings: `points` ([], residual streams behind all blocks; or names of hook points), `l2` (0.01), `held_out` (0.5), \
          `layer` (the middle one), `generate` (8)",
    needs: &[Need::Against],
    finds: Some("effect"),
    make: |given| {
        let made: Probing = settings(given)?;
        made.check()?;
        Ok(Box::new(made))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Probing {
    points: Vec<String>,
    l2: f64,
    held_out: f64,
    layer: Option<usize>,
    generate: usize,
}

impl Default for Probing {
    fn default() -> Self {
        Probing { points: Vec::new(), l2: 0.01, held_out: 0.5, layer: None, generate: 8 }
    }
}

/// Prompts of both classes, the first class first.
struct Side<'a> {
    cases: Vec<&'a Case>,
    labels: Vec<bool>,
}

impl<'a> Side<'a> {
    fn new(first: Vec<&'a Case>, second: Vec<&'a Case>) -> Self {
        let labels = first.iter().map(|_| true).chain(second.iter().map(|_| false)).collect();
        Side { cases: [first, second].concat(), labels }
    }

    fn prompts(&self) -> Vec<Vec<u32>> {
        self.cases.iter().map(|case| case.prompt.clone()).collect()
    }

    /// Numbers of the first class, and of the second.
    fn parted(&self, numbers: &[f64]) -> [Vec<f64>; 2] {
        [true, false].map(|class| {
            let of_class = numbers.iter().zip(&self.labels).filter(|(_, label)| **label == class);
            of_class.map(|(number, _)| *number).collect()
        })
    }
}

impl Look for Probing {
    fn look(&self, subject: &Subject<'_>, material: &Material) -> Result<Found> {
        let model = subject.local.transformer;
        let points = self.points(model)?;
        let (train, test) = self.sides(material, subject.seed)?;
        subject.begin("reading activations", points.len(), "place");
        let mut told = |_| subject.goes_on(0).is_ok();
        let learned_from = Activations::read(model, &points, &train.prompts(), Tokens::Last, &mut told)?;
        let held_out = Activations::read(model, &points, &test.prompts(), Tokens::Last, &mut told)?;
        let mut found = Found::default();
        let mut areas = Vec::new();
        for (place, point) in points.iter().enumerate() {
            subject.goes_on(place)?;
            let sides =
                Sides { train: &train, test: &test, learned_from: &learned_from[place], held_out: &held_out[place] };
            let learned = Logistic::fit(sides.learned_from, &train.labels, self.l2)?;
            let probe = Probe::new(*point, ["data", "against"], learned);
            areas.push(self.measure(subject, &probe, &sides, &mut found)?);
            if *point == self.own_point(model, &points) {
                self.measure_effect(subject, &probe, &sides, &mut found);
                self.measure_generating(subject, &probe, &test, &mut found)?;
            }
            found.files.push((format!("probe.{point}.json"), json_file(&probe)));
        }
        self.measure_words(subject, &train, &test, &mut found)?;
        found.figures.push(curve(subject, &points, &areas));
        subject.done(points.len(), "place");
        Ok(found)
    }
}

/// What one place has of both sides.
struct Sides<'a> {
    train: &'a Side<'a>,
    test: &'a Side<'a>,
    learned_from: &'a Activations,
    held_out: &'a Activations,
}

/// Areas at one place, with the interval of the probe's.
struct Areas {
    probe: (f64, Option<(f64, f64)>),
    shuffled: f64,
    random: f64,
}

impl Probing {
    fn check(&self) -> Result<(), String> {
        match self {
            _ if !(self.l2 > 0.0 && self.l2.is_finite()) => Err(format!("`l2` must be above 0; found {}", self.l2)),
            _ if !(self.held_out > 0.0 && self.held_out < 1.0) => {
                Err(format!("`held_out` must lie between 0 and 1; found {}", self.held_out))
            }
            _ => Ok(()),
        }
    }

    fn points(&self, model: &Transformer) -> Result<Vec<HookPoint>> {
        let spec = model.spec();
        if let Some(layer) = self.layer.filter(|layer| *layer >= spec.layers.len()) {
            let problem = format!("`layer` {layer} is beyond the last of the model, {}", spec.layers.len() - 1);
            return Err(Error::Setting { instrument: ID, problem });
        }
        if self.points.is_empty() {
            return Ok((0..spec.layers.len()).map(|layer| HookPoint::block(layer, Site::ResidPost)).collect());
        }
        self.points.iter().map(|name| Ok(HookPoint::find(name, spec)?)).collect()
    }

    /// The place of which the effect is measured.
    fn own_point(&self, model: &Transformer, points: &[HookPoint]) -> HookPoint {
        let layer = self.layer.unwrap_or(model.spec().layers.len() / 2);
        points.iter().copied().find(|point| point.layer == layer).unwrap_or(points[0])
    }

    /// What is learned from, and what is measured on: prompts of one cluster are on one side.
    fn sides<'a>(&self, material: &'a Material, seed: Seed) -> Result<(Side<'a>, Side<'a>)> {
        let all = |cases: &'a [Case]| cases.iter().filter(|case| !case.prompt.is_empty()).collect::<Vec<_>>();
        let (train, test) = if material.test.is_empty() {
            let held = held_out(material, self.held_out, seed);
            let part = |cases: &'a [Case], is_held: bool| {
                let of_part = all(cases).into_iter().filter(|case| held.contains(case.cluster.as_str()) == is_held);
                of_part.collect::<Vec<_>>()
            };
            let side = |is_held| Side::new(part(&material.data, is_held), part(&material.against, is_held));
            (side(false), side(true))
        } else {
            let trained = Side::new(all(&material.data), all(&material.against));
            (trained, Side::new(all(&material.test), all(&material.test_against)))
        };
        for side in [&train, &test] {
            let [first, second] = side.parted(&vec![0.0; side.labels.len()]);
            if first.len().min(second.len()) < FEWEST {
                let (first, second) = (first.len(), second.len());
                let problem = format!("{first} prompts of the one and {second} of the other class are too few");
                return Err(Error::Rows { instrument: ID, problem, hint: "give more rows, or another `held_out`" });
            }
        }
        Ok((train, test))
    }

    fn measure(&self, subject: &Subject<'_>, probe: &Probe, sides: &Sides<'_>, found: &mut Found) -> Result<Areas> {
        let (train, test) = (sides.train, sides.test);
        let conditions = || factors([("instrument", ID.into()), ("layer", probe.point.layer.to_string())]);
        let mut put = |number: Option<Measurement>, chance: f64, is_control: bool| {
            found.measurements.extend(number.map(|number| Measurement {
                factors: conditions(),
                chance: Some(chance),
                group: if is_control { Group::Control } else { Group::Other },
                mode: format!("{}, last token of held-out prompts", probe.point),
                ..number
            }));
        };
        let logits = scores(|row| probe.logit(row), sides.held_out);
        let area = area(subject.name, "auroc", test, &logits);
        let right = right(&logits, &test.labels);
        put(share(subject.name, ID, "accuracy", &right), most(&test.labels), false);
        put(area.clone(), 0.5, false);
        let control = self.control_task(subject, sides)?;
        put(share(subject.name, ID, "control_task_accuracy", &control), 0.5, true);
        let selectivity = share_of(&right) - share_of(&control);
        put(Some(Measurement::new(subject.name, ID, "selectivity", selectivity, right.len() as u64)), 0.0, false);
        let shuffled = shuffled(&train.labels, subject.seed.named("shuffled").index(probe.point.layer as u64));
        let learned = Logistic::fit(sides.learned_from, &shuffled, self.l2)?;
        let of_shuffled = self::area(
            subject.name,
            "auroc_of_shuffled_labels",
            test,
            &scores(|row| learned.logit(row), sides.held_out),
        );
        put(of_shuffled.clone(), 0.5, true);
        let random = random_areas(subject, probe, sides);
        let mean = random.iter().sum::<f64>() / random.len().max(1) as f64;
        let found_area = area.as_ref().map_or(f64::NAN, |area| area.value);
        let below = random.iter().filter(|random| **random < found_area).count();
        let mut of_random = Measurement::new(subject.name, ID, "auroc_of_random_directions", mean, random.len() as u64);
        of_random.note =
            Some(format!("the probe's is above {below} of {}; signs are those of what was learned from", random.len()));
        put(Some(of_random), 0.5, true);
        let ends = area.and_then(|area| area.interval).map(|ends| (ends.low, ends.high));
        let shuffled = of_shuffled.map_or(f64::NAN, |area| area.value);
        Ok(Areas { probe: (found_area, ends), shuffled, random: mean })
    }

    /// Whether held-out prompts are read right by a probe that learned a label of each prompt's last word, drawn at random (Hewitt
    /// and Liang 2019): what so small a probe can learn by heart.
    fn control_task(&self, subject: &Subject<'_>, sides: &Sides<'_>) -> Result<Vec<bool>> {
        let mut words: Vec<&str> =
            sides.train.cases.iter().chain(&sides.test.cases).map(|case| case.word.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        let half: Vec<bool> = (0..words.len()).map(|index| index % 2 == 0).collect();
        let drawn = shuffled(&half, subject.seed.named("control task"));
        let label: BTreeMap<&str, bool> = words.into_iter().zip(drawn).collect();
        let labels = |side: &Side<'_>| side.cases.iter().map(|case| label[case.word.as_str()]).collect::<Vec<bool>>();
        let (train, test) = (labels(sides.train), labels(sides.test));
        if train.iter().all(|label| *label) || !train.iter().any(|label| *label) {
            // One word ends all prompts: its label is known for certain.
            return Ok(test.iter().map(|label| Some(label) == train.first()).collect());
        }
        let learned = Logistic::fit(sides.learned_from, &train, self.l2)?;
        Ok(right(&scores(|row| learned.logit(row), sides.held_out), &test))
    }

    /// By how much more of the first class than of the second is read as the first: what a flaw of the first class's prompts does,
    /// where the probe learned the behaviour elsewhere.
    fn measure_effect(&self, subject: &Subject<'_>, probe: &Probe, sides: &Sides<'_>, found: &mut Found) {
        let logits = scores(|row| probe.logit(row), sides.held_out);
        let [first, second] = sides
            .test
            .parted(&logits)
            .map(|logits| logits.iter().map(|logit| f64::from(u8::from(*logit > 0.0))).collect::<Vec<f64>>());
        let number = apart([subject.name, ID, "effect"], &first, &second);
        found.measurements.extend(number.map(|number| Measurement {
            factors: factors([("instrument", ID.into()), ("layer", probe.point.layer.to_string())]),
            unit: Unit::Share,
            mode: "share of the first class read as the first, less that of the second".into(),
            note: Some("the threshold is that of the rows learned from".into()),
            ..number
        }));
    }

    /// Reads while answers are sampled, off all of their tokens.
    fn measure_generating(
        &self,
        subject: &Subject<'_>,
        probe: &Probe,
        test: &Side<'_>,
        found: &mut Found,
    ) -> Result<()> {
        if self.generate == 0 {
            return Ok(());
        }
        let view = View::from(probe.watching(Hooks::new()));
        let local = Local { view: &view, ..subject.local.clone() };
        let prompt = |case: &&Case| GenerationPrompt { ids: case.prompt.clone(), seed: subject.seed };
        let prompts: Vec<GenerationPrompt> = test.cases.iter().map(prompt).collect();
        let parameters =
            SamplingParameters { max_new_tokens: self.generate, temperature: 0.0, ..SamplingParameters::default() };
        local.sample(&prompts, &parameters, &mut |done| subject.goes_on(done).is_ok())?;
        let mut sums = vec![(0.0, 0usize); prompts.len()];
        for read in probe.seen(&view.hooks, &**local.transformer.backend()) {
            if read.position + 1 >= prompts[read.sequence].ids.len() {
                let (sum, count) = &mut sums[read.sequence];
                (*sum, *count) = (*sum + read.logit, *count + 1);
            }
        }
        let means: Vec<f64> = sums.into_iter().map(|(sum, count)| sum / count.max(1) as f64).collect();
        let number = area(subject.name, "auroc_while_generating", test, &means);
        found.measurements.extend(number.map(|number| Measurement {
            factors: factors([("instrument", ID.into()), ("layer", probe.point.layer.to_string())]),
            chance: Some(0.5),
            mode: format!("mean over the prompt's last and {} sampled tokens", self.generate),
            ..number
        }));
        Ok(())
    }

    /// What the words alone tell: the same probe of how often each token stands in the prompt.
    fn measure_words(&self, subject: &Subject<'_>, train: &Side<'_>, test: &Side<'_>, found: &mut Found) -> Result<()> {
        let known: BTreeSet<u32> = train.cases.iter().flat_map(|case| case.prompt.iter().copied()).collect();
        let place: BTreeMap<u32, usize> = known.into_iter().enumerate().map(|(place, id)| (id, place)).collect();
        let bag = |side: &Side<'_>| {
            let mut values = vec![0.0; side.cases.len() * place.len()];
            for (row, case) in values.chunks_exact_mut(place.len().max(1)).zip(&side.cases) {
                case.prompt.iter().filter_map(|id| place.get(id)).for_each(|&at| row[at] += 1.0);
            }
            Activations { width: place.len(), values }
        };
        let learned = Logistic::fit(&bag(train), &train.labels, self.l2)?;
        let number = area(subject.name, "auroc_of_words", test, &scores(|row| learned.logit(row), &bag(test)));
        found.measurements.extend(number.map(|number| Measurement {
            factors: factors([("instrument", ID.into())]),
            chance: Some(0.5),
            group: Group::Control,
            mode: "bag of tokens, no model".into(),
            ..number
        }));
        Ok(())
    }
}

fn held_out(material: &Material, share: f64, seed: Seed) -> BTreeSet<&str> {
    let clusters: BTreeSet<&str> =
        material.data.iter().chain(&material.against).map(|case| case.cluster.as_str()).collect();
    let clusters: Vec<&str> = clusters.into_iter().collect();
    let count = ((clusters.len() as f64 * share).round() as usize).min(clusters.len());
    groma_data::sample(clusters.len(), count, seed.named("held out")).into_iter().map(|at| clusters[at]).collect()
}

fn scores(logit: impl Fn(&[f32]) -> f64, rows: &Activations) -> Vec<f64> {
    (0..rows.rows()).map(|row| logit(rows.row(row))).collect()
}

fn right(logits: &[f64], labels: &[bool]) -> Vec<bool> {
    logits.iter().zip(labels).map(|(logit, label)| (*logit > 0.0) == *label).collect()
}

fn share_of(holds: &[bool]) -> f64 {
    holds.iter().filter(|holds| **holds).count() as f64 / holds.len().max(1) as f64
}

/// The share of the more frequent label.
fn most(labels: &[bool]) -> f64 {
    let share = share_of(labels);
    share.max(1.0 - share)
}

fn shuffled(labels: &[bool], seed: Seed) -> Vec<bool> {
    let order = groma_data::order(labels.len(), seed, 0);
    order.into_iter().map(|at| labels[at]).collect()
}

/// The area under the ROC curve of numbers, with its interval.
fn area(subject: &str, metric: &str, side: &Side<'_>, numbers: &[f64]) -> Option<Measurement> {
    let [first, second] = side.parted(numbers);
    let value = auroc(&first, &second)?;
    let interval = auroc_interval(value, [first.len(), second.len()], LEVEL).map(kept);
    Some(Measurement { interval, ..Measurement::new(subject, ID, metric, value, numbers.len() as u64) })
}

/// Areas of random directions, each with the sign that it has on what is learned from.
fn random_areas(subject: &Subject<'_>, probe: &Probe, sides: &Sides<'_>) -> Vec<f64> {
    let like: Vec<f32> = probe.weights.iter().map(|weight| *weight as f32).collect();
    let area = |direction: &[f32], side: &Side<'_>, rows: &Activations| {
        let along = |row: &[f32]| row.iter().zip(direction).map(|(&x, &d)| f64::from(x) * f64::from(d)).sum();
        let [first, second] = side.parted(&scores(along, rows));
        auroc(&first, &second)
    };
    let drawn = (0..RANDOM as u64).filter_map(|index| {
        let seed = subject.seed.named("random direction").index(index);
        let direction = random_direction(&like, seed);
        let learned = area(&direction, sides.train, sides.learned_from)?;
        let held_out = area(&direction, sides.test, sides.held_out)?;
        Some(if learned < 0.5 { 1.0 - held_out } else { held_out })
    });
    drawn.collect()
}

/// A number, and the ends of its interval where it has one.
type Height = (f64, Option<(f64, f64)>);

fn curve(subject: &Subject<'_>, points: &[HookPoint], areas: &[Areas]) -> Figure {
    let line = |name: &str, of: &dyn Fn(&Areas) -> Height| Series {
        name: name.to_owned(),
        points: points
            .iter()
            .zip(areas)
            .map(|(point, areas)| {
                let (y, ends) = of(areas);
                Point::new(point.layer as f64, y, ends)
            })
            .collect(),
    };
    let series = vec![
        line("probe", &|areas| areas.probe),
        line("shuffled labels", &|areas| (areas.shuffled, None)),
        line("random directions", &|areas| (areas.random, None)),
    ];
    Figure {
        pillar: Pillar::Interpretability,
        title: format!("{}: what a probe tells apart", subject.name),
        caption: "Area under the ROC curve on held-out prompts, by layer; 0.5 is chance.".into(),
        drawing: Drawing::Lines(Lines { x: "layer".into(), y: "area".into(), unit: Unit::Plain, series }),
    }
}
