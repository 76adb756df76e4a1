//! The modules of a crate form no circle: what a module uses does not use it, by however many steps.
//!
//! What counts is who uses whose items. A re-export is looked through: `use crate::Error` is a use of the module that defines
//! `Error`. A parent that declares a child, or re-exports what is in it, does not use it. Tests inside a module do not count.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail and say so")]

mod circles;
mod source;

use std::path::{Path, PathBuf};

use circles::circles;
use source::Crate;

/// The directories of all crates' sources.
fn sources() -> Vec<PathBuf> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found: Vec<PathBuf> = std::fs::read_dir(crates).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found.into_iter().map(|path| path.join("src")).filter(|path| path.is_dir()).collect()
}

#[test]
fn modules_form_no_circle() {
    let sources = sources();
    assert!(sources.len() > 10, "{sources:?}");
    let mut modules = 0;
    let mut found = Vec::new();
    for source in sources {
        let crate_ = Crate::read(&source);
        modules += crate_.modules.len();
        found.extend(circles(&crate_.uses()).into_iter().map(|circle| format!("{}\n{circle}", source.display())));
    }
    assert!(modules > 200, "{modules}");
    assert!(found.is_empty(), "{} circles of modules\n\n{}", found.len(), found.join("\n"));
}

/// The circles of a crate of these files.
fn of_files(files: &[(&str, &str)]) -> Vec<String> {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    circles(&Crate::read(root.path()).uses())
}

#[test]
fn a_circle_is_named_with_the_lines_that_make_it() {
    let found = of_files(&[
        ("lib.rs", "mod a;\nmod b;\nmod c;\npub use a::A;\n"),
        ("a.rs", "use crate::b::{self, B};\npub struct A(B, b::Other);\n"),
        ("b.rs", "pub struct B;\npub struct Other;\nfn f() { let c = vec![crate::c::C]; }\n"),
        ("c.rs", "\nuse crate::A;\npub struct C;\nfn f(_: A) {}\n"),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
    let expected = ["a -> b -> c -> a", "a.rs:1: crate::b::B", "b.rs:3: crate::c::C", "c.rs:2: crate::A"];
    assert!(expected.iter().all(|part| found[0].contains(part)), "{found:?}");
}

#[test]
fn a_child_and_its_parent_make_a_circle_where_both_use_the_other() {
    let child = ("kinds/one.rs", "use super::Kind;\npub(super) const ONE: Kind = Kind;\n");
    let registry = ("kinds.rs", "mod one;\npub struct Kind;\npub static ALL: &[Kind] = &[one::ONE];\n");
    let found = of_files(&[("lib.rs", "mod kinds;"), registry, child]);
    assert!(found.len() == 1 && found[0].contains("kinds -> kinds::one -> kinds"), "{found:?}");
    let of_its_own = ("kinds.rs", "mod kind;\nmod one;\npub use kind::Kind;\npub static ALL: &[Kind] = &[one::ONE];\n");
    let kind = ("kinds/kind.rs", "pub struct Kind;");
    assert_eq!(of_files(&[("lib.rs", "mod kinds;"), of_its_own, kind, child]), Vec::<String>::new());
}

#[test]
fn what_is_no_use_makes_no_circle() {
    let found = of_files(&[
        ("lib.rs", "mod a;\nmod b;\npub use b::B;\nuse std::fmt;\n"),
        // A re-export, a test, a field, a word in a comment, and a path of another crate.
        (
            "a.rs",
            "pub struct A;\n#[cfg(test)]\nuse crate::b;\n#[cfg(test)]\nmod tests { use crate::b::{B}; }\nfn f() {}\n",
        ),
        ("b.rs", "//! crate::c\nuse crate::a::A;\nuse ::a::b;\npub struct B { a: A }\nfn f(b: B) { b.a; ::a::f(); }\n"),
    ]);
    assert_eq!(found, Vec::<String>::new());
}
