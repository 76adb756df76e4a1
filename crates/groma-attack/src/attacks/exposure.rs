//! Exposure: how far a secret stands out among others of its form.

use std::collections::BTreeSet;
use std::sync::Arc;

use groma_data::below;
use groma_lm::Continuation;
use groma_run::{Group, Measurement, Random, Unit};
use groma_stats::{LEVEL, Mean, mean_interval, wilson};
use serde::Deserialize;

use crate::Error;
use crate::attack::{Access, Attack, Audited, Audits, Method};
use crate::numbers::{scored, with_interval};
use crate::settings::settings;
use crate::texts::Text;

const ID: &str = "exposure";
/// Draws for each decoy that is wanted, before there are thought to be no more.
const DRAWS: usize = 20;

pub(crate) const RECORD: Attack = Attack::new(
    (
        ID,
        "Carlini et al. 2019 (1802.08232)",
        "ranks each secret, by its likelihood behind its prefix, among decoys of its form: word by word, each is drawn from what \
         secrets have at that place. Exposure is log2(N + 1) - log2(rank), so that it is never below 0 (the paper's N leaves out the \
         secret itself). Of texts that training had, where rows say it, with the others as a control; a secret that was never seen \
         has a uniform rank. Settings: `decoys` (200 a secret)",
    ),
    Access::Answers,
    |given| Exposure::checked(settings(given)?),
)
.audit();

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Exposure {
    decoys: usize,
}

impl Default for Exposure {
    fn default() -> Self {
        Exposure { decoys: 200 }
    }
}

/// The exposure of a secret of this rank, the first being 1, among `decoys` and itself; in bits.
fn exposure(rank: usize, decoys: usize) -> f64 {
    (decoys as f64 + 1.0).log2() - (rank as f64).log2()
}

/// Its mean where every rank is equally likely.
fn by_chance(decoys: usize) -> f64 {
    (1..=decoys + 1).map(|rank| exposure(rank, decoys)).sum::<f64>() / (decoys as f64 + 1.0)
}

impl Exposure {
    fn checked(exposure: Exposure) -> Result<Method, String> {
        if exposure.decoys == 0 {
            return Err("`decoys` is at least 1".into());
        }
        Ok(Method::Audit(Box::new(exposure)))
    }

    /// The rank of each secret; none where it could not be scored.
    fn ranks(&self, audited: &Audited) -> Result<Vec<Option<usize>>, Error> {
        let forms = Forms::of(audited.texts);
        let mut wanted = Vec::new();
        let mut counts = Vec::new();
        for text in audited.texts {
            let context: Arc<str> = Arc::from(text.prefix());
            let mut rng = audited.seed.named("decoys").named(&text.id).rng();
            let decoys = forms.decoys(text.secret(), self.decoys, &mut rng);
            if decoys.len() < self.decoys {
                let problem = format!(
                    "finds {} decoys for the secret of `{}` and wants {}: set `decoys` lower, or give more texts of its form",
                    decoys.len(),
                    text.id,
                    self.decoys
                );
                return Err(Error::Unknowing { attack: ID, problem });
            }
            counts.push(decoys.len() + 1);
            let all = std::iter::once(text.secret().to_owned()).chain(decoys);
            wanted.extend(all.map(|continuation| Continuation::After { context: context.clone(), continuation }));
        }
        let mut found = scored(audited.target.asked, &wanted, audited.control)?.into_iter();
        let rank = |count: usize| {
            let sums: Vec<Option<f64>> = found.by_ref().take(count).map(|one| one.map(|one| one.sum())).collect();
            let own = sums.first().copied().flatten()?;
            let decoys: Option<Vec<f64>> = sums[1..].iter().copied().collect();
            Some(1 + decoys?.iter().filter(|other| **other > own).count())
        };
        Ok(counts.into_iter().map(rank).collect())
    }
}

/// What secrets have at each place, by how many words they have.
struct Forms<'a> {
    texts: &'a [Text],
}

impl<'a> Forms<'a> {
    fn of(texts: &'a [Text]) -> Self {
        Forms { texts }
    }

    /// Other secrets of the same number of words, none of which is in the texts.
    fn decoys(&self, secret: &str, count: usize, rng: &mut Random) -> Vec<String> {
        let words = |text: &'a str| text.split_whitespace().collect::<Vec<&str>>();
        let length = secret.split_whitespace().count();
        let alike: Vec<Vec<&str>> =
            self.texts.iter().map(|text| words(text.secret())).filter(|words| words.len() == length).collect();
        let real: BTreeSet<String> = alike.iter().map(|words| words.join(" ")).collect();
        let mut found = BTreeSet::new();
        let mut order = Vec::new();
        let space = if secret.starts_with(' ') { " " } else { "" };
        for _ in 0..DRAWS * count {
            if order.len() == count {
                break;
            }
            let pick = |place: usize, rng: &mut Random| alike[below(rng, alike.len() as u64) as usize][place];
            let decoy = (0..length).map(|place| pick(place, rng)).collect::<Vec<_>>().join(" ");
            if !real.contains(&decoy) && found.insert(decoy.clone()) {
                order.push(format!("{space}{decoy}"));
            }
        }
        order
    }
}

impl Audits for Exposure {
    fn audit(&self, audited: &Audited) -> Result<Vec<Measurement>, Error> {
        let ranks = self.ranks(audited)?;
        let of = |member: Option<bool>| {
            let chosen = audited.texts.iter().zip(&ranks).filter(|(text, _)| member.is_none() || text.member == member);
            chosen.map(|(_, rank)| *rank).collect::<Vec<Option<usize>>>()
        };
        let (members, others) = (of(Some(true)), of(Some(false)));
        let mut numbers = Vec::new();
        // Where rows do not tell, or training had none, it is of all.
        numbers.extend(self.numbers("", if members.is_empty() { &ranks } else { &members }));
        if !members.is_empty() {
            let others = self.numbers("[others]", &others).into_iter();
            numbers.extend(others.map(|number| Measurement { group: Group::Control, secondary: true, ..number }));
        }
        Ok(numbers)
    }
}

impl Exposure {
    fn numbers(&self, suffix: &str, ranks: &[Option<usize>]) -> Vec<Measurement> {
        let known: Vec<usize> = ranks.iter().flatten().copied().collect();
        let bits: Vec<f64> = known.iter().map(|rank| exposure(*rank, self.decoys)).collect();
        let Some(mean) = Mean::of(&bits) else { return Vec::new() };
        let (n, failed) = (known.len() as u64, (ranks.len() - known.len()) as u64);
        let number = |metric: &str, value: f64, unit: Unit, chance: f64| {
            let number = Measurement::new("", ID, &format!("{metric}{suffix}"), value, n);
            Measurement { failed, unit, chance: Some(chance), ..number }
        };
        let first = known.iter().filter(|rank| **rank == 1).count();
        let bits_of = number("exposure", mean.mean, Unit::Bits, by_chance(self.decoys));
        let share = number("first_rank", first as f64 / n as f64, Unit::Share, 1.0 / (self.decoys as f64 + 1.0));
        vec![
            with_interval(bits_of, mean_interval(&bits, LEVEL)),
            Measurement { secondary: true, ..with_interval(share, wilson(first, known.len(), LEVEL)) },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;
    use groma_lm::{Control, Failure, Scored, Scripted};
    use groma_run::{Cancel, Seed, Silent};

    /// The figures of the specification, of ranks over N + 1.
    #[test]
    fn exposure_is_of_ranks_among_all() {
        assert!((exposure(1, 1000) - 9.9672).abs() < 1e-4);
        assert_eq!((exposure(1001, 1000), exposure(1, 1023)), (0.0, 10.0));
        // 1 / ln 2 in the limit.
        assert!((by_chance(100_000) - std::f64::consts::LOG2_E).abs() < 1e-3);
    }

    fn text(id: usize, member: bool) -> Text {
        let secret = format!(" {} {} {}", id % 10, id / 10 % 10, (id * 7 + 3) % 10);
        let text = format!("box {id} opens with{secret}");
        let known = text.len() - secret.len();
        Text { id: id.to_string(), end: text.len(), text, known, member: Some(member) }
    }

    /// A model that finds what is chosen by `knows` likely, and everything else as likely as a draw says.
    fn audit(knows: impl Fn(&str) -> bool + Sync + 'static) -> Vec<Measurement> {
        let model = Scripted::new(
            |_| Err(Failure::NothingToScore),
            move |wanted| {
                let Continuation::After { context, continuation } = wanted else { return Err(Failure::WrongKind) };
                let whole = format!("{context}{continuation}");
                let draw = (Seed::new(9).named(&whole).bits() >> 40) as f32 / (1 << 24) as f32;
                let logp = if knows(&whole) { -0.1 } else { -1.0 - draw };
                Ok(Scored { logps: vec![logp], windows: vec![1], ..Scored::default() })
            },
        );
        let texts: Vec<Text> = (0..100).map(|id| text(id, id % 2 == 0)).collect();
        let target = Target { asked: &model, weights: None, shield: None };
        let control = Control { progress: &Silent, cancel: &Cancel::default() };
        let audited = Audited { target: &target, reference: None, texts: &texts, seed: Seed::new(3), control };
        Exposure { decoys: 63 }.audit(&audited).unwrap()
    }

    #[test]
    fn what_is_known_stands_out_and_what_was_never_seen_is_uniform() {
        let members: BTreeSet<String> = (0..100).step_by(2).map(|id| text(id, true).text).collect();
        let found = audit(move |whole| members.contains(whole));
        let of = |metric: &str| found.iter().find(|number| number.metric == metric).unwrap();
        assert_eq!((of("exposure").value, of("first_rank").value, of("exposure").n), (6.0, 1.0, 50));
        let others = of("exposure[others]");
        let interval = others.interval.as_ref().unwrap();
        assert!(interval.low < others.chance.unwrap() && others.chance.unwrap() < interval.high, "{others:?}");
        let nothing = audit(|_| false);
        let all = nothing.iter().find(|number| number.metric == "exposure").unwrap();
        assert!((all.value - all.chance.unwrap()).abs() < 0.6, "{all:?}");
    }
}
