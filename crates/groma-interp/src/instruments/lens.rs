//! What each depth of a model would say, and which parts say it.

use std::collections::{BTreeMap, BTreeSet};

use groma_run::figure::Heat;
use groma_run::{Drawing, Figure, Group, Measurement, Pillar, Unit};
use serde::Deserialize;

use crate::attribution::{Attribution, Component, Question, attribute};
use crate::error::{Error, Result};
use crate::instrument::{Found, Instrument, Look, settings};
use crate::logit_lens::{Place, Seen, logit_lens};
use crate::numbers::{factors, mean, share};
use crate::subject::{Case, Material, Subject};
use crate::words::{MOST_DRAWN, piece, pieces};

const ID: &str = "lens";
const FROZEN: &str = "first token of the answer less that of a foil, final norm folded, its scale kept";

pub(super) const RECORD: Instrument = Instrument {
    id: ID,
    title: "what each depth would say, and which parts say it",
    paper: "nostalgebraist 2020; Elhage et al. 2021; Wang et al. 2022 (2211.00593)",
    doc: "reads the residual stream before each block through the final norm, its scale computed anew, and the unembedding \
          (logit lens): how often the right answer's first token is on top, its log-probability, and the divergence from the \
          model's own prediction. Then shares out the logit of that token less that of a foil, another row's first token, among \
          embedding, heads, MLPs and biases (direct logit attribution; the final norm's scale is kept, its weight folded in). The \
          null control asks for two tokens drawn from all answers. Settings: `pictures` (1), rows of which all tokens are drawn",
    needs: &[],
    finds: None,
    make: |given| Ok(Box::new(settings::<Lens>(given)?)),
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Lens {
    pictures: usize,
}

impl Default for Lens {
    fn default() -> Self {
        Lens { pictures: 1 }
    }
}

impl Look for Lens {
    fn look(&self, subject: &Subject<'_>, material: &Material) -> Result<Found> {
        let asked = questions(&material.data, &material.against)?;
        let mut found = Found::default();
        depths(subject, &asked, &mut found)?;
        let attribution = shares(subject, &asked)?;
        measure_shares(subject, &attribution, &mut found);
        found.figures.push(heads_grid(subject, &attribution));
        measure_others(subject, material, &asked, &mut found)?;
        for (index, case) in material.data.iter().take(self.pictures).enumerate() {
            found.figures.push(tokens_and_depths(subject, case, index)?);
        }
        Ok(found)
    }
}

/// Each row with the first token of its answer and that of a foil: of the next row of the second class, or of the next row at all,
/// whose answer begins otherwise.
fn questions(data: &[Case], against: &[Case]) -> Result<Vec<Question>> {
    let first = |case: &Case| case.answer.first().copied();
    let foils: Vec<u32> = if against.is_empty() { data } else { against }.iter().filter_map(first).collect();
    let ask = |(index, case): (usize, &Case)| {
        let answer = first(case)?;
        let foil = (1..=foils.len()).map(|step| foils[(index + step) % foils.len()]).find(|&foil| foil != answer)?;
        (!case.prompt.is_empty()).then(|| Question { ids: case.prompt.clone(), answer, foil })
    };
    let asked: Vec<Question> = data.iter().enumerate().filter_map(ask).collect();
    match asked.is_empty() {
        true => Err(Error::Rows {
            instrument: ID,
            problem: "no row has an answer whose first token is another than those of other rows".into(),
            hint: "give rows of prompt and completion, or questions with `gold`, whose answers differ",
        }),
        false => Ok(asked),
    }
}

fn depths(subject: &Subject<'_>, asked: &[Question], found: &mut Found) -> Result<()> {
    subject.begin("logit lens", asked.len(), "row");
    let model = subject.local.transformer;
    // [depth][row], of the answer and of the foil.
    let mut seen: Vec<Vec<[Seen; 2]>> = vec![Vec::new(); model.spec().layers.len() + 1];
    for (done, question) in asked.iter().enumerate() {
        subject.goes_on(done)?;
        let position = question.ids.len() - 1;
        let places = [question.answer, question.foil].map(|token| Place { position, token });
        let depths = logit_lens(model, &question.ids, &places)?;
        seen.iter_mut().zip(depths).for_each(|(seen, depth)| seen.push([depth[0], depth[1]]));
    }
    for (depth, rows) in seen.iter().enumerate() {
        let on_top: Vec<bool> =
            rows.iter().zip(asked).map(|([seen, _], question)| seen.top == question.answer).collect();
        let values = |of: fn(&[Seen; 2]) -> f64| rows.iter().map(of).collect::<Vec<f64>>();
        let numbers = [
            share(subject.name, ID, "on_top", &on_top),
            mean(subject.name, ID, "logp", &values(|[answer, _]| answer.logp)).map(nats),
            mean(subject.name, ID, "kl", &values(|[answer, _]| answer.kl)).map(nats),
            mean(subject.name, ID, "logp_of_foil", &values(|[_, foil]| foil.logp)).map(nats).map(control),
        ];
        found.measurements.extend(numbers.into_iter().flatten().map(|number| Measurement {
            factors: factors([("instrument", "logit lens".into()), ("layer", depth_name(depth))]),
            mode: "first token of the answer, norm's scale anew".into(),
            ..number
        }));
    }
    subject.done(asked.len(), "row");
    Ok(())
}

fn nats(number: Measurement) -> Measurement {
    Measurement { unit: Unit::Nats, ..number }
}

fn control(number: Measurement) -> Measurement {
    Measurement { group: Group::Control, ..number }
}

fn depth_name(depth: usize) -> String {
    depth.checked_sub(1).map_or("embedding".to_owned(), |layer| layer.to_string())
}

fn shares(subject: &Subject<'_>, asked: &[Question]) -> Result<Attribution> {
    subject.begin("direct logit attribution", asked.len(), "row");
    let found = attribute(subject.local.transformer, asked, &mut |done| subject.goes_on(done).is_ok())?;
    subject.done(asked.len(), "row");
    Ok(found)
}

fn measure_shares(subject: &Subject<'_>, attribution: &Attribution, found: &mut Found) {
    for (index, component) in attribution.components.iter().enumerate() {
        let number = mean(subject.name, ID, "share_of_logit_difference", &attribution.of(index));
        found.measurements.extend(number.map(|number| Measurement {
            factors: named(*component),
            mode: FROZEN.into(),
            secondary: true,
            ..number
        }));
    }
    let whole = mean(subject.name, ID, "logit_difference", &attribution.differences);
    found.measurements.extend(whole.map(|number| Measurement {
        factors: factors([("instrument", "direct attribution".into())]),
        mode: FROZEN.into(),
        note: Some(format!("shares add up to it within {:.1e}", attribution.error())),
        ..number
    }));
}

/// The null control: the same for two tokens that are drawn from all answers, whichever comes first.
fn measure_others(subject: &Subject<'_>, material: &Material, asked: &[Question], found: &mut Found) -> Result<()> {
    let cases = material.data.iter().chain(&material.against);
    let pool: BTreeSet<u32> = cases.flat_map(|case| case.answer.iter().copied()).collect();
    let pool: Vec<u32> = pool.into_iter().collect();
    let other = |(index, question): (usize, &Question)| {
        let order = groma_data::order(pool.len(), subject.seed.named("other tokens"), index as u64);
        Question { ids: question.ids.clone(), answer: pool[order[0]], foil: pool[order[1]] }
    };
    let others: Vec<Question> = asked.iter().enumerate().map(other).collect();
    let attribution = shares(subject, &others)?;
    let number = mean(subject.name, ID, "logit_difference_of_others", &attribution.differences);
    found.measurements.extend(number.map(|number| Measurement {
        factors: factors([("instrument", "direct attribution".into())]),
        mode: FROZEN.into(),
        note: Some("both tokens are drawn from all answers".into()),
        chance: Some(0.0),
        ..control(number)
    }));
    Ok(())
}

fn named(component: Component) -> BTreeMap<String, String> {
    let of = |part: &str, layer: Option<usize>, head: Option<usize>| {
        let mut all = factors([("instrument", "direct attribution".into()), ("part", part.into())]);
        all.extend(layer.map(|layer| ("layer".to_owned(), layer.to_string())));
        all.extend(head.map(|head| ("head".to_owned(), head.to_string())));
        all
    };
    match component {
        Component::Embedding => of("embedding", None, None),
        Component::Positions => of("positions", None, None),
        Component::Head { layer, head } => of("head", Some(layer), Some(head)),
        Component::AttentionBias { layer } => of("attention bias", Some(layer), None),
        Component::Mlp { layer } => of("mlp", Some(layer), None),
        Component::MlpBias { layer } => of("mlp bias", Some(layer), None),
        Component::FinalBias => of("final bias", None, None),
    }
}

/// Mean shares of heads and MLPs, a row a layer.
fn heads_grid(subject: &Subject<'_>, attribution: &Attribution) -> Figure {
    let spec = subject.local.transformer.spec();
    let average = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let mut values = vec![vec![f64::NAN; spec.heads + 1]; spec.layers.len()];
    for (index, component) in attribution.components.iter().enumerate() {
        match *component {
            Component::Head { layer, head } => values[layer][head] = average(attribution.of(index)),
            Component::Mlp { layer } => values[layer][spec.heads] = average(attribution.of(index)),
            _ => {}
        }
    }
    let columns = (0..spec.heads).map(|head| format!("head {head}")).chain(["mlp".to_owned()]).collect();
    let rows = (0..spec.layers.len()).map(|layer| layer.to_string()).collect();
    Figure {
        pillar: Pillar::Interpretability,
        title: format!("{}: who writes the answer", subject.name),
        caption: format!("Mean share of the logit difference, in logits ({FROZEN})."),
        drawing: Drawing::Heat(Heat::of(["layer", "part"], rows, columns, &values)),
    }
}

/// What each depth would say behind each token of one row.
fn tokens_and_depths(subject: &Subject<'_>, case: &Case, index: usize) -> Result<Figure> {
    let encoder = &subject.local.encoder;
    let next = |position: usize| case.prompt.get(position + 1).or(case.answer.first()).copied().unwrap_or(0);
    let first = case.prompt.len().saturating_sub(MOST_DRAWN);
    let places: Vec<Place> =
        (first..case.prompt.len()).map(|position| Place { position, token: next(position) }).collect();
    let depths = logit_lens(subject.local.transformer, &case.prompt, &places)?;
    let values: Vec<Vec<f64>> = depths.iter().map(|row| row.iter().map(|seen| seen.top_logp.exp()).collect()).collect();
    let texts = depths.iter().map(|row| row.iter().map(|seen| piece(encoder, seen.top)).collect()).collect();
    let rows = (0..depths.len()).map(depth_name).collect();
    let heat = Heat::of(["depth", "token"], rows, pieces(encoder, &case.prompt[first..]), &values);
    Ok(Figure {
        pillar: Pillar::Interpretability,
        title: format!("{}: what each depth would say, row {}", subject.name, index + 1),
        caption:
            "The likeliest next token behind each token, read from the residual stream; colour is its probability."
                .into(),
        drawing: Drawing::Heat(Heat { texts, unit: Unit::Share, ..heat }),
    })
}
