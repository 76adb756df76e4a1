//! Membership inference: which texts training had, by how likely the model finds them.

mod blind;
mod scores;

use groma_lm::{Continuation, Scored};
use groma_model::{Foreseen, foreseen};
use groma_run::{Group, Measurement, Unit};
use groma_stats::{Bootstrap, LEVEL, RESAMPLES, auroc, auroc_interval, detection_interval, detection_rate};
use serde::Deserialize;

use self::blind::blind;
use self::scores::{least, mean, zlib};
use crate::Error;
use crate::attack::{Access, Attack, Audited, Audits, Method};
use crate::numbers::{scored, with_interval};
use crate::settings::settings;
use crate::texts::Text;

const ID: &str = "membership";
/// False positives at which true ones are counted.
const RATE: f64 = 0.01;
/// Others with fewer than which that rate cannot be told.
const FEW: usize = 100;

pub(crate) const RECORD: Attack = Attack::new(
    (
        ID,
        "Yeom et al. 2018 (1709.01604); Carlini et al. 2021 (2012.07805) for zlib and reference; Shi et al. 2023 (2310.16789) for \
         Min-K%; Zhang et al. 2024 (2404.02936) for Min-K%++",
        "tells texts that training had from others by the model's likelihood of them: the mean log-probability of a token (loss), the \
         same less that of a reference model, log-probability over bytes when compressed by zlib (level 6), the mean of the `share` least likely \
         tokens (Min-K%), and of the least where each is measured in deviations from what was to be expected there (Min-K%++, with \
         weights at hand). Beside them a blind baseline, which reads the texts without any model: what it finds is how the two lots \
         differ. Area under the curve, and true positives at 1 % false ones. Settings: `share` (0.2)",
    ),
    Access::Answers,
    |given| Membership::checked(settings(given)?),
)
.audit();

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Membership {
    share: f64,
}

impl Default for Membership {
    fn default() -> Self {
        Membership { share: 0.2 }
    }
}

/// A way to score texts by name, and the score of each text where it has one.
type Likeness = (&'static str, Vec<Option<f64>>);

impl Membership {
    fn checked(membership: Membership) -> Result<Method, String> {
        if !(membership.share > 0.0 && membership.share <= 1.0) {
            return Err("`share` is above 0 and at most 1".into());
        }
        Ok(Method::Audit(Box::new(membership)))
    }

    /// A score for each text, by each way to score it: the higher, the likelier a member.
    fn scores(&self, audited: &Audited) -> Result<Vec<Likeness>, Error> {
        let whole = |text: &Text| Continuation::Whole { text: text.text.clone() };
        let wanted: Vec<Continuation> = audited.texts.iter().map(whole).collect();
        let found = scored(audited.target.asked, &wanted, audited.control)?;
        let logps: Vec<Option<Vec<f64>>> = found.into_iter().map(|found| found.map(logps)).collect();
        let by = |of: &dyn Fn(&[f64], &Text) -> f64| {
            let known = |logps: &Option<Vec<f64>>, text: &Text| logps.as_ref().map(|logps| of(logps, text));
            logps.iter().zip(audited.texts).map(|(logps, text)| known(logps, text)).collect::<Vec<Option<f64>>>()
        };
        let loss = by(&|logps, _| mean(logps));
        let mut all = Vec::new();
        if let Some(reference) = audited.reference {
            let of = scored(reference, &wanted, audited.control)?.into_iter().map(|found| found.map(logps_mean));
            let less = loss.iter().zip(of).map(|(own, other)| Some((*own)? - other?));
            all.push(("reference", less.collect()));
        }
        all.extend([
            ("zlib", by(&|logps, text| logps.iter().sum::<f64>() / zlib(&text.text) as f64)),
            ("min-k%", by(&|logps, _| least(logps, self.share))),
        ]);
        all.insert(0, ("loss", loss));
        all.extend(self.in_deviations(audited)?.map(|scores| ("min-k%++", scores)));
        Ok(all)
    }

    /// Min-K%++, where the weights are at hand.
    fn in_deviations(&self, audited: &Audited) -> Result<Option<Vec<Option<f64>>>, Error> {
        let Some(local) = &audited.target.weights else { return Ok(None) };
        let limit = local.transformer.spec().max_positions;
        let ids = |text: &Text| {
            let mut ids = local.encoder.text(&text.text)?;
            ids.truncate(limit);
            Ok(ids)
        };
        let ids: Vec<Vec<u32>> = audited.texts.iter().map(ids).collect::<Result<_, groma_model::Error>>()?;
        let cancel = audited.control.cancel;
        let found = foreseen(local.transformer, &ids, local.view, &mut |_| !cancel.is_requested())?;
        let score = |tokens: Vec<Foreseen>| {
            let in_deviations = |token: &Foreseen| match token.deviation > 0.0 {
                true => (token.logp - token.mean) / token.deviation,
                // Nothing else could come.
                false => 0.0,
            };
            let scores: Vec<f64> = tokens.iter().map(in_deviations).collect();
            (!scores.is_empty()).then(|| least(&scores, self.share))
        };
        Ok(Some(found.into_iter().map(score).collect()))
    }
}

impl Audits for Membership {
    fn audit(&self, audited: &Audited) -> Result<Vec<Measurement>, Error> {
        let count = |member: bool| audited.texts.iter().filter(|text| text.member == Some(member)).count();
        if count(true) == 0 || count(false) == 0 {
            let problem =
                "needs rows of both lots: `member` (true or false) or `repetitions` (a count) says which training had";
            return Err(Error::Unknowing { attack: ID, problem: problem.to_owned() });
        }
        let mut all = self.scores(audited)?;
        all.push(("blind", blind(audited.texts, audited.seed)));
        Ok(all.iter().flat_map(|(name, scores)| numbers(name, scores, audited)).collect())
    }
}

/// The log-probabilities of a text's tokens.
fn logps(scored: Scored) -> Vec<f64> {
    scored.logps.into_iter().map(f64::from).collect()
}

fn logps_mean(scored: Scored) -> f64 {
    mean(&logps(scored))
}

/// What a score tells.
fn numbers(name: &str, scores: &[Option<f64>], audited: &Audited) -> Vec<Measurement> {
    let of = |member: bool| {
        let chosen = audited.texts.iter().zip(scores).filter(|(text, _)| text.member == Some(member));
        chosen.filter_map(|(_, score)| *score).collect::<Vec<f64>>()
    };
    let (members, others) = (of(true), of(false));
    let (Some(area), Some(rate)) = (auroc(&members, &others), detection_rate(&members, &others, RATE)) else {
        return Vec::new();
    };
    let draw = |index| audited.seed.draw("bootstrap", name, Some(index));
    let bootstrap = Bootstrap { resamples: RESAMPLES, level: LEVEL, draw };
    let group = if name == "blind" { Group::Control } else { Group::Other };
    let (n, failed) = (members.len() + others.len(), scores.iter().filter(|score| score.is_none()).count());
    let number = |metric: &str, value: f64, chance: f64| Measurement {
        unit: Unit::Share,
        chance: Some(chance),
        failed: failed as u64,
        group,
        factors: [("score".to_owned(), name.to_owned())].into(),
        ..Measurement::new("", ID, metric, value, n as u64)
    };
    let few = (others.len() < FEW).then(|| format!("{} others are too few to tell 1 % of them", others.len()));
    let rate = Measurement { note: few, secondary: true, ..number("tpr_at_1_fpr", rate, RATE) };
    vec![
        with_interval(number("auc", area, 0.5), auroc_interval(area, [members.len(), others.len()], LEVEL)),
        with_interval(rate, detection_interval(&members, &others, RATE, &bootstrap)),
    ]
}
