//! Training curves: small charts, one for each kind of metric, side by side.

use super::axis::{Scale, label, range};
use super::plane::px;
use crate::text::for_page;
use groma_run::{Event, EventKind};
use maud::{Markup, html};
use std::collections::BTreeMap;

const WIDTH: f64 = 340.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 50.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;
/// Charts of one stage.
const MOST_CHARTS: usize = 16;
/// Points of one line; more are thinned out, keeping each stretch's lowest and highest.
const MOST_POINTS: usize = 400;
/// Lines with more points are drawn faint, with their running mean above.
const SMOOTH_FROM: usize = 40;
/// Fewer steps than this are told in a table, as they make no curve.
const FEWEST_POINTS: usize = 3;
/// Series of one chart.
const MOST_SERIES: usize = 4;

/// Metrics that belong in one chart, in the order of the charts; the rest follow by name.
const CHARTS: [(&str, &[&str]); 15] = [
    ("loss", &["loss", "eval_loss"]),
    ("reward", &["reward", "reward_p10", "reward_p50", "reward_p90"]),
    ("reward that does not count", &["rewards/held_out"]),
    ("nats from the reference", &["sampling/kl", "eval_sampling/kl"]),
    ("length of completions", &["completions/mean_length"]),
    ("repetition", &["completions/repetition", "completions/same"]),
    ("rewards", &["rewards/chosen", "rewards/rejected", "rewards/margins", "eval_rewards/margins"]),
    ("accuracy", &["rewards/accuracies", "eval_rewards/accuracies", "accuracy", "eval_accuracy"]),
    ("token accuracy", &["mean_token_accuracy", "eval_mean_token_accuracy"]),
    ("log-probabilities", &["logps/chosen", "logps/rejected"]),
    ("gradient norm", &["grad_norm"]),
    ("learning rate", &["learning_rate"]),
    ("entropy", &["entropy", "sampling/entropy"]),
    ("agreement of rewards", &["rewards/agreement"]),
    ("logits", &["logits/chosen", "logits/rejected"]),
];
/// Bookkeeping that is no curve.
const NOT_DRAWN: [&str; 5] = ["epoch", "num_tokens", "step_time", "tokens_per_second", "rows"];

/// What the metrics of watches begin with: levels, as shares of what raises an alarm.
const WATCH: &str = "watch/";

type Series<'a> = BTreeMap<&'a str, Vec<(f64, f64)>>;

/// What was logged in a stage, and the steps at which something was off.
#[derive(Default)]
struct Logged<'a> {
    series: Series<'a>,
    alarms: Vec<f64>,
}

/// The curves of each stage that has some.
pub(super) fn curves(events: &[Event]) -> Vec<(String, Markup)> {
    const DRAWN: [EventKind; 3] = [EventKind::Metrics, EventKind::Evaluation, EventKind::Warning];
    let mut stages: Vec<(&str, Logged<'_>)> = Vec::new();
    for event in events.iter().filter(|event| DRAWN.contains(&event.kind)) {
        let Some(step) = event.step else { continue };
        let place = stages.iter().position(|(stage, _)| *stage == event.stage).unwrap_or_else(|| {
            stages.push((&event.stage, Logged::default()));
            stages.len() - 1
        });
        if event.kind == EventKind::Warning {
            stages[place].1.alarms.push(step as f64);
        }
        for (name, value) in event.metrics.iter().filter(|(name, _)| !NOT_DRAWN.contains(&name.as_str())) {
            stages[place].1.series.entry(name).or_default().push((step as f64, *value));
        }
    }
    let drawn = stages.iter().filter(|(_, logged)| !logged.series.is_empty());
    drawn.map(|(stage, logged)| (for_page(stage), stage_charts(logged))).collect()
}

fn stage_charts(Logged { series, alarms }: &Logged<'_>) -> Markup {
    if series.values().all(|points| points.len() < FEWEST_POINTS) {
        return few_points(series);
    }
    let mut charts: Vec<(&str, Vec<&str>)> = CHARTS
        .iter()
        .map(|(title, names)| (*title, names.iter().copied().filter(|name| series.contains_key(name)).collect()))
        .filter(|(_, names): &(_, Vec<_>)| !names.is_empty())
        .collect();
    charts.extend(watches(series));
    let known: Vec<_> = charts.iter().flat_map(|(_, names)| names.clone()).collect();
    charts.extend(series.keys().filter(|name| !known.contains(*name)).map(|name| (*name, vec![*name])));
    let left_out = charts.len().saturating_sub(MOST_CHARTS);
    charts.truncate(MOST_CHARTS);
    html! {
        div.curves {
            @for (title, names) in &charts {
                @let shown: Vec<_> = names.iter().take(MOST_SERIES).map(|name| (*name, &series[name][..])).collect();
                (chart(title, &shown, alarms))
            }
        }
        @if !alarms.is_empty() { p.quiet { "Dashed: an alarm, which stands among the warnings." } }
        p.quiet { (window_note(series)) }
        @if left_out > 0 { p.quiet { (left_out) " more metrics are in events.jsonl." } }
    }
}

/// Watches in one chart, those first that came nearest to their limits; the rest in the chart after it.
fn watches<'a>(series: &Series<'a>) -> Vec<(&'static str, Vec<&'a str>)> {
    let highest = |name: &str| series[name].iter().map(|(_, level)| *level).fold(f64::NEG_INFINITY, f64::max);
    let mut names: Vec<&str> = series.keys().copied().filter(|name| name.starts_with(WATCH)).collect();
    names.sort_by(|one, other| highest(other).total_cmp(&highest(one)));
    const TITLES: [&str; 3] =
        ["watches nearest to their limits (1 raises an alarm)", "other watches", "further watches"];
    TITLES.into_iter().zip(names.chunks(MOST_SERIES).map(<[_]>::to_vec)).collect()
}

/// What a point is: training metrics are means over the steps since the one before.
fn window_note(series: &Series<'_>) -> String {
    let points = series.get("loss").or_else(|| series.values().next()).map_or(&[][..], Vec::as_slice);
    match points {
        [.., (before, _), (last, _)] if last - before > 1.0 => format!(
            "A point is the mean over the steps since the one before it, as TRL logs it: the last is that of steps {} to {last}. \
             Points of eval_ metrics are of their step alone.",
            before + 1.0
        ),
        _ => "Each point is one step.".into(),
    }
}

/// The numbers of a training that was logged once or twice.
fn few_points(series: &Series<'_>) -> Markup {
    let mut steps: Vec<f64> = series.values().flatten().map(|(step, _)| *step).collect();
    steps.sort_by(f64::total_cmp);
    steps.dedup();
    html! {
        div.scroll { table.plain {
            thead { tr { th scope="col" { "Metric" } @for step in &steps { th.number scope="col" { "step " (step) } } } }
            tbody {
                @for (name, points) in series {
                    tr {
                        th scope="row" { (for_page(name)) }
                        @for step in &steps {
                            @let value = points.iter().find(|(at, _)| at == step);
                            td.number { @if let Some((_, value)) = value { (crate::format::plain(*value)) } @else { "–" } }
                        }
                    }
                }
            }
        } }
        p.quiet { "Too few steps were logged for curves." }
    }
}

fn chart(title: &str, series: &[(&str, &[(f64, f64)])], alarms: &[f64]) -> Markup {
    let finite = || series.iter().flat_map(|(_, points)| points.iter().filter(|(_, value)| value.is_finite()));
    let broken: Vec<f64> = series
        .iter()
        .flat_map(|(_, points)| points.iter().filter(|(_, v)| !v.is_finite()).map(|(step, _)| *step))
        .collect();
    let (Some(x_range), Some((low, high))) = (range(finite().map(|p| p.0)), range(finite().map(|p| p.1))) else {
        return html! { figure.chart { figcaption { (for_page(title)) } p.quiet { "n/a: no finite value was logged." } } };
    };
    let x = Scale::new(x_range, (LEFT, WIDTH - RIGHT));
    let pad = (high - low) * 0.06;
    let top = if series.iter().all(|(name, _)| is_share(name)) { (high + pad).min(1.0) } else { high + pad };
    let y = Scale::new((low - pad, top.max(high)), (HEIGHT - BOTTOM, TOP));
    html! {
        figure.chart {
            figcaption { (for_page(title)) }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(format!("{} by step", for_page(title))) {
                (grid(&x, &y))
                @for step in alarms.iter().filter(|step| (x_range.0..=x_range.1).contains(*step)) {
                    line.alarm x1=(px(x.place(*step))) x2=(px(x.place(*step))) y1=(TOP) y2=(HEIGHT - BOTTOM) {}
                }
                @for (place, (name, points)) in series.iter().enumerate() {
                    (line(points, place, name, &x, &y))
                }
                @for step in broken.iter().take(20) {
                    path.broken d=(format!("M{} {TOP}l8 8m0 -8l-8 8", px(x.place(*step).clamp(LEFT, WIDTH - RIGHT) - 4.0))) {}
                }
            }
            (legend(series))
            @if !broken.is_empty() {
                p.quiet { "× not finite at " @if broken.len() == 1 { "step " } @else { (broken.len()) " steps, first at step " }
                    (broken[0]) "; shown as a gap." }
            }
        }
    }
}

/// Whether a metric is a share, which is never above 1.
fn is_share(name: &str) -> bool {
    name.contains("accurac")
}

fn grid(x: &Scale, y: &Scale) -> Markup {
    let (x_ticks, y_ticks) = (x.ticks(5), y.ticks(4));
    let step = |ticks: &[f64]| ticks.windows(2).map(|pair| pair[1] - pair[0]).next().unwrap_or(1.0);
    let (x_step, y_step) = (step(&x_ticks), step(&y_ticks));
    html! {
        @for tick in &y_ticks {
            @let place = y.place(*tick);
            line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(px(place)) y2=(px(place)) {}
            text.tick x=(LEFT - 6.0) y=(px(place + 4.0)) text-anchor="end" { (label(*tick, y_step)) }
        }
        line.base x1=(LEFT) x2=(WIDTH - RIGHT) y1=(HEIGHT - BOTTOM) y2=(HEIGHT - BOTTOM) {}
        @for tick in x_ticks.iter().filter(|tick| tick.fract() == 0.0) {
            @let place = x.place(*tick);
            line.base x1=(px(place)) x2=(px(place)) y1=(HEIGHT - BOTTOM) y2=(HEIGHT - BOTTOM + 4.0) {}
            text.tick x=(px(place)) y=(HEIGHT - BOTTOM + 16.0) text-anchor="middle" { (label(*tick, x_step)) }
        }
        text.axis x=((LEFT + WIDTH - RIGHT) / 2.0) y=(HEIGHT - 5.0) text-anchor="middle" { "step" }
    }
}

fn line(points: &[(f64, f64)], place: usize, name: &str, x: &Scale, y: &Scale) -> Markup {
    let is_evaluation = name.starts_with("eval_");
    let is_noisy = !is_evaluation && name != "learning_rate";
    let class = format!("line s{place}");
    let dots = is_evaluation && points.len() <= 60;
    html! {
        @if points.len() >= SMOOTH_FROM && is_noisy {
            path class=(format!("{class} faint")) d=(path(&thin(points), x, y)) {}
            path class=(class) d=(path(&thin(&running_mean(points)), x, y)) {}
        } @else {
            path class=(class) d=(path(&thin(points), x, y)) {}
        }
        @if dots {
            @for (step, value) in points.iter().filter(|(_, value)| value.is_finite()) {
                circle class=(format!("point s{place}")) cx=(px(x.place(*step))) cy=(px(y.place(*value))) r="3" {}
            }
        }
    }
}

/// A path through the points, broken where a value is not finite.
fn path(points: &[(f64, f64)], x: &Scale, y: &Scale) -> String {
    let mut out = String::new();
    let mut pen_down = false;
    for (step, value) in points {
        if !value.is_finite() {
            pen_down = false;
            continue;
        }
        out.push(if pen_down { 'L' } else { 'M' });
        out.push_str(&format!("{} {}", px(x.place(*step)), px(y.place(*value))));
        pen_down = true;
    }
    out
}

/// The mean of the last twentieth of the points at each.
fn running_mean(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let window = (points.len() / 20).max(2);
    let mean_at = |i: usize| {
        let last = &points[(i + 1).saturating_sub(window)..=i];
        last.iter().map(|(_, value)| value).sum::<f64>() / last.len() as f64
    };
    points.iter().enumerate().map(|(i, (step, _))| (*step, mean_at(i))).collect()
}

/// At most [`MOST_POINTS`] points: of each stretch the lowest, the highest, and any that is not finite.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= MOST_POINTS {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil(MOST_POINTS / 2);
    let mut kept = Vec::new();
    for chunk in points.chunks(stretch) {
        let ordered = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let (low, high) = (chunk.iter().min_by(ordered), chunk.iter().max_by(ordered));
        let mut both: Vec<_> = low.into_iter().chain(high).copied().collect();
        both.sort_by(|a, b| a.0.total_cmp(&b.0));
        kept.extend(both);
    }
    kept
}

fn legend(series: &[(&str, &[(f64, f64)])]) -> Markup {
    html! {
        ul.legend {
            @for (place, (name, points)) in series.iter().enumerate() {
                li {
                    svg width="22" height="8" aria-hidden="true" { path class=(format!("line s{place}")) d="M0 4L22 4" {} }
                    " " (for_page(name)) " "
                    @if let Some((_, last)) = points.last() { span.quiet { (crate::format::plain(*last)) } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_extremes_and_the_gaps() {
        let mut points: Vec<_> = (0..10_000).map(|i| (f64::from(i), 1.0)).collect();
        points[1234].1 = 99.0;
        points[7777].1 = -99.0;
        let thinned = thin(&points);
        assert!(thinned.len() <= MOST_POINTS);
        assert!(thinned.contains(&(1234.0, 99.0)) && thinned.contains(&(7777.0, -99.0)));
        assert!(thinned.windows(2).all(|pair| pair[0].0 <= pair[1].0));
    }

    #[test]
    fn a_line_is_broken_where_a_value_is_missing() {
        let scale = Scale::new((0.0, 10.0), (0.0, 10.0));
        let points = [(0.0, 1.0), (1.0, 2.0), (2.0, f64::NAN), (3.0, 4.0)];
        assert_eq!(path(&points, &scale, &scale), "M0 1L1 2M3 4");
    }

    #[test]
    fn the_running_mean() {
        let points: Vec<_> = (0..40).map(|i| (f64::from(i), f64::from(i % 2))).collect();
        let mean = running_mean(&points);
        assert_eq!(mean[0].1, 0.0);
        assert!(mean[1..].iter().all(|(_, value)| *value == 0.5));
    }
}
