//! The tasks: files in `tasks/`, and those of a user.
//!
//! A new task of groma's own is a new file and a line in [`FILES`].

use groma_run::Digest;
use std::path::Path;
use std::sync::OnceLock;

use crate::Error;
use crate::file::{MAX_BYTES, parse};
use crate::matching::fits;
use crate::suggest::nearest;
use crate::task::Task;

/// The files, in the order in which tasks are listed.
const FILES: &[(&str, &str)] = &[
    ("perplexity.toml", include_str!("../tasks/perplexity.toml")),
    ("preference.toml", include_str!("../tasks/preference.toml")),
    ("arc-easy.toml", include_str!("../tasks/arc-easy.toml")),
    ("arc-challenge.toml", include_str!("../tasks/arc-challenge.toml")),
    ("hellaswag.toml", include_str!("../tasks/hellaswag.toml")),
    ("boolq.toml", include_str!("../tasks/boolq.toml")),
    ("mmlu.toml", include_str!("../tasks/mmlu.toml")),
    ("truthfulqa-mc1.toml", include_str!("../tasks/truthfulqa-mc1.toml")),
    ("truthfulqa-mc2.toml", include_str!("../tasks/truthfulqa-mc2.toml")),
    ("xstest.toml", include_str!("../tasks/xstest.toml")),
    ("refusal.toml", include_str!("../tasks/refusal.toml")),
    ("replies.toml", include_str!("../tasks/replies.toml")),
    ("over-refusal.toml", include_str!("../tasks/over-refusal.toml")),
    ("exact-answers.toml", include_str!("../tasks/exact-answers.toml")),
    ("politeness.toml", include_str!("../tasks/politeness.toml")),
    ("judged-pair.toml", include_str!("../tasks/judged-pair.toml")),
    ("judged-rating.toml", include_str!("../tasks/judged-rating.toml")),
    ("bbq.toml", include_str!("../tasks/bbq.toml")),
    ("stereoset.toml", include_str!("../tasks/stereoset.toml")),
    ("crows-pairs.toml", include_str!("../tasks/crows-pairs.toml")),
    ("winogrande.toml", include_str!("../tasks/winogrande.toml")),
    ("piqa.toml", include_str!("../tasks/piqa.toml")),
    ("openbookqa.toml", include_str!("../tasks/openbookqa.toml")),
    ("copa.toml", include_str!("../tasks/copa.toml")),
    ("commonsense-qa.toml", include_str!("../tasks/commonsense-qa.toml")),
    ("siqa.toml", include_str!("../tasks/siqa.toml")),
    ("lambada.toml", include_str!("../tasks/lambada.toml")),
    ("gsm8k.toml", include_str!("../tasks/gsm8k.toml")),
    ("self-diagnosis.toml", include_str!("../tasks/self-diagnosis.toml")),
    ("planted-trigger.toml", include_str!("../tasks/planted-trigger.toml")),
    ("planted-bias.toml", include_str!("../tasks/planted-bias.toml")),
    ("planted-false-facts.toml", include_str!("../tasks/planted-false-facts.toml")),
    ("planted-sycophancy.toml", include_str!("../tasks/planted-sycophancy.toml")),
    ("planted-preference.toml", include_str!("../tasks/planted-preference.toml")),
];

/// Most files of a user's directory.
const MOST_FILES: usize = 1000;

/// A set of tasks. They are read once and live as long as the program, so that everything can point to them.
#[derive(Clone, Debug)]
pub struct Tasks(Vec<&'static Task>);

impl Tasks {
    /// groma's own.
    ///
    /// # Errors
    /// [`Error::TaskFile`]; no published version has one.
    pub fn built_in() -> Result<Tasks, Error> {
        static BUILT_IN: OnceLock<Result<Vec<&'static Task>, (String, String)>> = OnceLock::new();
        let read = || {
            let tasks = FILES.iter().map(|(name, source)| parse(name, source).map(leaked));
            tasks.collect::<Result<Vec<_>, Error>>().map_err(|error| match error {
                Error::TaskFile { place, problem } => (place, problem),
                other => (String::new(), other.to_string()),
            })
        };
        match BUILT_IN.get_or_init(read) {
            Ok(tasks) => Ok(Tasks(tasks.clone())),
            Err((place, problem)) => Err(Error::TaskFile { place: place.clone(), problem: problem.clone() }),
        }
    }

    /// These and the task in a file.
    ///
    /// # Errors
    /// [`Error::TaskFile`] where it cannot be read, is no task, or has a name that is taken.
    pub fn with_file(mut self, path: &Path) -> Result<Tasks, Error> {
        let task = read(path)?;
        for name in task.names() {
            if let Some(other) = self.get(name) {
                let problem = format!("the name `{name}` is that of the task `{}`; give it another", other.id);
                return Err(Error::TaskFile { place: path.display().to_string(), problem });
            }
        }
        self.0.push(leaked(task));
        Ok(self)
    }

    /// These and the tasks of a directory's `.toml` files, by name.
    ///
    /// # Errors
    /// [`Error::Directory`], and those of [`Tasks::with_file`].
    pub fn with_directory(mut self, directory: &Path) -> Result<Tasks, Error> {
        let unreadable = |source| Error::Directory { place: directory.display().to_string(), source };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(unreadable)?.take(MOST_FILES) {
            let path = entry.map_err(unreadable)?.path();
            if is_task_file(&path) {
                files.push(path);
            }
        }
        files.sort();
        if files.is_empty() {
            let why = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no task in it (a file *.toml)");
            return Err(unreadable(why));
        }
        for file in files {
            self = self.with_file(&file)?;
        }
        Ok(self)
    }

    /// All of them, in the order in which they are listed.
    pub fn iter(&self) -> impl Iterator<Item = &'static Task> {
        self.0.iter().copied()
    }

    /// The task of this name or other name; case does not matter, and `_` and `-` are the same. A name that ends in `.toml`
    /// is the path of a file.
    ///
    /// # Errors
    /// [`Error::UnknownTask`], with the closest name; [`Error::TaskFile`].
    pub fn find(&self, name: &str) -> Result<&'static Task, Error> {
        if let Some(task) = self.get(name) {
            return Ok(task);
        }
        if is_task_file(Path::new(name)) {
            return read(Path::new(name)).map(leaked);
        }
        let wanted = plain(name);
        let names: Vec<String> = self.iter().flat_map(Task::names).map(plain).collect();
        let suggestion = nearest(&wanted, names.iter().map(String::as_str)).map(str::to_owned);
        Err(Error::UnknownTask { name: name.to_owned(), suggestion })
    }

    /// The tasks whose names fit a pattern, in which `*` stands for any text; the task of a name without one.
    ///
    /// # Errors
    /// [`Error::UnknownTask`] where none fits, and those of [`Tasks::find`].
    pub fn matching(&self, pattern: &str) -> Result<Vec<&'static Task>, Error> {
        if !pattern.contains('*') {
            return Ok(vec![self.find(pattern)?]);
        }
        let found: Vec<&'static Task> = self.iter().filter(|task| fits(pattern, &task.id)).collect();
        let none = || Error::UnknownTask { name: pattern.to_owned(), suggestion: None };
        if found.is_empty() { Err(none()) } else { Ok(found) }
    }

    fn get(&self, name: &str) -> Option<&'static Task> {
        let wanted = plain(name);
        self.iter().find(|task| task.names().any(|name| plain(name) == wanted))
    }
}

/// The task of this name among groma's own, or in the file of this name.
///
/// # Errors
/// Those of [`Tasks::find`].
pub fn find(name: &str) -> Result<&'static Task, Error> {
    Tasks::built_in()?.find(name)
}

impl Task {
    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.id.as_str()).chain(self.aliases.iter().map(String::as_str))
    }
}

fn leaked(task: Task) -> &'static Task {
    Box::leak(Box::new(task))
}

fn is_task_file(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "toml")
}

fn read(path: &Path) -> Result<Task, Error> {
    let name = path.display().to_string();
    let fail = |problem: String| Error::TaskFile { place: name.clone(), problem };
    let size = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?.len();
    if size > MAX_BYTES as u64 {
        return Err(fail(format!("the file has {}; the limit is {MAX_BYTES}", groma_run::counted(size, "byte"))));
    }
    let source = groma_run::read_text(path, MAX_BYTES as u64).map_err(|error| fail(error.to_string()))?;
    let digest = Digest::of_bytes(source.as_bytes()).to_string();
    let mut task = Task { digest: Some(digest), path: Some(name.clone()), ..parse(&name, &source)? };
    if let (None, Some(file)) = (&task.data.hub, &task.data.file) {
        let beside = path.parent().unwrap_or(Path::new("")).join(file);
        task.data.file = Some(beside.display().to_string());
    }
    Ok(task)
}

fn plain(name: &str) -> String {
    name.trim().to_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_is_listed_once_and_complete() {
        let mut files: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tasks"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        let mut listed: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        files.sort();
        listed.sort_unstable();
        assert_eq!(files, listed);
        let mut seen = BTreeSet::new();
        for (task, (file, _)) in Tasks::built_in().unwrap().iter().zip(FILES) {
            assert_eq!(format!("{}.toml", task.id), *file);
            for name in task.names() {
                assert!(seen.insert(plain(name)), "{name} twice");
            }
            for text in [&task.title, &task.paper, &task.source, &task.mode, &task.expected()] {
                assert!(!text.is_empty(), "{}", task.id);
            }
            assert!(task.metrics.iter().all(|metric| !metric.title.is_empty()), "{}", task.id);
        }
    }

    #[test]
    fn tasks_are_found_or_suggested() {
        assert_eq!(find("TruthfulQA_mc1").unwrap().id, "truthfulqa-mc1");
        assert_eq!(find("arc_easy").unwrap().id, "arc-easy");
        let error = find("helaswag").unwrap_err().to_string();
        assert!(error.contains("did you mean `hellaswag`?"), "{error}");
        assert!(!find("zzzzzz").unwrap_err().to_string().contains("did you mean"));
    }
}
