//! The book in `docs/`: its pages of reference are what the program and its records say, and its links lead somewhere.
//!
//! What stands below the mark of a page is made here. `GROMA_WRITE_PAGES=1 cargo test --release -p groma --test book` writes it
//! anew.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

mod map;

use map::{Here, Line};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
const MARK: &str = "<!-- made by `GROMA_WRITE_PAGES=1 cargo test --release -p groma --test book` -->\n";

fn groma(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_groma")).args(arguments).env("COLUMNS", "100").output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(arguments: &[&str]) -> Vec<Value> {
    serde_json::from_str(&groma(&[arguments, &["--json"]].concat())).unwrap()
}

/// Holds what is below a page's mark against what it ought to be, or writes it.
fn hold(page: &str, made: &str) {
    let path = Path::new(ROOT).join("docs").join(page);
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, there) = text.split_once(MARK).unwrap_or_else(|| panic!("{page} has no mark"));
    if std::env::var_os("GROMA_WRITE_PAGES").is_some() {
        std::fs::write(&path, format!("{head}{MARK}{made}")).unwrap();
        return;
    }
    let first = there.lines().zip(made.lines()).find(|(there, made)| there != made);
    assert!(there == made, "docs/{page} is not what the program says (run with GROMA_WRITE_PAGES=1): {first:?}");
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn words(values: &Value) -> Vec<String> {
    values.as_array().into_iter().flatten().map(|value| format!("`{}`", text(value))).collect()
}

/// A table of settings; nothing where there are none.
fn settings<'a>(settings: impl Iterator<Item = &'a Value>) -> String {
    let rows: String = settings
        .map(|setting| {
            let range = setting["range"].as_str().map_or(String::new(), |range| format!("; {range}"));
            let kind = format!("{}{range}", text(&setting["kind"]));
            let name = text(&setting["name"]);
            format!("| `{name}` | {} | `{}` | {} |\n", cell(&kind), setting["default"], cell(text(&setting["doc"])))
        })
        .collect();
    if rows.is_empty() {
        rows
    } else {
        format!("\n| setting | values | default | what it is |\n|---|---|---|---|\n{rows}")
    }
}

/// Settings that all methods have alike.
fn shared(methods: &[Value]) -> Vec<&Value> {
    let all = |setting: &&Value| methods.iter().all(|method| method["settings"].as_array().unwrap().contains(setting));
    methods[0]["settings"].as_array().unwrap().iter().filter(all).collect()
}

#[test]
fn methods_are_what_their_records_say() {
    let methods = json(&["methods"]);
    let shared = shared(&methods);
    let mut page = String::new();
    for method in &methods {
        write!(
            page,
            "\n## {}\n\n{} ({}). {}\n\n",
            text(&method["id"]),
            text(&method["title"]),
            text(&method["paper"]),
            text(&method["doc"])
        )
        .unwrap();
        let roles = method["roles"].as_array().unwrap();
        let beside = if roles.is_empty() {
            String::new()
        } else {
            format!(" Roles beside the policy: {}.", words(&method["roles"]).join(", "))
        };
        let names = if method["names"].as_array().unwrap().is_empty() {
            String::new()
        } else {
            format!(" Also called {}.", words(&method["names"]).join(", "))
        };
        writeln!(page, "[Rows](rows.md): {}.{beside}{names}", words(&method["data"]).join(", ")).unwrap();
        let own = method["settings"].as_array().unwrap().iter().filter(|setting| !shared.contains(setting));
        page += &settings(own);
        for variant in method["variants"].as_array().unwrap() {
            let (of, id) = (text(&variant["of"]), text(&variant["id"]));
            write!(
                page,
                "\n`{of} = {id}`: {} ({}). {}\n",
                text(&variant["title"]),
                text(&variant["paper"]),
                text(&variant["doc"])
            )
            .unwrap();
            page += &settings(variant["settings"].as_array().unwrap().iter());
        }
        if !method["metrics"].as_array().unwrap().is_empty() {
            write!(page, "\nMetrics of its own: {}.\n", words(&method["metrics"]).join(", ")).unwrap();
        }
    }
    page += "\n## Settings of all methods\n";
    hold("methods.md", &(page + &settings(shared.into_iter())));
}

#[test]
fn rewrites_are_what_their_records_say() {
    let mut page = String::new();
    for way in &json(&["rewrite", "--list"]) {
        let (id, title, paper, doc) = (text(&way["id"]), text(&way["title"]), text(&way["paper"]), text(&way["doc"]));
        write!(page, "\n## {id}\n\n{title} ({paper}). {}\n\n", cell(doc)).unwrap();
        writeln!(page, "[Rows](rows.md) that it reads: {}.", words(&way["data"]).join(", ")).unwrap();
        page += &settings(way["settings"].as_array().unwrap().iter());
    }
    hold("rewrites.md", &page);
}

#[test]
fn tasks_are_what_their_files_say() {
    let mut page = String::new();
    for task in json(&["eval", "--list"]) {
        let name = text(&task["task"]);
        write!(page, "\n## {name}\n\n{}.\n\n", text(&task["title"])).unwrap();
        for (label, key) in
            [("Paper", "paper"), ("Data", "source"), ("Licence", "licence"), ("Asks for", "mode"), ("Reads", "reads")]
        {
            if !text(&task[key]).is_empty() {
                writeln!(page, "- {label}: {}", cell(text(&task[key]))).unwrap();
            }
        }
        let described = groma(&["eval", "--list", "--task", name]);
        page += "\n| metric | what it is |\n|---|---|\n";
        for metric in task["metrics"].as_array().unwrap() {
            let line = described.lines().find_map(|line| line.trim_start().strip_prefix(&format!("{} ", text(metric))));
            writeln!(page, "| `{}` | {} |", text(metric), cell(line.unwrap_or_default().trim())).unwrap();
        }
    }
    hold("tasks.md", &page);
}

#[test]
fn instruments_are_what_their_records_say() {
    let mut page = String::new();
    for one in json(&["inspect", "--list"]) {
        let (id, doc) = (text(&one["instrument"]), text(&one["doc"]));
        write!(page, "\n## {id}\n\n{}: {}.\n\n", text(&one["title"]), cell(doc)).unwrap();
        writeln!(page, "- Paper: {}", cell(text(&one["paper"]))).unwrap();
        let needs: Vec<String> =
            one["needs"].as_array().unwrap().iter().map(|need| format!("`--{}`", text(need))).collect();
        if !needs.is_empty() {
            writeln!(page, "- Needs beside `--data`: {}", needs.join(", ")).unwrap();
        }
    }
    hold("instruments.md", &page);
}

#[test]
fn plants_are_what_their_records_say() {
    let mut page = String::new();
    for plant in json(&["organism", "--list-plants"]) {
        let size = &plant["size"];
        write!(page, "\n## {}\n\n{}. {}\n\n", text(&plant["id"]), text(&plant["title"]), text(&plant["doc"])).unwrap();
        let range = format!("{} to {}", size["range"][0], size["range"][1]);
        writeln!(page, "- Size: {}, {range} (default {})", text(&size["name"]), size["default"]).unwrap();
        let places = words(&plant["places"]);
        if let Some(first) = places.first() {
            writeln!(page, "- Place, behind an `@`: {} (default {first})", places.join(" or ")).unwrap();
        }
    }
    hold("plants.md", &page);
}

#[test]
fn protocols_are_what_their_records_say() {
    let mut page = String::new();
    for protocol in &json(&["oversee", "--list"]) {
        let name = text(&protocol["id"]);
        let (title, paper, doc) = (text(&protocol["title"]), text(&protocol["paper"]), text(&protocol["doc"]));
        write!(page, "\n## {name}\n\n{title} ({paper}). {doc}\n").unwrap();
        let roles = protocol["roles"].as_array().unwrap();
        if !roles.is_empty() {
            page += "\n| role | what it does |\n|---|---|\n";
            for role in roles {
                writeln!(page, "| `{}` | {} |", text(&role["name"]), cell(text(&role["doc"]))).unwrap();
            }
        }
        if !protocol["data"].as_array().unwrap().is_empty() {
            let poses = if protocol["poses"] == true { ", or none" } else { "" };
            write!(page, "\n[Rows](rows.md) that it reads: {}{poses}.\n", words(&protocol["data"]).join(", ")).unwrap();
        }
        let left = words(&protocol["rows"]);
        write!(page, "\nRows that it leaves beside `transcripts`: {}.\n", left.join(", ")).unwrap();
        page += &settings(protocol["settings"].as_array().unwrap().iter());
    }
    hold("protocols.md", &page);
}

#[test]
fn experiments_are_what_their_records_say() {
    let mut page = String::new();
    for experiment in &json(&["inner", "--list"]) {
        let name = text(&experiment["id"]);
        let (title, paper) = (text(&experiment["title"]), text(&experiment["paper"]));
        write!(page, "\n## {name}\n\n{title} ({paper}). {}\n\n", text(&experiment["doc"])).unwrap();
        for part in ["hypothesis", "control", "metric"] {
            writeln!(page, "- {part}: {}", text(&experiment[part])).unwrap();
        }
        page += &settings(experiment["settings"].as_array().unwrap().iter());
    }
    hold("experiments.md", &page);
}

#[test]
fn commands_are_what_help_says() {
    let help = groma(&["--help"]);
    let list = help.split("Commands:").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    let commands = list.lines().filter_map(|line| line.split_whitespace().next()).filter(|&command| command != "help");
    let page: String = commands
        .map(|command| format!("\n## groma {command}\n\n```text\n{}```\n", groma(&[command, "--help"])))
        .collect();
    hold("commands.md", &page);
}

/// The public fields of a struct in a source file, with their comments.
fn fields(source: &str, name: &str) -> String {
    let body = source.split_once(&format!("pub struct {name} {{\n")).unwrap_or_else(|| panic!("no struct {name}")).1;
    let body = body.split_once("\n}\n").unwrap().0;
    let (mut doc, mut renamed, mut page) = (String::new(), None, String::from("\n| field | what it is |\n|---|---|\n"));
    for line in body.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("/// ") {
            doc += if doc.is_empty() { "" } else { " " };
            doc += comment;
        } else if let Some((_, rest)) = line.split_once("rename = \"") {
            renamed = rest.split('"').next();
        } else if let Some((field, _)) = line.strip_prefix("pub ").and_then(|line| line.split_once(':')) {
            // Links between items of the code are words here.
            let doc = std::mem::take(&mut doc).replace("[`", "`").replace("`]", "`");
            writeln!(page, "| `{}` | {} |", renamed.take().unwrap_or(field), cell(&doc)).unwrap();
        }
    }
    page
}

/// A section for each struct: its title, the file below `crates/`, and its name.
fn sections(structs: &[(&str, &str, &str)]) -> String {
    let section = |(title, file, name): &(&str, &str, &str)| {
        let source = std::fs::read_to_string(Path::new(ROOT).join("crates").join(file)).unwrap();
        format!("\n## {title}\n{}", fields(&source, name))
    };
    structs.iter().map(section).collect()
}

#[test]
fn recipes_and_their_keys_are_those_of_their_records() {
    let mut page = String::from("\n## All built-in recipes\n\n| recipe | what it does |\n|---|---|\n");
    for recipe in json(&["run", "--list"]) {
        writeln!(page, "| `{}` | {} |", text(&recipe["recipe"]), cell(text(&recipe["description"]))).unwrap();
    }
    page += &sections(&[
        ("The recipe", "groma-recipe/src/recipe.rs", "Recipe"),
        ("`kind = \"train\"`", "groma-recipe/src/records/train.rs", "Train"),
        ("`reading` of a training stage", "groma-recipe/src/reading.rs", "Reading"),
        ("`kind = \"measure\"`", "groma-recipe/src/records/measure.rs", "Measure"),
        ("`tasks` of a measuring stage", "groma-recipe/src/records/task_config.rs", "TaskConfig"),
        ("`defence` of a measuring stage", "groma-recipe/src/guard.rs", "Guard"),
        ("`decoding` of a measuring stage", "groma-recipe/src/decoding.rs", "Decoding"),
        ("`kind = \"compare\"`", "groma-recipe/src/records/compare.rs", "Compare"),
        ("`kind = \"generate\"`", "groma-recipe/src/records/generate.rs", "Generate"),
        ("`kind = \"contrast\"`", "groma-recipe/src/records/contrast.rs", "Contrast"),
        ("`ranked` of a contrasting stage", "groma-recipe/src/records/contrast.rs", "Configuration"),
        ("`kind = \"rewrite\"`", "groma-recipe/src/records/rewrite.rs", "Rewrite"),
        ("`kind = \"rate\"`", "groma-recipe/src/records/rate.rs", "Rate"),
        ("`kind = \"inspect\"`", "groma-recipe/src/records/inspect.rs", "Inspect"),
        ("`kind = \"gate\"`", "groma-recipe/src/records/gate.rs", "Gate"),
        ("`conditions` of a gate", "groma-recipe/src/records/gate.rs", "Condition"),
        ("`kind = \"attack\"`", "groma-recipe/src/records/attack.rs", "Attack"),
        ("`budget` of an attacking stage", "groma-attack/src/budget.rs", "Budget"),
        ("`kind = \"oversee\"`", "groma-recipe/src/records/oversee.rs", "Oversee"),
        ("`kind = \"inner\"`", "groma-recipe/src/records/inner.rs", "Inner"),
        ("`kind = \"frontier\"`", "groma-recipe/src/records/frontier.rs", "Frontier"),
        ("`[serving]`", "groma-recipe/src/serving.rs", "Serving"),
    ]);
    hold("recipes.md", &page);
}

#[test]
fn files_of_a_run_are_those_of_their_records() {
    let (manifest, measurement, event) =
        ("groma-run/src/manifest.rs", "groma-run/src/measurement.rs", "groma-run/src/event.rs");
    let sample = "groma-run/src/sample.rs";
    hold(
        "run-directory.md",
        &sections(&[
            ("`manifest.json`", manifest, "Manifest"),
            ("`inputs` of the manifest", manifest, "Input"),
            ("`machine` of the manifest", "groma-run/src/machine.rs", "Machine"),
            ("`stages` of the manifest", manifest, "StageEntry"),
            ("`measurements.jsonl`", measurement, "Measurement"),
            ("`interval` of a measurement or comparison", measurement, "Interval"),
            ("`statistic` of a measurement", measurement, "Statistic"),
            ("`comparisons.jsonl`", measurement, "Comparison"),
            ("`events.jsonl`", event, "Event"),
            ("`finding` of an event", event, "Finding"),
            ("`check` of an event", event, "Check"),
            ("`figure` of an event", "groma-run/src/figure.rs", "Figure"),
            ("`stages/NAME.json`", "groma-run/src/stage.rs", "StageRecord"),
            ("`samples/items.*`", sample, "Item"),
            ("`samples/said.*` and `samples/side-by-side.*`", sample, "Sample"),
            ("`before` and `after` of a sample", sample, "Side"),
            ("`samples/training.*`", sample, "TrainingSample"),
        ]),
    );
}

/// A table of the map; what it names must be there.
fn mapped(lines: &[Line]) -> String {
    let mut page = String::from("\n| what | source | here | code | test |\n|---|---|---|---|---|\n");
    let mut left_out = String::new();
    for Line { name, source, here } in lines {
        match here {
            Here::At { command, code, test: (file, test) } => {
                let _ = groma(&[command.split(' ').collect::<Vec<_>>(), vec!["--help"]].concat());
                let crates = Path::new(ROOT).join("crates");
                assert!(crates.join(code).exists(), "{name}: no {code}");
                let tests =
                    std::fs::read_to_string(crates.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
                assert!(tests.contains(&format!("fn {test}(")), "{name}: no test {test} in {file}");
                let link = |file: &str| format!("[{}](../crates/{file})", file.rsplit('/').next().unwrap_or(file));
                writeln!(page, "| {name} | {source} | `groma {command}` | {} | {}: {test} |", link(code), link(file))
                    .unwrap();
            }
            Here::LeftOut(why) => writeln!(left_out, "- {name} ({source}): {why}.").unwrap(),
        }
    }
    if left_out.is_empty() { page } else { format!("{page}\nLeft out, or not a procedure:\n\n{left_out}") }
}

#[test]
fn the_map_leads_somewhere() {
    let parts = [
        ("By reinforcement learning", map::BY_REINFORCEMENT),
        ("Supervised, from text", map::FROM_TEXT),
        ("Supervised, from rankings", map::FROM_RANKINGS),
    ];
    let page: String = parts.iter().map(|(title, lines)| format!("\n## {title}\n{}", mapped(lines))).collect();
    hold("map.md", &page);
}

/// Where the links of a page lead, without those to other sites.
fn links(page: &str) -> Vec<String> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
}

#[test]
fn links_lead_somewhere_and_every_page_is_in_the_book() {
    let root = Path::new(ROOT);
    let docs: Vec<PathBuf> = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let docs: Vec<PathBuf> = docs.into_iter().filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    let others = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "bench/README.md"]
        .map(|name| root.join(name));
    for path in docs.iter().chain(&others) {
        for link in links(&std::fs::read_to_string(path).unwrap()) {
            let file = link.split('#').next().unwrap();
            let target = path.parent().unwrap().join(file);
            assert!(file.is_empty() || target.exists(), "{}: `{link}` leads nowhere", path.display());
        }
    }
    let summary: BTreeSet<String> =
        links(&std::fs::read_to_string(root.join("docs/SUMMARY.md")).unwrap()).into_iter().collect();
    let pages = docs.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned());
    assert_eq!(pages.filter(|name| name != "SUMMARY.md").collect::<BTreeSet<_>>(), summary);
}
