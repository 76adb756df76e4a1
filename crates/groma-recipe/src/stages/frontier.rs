//! Holds what models are worth against how far they are from where they began.

mod answers;
mod path;

use std::collections::BTreeMap;

use groma_eval::{EstimateOptions, Metric, estimate};
use groma_inner::form::{BEST_OF_N, Fitted, distance_of_best};
use groma_lm::Kind;
use groma_model::LocalModel;
use groma_run::figure::{Lines, Point, Series};
use groma_run::{
    Drawing, Figure, Finished, Group, Interval, Item, Level, Measurement, Pillar, Recorder, Seed, Unit, counted,
};
use groma_stats::{Bootstrap, LEVEL, Mean, RESAMPLES, best_of, mean_interval};
use serde_json::json;

use crate::Error;
use crate::data_file::DataFile;
use crate::model::Model;
use crate::outside::outside;
use crate::recipe::Recipe;
use crate::records::Frontier;
use crate::resolve::Resolve;
use crate::runner::Runner;
use crate::stage_work::StageWork;
use answers::{Answer, Prompt, Questions};
use path::Path;

/// What it is called in results.
const TASK: &str = "frontier";
const GOLD: Metric = Metric {
    higher_is_better: Some(true),
    ..Metric::mean("gold", "mean worth of an answer by the truth of its row", Unit::Plain)
};
const GAIN: Metric = Metric {
    higher_is_better: Some(true),
    ..Metric::mean("gold_gain", "the same, less that of the answers where all began, prompt by prompt", Unit::Plain)
};
const KL: Metric = Metric::mean("kl", "nats of an answer from where all began, on own samples", Unit::Nats);
const LENGTH: Metric = Metric::mean("length", "tokens of an answer", Unit::Plain);
const PROXY: Metric = Metric::mean("proxy", "mean reward of an answer by a reward model", Unit::Plain);

impl StageWork for Frontier {
    fn check(&self, recipe: &Recipe, resolve: Resolve<'_>) -> Result<Vec<String>, Error> {
        let wrong = |problem: String| Error::Recipe { name: recipe.name.clone(), problem };
        if self.num_generations == 0 || self.max_new_tokens == 0 || self.best_of.contains(&0) {
            let problem = "num_generations, max_new_tokens and best_of must be 1 or more";
            return Err(wrong(format!("stage `{}`: {problem}", self.name)));
        }
        let asked: Vec<&String> = std::iter::once(&self.start).chain(&self.models).collect();
        if let Some(twice) = asked.iter().enumerate().find_map(|(at, name)| asked[..at].contains(name).then_some(name))
        {
            return Err(wrong(format!("stage `{}` names `{twice}` twice among start and models", self.name)));
        }
        let trained =
            |name: &String| recipe.stages.iter().any(|stage| stage.as_train().is_some_and(|s| s.name == *name));
        if let Some(other) = self.paths.values().flatten().find(|name| !trained(name)) {
            return Err(wrong(format!("stage `{}` follows `{other}`, which is no training stage", self.name)));
        }
        outside(recipe, &self.name, &self.data, resolve)?;
        let models = counted(self.models.len() as u64 + 1, "model");
        Ok(vec![format!("{}: gold and divergence of {models} on {}", self.name, self.data)])
    }

    fn run(&self, runner: &mut Runner) -> Result<(), Error> {
        let planned = Planned {
            start: runner.model(&self.name, Some(&self.start))?,
            models: models(runner, self, &self.models)?,
            proxies: models(runner, self, &self.proxies)?,
            data: runner.data(&self.name, &self.data)?,
            stage: self,
        };
        let config = json!({ "stage": self, "template": runner.recipe.chat_template, "seed": runner.recipe.seed });
        let mut key = runner.key(&self.name).config(&config)?.input("data", planned.data.digest);
        for model in std::iter::once(&planned.start).chain(&planned.models).chain(&planned.proxies) {
            key = key.input("model", model.digest);
        }
        for name in self.paths.values().flatten() {
            if let Some(record) = runner.record(name) {
                key = key.input("path", record.key);
            }
        }
        runner.stage(key, true, |runner, recorder| planned.measure(runner, recorder))
    }
}

fn models(runner: &mut Runner, stage: &Frontier, names: &[String]) -> Result<Vec<Model>, Error> {
    names.iter().map(|name| runner.model(&stage.name, Some(name))).collect()
}

/// The stage with what it reads, of which nothing is opened yet.
struct Planned<'a> {
    stage: &'a Frontier,
    start: Model,
    models: Vec<Model>,
    proxies: Vec<Model>,
    data: DataFile,
}

/// Numbers and lines in the making.
struct Found<'a> {
    stage: &'a Frontier,
    recorder: &'a Recorder,
    seed: u64,
    prompts: &'a [Prompt],
    /// Lines over the distance, by what they are of.
    models: Vec<Series>,
    best: Vec<Series>,
    golds: Vec<Series>,
    rewards: Vec<Series>,
}

impl Planned<'_> {
    fn measure(&self, runner: &Runner, recorder: &Recorder) -> Result<Finished, Error> {
        let stage = self.stage;
        let seed = Seed::new(runner.recipe.seed).named(&stage.name);
        let prompts = answers::prompts(&self.data, stage.limit, seed)?;
        let progress = &*runner.work.progress;
        let cancel = &runner.work.cancel;
        let samples = seed.named("samples");
        let most = stage.best_of.iter().copied().fold(stage.num_generations, usize::max);
        let questions = |samples_of_each| Questions {
            stage: &stage.name,
            prompts: &prompts,
            samples: samples_of_each,
            max_new_tokens: stage.max_new_tokens,
            seed: samples,
            progress,
            cancel,
        };
        let mut found = Found::new(stage, recorder, runner.recipe.seed, &prompts);
        let open = |model: &Model| open(runner, model);
        let start = open(&self.start)?;
        answers::require(&start, Kind::Generate)?;
        let proxies = self.proxies.iter().map(open).collect::<Result<Vec<_>, Error>>()?;
        let asked = |model: &LocalModel, name: &str, count: usize| -> Result<Vec<Vec<Answer>>, Error> {
            let questions = questions(count);
            let mut answers = questions.answers((name, model), &start)?;
            proxies.iter().try_for_each(|proxy| questions.reward(name, &mut answers, proxy))?;
            Ok(answers)
        };
        let first = asked(&start, &stage.start, most)?;
        let mut tokens = found.model(&stage.start, &first, None)?;
        for (name, model) in stage.models.iter().zip(&self.models) {
            let model = open(model)?;
            let answers = asked(&model, name, stage.num_generations)?;
            tokens += found.model(name, &answers, Some(&first))?;
        }
        found.best(&first)?;
        for (name, trainings) in &stage.paths {
            let paths: Vec<Path> = trainings.iter().filter_map(|name| Path::of(runner.record(name)?)).collect();
            if paths.len() < trainings.len() {
                let missing = trainings.len() - paths.len();
                let text = format!(
                    "path `{name}`: {} logged no distance: their settings must have `kl` among `watch`",
                    counted(missing as u64, "training")
                );
                progress.message(Level::Warning, &text);
                recorder.message(groma_run::EventKind::Warning, &text);
            }
            found.path(name, &paths)?;
        }
        found.figures().into_iter().for_each(|figure| recorder.figure(figure));
        Ok(Finished { tokens, ..Finished::default() })
    }
}

fn open(runner: &Runner, model: &Model) -> Result<LocalModel, Error> {
    let mut opened = LocalModel::open(model.directory()?, &runner.template()?, runner.work.backend.clone())?;
    opened.freeze();
    Ok(opened)
}

impl<'a> Found<'a> {
    fn new(stage: &'a Frontier, recorder: &'a Recorder, seed: u64, prompts: &'a [Prompt]) -> Self {
        let (models, best, golds, rewards) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Found { stage, recorder, seed, prompts, models, best, golds, rewards }
    }

    /// The numbers of a model's answers, and its point; returns the tokens of the answers.
    fn model(&mut self, name: &str, answers: &[Vec<Answer>], first: Option<&[Vec<Answer>]>) -> Result<u64, Error> {
        let mean = |of: &dyn Fn(&Answer) -> f64, answers: &[Answer]| {
            answers.iter().map(of).sum::<f64>() / answers.len().max(1) as f64
        };
        let gold = |answer: &Answer| answer.gold;
        let kl = self.number(name, &KL, |at| mean(&|answer| answer.kl, &answers[at]))?;
        let worth = self.number(name, &GOLD, |at| mean(&gold, &answers[at]))?;
        self.number(name, &LENGTH, |at| mean(&|answer| answer.tokens as f64, &answers[at]))?;
        if let Some(first) = first {
            self.number(name, &GAIN, |at| mean(&gold, &answers[at]) - mean(&gold, &first[at]))?;
        }
        for (place, proxy) in self.stage.proxies.iter().enumerate() {
            let subject = factors([("proxy", proxy.clone())]);
            self.with(name, &PROXY, subject, |at| mean(&|answer| answer.proxies[place], &answers[at]))?;
        }
        if let (Some(kl), Some(worth)) = (kl, worth) {
            let place = point(kl.value.max(0.0).sqrt(), &worth);
            self.models.push(Series { name: name.to_owned(), points: vec![place] });
        }
        Ok(answers.iter().flatten().map(|answer| answer.tokens as u64).sum())
    }

    /// The best of n answers where all began, by the gold and by each proxy.
    fn best(&mut self, first: &[Vec<Answer>]) -> Result<(), Error> {
        let mut counts = self.stage.best_of.clone();
        counts.sort_unstable();
        counts.dedup();
        if counts.is_empty() {
            return Ok(());
        }
        let judges = std::iter::once((None, "the gold".to_owned()));
        let judges =
            judges.chain(self.stage.proxies.iter().enumerate().map(|(place, name)| (Some(place), name.clone())));
        for (judge, by) in judges.collect::<Vec<_>>() {
            let subject = format!("best of n by {by}");
            let golds: Vec<Vec<f64>> = first.iter().map(|answers| answers.iter().map(|a| a.gold).collect()).collect();
            let score = |answer: &Answer| judge.map_or(answer.gold, |place| answer.proxies[place]);
            let scores: Vec<Vec<f64>> = first.iter().map(|answers| answers.iter().map(score).collect()).collect();
            let mut points = Vec::new();
            let mut rows: Vec<Vec<f64>> = vec![vec![1.0]; first.len()];
            for n in &counts {
                let at_best = |at: usize| best_of(*n, &scores[at], &golds[at]).unwrap_or(f64::NAN);
                rows.iter_mut().enumerate().for_each(|(at, row)| row.push(at_best(at) - at_first(&golds[at])));
                let factors = factors([("n", n.to_string())]);
                if let Some(number) = self.with(&subject, &GOLD, factors, at_best)? {
                    points.push(point(distance_of_best(*n), &number));
                }
            }
            self.best.push(Series { name: subject.clone(), points });
            self.fitted(&subject, &counts, &rows)?;
        }
        Ok(())
    }

    /// Gao's form of best of n, and how far the last n is below the best one, with intervals by the bootstrap over prompts; of each
    /// prompt 1, and what each n wins over the first.
    fn fitted(&self, subject: &str, counts: &[usize], rows: &[Vec<f64>]) -> Result<(), Error> {
        let distances: Vec<f64> = counts.iter().map(|n| distance_of_best(*n)).collect();
        let means = |sums: &[f64]| -> Vec<f64> { sums[1..].iter().map(|sum| sum / sums[0]).collect() };
        let fit = |sums: &[f64]| BEST_OF_N.fit(&distances, &means(sums));
        let sums: Vec<f64> = (0..=counts.len()).map(|at| rows.iter().map(|row| row[at]).sum()).collect();
        if fit(&sums).is_none() {
            return Ok(());
        }
        for (metric, part) in COEFFICIENTS {
            self.resampled(subject, metric, rows, &sums, |sums| fit(sums).as_ref().map_or(f64::NAN, part))?;
        }
        self.resampled(subject, "fall", rows, &sums, |sums| fall(&means(sums)))
    }

    /// A number of sums over prompts, with its interval by the bootstrap.
    fn resampled(
        &self,
        subject: &str,
        metric: &str,
        rows: &[Vec<f64>],
        sums: &[f64],
        number: impl Fn(&[f64]) -> f64,
    ) -> Result<(), Error> {
        let draw = |index| Seed::new(self.seed).draw("bootstrap", subject, Some(index));
        let interval = Bootstrap { resamples: RESAMPLES, level: LEVEL, draw }.bias_corrected(rows, &number);
        let found = Measurement::new(subject, TASK, metric, number(sums), rows.len() as u64);
        self.tell(match interval {
            Some(between) => found.between([between.low, between.high], between.level, between.method.name()),
            None => found,
        })
    }

    /// The numbers and the line of trainings of one kind, each a repetition.
    fn path(&mut self, name: &str, paths: &[Path]) -> Result<(), Error> {
        let fits: Vec<Fitted> = paths.iter().filter_map(Path::fit).collect();
        let parts: [(&str, Vec<f64>); 4] = [
            ("best_gain", paths.iter().map(|path| path.gains().0).collect()),
            ("last_gain", paths.iter().map(|path| path.gains().1).collect()),
            ("fall", paths.iter().map(|path| path.gains().0 - path.gains().1).collect()),
            ("alarms", paths.iter().map(|path| path.alarms as f64).collect()),
        ];
        let coefficients = COEFFICIENTS.map(|(metric, part)| (metric, fits.iter().map(part).collect::<Vec<f64>>()));
        for (metric, values) in parts.into_iter().chain(coefficients) {
            if let Some(number) = over_repetitions(name, metric, &values) {
                self.tell(number)?;
            }
        }
        let logs = paths.iter().map(|path| path.stops.len()).min().unwrap_or(0);
        let line = |part: fn(&path::Stop) -> f64| {
            let at = |log: usize| {
                let of = |part: fn(&path::Stop) -> f64| -> Vec<f64> {
                    paths.iter().map(|path| part(&path.stops[log])).collect()
                };
                let distance = Mean::of(&of(|stop| stop.distance))?.mean;
                Some(point(distance, &over_repetitions(name, "on the way", &of(part))?))
            };
            Series { name: name.to_owned(), points: (0..logs).filter_map(at).collect() }
        };
        if logs > 0 {
            self.golds.push(line(|stop| stop.gold));
            self.rewards.push(line(|stop| stop.reward));
        }
        Ok(())
    }

    fn number(&self, name: &str, metric: &Metric, score: impl Fn(usize) -> f64) -> Result<Option<Measurement>, Error> {
        self.with(name, metric, BTreeMap::new(), score)
    }

    /// A mean over prompts, recorded, with its interval.
    fn with(
        &self,
        name: &str,
        metric: &Metric,
        factors: BTreeMap<String, String>,
        score: impl Fn(usize) -> f64,
    ) -> Result<Option<Measurement>, Error> {
        let item = |(at, prompt): (usize, &Prompt)| Item {
            id: prompt.id.clone(),
            cluster: prompt.cluster.clone(),
            scores: [(metric.id.to_owned(), score(at))].into(),
            ..Item::default()
        };
        let items: Vec<Item> = self.prompts.iter().enumerate().map(item).collect();
        let options = EstimateOptions { seed: self.seed, ..EstimateOptions::default() };
        let Some(found) = estimate(metric, &items, &options) else { return Ok(None) };
        let interval = found.interval.map(|found| Interval {
            low: found.low,
            high: found.high,
            level: found.level,
            method: found.method.name().to_owned(),
        });
        let number = Measurement {
            interval,
            factors,
            unit: metric.unit,
            higher_is_better: metric.higher_is_better,
            statistic: Some(metric.record()),
            ..Measurement::new(name, TASK, metric.id, found.value, found.n as u64)
        };
        self.tell(number.clone())?;
        Ok(Some(number))
    }

    fn tell(&self, number: Measurement) -> Result<(), Error> {
        let mut factors = self.stage.factors.clone();
        factors.extend(number.factors);
        let number = Measurement {
            pillar: Pillar::Inner,
            group: Group::Other,
            mode: "answers at temperature 1".into(),
            seed: Some(self.seed),
            factors,
            ..number
        };
        Ok(self.recorder.measure(number)?)
    }

    /// Pictures of what there is: models beside the best of n, the best of n by all, and trainings on the way.
    fn figures(mut self) -> Vec<Figure> {
        if let Some(by_gold) = self.best.first() {
            let line = by_gold.clone();
            self.models.insert(0, line);
        }
        let parts = [
            ("models", "A point is a model's own answers at temperature 1.", "gold", self.models),
            (
                "best of n",
                "Best of n of the answers of where all began, by the gold and by proxies.",
                "gold",
                self.best,
            ),
            ("gold on the way", "Trainings from log to log, on the prompts that they train on.", "gold", self.golds),
            ("reward on the way", "The same: what they learn from.", "reward", self.rewards),
        ];
        let figure = |(title, caption, y, series): (&str, &str, &str, Vec<Series>)| Figure {
            pillar: Pillar::Inner,
            title: format!("{}: {title}", self.stage.name),
            caption: format!("{caption} Of best of n the distance is its bound, √(ln n - (n - 1) / n)."),
            drawing: Drawing::Lines(Lines { x: "√KL".into(), y: y.into(), series, ..Lines::default() }),
        };
        parts.into_iter().filter(|(.., series)| !series.is_empty()).map(figure).collect()
    }
}

/// A number of a fit.
type Part = fn(&Fitted) -> f64;

const COEFFICIENTS: [(&str, Part); 3] =
    [("alpha", |fit| fit.alpha), ("beta", |fit| fit.beta), ("explained", |fit| fit.explained)];

/// The mean over repetitions, with Student's t interval where there are several.
fn over_repetitions(subject: &str, metric: &str, values: &[f64]) -> Option<Measurement> {
    let number = Measurement::new(subject, TASK, metric, Mean::of(values)?.mean, values.len() as u64);
    Some(match mean_interval(values, LEVEL) {
        Some(found) => number.between([found.low, found.high], found.level, found.method.name()),
        None => number,
    })
}

/// The mean of all answers to a prompt: what the best of one is worth.
fn at_first(golds: &[f64]) -> f64 {
    golds.iter().sum::<f64>() / golds.len().max(1) as f64
}

/// How far the last is below the best.
fn fall(means: &[f64]) -> f64 {
    means.iter().copied().fold(f64::NEG_INFINITY, f64::max) - means.last().copied().unwrap_or(f64::NAN)
}

fn point(distance: f64, number: &Measurement) -> Point {
    Point::new(distance, number.value, number.interval.as_ref().map(|interval| (interval.low, interval.high)))
}

fn factors<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value)).into()
}
