//! A sparse dictionary of activations: learned, measured, and shown by the tokens that its latents are most active on.

use groma_lm::Encoder;
use groma_model::training::{AdamWSettings, FitSettings, Scheduler};
use groma_model::{HookPoint, Site, Transformer};
use groma_run::figure::Heat;
use groma_run::{Drawing, Figure, Group, Measurement, Pillar, Unit};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use groma_kernels::{Tape, Var};

use crate::activations::{Activations, Tokens};
use crate::dictionary::{Dictionary, DictionarySettings, DictionaryTraining};
use crate::error::{Error, Result};
use crate::fidelity::{Fidelity, Recovered};
use crate::instrument::{Found, Instrument, Look, Need, json_file, settings};
use crate::numbers::factors;
use crate::subject::{Material, Subject};
use crate::words::{piece, pieces};

const ID: &str = "sae";
/// Steps between checkpoints.
const SAVE_STEPS: u64 = 200;
/// Tokens shown before the one that a latent is active on.
const CONTEXT: usize = 12;
/// Tokens of the text that is drawn.
const DRAWN: usize = 24;
/// Rows in one pass through a dictionary.
const PASS_ROWS: usize = 1024;

pub(super) const RECORD: Instrument = Instrument {
    id: ID,
    title: "a sparse dictionary of what a place holds",
    paper: "Gao et al. 2024 (2406.04093); Bricken et al. 2023",
    doc: "learns a sparse autoencoder of the activations at one place, on most of `texts`, and measures it on the others: active \
          latents a token (L0), explained variance about the mean, latents that are active nowhere, and how much of the model's \
          loss is kept where its reconstruction takes the activation's place (0: zeros, 1: the activation itself). The null control \
          is the untrained dictionary. The latents that are active most, with the tokens on which they are so, are kept as JSON. \
          Settings: `point` (the residual stream behind the middle block), `kind` (topk), `parameters` ({ k = 16 }), `latents` (0: \
          four times the width), `steps` (600), `batch_rows` (512), `learning_rate` (0.002), `held_out` (0.2), `shown` (16 latents), \
          `examples` (5 of each)",
    needs: &[Need::Texts],
    finds: None,
    make: |given| {
        let made: Sae = settings(given)?;
        made.check()?;
        Ok(Box::new(made))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sae {
    point: Option<String>,
    kind: String,
    parameters: Map<String, Value>,
    latents: usize,
    steps: u64,
    batch_rows: usize,
    learning_rate: f64,
    held_out: f64,
    shown: usize,
    examples: usize,
}

impl Default for Sae {
    fn default() -> Self {
        let parameters = [("k".to_owned(), Value::from(16))].into_iter().collect();
        Sae {
            point: None,
            kind: "topk".into(),
            parameters,
            latents: 0,
            steps: 600,
            batch_rows: 512,
            learning_rate: 2e-3,
            held_out: 0.2,
            shown: 16,
            examples: 5,
        }
    }
}

/// A latent, with the tokens that it is most active on.
#[derive(Serialize)]
struct Shown {
    latent: usize,
    /// Share of tokens on which it is active.
    density: f64,
    examples: Vec<Example>,
}

#[derive(Serialize)]
struct Example {
    activation: f64,
    before: String,
    token: String,
}

impl Look for Sae {
    fn look(&self, subject: &Subject<'_>, material: &Material) -> Result<Found> {
        let model = subject.local.transformer;
        let point = self.point(model)?;
        let [train, held_out] = self.parts(subject, &material.texts)?;
        subject.begin("reading activations", train.len() + held_out.len(), "text");
        let read = |texts: &[Vec<u32>]| -> Result<Activations> {
            let told = &mut |done| subject.goes_on(done).is_ok();
            Ok(Activations::read(model, &[point], texts, Tokens::All, told)?.remove(0))
        };
        let (data, test) = (read(&train)?, read(&held_out)?);
        let (dictionary, control) = self.learn(subject, &data)?;
        let mut found = Found::default();
        for (dictionary, metric_of, group) in
            [(&dictionary, "", Group::Other), (&control, "_untrained", Group::Control)]
        {
            self.measure(subject, point, (dictionary, metric_of, group), (&test, &held_out), &mut found)?;
        }
        let latents = latents(&dictionary, &test)?;
        let shown = self.shown(&subject.local.encoder, &latents, &held_out);
        found.figures.extend(picture(subject, point, &shown, (&latents, &held_out)));
        found.files.push(("latents.json".into(), json_file(&shown)));
        Ok(found)
    }
}

impl Sae {
    fn check(&self) -> Result<(), String> {
        match self {
            Sae { steps: 0, .. } | Sae { batch_rows: 0, .. } => {
                Err("`steps` and `batch_rows` must be at least 1".into())
            }
            _ if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) => {
                Err("`learning_rate` must be above 0".into())
            }
            _ if !(self.held_out > 0.0 && self.held_out < 1.0) => {
                Err(format!("`held_out` must lie between 0 and 1; found {}", self.held_out))
            }
            _ => Ok(()),
        }
    }

    fn point(&self, model: &Transformer) -> Result<HookPoint> {
        match &self.point {
            Some(name) => Ok(HookPoint::find(name, model.spec())?),
            None => Ok(HookPoint::block((model.spec().layers.len() - 1) / 2, Site::ResidPost)),
        }
    }

    /// Texts to learn from, and held-out ones.
    fn parts(&self, subject: &Subject<'_>, texts: &[Vec<u32>]) -> Result<[Vec<Vec<u32>>; 2]> {
        let count = ((texts.len() as f64 * self.held_out).round() as usize).max(1);
        let held = groma_data::sample(texts.len(), count, subject.seed.named("held out texts"));
        let (mut train, mut held_out) = (Vec::new(), Vec::new());
        for (index, ids) in texts.iter().enumerate() {
            if held.binary_search(&index).is_ok() { held_out.push(ids.clone()) } else { train.push(ids.clone()) }
        }
        match train.is_empty() || held_out.is_empty() {
            true => Err(Error::Rows {
                instrument: ID,
                problem: format!(
                    "{} cannot be learned from and measured on",
                    groma_run::counted(texts.len() as u64, "text")
                ),
                hint: "give at least two texts, better thousands",
            }),
            false => Ok([train, held_out]),
        }
    }

    /// The dictionary and its untrained control. Killed, it goes on from the last checkpoint.
    fn learn(&self, subject: &Subject<'_>, data: &Activations) -> Result<(Dictionary, Dictionary)> {
        let adamw = AdamWSettings { max_grad_norm: 1.0, ..AdamWSettings::default() };
        let (steps, learning_rate) = (self.steps, self.learning_rate);
        let fit = FitSettings { steps, learning_rate, warmup_steps: steps / 20, scheduler: Scheduler::Linear, adamw };
        let settings = DictionarySettings {
            kind: self.kind.clone(),
            parameters: self.parameters.clone(),
            latents: if self.latents == 0 { 4 * data.width } else { self.latents },
            batch_rows: self.batch_rows,
            seed: subject.seed.bits(),
            fit,
        };
        let mut training = DictionaryTraining::new(subject.local.transformer.backend().clone(), data, &settings)?;
        let control = training.control()?;
        let kept = subject.kept.join("dictionary");
        if kept.exists() {
            training.resume(&kept)?;
        }
        subject.begin("dictionary", usize::try_from(steps).unwrap_or(usize::MAX), "step");
        while !training.is_done() {
            let done = training.done();
            subject.goes_on(usize::try_from(done).unwrap_or(usize::MAX))?;
            if done > 0 && done % SAVE_STEPS == 0 {
                std::fs::create_dir_all(subject.kept).map_err(groma_run::Error::io("create", subject.kept))?;
                training.save(&subject.files, &kept)?;
            }
            training.step()?;
        }
        subject.done(usize::try_from(steps).unwrap_or(usize::MAX), "step");
        Ok((training.finish(), control))
    }

    fn measure(
        &self,
        subject: &Subject<'_>,
        point: HookPoint,
        (dictionary, suffix, group): (&Dictionary, &str, Group),
        (test, texts): (&Activations, &[Vec<u32>]),
        found: &mut Found,
    ) -> Result<()> {
        let fidelity = Fidelity::of(dictionary, test)?;
        let kept = Recovered::of(subject.local.transformer, point, dictionary, texts)?;
        let rows = fidelity.rows as u64;
        let numbers = [
            ("l0", fidelity.l0, rows, Unit::Plain, None),
            ("explained_variance", 1.0 - fidelity.fvu, rows, Unit::Share, Some("about the mean, held-out texts")),
            ("dead", fidelity.dead, rows, Unit::Share, Some("active on no token of held-out texts")),
            ("loss_recovered", kept.share(), kept.tokens as u64, Unit::Share, Some("0: zeros in its place, 1: itself")),
        ];
        for (metric, value, n, unit, mode) in numbers.into_iter().filter(|(_, value, ..)| value.is_finite()) {
            found.measurements.push(Measurement {
                unit,
                group,
                mode: mode.unwrap_or("active latents a token").into(),
                factors: factors([
                    ("instrument", self.kind.clone()),
                    ("layer", point.layer.to_string()),
                    ("point", point.to_string()),
                ]),
                note: (metric == "loss_recovered").then(|| {
                    format!(
                        "nats a token: {:.3} as it is, {:.3} spliced, {:.3} zeros",
                        kept.clean, kept.spliced, kept.ablated
                    )
                }),
                ..Measurement::new(subject.name, ID, &format!("{metric}{suffix}"), value, n)
            });
        }
        Ok(())
    }

    /// The latents with the largest sums of activations.
    fn shown(&self, encoder: &Encoder<'_>, latents: &Activations, texts: &[Vec<u32>]) -> Vec<Shown> {
        let sums = latents.mean();
        let mut order: Vec<usize> = (0..latents.width).filter(|&latent| sums[latent] > 0.0).collect();
        order.sort_by(|&a, &b| sums[b].total_cmp(&sums[a]));
        let place: Vec<(usize, usize)> =
            texts.iter().enumerate().flat_map(|(text, ids)| (0..ids.len()).map(move |at| (text, at))).collect();
        let show = |&latent: &usize| {
            let mut active: Vec<(usize, f32)> = (0..latents.rows())
                .map(|row| (row, latents.row(row)[latent]))
                .filter(|(_, activation)| *activation > 0.0)
                .collect();
            let density = active.len() as f64 / latents.rows().max(1) as f64;
            active.sort_by(|a, b| b.1.total_cmp(&a.1));
            let example = |&(row, activation): &(usize, f32)| {
                let (text, at) = place[row];
                let before = encoder.decode(&texts[text][at.saturating_sub(CONTEXT)..at]);
                Example { activation: f64::from(activation), before, token: piece(encoder, texts[text][at]) }
            };
            Shown { latent, density, examples: active.iter().take(self.examples).map(example).collect() }
        };
        order.iter().take(self.shown).map(show).collect()
    }
}

/// The latents of rows, `[rows, latents]`.
fn latents(dictionary: &Dictionary, rows: &Activations) -> Result<Activations> {
    let backend = dictionary.backend();
    let mut all = Activations { width: dictionary.latents(), values: Vec::new() };
    for part in rows.values.chunks(PASS_ROWS * rows.width.max(1)) {
        let x = Var::constant(backend.upload(part), part.len() / rows.width.max(1), rows.width);
        let features = dictionary.features(&mut Tape::inference(backend.clone()), &x)?;
        all.values.extend(backend.download(features.latents.buffer()));
    }
    Ok(all)
}

/// The beginning of the first held-out text, by the latents that are shown.
fn picture(
    subject: &Subject<'_>,
    point: HookPoint,
    shown: &[Shown],
    (latents, texts): (&Activations, &[Vec<u32>]),
) -> Option<Figure> {
    let ids = texts.first()?;
    let ids = &ids[..ids.len().min(DRAWN)];
    let row = |one: &Shown| (0..ids.len()).map(|at| f64::from(latents.row(at)[one.latent])).collect();
    let values: Vec<Vec<f64>> = shown.iter().map(row).collect();
    let name = |one: &Shown| {
        let tokens: Vec<&str> = one.examples.iter().take(3).map(|example| example.token.as_str()).collect();
        format!("{}: {}", one.latent, tokens.join(" "))
    };
    let rows = shown.iter().map(name).collect();
    Some(Figure {
        pillar: Pillar::Interpretability,
        title: format!("{}: latents of {point}", subject.name),
        caption: "Activation of the most active latents on the first held-out text; each is named by the tokens it is most active on."
            .into(),
        drawing: Drawing::Heat(Heat::of(["latent", "token"], rows, pieces(&subject.local.encoder, ids), &values)),
    })
}
