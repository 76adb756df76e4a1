//! Which parts of a model carry what tells two kinds of prompts apart.

use std::collections::BTreeMap;

use groma_model::score::common_prefix;
use groma_model::{HookPoint, Site, Spec};
use groma_run::figure::Heat;
use groma_run::{Drawing, Figure, Group, Measurement, Pillar, Unit};
use serde::Deserialize;

use crate::error::{Error, Result};
use crate::instrument::{Found, Instrument, Look, Need, settings};
use crate::numbers::{factors, mean, ratio};
use crate::patching::{Contrast, Disturbed, Patch, Swept, patch};
use crate::subject::{Case, Material, Subject};
use crate::words::{MOST_DRAWN, pieces};

const ID: &str = "patch";

pub(super) const RECORD: Instrument = Instrument {
    id: ID,
    title: "which parts carry what tells two kinds of prompts apart",
    paper: "Vig et al. 2020; Meng et al. 2022 (2202.05262); Zhang and Nanda 2023 (2309.16042)",
    doc: "pairs prompts of the two classes that have as many tokens and answers that begin otherwise, those that differ in the \
          fewest tokens first, and puts residual stream, attention, MLPs (by position) and heads (at all positions) of one into the \
          other. The number is (patched - corrupt) / (clean - corrupt) of the logit difference, summed over pairs before it is \
          divided: 0 as the second class, 1 as the first. The null control puts in another prompt of the disturbed prompt's own \
          class. Settings: `pairs` (16); `sites` ([\"resid_pre\", \"attn_out\", \"mlp_out\", \"z\"]); `disturbed` ([\"denoising\"], \
          the first class into the second; \"noising\" is the second into the first)",
    needs: &[Need::Against],
    finds: None,
    make: |given| {
        let made: Patching = settings(given)?;
        made.check()?;
        Ok(Box::new(made))
    },
};

/// Places that are patched, under the names that they have in hook points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Part {
    ResidPre,
    AttnOut,
    MlpOut,
    Z,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    Denoising,
    Noising,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Patching {
    pairs: usize,
    sites: Vec<Part>,
    disturbed: Vec<Way>,
}

impl Default for Patching {
    fn default() -> Self {
        let sites = vec![Part::ResidPre, Part::AttnOut, Part::MlpOut, Part::Z];
        Patching { pairs: 16, sites, disturbed: vec![Way::Denoising] }
    }
}

impl Part {
    fn site(self) -> Site {
        match self {
            Part::ResidPre => Site::ResidPre,
            Part::AttnOut => Site::AttentionOut,
            Part::MlpOut => Site::MlpOut,
            Part::Z => Site::Z,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Part::ResidPre => "residual stream",
            Part::AttnOut => "attention",
            Part::MlpOut => "mlp",
            Part::Z => "head",
        }
    }
}

impl Way {
    fn disturbed(self) -> Disturbed {
        match self {
            Way::Denoising => Disturbed::Denoising,
            Way::Noising => Disturbed::Noising,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Way::Denoising => "denoising",
            Way::Noising => "noising",
        }
    }
}

/// What a patch of a pair stands for, across pairs of different lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    part: Part,
    layer: usize,
    spot: Spot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Spot {
    /// All tokens in which the prompts differ.
    Changed,
    /// The last token.
    Last,
    /// One head, at all tokens.
    Head(usize),
    /// One token, for the picture.
    Token(usize),
}

impl Patching {
    fn check(&self) -> Result<(), String> {
        match self {
            Patching { pairs: 0, .. } => Err("`pairs` must be at least 1".into()),
            _ if self.sites.is_empty() => Err("`sites` names no place".into()),
            _ if self.disturbed.is_empty() => Err("`disturbed` names neither denoising nor noising".into()),
            _ => Ok(()),
        }
    }

    /// What is patched in a pair; single tokens where `tokens` says so.
    fn patches(&self, spec: &Spec, pair: &Contrast, tokens: bool) -> Vec<(Place, Patch)> {
        let length = pair.clean.len();
        let changed: Vec<usize> = (0..length).filter(|&at| pair.clean[at] != pair.corrupt[at]).collect();
        let mut all = Vec::new();
        for layer in 0..spec.layers.len() {
            for &part in &self.sites {
                let point = HookPoint::block(layer, part.site());
                let mut add = |spot, positions, columns| {
                    all.push((Place { part, layer, spot }, Patch { point, positions, columns }));
                };
                if part == Part::Z {
                    (0..spec.heads)
                        .for_each(|head| add(Spot::Head(head), (0..length).collect(), point.head(spec, head)));
                    continue;
                }
                add(Spot::Changed, changed.clone(), None);
                add(Spot::Last, vec![length - 1], None);
                let first = changed.first().copied().unwrap_or(length).max(length.saturating_sub(MOST_DRAWN));
                (first..length).filter(|_| tokens).for_each(|at| add(Spot::Token(at), vec![at], None));
            }
        }
        all
    }
}

impl Look for Patching {
    fn look(&self, subject: &Subject<'_>, material: &Material) -> Result<Found> {
        let pairs = pairs(&material.data, &material.against, self.pairs)?;
        let mut found = Found::default();
        found.notes.push(format!("{} of prompts with as many tokens", groma_run::counted(pairs.len() as u64, "pair")));
        for &way in &self.disturbed {
            subject.begin(way.name(), pairs.len(), "pair");
            let mut sums = Sums::default();
            for (done, pair) in pairs.iter().enumerate() {
                subject.goes_on(done)?;
                self.sweep(subject, (pair, done == 0), way, &mut sums, &mut found)?;
            }
            sums.measure(subject, way, &mut found);
            subject.done(pairs.len(), "pair");
        }
        Ok(found)
    }
}

impl Patching {
    fn sweep(
        &self,
        subject: &Subject<'_>,
        (pair, is_drawn): (&Pair, bool),
        way: Way,
        sums: &mut Sums,
        found: &mut Found,
    ) -> Result<()> {
        let model = subject.local.transformer;
        let (places, patches): (Vec<Place>, Vec<Patch>) =
            self.patches(model.spec(), &pair.contrast, is_drawn).into_iter().unzip();
        let swept = patch(model, &pair.contrast, &patches, way.disturbed())?;
        sums.add(&places, &swept);
        if let Some(other) = pair.other(way) {
            let control = patch(model, &other, &patches, way.disturbed())?;
            sums.add_control(&places, &swept, &control);
        }
        if is_drawn {
            found.figures.extend(self.pictures(subject, pair, way, (&places, &swept)));
        }
        Ok(())
    }

    /// Layers by tokens, a picture a part.
    fn pictures(
        &self,
        subject: &Subject<'_>,
        pair: &Pair,
        way: Way,
        (places, swept): (&[Place], &Swept),
    ) -> Vec<Figure> {
        let layers = subject.local.transformer.spec().layers.len();
        let base = match way {
            Way::Denoising => &pair.contrast.corrupt,
            Way::Noising => &pair.contrast.clean,
        };
        let first = base.len().saturating_sub(MOST_DRAWN);
        let undisturbed = if way == Way::Denoising { 0.0 } else { 1.0 };
        let picture = |part: Part| {
            let mut values = vec![vec![undisturbed; base.len() - first]; layers];
            for (index, place) in places.iter().enumerate().filter(|(_, place)| place.part == part) {
                if let Spot::Token(at) = place.spot {
                    values[place.layer][at - first] = swept.share(index);
                }
            }
            let rows = (0..layers).map(|layer| layer.to_string()).collect();
            Figure {
                pillar: Pillar::Interpretability,
                title: format!("{}: {} patched, {}", subject.name, part.words(), way.name()),
                caption:
                    "Share of the logit difference between two prompts that one token's part carries: 0 as the second \
                          class, 1 as the first."
                        .into(),
                drawing: Drawing::Heat(Heat::of(
                    ["layer", "token"],
                    rows,
                    pieces(&subject.local.encoder, &base[first..]),
                    &values,
                )),
            }
        };
        self.sites.iter().filter(|part| **part != Part::Z).map(|&part| picture(part)).collect()
    }
}

/// Effects, summed up over pairs: what the patch did, and the whole difference.
#[derive(Default)]
struct Sums {
    effects: BTreeMap<Place, Vec<[f64; 2]>>,
    controls: BTreeMap<Place, Vec<[f64; 2]>>,
    clean: Vec<f64>,
    corrupt: Vec<f64>,
}

impl Sums {
    fn add(&mut self, places: &[Place], swept: &Swept) {
        self.clean.push(swept.clean);
        self.corrupt.push(swept.corrupt);
        add(&mut self.effects, places, swept, swept);
    }

    /// What a prompt of the disturbed prompt's own class does, as a share of the same difference.
    fn add_control(&mut self, places: &[Place], swept: &Swept, control: &Swept) {
        add(&mut self.controls, places, swept, control);
    }

    fn measure(&self, subject: &Subject<'_>, way: Way, found: &mut Found) {
        let seed = subject.seed.named(ID);
        let conditions = |place: &Place| {
            let (position, head) = match place.spot {
                Spot::Changed => ("changed", None),
                Spot::Last | Spot::Token(_) => ("last", None),
                Spot::Head(head) => ("all", Some(head)),
            };
            let mut all = factors([
                ("instrument", "patch".into()),
                ("part", place.part.words().into()),
                ("layer", place.layer.to_string()),
                ("position", position.into()),
                ("disturbed", way.name().into()),
            ]);
            all.extend(head.map(|head| ("head".to_owned(), head.to_string())));
            all
        };
        for (sums, metric, group) in
            [(&self.effects, "carried", Group::Other), (&self.controls, "carried_by_own_class", Group::Control)]
        {
            for (place, pairs) in sums {
                let number = ratio([subject.name, ID, metric], pairs, seed);
                found.measurements.extend(number.map(|number| Measurement {
                    factors: conditions(place),
                    mode: MODE.into(),
                    unit: Unit::Share,
                    group,
                    secondary: matches!(place.spot, Spot::Head(_)),
                    ..number
                }));
            }
        }
        for (metric, values) in [("clean", &self.clean), ("corrupt", &self.corrupt)] {
            let number = mean(subject.name, ID, metric, values);
            let conditions = factors([("instrument", "patch".into()), ("disturbed", way.name().into())]);
            found.measurements.extend(number.map(|number| Measurement {
                factors: conditions,
                mode: "logit of the clean answer's first token less that of the corrupt one's".into(),
                secondary: true,
                ..number
            }));
        }
        found.figures.extend(self.heads(subject, way));
    }

    /// Layers by heads, where heads were patched.
    fn heads(&self, subject: &Subject<'_>, way: Way) -> Option<Figure> {
        let spec = subject.local.transformer.spec();
        let mut values = vec![vec![f64::NAN; spec.heads]; spec.layers.len()];
        let mut is_any = false;
        for (place, pairs) in &self.effects {
            if let Spot::Head(head) = place.spot {
                let [effect, whole] = [0, 1].map(|side| pairs.iter().map(|pair| pair[side]).sum::<f64>());
                values[place.layer][head] = effect / whole;
                is_any = true;
            }
        }
        let names = |word: &str, count: usize| (0..count).map(|index| format!("{word}{index}")).collect();
        is_any.then(|| Figure {
            pillar: Pillar::Interpretability,
            title: format!("{}: heads patched, {}", subject.name, way.name()),
            caption: format!("Share of the logit difference that a head carries, over all pairs ({MODE})."),
            drawing: Drawing::Heat(Heat::of(
                ["layer", "head"],
                names("", spec.layers.len()),
                names("head ", spec.heads),
                &values,
            )),
        })
    }
}

const MODE: &str = "(patched - corrupt) / (clean - corrupt) of the logit difference, sums over pairs";

/// Adds what was patched in `by`, and the whole difference of the undisturbed prompts.
fn add(sums: &mut BTreeMap<Place, Vec<[f64; 2]>>, places: &[Place], whole: &Swept, by: &Swept) {
    for (place, &patched) in places.iter().zip(&by.patched) {
        if !matches!(place.spot, Spot::Token(_)) {
            sums.entry(*place).or_default().push([patched - whole.corrupt, whole.clean - whole.corrupt]);
        }
    }
}

/// Two prompts to patch, and others of their classes with as many tokens, for the control.
struct Pair {
    contrast: Contrast,
    other_clean: Option<Vec<u32>>,
    other_corrupt: Option<Vec<u32>>,
}

impl Pair {
    /// The contrast in which the disturbed prompt gets a prompt of its own class, if there is one.
    fn other(&self, way: Way) -> Option<Contrast> {
        let contrast = self.contrast.clone();
        match way {
            Way::Denoising => Some(Contrast { clean: self.other_corrupt.clone()?, ..contrast }),
            Way::Noising => Some(Contrast { corrupt: self.other_clean.clone()?, ..contrast }),
        }
    }
}

/// Prompts of the two classes with as many tokens, each in one pair, those that differ least first.
fn pairs(data: &[Case], against: &[Case], limit: usize) -> Result<Vec<Pair>> {
    let apart = |a: &Case, b: &Case| a.prompt.iter().zip(&b.prompt).filter(|(a, b)| a != b).count();
    let fits = |a: &Case, b: &Case| {
        let answers = (a.answer.first(), b.answer.first());
        let differ = matches!(answers, (Some(a), Some(b)) if a != b);
        differ && a.prompt.len() == b.prompt.len() && a.prompt != b.prompt
    };
    let mut all: Vec<(usize, usize, usize)> = Vec::new();
    for (i, a) in data.iter().enumerate() {
        let fitting = against.iter().enumerate().filter(|(_, b)| fits(a, b));
        all.extend(fitting.map(|(j, b)| (apart(a, b), i, j)));
    }
    all.sort_unstable();
    let (mut taken, mut others) = (vec![false; data.len()], vec![false; against.len()]);
    let mut pairs = Vec::new();
    for (_, i, j) in all {
        if pairs.len() == limit || taken[i] || others[j] {
            continue;
        }
        (taken[i], others[j]) = (true, true);
        let (clean, corrupt) = (&data[i], &against[j]);
        let contrast = Contrast {
            clean: clean.prompt.clone(),
            corrupt: corrupt.prompt.clone(),
            answer: clean.answer[0],
            foil: corrupt.answer[0],
        };
        pairs.push(Pair { other_clean: other(data, clean), other_corrupt: other(against, corrupt), contrast });
    }
    match pairs.is_empty() {
        true => Err(Error::Rows {
            instrument: ID,
            problem: "no prompt of the first class has as many tokens as one of the second with another answer".into(),
            hint: "give rows of two classes that differ in a word, such as the same question about two names",
        }),
        false => Ok(pairs),
    }
}

/// The prompt of the same length that is most like another of its class, but not the same.
fn other(class: &[Case], of: &Case) -> Option<Vec<u32>> {
    let same_length = class.iter().filter(|case| case.prompt.len() == of.prompt.len() && case.prompt != of.prompt);
    let like = |case: &&Case| common_prefix(&case.prompt, &of.prompt);
    same_length.max_by_key(like).map(|case| case.prompt.clone())
}
