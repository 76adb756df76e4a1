//! Features of the template language, one by one, against what transformers' Jinja makes of them.
//!
//! `fixtures/chat/expressions.json` is made by `scripts/make_template_fixtures.py`.

#![allow(clippy::unwrap_used, reason = "a test may fail and say so")]

use std::path::Path;

use groma_chat::{Options, Template};
use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
struct Fixture {
    now: jiff::civil::DateTime,
    values: Map<String, Value>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    template: String,
    text: Option<String>,
}

/// What no published template was seen to use, and is an error here.
const MISSING: [&str; 9] = [
    "{{ 'abc'.startswith('b', 1) }}",
    "{{ 'abcabc'.index('b') }}",
    "{{ '%s-%d' % ('a', 3) }}",
    "{{ '5'.zfill(3) }}",
    "{{ '-5'.zfill(4) }}",
    "{{ 'a'.ljust(3) ~ '|' }}",
    "{{ 'a'.rjust(3) }}",
    "{{ 'a'.center(4) ~ '|' }}",
    "{{ 'a b  c'|wordcount }}",
];

/// What Python refuses or writes with the name of a class of its own.
const LENIENT: [&str; 3] = ["{{ '-'.join([1, 2]) }}", "{{ map.items() }}", "{{ 'a' < 1 }}"];

#[test]
fn features_render_as_in_transformers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/chat/expressions.json");
    let fixture: Fixture = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let options = Options { variables: fixture.values, ..Options::default() };
    let mut wrong = Vec::new();
    for Case { template, text } in &fixture.cases {
        let rendered = Template::new(template.as_str()).map(|template| template.pinned(fixture.now));
        let rendered = rendered.and_then(|template| template.render(&[], &options));
        let rendered = rendered.map(|rendered| rendered.text);
        let expected = text.as_ref().filter(|_| !MISSING.contains(&template.as_str()));
        if rendered.as_ref().ok() != expected && !LENIENT.contains(&template.as_str()) {
            wrong.push(format!("{template}\n    {rendered:?}\n    {text:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), fixture.cases.len(), wrong.join("\n"));
}

#[test]
fn a_date_that_is_shown_is_part_of_what_identifies_a_template() {
    let source = "Today is {{ strftime_now('%d %b %Y') }}.";
    let template = || Template::new(source).unwrap();
    let today = jiff::Zoned::now().date();
    let unpinned = template();
    // Midnight may pass in between.
    let shown = unpinned.date().unwrap().date();
    assert!(shown == today || shown == today.tomorrow().unwrap());
    assert_eq!(
        unpinned.render(&[], &Options::default()).unwrap().text,
        shown.strftime("Today is %d %b %Y.").to_string()
    );
    let pinned = |day| template().pinned(jiff::civil::date(2024, 7, day).into());
    assert_eq!(pinned(26).render(&[], &Options::default()).unwrap().text, "Today is 26 Jul 2024.");
    assert_eq!(pinned(26).identity(), pinned(26).identity());
    assert_ne!(pinned(26).identity(), pinned(27).identity());
    let plain = Template::new("{{ messages }}").unwrap();
    assert_eq!((plain.date(), plain.identity()), (None, "{{ messages }}".to_owned()));
}

#[test]
fn the_variables_that_a_template_reads_are_known() {
    let read = |source: &str| Vec::from_iter(Template::new(source).unwrap().variables());
    assert_eq!(read("{{ a.strip()[:-1] }} {{ 'b' if c == 'd' else e|upper }}"), ["a", "c", "e"]);
    assert_eq!(
        read("{% set x = a[1:] %}{{ x[0] }}{% for y in b[1:] if y is in [1] %}{{ y[1:] }}{% endfor %}"),
        ["a", "b"]
    );
    assert_eq!(
        read("{{ sentence.split('_', 1)[1].strip() }}{{ range(3)[1:] }}{{ strftime_now('%Y')[1:] }}"),
        ["sentence"]
    );
}
