//! Metrics of task files: by name where the scorer has them, or said in full.

use groma_run::Unit;
use groma_stats::formulas::FORMULAS;
use groma_stats::{ACROSS, Across, Formula};
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

use crate::metric::Metric;
use crate::problem::Problem;
use crate::scorers::Scorer;
use crate::suggest::closest;

/// A table `[metric.NAME]`: a new metric, or what is different about one of the scorer's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MetricEntry {
    title: Option<String>,
    of: Option<Spanned<String>>,
    sums: Option<Vec<String>>,
    across: Option<Spanned<String>>,
    better: Option<Better>,
    unit: Option<UnitName>,
    range: Option<(f64, f64)>,
    chance: Option<String>,
    control: Option<bool>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Better {
    Higher,
    Lower,
    Neither,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum UnitName {
    Share,
    Nats,
    Bits,
    Plain,
}

/// The metrics of a task: those that `named` lists, in this order.
pub(crate) fn metrics(
    scorer: &Scorer,
    named: &[Spanned<String>],
    mut entries: BTreeMap<String, Spanned<MetricEntry>>,
    at: usize,
) -> Result<Vec<Metric>, Problem> {
    let mut found: Vec<Metric> = Vec::with_capacity(named.len());
    for name in named {
        let at = name.span().start;
        let name = name.get_ref();
        if found.iter().any(|metric| metric.id == *name) {
            return Err((at, format!("the metric `{name}` is listed twice")));
        }
        let known = scorer.metrics.iter().find(|metric| metric.id == *name);
        found.push(match (known, entries.remove(name)) {
            (known, Some(entry)) => metric(name, known, entry)?,
            (Some(known), None) => *known,
            (None, None) => {
                let names = scorer.metrics.iter().map(|metric| metric.id);
                let scorer = scorer.id;
                let problem = format!("the scorer `{scorer}` has no metric `{name}`, and there is no [metric.{name}]");
                return Err((at, problem + &closest(name, names)));
            }
        });
    }
    match entries.into_iter().next() {
        Some((name, entry)) => Err((entry.span().start, format!("`metrics` does not list `{name}`"))),
        None if found.is_empty() => Err((at, "`metrics` lists none".to_owned())),
        None => Ok(found),
    }
}

fn metric(name: &str, known: Option<&Metric>, entry: Spanned<MetricEntry>) -> Result<Metric, Problem> {
    let at = entry.span().start;
    let entry = entry.into_inner();
    // Tasks live as long as the program.
    let leaked = |text: String| -> &'static str { text.leak() };
    let id = leaked(name.to_owned());
    let mut metric = match (known, &entry.title) {
        (Some(known), _) => *known,
        (None, Some(_)) => Metric::share(id, ""),
        (None, None) => return Err((at, format!("the metric `{name}` needs a `title`"))),
    };
    if let Some(title) = entry.title {
        metric.title = leaked(title);
    }
    if let Some(of) = &entry.of {
        metric.statistic.formula = formula(of)?;
    }
    if let Some(across) = &entry.across {
        metric.statistic.across = Some(self::across(across)?);
    }
    if let Some(sums) = entry.sums {
        metric.scores = sums.into_iter().map(leaked).collect::<Vec<_>>().leak();
    }
    let (formula, count) = (metric.statistic.formula, metric.scores().len());
    if count != formula.sums {
        return Err((
            at,
            format!("`{}` is made of {}, but `sums` has {count}", formula.id, groma_run::counted(formula.sums, "sum")),
        ));
    }
    match entry.better {
        Some(Better::Higher) => metric.higher_is_better = Some(true),
        Some(Better::Lower) => metric.higher_is_better = Some(false),
        Some(Better::Neither) => metric.higher_is_better = None,
        None => {}
    }
    match entry.unit {
        Some(UnitName::Share) => metric.unit = Unit::Share,
        Some(UnitName::Nats) => metric.unit = Unit::Nats,
        Some(UnitName::Bits) => metric.unit = Unit::Bits,
        Some(UnitName::Plain) => metric.unit = Unit::Plain,
        None => {}
    }
    metric.range = entry.range.or(metric.range);
    metric.chance = entry.chance.map(leaked).or(metric.chance);
    metric.is_control = entry.control.unwrap_or(metric.is_control);
    Ok(metric)
}

fn formula(name: &Spanned<String>) -> Result<&'static Formula, Problem> {
    let names = FORMULAS.iter().map(|formula| formula.id);
    let unknown = || format!("there is no formula `{}`{}", name.get_ref(), closest(name.get_ref(), names));
    Formula::find(name.get_ref()).ok_or_else(|| (name.span().start, unknown()))
}

fn across(name: &Spanned<String>) -> Result<&'static Across, Problem> {
    let names = ACROSS.iter().map(|across| across.id);
    let unknown = || format!("nothing goes `{}` across groups{}", name.get_ref(), closest(name.get_ref(), names));
    Across::find(name.get_ref()).ok_or_else(|| (name.span().start, unknown()))
}
