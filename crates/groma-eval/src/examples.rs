//! Items of a file, or of a directory with a file a subject, with worked examples before their questions.

use groma_data::{ReadOptions, TextUnit, read};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::item::Item;
use crate::read::{Items, read_items, subject_of};
use crate::task::{Reader, Task};

/// Endings of files that are read from a directory, before an ending of compression.
const ENDINGS: [&str; 5] = [".csv", ".tsv", ".json", ".jsonl", ".parquet"];
/// Directory of the questions, in a directory with both them and worked examples.
const QUESTIONS: &str = "test";

/// Where the items of a task come from.
#[derive(Clone, Copy, Debug)]
pub struct ItemSource<'a> {
    /// A file; for a task with subjects also a directory of files, or one with such a directory `test`.
    pub path: &'a Path,
    /// How many worked examples stand before each question: the first ones of its subject, as
    /// lm-evaluation-harness's sampler `first_n` takes them.
    pub num_fewshot: usize,
    /// File or directory of the worked examples; unless it is given, the directory of the task's split in or beside that of the questions.
    pub examples: Option<&'a Path>,
    /// The subjects to take; all if empty.
    pub subjects: &'a [String],
}

/// Reads the items of `task`.
///
/// # Errors
/// Those of [`read_items`]; [`Error::Examples`] where the worked examples are not there, are fewer than asked for, or are the
/// questions themselves; [`Error::UnknownSubject`]; [`Error::DuplicateId`].
pub fn items_at(task: &'static Task, source: &ItemSource<'_>) -> Result<Items, Error> {
    let mut items = read_all(task, source.path, source.subjects)?;
    if source.num_fewshot == 0 {
        return Ok(items);
    }
    let problem = |problem: String| Error::Examples { task: &task.id, problem };
    let Some(fewshot) = &task.fewshot else {
        return Err(problem("its questions take no worked examples".to_owned()));
    };
    let path = match source.examples {
        Some(path) => path.to_owned(),
        None => examples_beside(task, source.path).ok_or_else(|| {
            let place = source.path.display();
            problem(format!(
                "there is no directory `{}` in or beside {place}, and no other place was named",
                fewshot.split
            ))
        })?,
    };
    if is_same(&path, source.path) {
        return Err(problem(format!("{} holds the questions themselves", path.display())));
    }
    let mut of_subject: BTreeMap<Option<String>, Vec<String>> = BTreeMap::new();
    for item in read_all(task, &path, source.subjects)?.items {
        of_subject.entry(item.cluster.clone()).or_default().push(item.worked() + &fewshot.separator);
    }
    for item in &mut items.items {
        let there = of_subject.get(&item.cluster).map_or(&[][..], Vec::as_slice);
        let taken = there.get(..source.num_fewshot).ok_or_else(|| {
            let subject = item.cluster.as_ref().map_or(String::new(), |subject| format!(" for {subject}"));
            problem(format!("{} holds {} of them{subject}, not {}", path.display(), there.len(), source.num_fewshot))
        })?;
        item.insert(item.preamble.len(), &taken.concat());
    }
    items.shots = source.num_fewshot;
    Ok(items)
}

fn read_all(task: &'static Task, path: &Path, subjects: &[String]) -> Result<Items, Error> {
    let files = match task.reader {
        Reader::Subjects if path.is_dir() => files_in(path, subjects)?,
        _ => vec![path.to_owned()],
    };
    let mut all = Items { items: Vec::new(), bad_rows: 0, shots: 0 };
    let mut seen: BTreeMap<String, PathBuf> = BTreeMap::new();
    for file in files {
        // Plain text is one running text, as perplexity is measured on it; rows of other formats are documents.
        let table = read(&file, &ReadOptions { text_unit: TextUnit::File, ..ReadOptions::default() })?;
        let found = read_items(task, table)?;
        all.bad_rows += found.bad_rows;
        for item in found.items.into_iter().filter(|item| is_wanted(item, subjects)) {
            let id = item.id.clone().unwrap_or_default();
            if let Some(first) = seen.insert(id.clone(), file.clone()).filter(|first| *first != file) {
                let (first, second) = (first.display().to_string(), file.display().to_string());
                return Err(Error::DuplicateId { task: &task.id, id, first, second });
            }
            all.items.push(item);
        }
    }
    let known: BTreeSet<&str> = all.items.iter().filter_map(|item| item.cluster.as_deref()).collect();
    match subjects.iter().find(|subject| !known.contains(subject.as_str())) {
        Some(subject) => Err(Error::UnknownSubject { subject: subject.clone(), place: path.display().to_string() }),
        None => Ok(all),
    }
}

fn is_wanted(item: &Item, subjects: &[String]) -> bool {
    subjects.is_empty() || item.cluster.as_ref().is_some_and(|subject| subjects.contains(subject))
}

/// The files of a directory, by name; where some are named after wanted subjects, only these.
fn files_in(path: &Path, subjects: &[String]) -> Result<Vec<PathBuf>, Error> {
    let inner = path.join(QUESTIONS);
    let folder = if inner.is_dir() { inner } else { path.to_owned() };
    let unreadable = |source| Error::Directory { place: folder.display().to_string(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if file.is_file() && !name.starts_with('.') && ENDINGS.iter().any(|ending| name.contains(ending)) {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() {
        let why = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no file of rows in it");
        return Err(unreadable(why));
    }
    let named: Vec<PathBuf> =
        files.iter().filter(|file| subjects.iter().any(|subject| *subject == subject_of(file))).cloned().collect();
    Ok(if named.is_empty() { files } else { named })
}

/// The directory of worked examples that goes with a file or directory of a task's questions; `None` where the task takes none.
pub fn examples_beside(task: &Task, path: &Path) -> Option<PathBuf> {
    let split = &task.fewshot.as_ref()?.split;
    let inside = path.is_dir().then(|| path.join(split));
    let folder = if path.is_dir() { path } else { path.parent()? };
    let beside = folder.file_name().filter(|name| *name == QUESTIONS).map(|_| folder.with_file_name(split));
    inside.into_iter().chain(beside).find(|folder| folder.is_dir())
}

fn is_same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::find;
    use groma_lm::{Continuation, Request};

    const HEADER: &str = "question,choice0,choice1,choice2,choice3,answer\n";

    /// Two subjects with two questions and two examples each.
    fn benchmark() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for split in ["test", "dev"] {
            std::fs::create_dir(folder.path().join(split)).unwrap();
            for subject in ["art", "world_law"] {
                let rows = format!("{HEADER}{split} {subject} 1,a,b,c,d,0\n{split} {subject} 2,a,b,c,d,3\n");
                std::fs::write(folder.path().join(split).join(format!("{subject}_{split}.csv")), rows).unwrap();
            }
        }
        folder
    }

    fn source(path: &Path) -> ItemSource<'_> {
        ItemSource { path, num_fewshot: 2, examples: None, subjects: &[] }
    }

    fn contexts(items: &Items) -> Vec<String> {
        let context = |request: &Request| match request {
            Request::Score(Continuation::After { context, .. }) => context.to_string(),
            _ => panic!("{request:?}"),
        };
        items.items.iter().map(|item| context(&item.requests[0])).collect()
    }

    #[test]
    fn examples_are_those_of_the_subject() {
        let folder = benchmark();
        let task = find("mmlu").unwrap();
        let items = items_at(task, &source(folder.path())).unwrap();
        assert_eq!((items.items.len(), items.shots), (4, 2));
        let expected = "The following are multiple choice questions (with answers) about world law.\n\n\
            dev world_law 1\nA. a\nB. b\nC. c\nD. d\nAnswer: A\n\ndev world_law 2\nA. a\nB. b\nC. c\nD. d\nAnswer: D\n\n\
            test world_law 1\nA. a\nB. b\nC. c\nD. d\nAnswer:";
        assert_eq!(contexts(&items)[2], expected);
        assert_eq!(items.items[2].id.as_deref(), Some("world_law:2"));
        let one = folder.path().join("test/world_law_test.csv");
        assert_eq!(contexts(&items_at(task, &source(&one)).unwrap()), &contexts(&items)[2..]);
        let chosen = ["art".to_owned()];
        let some = items_at(task, &ItemSource { subjects: &chosen, ..source(folder.path()) }).unwrap();
        assert_eq!(contexts(&some), &contexts(&items)[..2]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = benchmark();
        let task = find("mmlu").unwrap();
        let error = |source: &ItemSource<'_>| items_at(task, source).unwrap_err().to_string();
        let few = error(&ItemSource { num_fewshot: 3, ..source(folder.path()) });
        assert!(few.contains("holds 2 of them for art, not 3"), "{few}");
        let chosen = ["arts".to_owned()];
        let unknown = error(&ItemSource { subjects: &chosen, ..source(folder.path()) });
        assert!(unknown.contains("no questions about `arts`"), "{unknown}");
        let test = folder.path().join("test");
        let same = error(&ItemSource { examples: Some(&test), ..source(&test) });
        assert!(same.contains("the questions themselves"), "{same}");
        std::fs::remove_dir_all(folder.path().join("dev")).unwrap();
        let none = error(&source(folder.path()));
        assert!(none.contains("no directory `dev`"), "{none}");
        std::fs::remove_dir_all(&test).unwrap();
        std::fs::create_dir(&test).unwrap();
        assert!(error(&source(folder.path())).contains("no file of rows"));
    }

    #[test]
    fn other_tasks_take_examples_from_a_named_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, question: &str| {
            let path = folder.path().join(name);
            let row = format!("{{\"query\": \"{question}\", \"choices\": [\"x\", \"y\"], \"gold\": 1}}\n");
            std::fs::write(&path, row).unwrap();
            path
        };
        let (test, train) = (file("test.jsonl", "One?"), file("train.jsonl", "Two?"));
        let with = ItemSource { path: &test, num_fewshot: 1, examples: Some(&train), subjects: &[] };
        let items = items_at(find("arc-easy").unwrap(), &with).unwrap();
        assert_eq!(contexts(&items), ["Two?\nAnswer: y\n\nOne?\nAnswer:"]);
        let texts = folder.path().join("a.txt");
        std::fs::write(&texts, "Once.").unwrap();
        let refused = items_at(find("perplexity").unwrap(), &ItemSource { path: &texts, ..with }).unwrap_err();
        assert!(refused.to_string().contains("take no worked examples"), "{refused}");
    }
}
