//! Names of tasks in results: each once.

use crate::records::TaskConfig;

/// Gives each of several tasks of one name a name of its own, from the data that it reads: `perplexity` of `a.txt` and of
/// `b.txt` become `perplexity-a` and `perplexity-b`. Tasks that are alone keep their names, and so do the first `kept`.
pub fn name_apart(tasks: &mut [TaskConfig], kept: usize) {
    let names: Vec<String> = tasks.iter().map(|config| config.result_name().to_owned()).collect();
    let keeps = |place: usize| place < kept || is_alone(&names, &names[place]);
    let mut taken: Vec<String> =
        (0..names.len()).filter(|place| keeps(*place)).map(|place| names[place].clone()).collect();
    for (place, config) in tasks.iter_mut().enumerate().filter(|(place, _)| !keeps(*place)) {
        let name = &names[place];
        let data = config.data.rsplit(['/', ':']).next().unwrap_or_default();
        let stem = data.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or("data");
        let wanted = format!("{name}-{stem}");
        let numbered = (2..).map(|number| format!("{wanted}-{number}"));
        let own = std::iter::once(wanted.clone()).chain(numbered).find(|own| !taken.contains(own));
        let own = own.unwrap_or(wanted);
        taken.push(own.clone());
        config.name = Some(own);
    }
}

fn is_alone(names: &[String], name: &str) -> bool {
    names.iter().filter(|other| *other == name).count() == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tasks: &[TaskConfig]) -> Vec<&str> {
        tasks.iter().map(TaskConfig::result_name).collect()
    }

    #[test]
    fn tasks_of_one_name_are_named_by_their_data() {
        let of = |data: &[&str]| data.iter().map(|data| TaskConfig::new("perplexity", data)).collect::<Vec<_>>();
        let mut tasks = of(&["x/a.txt", "b.jsonl.gz", "y/a.txt", "owner/name:c.txt"]);
        tasks.push(TaskConfig::new("refusal", "a.txt"));
        name_apart(&mut tasks, 0);
        assert_eq!(names(&tasks), ["perplexity-a", "perplexity-b", "perplexity-a-2", "perplexity-c", "refusal"]);
        let mut tasks = of(&["village:held_out/texts", "a.txt"]);
        name_apart(&mut tasks, 1);
        assert_eq!(names(&tasks), ["perplexity", "perplexity-a"]);
    }
}
