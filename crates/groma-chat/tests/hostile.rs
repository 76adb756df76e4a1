//! Templates that try to take time or memory, or to reach outside, end in an error.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may fail and say so")]

use groma_chat::{Message, Options, Template, TemplateError};
use proptest::prelude::*;

/// Loops that make the list of the one around them longer and longer.
const DOUBLED_IN_LOOPS: &str = concat!(
    "{% set a = [1] %}",
    "{% for a in [a + a] %}{% for a in [a + a] %}{% for a in [a + a] %}{% for a in [a + a] %}{% for a in [a + a] %}",
    "{% for a in [a + a + a + a + a + a + a + a] %}{% for a in [a * 4096] %}{% for a in [a * 4096] %}{% for a in [a * 9] %}",
    "{{ 'x' in a }}",
    "{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}",
);
/// The same by scopes.
const DOUBLED_IN_SCOPES: &str = concat!(
    "{% with a = [1] * 4096 %}{% with a = a + a + a + a %}{% with a = a * 4096 %}{% with a = a * 9 %}",
    "{{ 'x' in a }}{% endwith %}{% endwith %}{% endwith %}{% endwith %}",
);

fn outcome(source: &str) -> Result<String, TemplateError> {
    let messages = [Message::new("user", "hello {{ 7*7 }}"), Message::new("assistant", "hi")];
    Ok(Template::new(source)?.render(&messages, &Options::default())?.text)
}

/// Resident memory of this process at its highest, in bytes.
#[cfg(target_os = "linux")]
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[test]
fn hostile_templates_end_in_an_error() {
    let nested_loops = "{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}x{% endfor %}{% endfor %}{% endfor %}";
    let parentheses = format!("{{{{ {}1{} }}}}", "(".repeat(5000), ")".repeat(5000));
    let brackets = format!("{{{{ {}1{} }}}}", "[".repeat(5000), "]".repeat(5000));
    let negations = format!("{{{{ {}1 }}}}", "not ".repeat(5000));
    let minuses = format!("{{{{ {}1 }}}}", "-".repeat(5000));
    let conditions = format!("{{{{ {}1 }}}}", "1 if 1 else ".repeat(3000));
    let blocks = format!("{}x{}", "{% if 1 %}".repeat(2000), "{% endif %}".repeat(2000));
    let branches = format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(3000));
    let filters = format!("{{{{ 'x'{} }}}}", "|upper".repeat(5000));
    let attributes = format!("{{{{ messages{} }}}}", ".a".repeat(5000));
    let subscripts = format!("{{{{ messages{} }}}}", "[0]".repeat(5000));
    let mut long_chains = Vec::new();
    for (start, link) in
        [("messages", "|e"), ("messages", ".a"), ("1", "+1"), ("1", "~1"), ("1", " if 1 else 1"), ("1", "<1")]
    {
        for count in [950 / link.len(), 30_000 / link.len()] {
            long_chains.push(format!("{{{{ {start}{} }}}}{{{{ raise_exception('') }}}}", link.repeat(count)));
        }
    }
    let deep_with = format!("{}{{{{ x }}}}", "{% with x = [[[[[[[[[[x]]]]]]]]]] %}".repeat(100));
    let deep_sets = format!("{}{{{{ x }}}}", "{% set x = [x] %}".repeat(3500));
    let deep_macro =
        format!("{{% macro f(x) %}}{{{{ f({}x{}) }}}}{{% endmacro %}}{{{{ f(1) }}}}", "[".repeat(70), "]".repeat(70));
    let constants = format!("{{{{ [{}] }}}}", "'a' * 100000000, ".repeat(500));
    let long = "x".repeat(70_000);
    let raw = format!("{{% for a in range(100000) %}}{}{{% endfor %}}", "y".repeat(60_000));
    let captured =
        format!("{{% set x %}}{{% for a in range(100000) %}}{}{{% endfor %}}{{% endset %}}", "y".repeat(60_000));
    let marks = "{% for a in range(100000) %}{% for b in range(100) %}{% generation %}x{% endgeneration %}{% endfor %}{% endfor %}";
    let mut cases: Vec<(&str, &str)> = vec![
        ("huge range", "{% for i in range(1000000000) %}x{% endfor %}"),
        ("a list of many", "{{ ['a'] * 100000000 }}"),
        ("a list of many, from the right", "{{ 100000000 * ['a'] }}"),
        ("a list of many in a list", "{{ [1, ['a'] * 100000000] }}"),
        ("a list of many as text", "{{ (['a'] * 100000000) ~ '' }}"),
        ("a list of many as JSON", "{{ (['a'] * 100000000) | tojson }}"),
        ("many looks into a list of many", "{% for i in range(100000) %}{{ 'x' in (['a'] * 100000000) }}{% endfor %}"),
        (
            "many comparisons of lists",
            "{% for i in range(100000) %}{{ (['a'] * 9999999) < (['a'] * 9999999) }}{% endfor %}",
        ),
        (
            "a list that macros double",
            "{% macro m(a, n) %}{% if n > 0 %}{{ m(a + a, n - 1) }}{% else %}{{ 'x' in a }}{% endif %}{% endmacro %}{{ m([1], 60) }}",
        ),
        ("a list that loops double", DOUBLED_IN_LOOPS),
        ("a list that scopes double", DOUBLED_IN_SCOPES),
        ("huge range as a list", "{{ range(1000000000)|list|length }}"),
        ("negative range", "{{ range(0, -9223372036854775807, -1)|length }}"),
        ("nested loops", nested_loops),
        ("string multiplication", "{{ 'a' * 1000000000 }}"),
        ("string multiplication, reversed", "{{ 1000000000 * 'a' }}"),
        ("list multiplication", "{{ ([1] * 1000000000)|length }}"),
        ("folded constants", &constants),
        (
            "namespace doubling",
            "{% set ns = namespace(x='a') %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        ),
        (
            "doubling with ~",
            "{% set ns = namespace(x='a') %}{% for i in range(100) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        ),
        (
            "doubling with join",
            "{% set ns = namespace(x='a') %}{% for i in range(100) %}{% set ns.x = [ns.x, ns.x]|join %}{% endfor %}",
        ),
        (
            "doubling with replace",
            "{% set ns = namespace(x='a') %}{% for i in range(100) %}{% set ns.x = ns.x|replace('a', 'aa') %}{% endfor %}",
        ),
        (
            "doubling with format",
            "{% set ns = namespace(x='a') %}{% for i in range(100) %}{% set ns.x = '{0}{0}'.format(ns.x) %}{% endfor %}",
        ),
        (
            "doubling with a block",
            "{% set ns = namespace(x='a') %}{% for i in range(100) %}{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}{% endfor %}",
        ),
        (
            "doubling with a macro",
            "{% macro f(x) %}{{ x }}{{ x }}{% endmacro %}{% set ns = namespace(x='a') %}{% for i in range(100) %}{% set ns.x = f(ns.x) %}{% endfor %}",
        ),
        (
            "doubling lists",
            "{% set ns = namespace(x=[1]) %}{% for i in range(100) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x|length }}",
        ),
        (
            "doubling by sharing",
            "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
        ),
        (
            "comparing what is shared",
            "{% set a = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set a.x = [a.x, a.x] %}{% set a.y = [a.y, a.y] %}{% endfor %}{{ a.x == a.y }}",
        ),
        (
            "a deep list",
            "{% set ns = namespace(x=[]) %}{% for i in range(100000) %}{% set ns.x = [ns.x] %}{% endfor %}",
        ),
        (
            "a deep mapping",
            "{% set ns = namespace(x={}) %}{% for i in range(100000) %}{% set ns.x = {'a': ns.x} %}{% endfor %}",
        ),
        ("a namespace in itself", "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns.x }}"),
        ("a namespace in a list in itself", "{% set ns = namespace() %}{% set ns.x = [ns] %}"),
        ("blocks with deep lists", &deep_with),
        ("a list set deeper again and again", &deep_sets),
        ("a macro with deep lists", &deep_macro),
        (
            "reversed again and again",
            "{% set ns = namespace(x=[1]) %}{% for i in range(100000) %}{% set ns.x = ns.x|reverse %}{% endfor %}{{ ns.x }}",
        ),
        (
            "sliced again and again",
            "{% set ns = namespace(x=[1]) %}{% for i in range(100000) %}{% set ns.x = ns.x[0:] %}{% endfor %}{{ ns.x }}",
        ),
        (
            "items of items",
            "{% set ns = namespace(x={'a': 1}) %}{% for i in range(100000) %}{% set ns.x = dict(a=ns.x.items()) %}{% endfor %}{{ ns.x }}",
        ),
        (
            "batches of batches",
            "{% set ns = namespace(x=[1]) %}{% for i in range(100000) %}{% set ns.x = ns.x|batch(1) %}{% endfor %}{{ ns.x }}",
        ),
        ("large indent", "{{ 'a\nb'|indent(1000000000) }}"),
        ("large indent of JSON", "{{ [[1]]|tojson(indent=1000000000) }}"),
        ("large separators of JSON", "{% set s = 'x' * 1000000 %}{{ range(100000)|list|tojson(separators=(s, s)) }}"),
        ("large padding", "{{ 'a'.ljust(1000000000) }}"),
        ("large centre", "{{ 'a'.center(1000000000) }}"),
        ("large zfill", "{{ 'a'.zfill(1000000000) }}"),
        ("recursive macro", "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}"),
        (
            "macros that call each other",
            "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}",
        ),
        (
            "a macro that branches",
            "{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(30) }}",
        ),
        ("recursive loop", "{% for x in [messages] recursive %}{{ loop([messages]) }}{% endfor %}"),
        ("deep parentheses", &parentheses),
        ("deep brackets", &brackets),
        ("deep negation", &negations),
        ("deep minus", &minuses),
        ("deep conditions", &conditions),
        ("deep blocks", &blocks),
        ("many branches", &branches),
        ("a long chain of filters", &filters),
        ("a long chain of attributes", &attributes),
        ("a long chain of subscripts", &subscripts),
        ("include", "{% include '/etc/passwd' %}"),
        ("import", "{% import 'os' as os %}{{ os.system('id') }}"),
        ("from", "{% from 'os' import system %}"),
        ("extends", "{% extends '/etc/passwd' %}"),
        ("attributes of Python", "{{ ''.__class__.__mro__[1].__subclasses__() }}"),
        ("attributes by item", "{{ ''['__class__']['__mro__'].x }}"),
        ("attributes by filter", "{{ ''|attr('__class__')|attr('__mro__') }}{{ raise_exception('empty') }}"),
        ("globals of a function", "{{ range.__globals__.x }}"),
        ("format strings", "{{ '{0.__class__.__mro__}'.format(messages) }}"),
        ("wide format strings", "{{ '{:>1000000000}'.format('a') }}"),
        ("wide formats by filter", "{{ '%1000000000d'|format(1) }}"),
        ("formats that repeat", "{% set x = 'a' * 100000 %}{% set y = '{0}' * 20000 %}{{ y.format(x) }}"),
        ("percent formats", "{{ '%1000000000d' % 1 }}"),
        ("the guards themselves", "{{ __math('a', '*', 1000000000) }}"),
        ("setting a guard", "{% set __math = range %}"),
        ("output of a gigabyte", "{% for i in range(100000) %}{{ 'x' * 10000 }}{% endfor %}"),
        ("output in a variable", "{% set x %}{% for i in range(100000) %}{{ 'x' * 10000 }}{% endfor %}{% endset %}"),
        ("a gigabyte of text", &raw),
        ("a gigabyte of captured text", &captured),
        ("many marks", marks),
        ("power", "{{ 9 ** 9 ** 9 }}"),
        (
            "a chain of powers",
            "{% set ns = namespace(x=9) %}{% for i in range(100) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
        ),
        ("division by zero", "{{ 1 // 0 }}"),
        ("remainder of zero", "{{ 1 % 0 }}"),
        ("slice with step 0", "{{ messages[::0] }}"),
        ("a long template", &long),
        ("wrong escape", "{{ '\\ud800' }}"),
        ("letters that are no letters", "{{ ｍessages }}"),
        ("open comment", "{# x"),
        ("open raw", "{% raw %}x"),
        ("open block", "{% for x in messages %}"),
        ("null", "{{ \0 }}"),
        ("methods that change", "{{ messages.append(1) }}"),
        ("mapping that changes", "{{ messages[0].update({'a': 1}) }}"),
        ("unknown function", "{{ lipsum(n=1000000) }}"),
        ("unknown filter", "{{ 'a'|wordwrap(1) }}"),
        ("map of map", "{{ [[1]]|map('map', 'map')|list }}"),
        ("walking a number", "{% for x in 3 %}{% endfor %}"),
        ("many words", "{% set x = 'a ' * 3000000 %}{{ x.split()|length }}"),
        ("many lines", "{% set x = '\n' * 7000000 %}{{ x.splitlines()|length }}"),
        ("many indented lines", "{% set x = '\n' * 7000000 %}{{ x|indent }}"),
        ("many characters", "{% set x = 'a' * 7000000 %}{{ x|list|length }}"),
        ("endless split", "{{ ('a ' * 10000000).split()|length }}"),
        (
            "long comparison",
            "{% set x = 'a' * 10000000 %}{% set y = 'a' * 10000000 %}{% for i in range(100000) %}{% if x == y %}{% endif %}{% endfor %}",
        ),
        (
            "long search",
            "{% set x = 'a' * 5000000 %}{% for i in range(100000) %}{% if 'b' in x %}{% endif %}{% endfor %}",
        ),
        (
            "many slices",
            "{% set ns = namespace(x=range(100000)) %}{% for i in range(100000) %}{% set ns.x = ns.x[1:] %}{% endfor %}",
        ),
    ];
    cases.extend(long_chains.iter().map(|source| ("a long chain", source.as_str())));
    let mut slowest = (std::time::Duration::ZERO, "");
    let mut rendered = Vec::new();
    for (name, source) in &cases {
        let start = std::time::Instant::now();
        let result = outcome(source);
        slowest = slowest.max((start.elapsed(), name));
        if let Ok(text) = result {
            rendered.push((name, text.chars().take(100).collect::<String>()));
        }
    }
    assert!(rendered.is_empty(), "{rendered:?}");
    println!("{} templates; the slowest, {}, took {:?}", cases.len(), slowest.1, slowest.0);
    #[cfg(target_os = "linux")]
    assert!(peak_bytes() < 256 << 20, "{} MiB", peak_bytes() >> 20);
}

#[test]
fn text_of_users_is_never_a_template() {
    let source = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}";
    assert_eq!(outcome(source).unwrap(), "user: hello {{ 7*7 }}\nassistant: hi\n");
}

#[test]
fn errors_say_what_and_where() {
    let error = outcome("a\nb\n{{ x | nonsense }}").unwrap_err();
    assert_eq!(error.to_string(), "the chat template fails: line 3: filter nonsense is unknown");
    let error = outcome("{{ raise_exception('roles must alternate') }}").unwrap_err();
    assert_eq!(error, TemplateError::Raised { message: "roles must alternate".into() });
    assert!(matches!(
        outcome("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}").unwrap_err(),
        TemplateError::Limit { .. }
    ));
    let error = outcome("a\n{% set x = 1 %}\n\n{{ 'b' }} {{ messages[0].contents\n.x }}").unwrap_err();
    assert_eq!(error.to_string(), "the chat template fails: line 4: undefined value");
}

/// Pieces of templates, sound and broken.
const PIECES: [&str; 62] = [
    "{{ ",
    " }}",
    "{% ",
    " %}",
    "{{- ",
    " -}}",
    "{%- ",
    " -%}",
    "{# ",
    " #}",
    "{%+ ",
    " +%}",
    "if ",
    "elif ",
    "else",
    "endif",
    "for ",
    "x ",
    "in ",
    "messages ",
    "endfor",
    "set ",
    "= ",
    "endset",
    "macro ",
    "f(",
    ")",
    "endmacro",
    "generation",
    "endgeneration",
    "raw",
    "endraw",
    "filter ",
    "upper",
    "endfilter",
    "call ",
    "endcall",
    "not ",
    "and ",
    "or ",
    "is ",
    "defined ",
    "| ",
    "tojson ",
    "[",
    "]",
    "{",
    "}",
    ".content ",
    ".strip() ",
    "'a' ",
    "\"b\\n\" ",
    "1 ",
    "2.5 ",
    "+ ",
    "* ",
    "~ ",
    "** ",
    ", ",
    ":",
    "é",
    "\n  ",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_engine_panic(pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..40)) {
        let _ = outcome(&pieces.concat());
    }

    #[test]
    fn no_expression_makes_the_engine_panic(pieces in prop::collection::vec(prop::sample::select(PIECES[17..].to_vec()), 1..12)) {
        let _ = outcome(&format!("{{{{ {} }}}}", pieces.concat()));
    }

    #[test]
    fn no_characters_make_the_engine_panic(source in "[{}%#\\-+ a'\"é\\\\\n]{0,40}") {
        let _ = outcome(&source);
    }
}
