//! The report: one static page.
//!
//! Everything from data, models and the user reaches the page as text through maud, which escapes it. The page's policy
//! allows this one style sheet and this one script, by their digests, and nothing else: no request, no image, no frame, no
//! form, no further script. Without script everything is there but the filters.

mod answers;
mod axis;
mod bands;
mod calibration;
mod curves;
mod drawings;
mod factors;
mod forest;
mod heat;
mod panels;
mod paths;
mod plane;
mod runs;
mod samples;
mod sections;

use crate::format;
use crate::headline::Headline;
use crate::text::for_page;
use crate::{Options, RunsCompared};
use groma_run::{Input, RunRecords};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("page/style.css");
const SCRIPT: &str = include_str!("page/script.js");

/// The page of a run, of at most about `options.page_bytes`.
pub(crate) fn render(records: &RunRecords, options: &Options) -> String {
    let headline = Headline::of_run(records);
    let mut options = options.clone();
    loop {
        let page = page(records, &headline, &options).into_string();
        if page.len() <= options.page_bytes || options.samples_bytes < 1000 {
            return page;
        }
        options.samples_bytes /= 2;
    }
}

fn page(records: &RunRecords, headline: &Headline, options: &Options) -> Markup {
    let manifest = &records.manifest;
    let samples = samples::read(records, options);
    let (answers, unread) = answers::read(records, options);
    let noted = sections::warnings(&records.events);
    let problems = [records.warnings.clone(), samples.warnings.clone(), unread, noted].concat();
    let name = for_page(&manifest.name);
    let content = html! {
        (pictures(headline))
        (section("numbers", if headline.compares() { "Before and after" } else { "Measured" }, (!headline.rows.is_empty()).then(|| sections::table(headline))))
        (section("calibration", "Instruments against what was planted", calibration::calibration(&records.measurements)))
        (section("factors", "By subject and factor", factors::factors(&records.measurements)))
        @for (name, title, panel) in panels::panels(records) { (section(name, title, Some(panel))) }
        (section("checks", "Controls and gates", sections::checks(&records.events)))
        @for (number, (stage, charts)) in curves::curves(&records.events).iter().enumerate() {
            (section(&format!("curves-{number}"), &format!("Training: {stage}"), Some(charts.clone())))
        }
        @for (number, answers) in answers.iter().enumerate().filter(|(_, answers)| !answers.is_empty()) {
            (section(&format!("answers-{number}"), &format!("Answers during training: {}", for_page(&answers.stage)), Some(answers.markup())))
        }
        (section("samples-of-text", if samples.compares() { "Side by side" } else { "What was said" }, (!samples.is_empty()).then(|| samples.markup(&headline.left, &headline.right))))
        (section("findings", "Pre-flight findings", sections::findings(&records.events)))
        (section("problems", "Noted on the way", (!problems.is_empty()).then(|| sections::sentences(&problems))))
        (section("run", "What was run", Some(sections::what_was_run(records))))
        section { (sections::raw(records, headline)) }
    };
    document(&name, &manifest.groma, "this run", &top(records, headline, &name), &content)
}

/// The page of a comparison of runs.
pub(crate) fn render_comparison(runs: &[RunRecords], compared: &RunsCompared) -> String {
    let names: Vec<String> = compared.runs.iter().map(|name| for_page(name)).collect();
    let title = match names.as_slice() {
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        names => names.join(", "),
    };
    let verdict = compared.headline.as_ref().map(|headline| &headline.verdict);
    let verdict = verdict.or(compared.standing.as_ref().map(|standing| &standing.verdict));
    let top = html! {
        header.top {
            div.brand { (mark()) " groma" }
            h1 { (title) }
            @if let Some(verdict) = verdict { p.verdict { (for_page(verdict)) } }
        }
    };
    let content = html! {
        @if let Some(headline) = &compared.headline {
            (pictures(headline))
            (section("numbers", "Side by side", (!headline.rows.is_empty()).then(|| sections::table(headline))))
        }
        @if let Some(standing) = &compared.standing { (section("numbers", "Side by side", Some(runs::standing(compared, standing)))) }
        (section("settings", "Settings that differ", runs::settings(compared)))
        (section("shared", "Items that they share", runs::shared(compared)))
        (section("answers", "Answers that changed", runs::answers(compared)))
        @for (number, (records, name)) in runs.iter().zip(&names).enumerate() {
            (section(&format!("run-{number}"), &format!("What was run: {name}"), Some(sections::what_was_run(records))))
        }
    };
    document(&title, env!("CARGO_PKG_VERSION"), &format!("{} runs", runs.len()), &top, &content).into_string()
}

/// A whole page; `title` is safe for pages already.
fn document(title: &str, version: &str, of: &str, top: &Markup, content: &Markup) -> Markup {
    let version = for_page(version);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="referrer" content="no-referrer";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(format!("groma {version}"));
                title { (title) " · groma" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (top)
                main { (content) }
                footer { (mark()) " Made by groma " (version) " from the records of " (of) "; this page asks the network for nothing." }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

fn top(records: &RunRecords, headline: &Headline, name: &str) -> Markup {
    let manifest = &records.manifest;
    html! {
        header.top {
            div.brand { (mark()) " groma" span.status { (sections::status(manifest.status)) } }
            h1 { (name) }
            p.verdict { (for_page(&headline.verdict)) }
            @if let Some(error) = &manifest.error { p.error { "Stopped: " (for_page(error)) } }
            (sections::sentences(&manifest.notes))
            (facts(records))
        }
    }
}

/// Names of data that are shown above all.
const MOST_DATA: usize = 6;

/// The few things one asks first.
fn facts(records: &RunRecords) -> Markup {
    let manifest = &records.manifest;
    let of_role =
        |role: &str| manifest.inputs.iter().find(|input| input.role == role).map(|input| for_page(&input.name));
    // One that is built in is no input.
    let configured = || manifest.config.get("model")?.as_str().map(for_page);
    let seconds: f64 = manifest.stages.iter().map(|stage| stage.seconds).sum();
    let tokens: u64 = manifest.stages.iter().map(|stage| stage.tokens).sum();
    let is_data = |input: &&Input| !["model", "judge", "tokenizer", "chat template"].contains(&&*input.role);
    let mut data: Vec<String> = manifest.inputs.iter().filter(is_data).map(|input| for_page(&input.name)).collect();
    let more = data.len().saturating_sub(MOST_DATA);
    data.truncate(MOST_DATA);
    html! {
        dl.facts {
            @if let Some(model) = of_role("model").or_else(configured) { div { dt { "Model" } dd { (model) } } }
            @if !data.is_empty() {
                div { dt { "Data" } dd { (data.join(", ")) @if more > 0 { " and " (format::count(more as u64)) " more" } } }
            }
            @if seconds > 0.0 { div { dt { "Time" } dd { (format::seconds(seconds)) } } }
            @if tokens > 0 { div { dt { "Tokens" } dd { (format::count(tokens)) } } }
            div { dt { "Seed" } dd { (manifest.seed) } }
            div { dt { "Date" } dd { (manifest.started.to_string().get(..10).unwrap_or_default()) } }
        }
    }
}

fn pictures(headline: &Headline) -> Markup {
    let (plane, forest) = (plane::plane(headline), forest::forest(headline));
    html! {
        @if plane.is_some() || forest.is_some() {
            section #pictures {
                h2 { "What it gained, what it cost" }
                div.pictures {
                    @if let Some(plane) = plane { (plane) }
                    @if let Some(forest) = forest { (forest) }
                }
            }
        }
    }
}

fn section(id: &str, title: &str, content: Option<Markup>) -> Markup {
    html! {
        @if let Some(content) = content {
            section id=(id) { h2 { (title) } (content) }
        }
    }
}

/// The surveyor's cross: four plumb lines seen from above.
fn mark() -> Markup {
    html! {
        svg.mark viewBox="0 0 20 20" width="16" height="16" aria-hidden="true" {
            path d="M10 1V19M1 10H19" {}
            circle cx="10" cy="2.6" r="1.6" {} circle cx="10" cy="17.4" r="1.6" {}
            circle cx="2.6" cy="10" r="1.6" {} circle cx="17.4" cy="10" r="1.6" {}
        }
    }
}

fn policy() -> String {
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        base64(&Sha256::digest(STYLE)),
        base64(&Sha256::digest(SCRIPT))
    )
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * place)) as usize & 63];
            out.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_standard() {
        // RFC 4648, section 10.
        let cases =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        for (text, expected) in cases {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }

    #[test]
    fn style_and_script_can_be_embedded() {
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</") && !SCRIPT.contains("<!--"));
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }
}
