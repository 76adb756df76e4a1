//! Whether the columns of rows say what a method learns from them, which rows alone tell.

use crate::findings::{Check, Findings};
use crate::known::ATTRIBUTES;
use crate::parameter::as_list;
use crate::rewards::{Panel, Wanted};
use crate::rollout::Rollouts;
use crate::{Error, Settings};
use groma_data::Row;
use groma_run::{Severity, counted};

/// Checks all rows of a training, before its models are loaded.
///
/// # Errors
/// An attribute of which no row says anything, as its output would stay as it began; a rule of rewards or costs that can judge no row,
/// of which nothing would be learned.
pub fn check_columns<'r>(settings: &Settings, rows: impl Iterator<Item = &'r Row> + Clone) -> Result<(), Error> {
    let attributes = (settings.method.masks)(settings)?.attributes;
    let tells = |row: &Row, name: &str| row.other.get(name).is_some_and(|value| !value.is_null());
    if let Some(name) = attributes.iter().find(|name| !rows.clone().any(|row| tells(row, name))) {
        let problem = format!("no row has a number in the column `{name}`{}", as_list(name));
        return Err(settings.invalid(ATTRIBUTES, problem));
    }
    for (setting, rule, wanted) in wanted(settings)? {
        if !rows.clone().any(|row| (wanted.has)(&row.other)) {
            let rows = counted(rows.count() as u64, "row");
            let problem = format!(
                "would train in vain: {rule} judges rows with {} alone, and none of {rows} can be judged; add what is missing \
                 as columns, or leave {rule} out",
                wanted.columns
            );
            return Err(settings.invalid(&setting, problem));
        }
    }
    Ok(())
}

/// Counts rows of which some rule has nothing to say.
///
/// # Errors
/// Those of the method's settings.
pub(crate) fn count_unjudged(settings: &Settings, rows: &[Row], findings: &mut Findings) -> Result<(), Error> {
    let wanted = wanted(settings)?;
    for row in rows.iter().filter(|row| wanted.iter().any(|(.., wanted)| !(wanted.has)(&row.other))) {
        findings.add(Check::Unjudged, Severity::Warning, &row.location.to_string());
    }
    Ok(())
}

/// What rules want of rows, with the settings that name these rules.
fn wanted(settings: &Settings) -> Result<Vec<(String, &'static str, Wanted)>, Error> {
    let objective = (settings.method.build)(settings)?;
    let panels = [objective.rollouts().map(Rollouts::rewards), objective.costs()].into_iter().flatten();
    let of = |panel: Panel<'_>| {
        let setting = panel.setting();
        panel.wants(settings).into_iter().map(move |(rule, wanted)| (setting.clone(), rule, wanted))
    };
    Ok(panels.flat_map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Method;
    use groma_data::{Content, Location};
    use serde_json::{Value, json};

    fn row(line: u64, columns: Value) -> Row {
        let row = Row::of_prompt(Content::Text("1 + 1 =".into()), Location::new("rows.jsonl", line));
        Row { other: columns.as_object().unwrap().clone(), ..row }
    }

    fn settings(given: Value) -> Settings {
        Settings::resolve(Method::find("grpo").unwrap(), given.as_object().unwrap()).unwrap()
    }

    #[test]
    fn a_rule_that_can_judge_no_row_is_refused() {
        let bare = [row(1, json!({"result": 2})), row(2, json!({"answer": null}))];
        for (given, columns) in [
            (json!({"reward_funcs": "exact_match"}), "answer, solution or ground_truth"),
            (
                json!({"reward_funcs": ["length", "final_answer"], "length_target": 3}),
                "answer, solution or ground_truth",
            ),
            (json!({"reward_funcs": "truth"}), "truth and worth"),
            (json!({"reward_funcs": "stimulus", "judge_model": "m"}), "answer, solution or ground_truth"),
            (json!({"reward_funcs": "refined", "judge_model": "m", "refined_reference": "golden"}), "`golden`"),
        ] {
            let error = check_columns(&settings(given), bare.iter()).unwrap_err().to_string();
            assert!(error.contains("reward_funcs") && error.contains(columns) && error.contains("2 rows"), "{error}");
        }
        let costs =
            json!({"reward_funcs": "length", "length_target": 3, "cost_funcs": "exact_match", "cost_limit": 0.1});
        let method = Method::find("ppo").unwrap();
        let costs = Settings::resolve(method, costs.as_object().unwrap()).unwrap();
        assert!(check_columns(&costs, bare.iter()).unwrap_err().to_string().contains("cost_funcs"));
        let patterned = json!({"reward_funcs": "stimulus", "judge_model": "m", "stimulus_pattern": "2"});
        check_columns(&settings(patterned), bare.iter()).unwrap();
        let referred = json!({"reward_funcs": "refined", "judge_model": "m", "refined_reference": "result"});
        check_columns(&settings(referred), bare.iter()).unwrap();
    }

    #[test]
    fn rows_that_cannot_be_judged_are_counted_and_named() {
        let rows =
            [row(1, json!({"answer": 2})), row(2, json!({"answer": null})), row(3, json!({"ground_truth": "2"}))];
        let settings = settings(json!({"reward_funcs": "exact_match"}));
        check_columns(&settings, rows.iter()).unwrap();
        let mut findings = Findings::default();
        count_unjudged(&settings, &rows, &mut findings).unwrap();
        let found = &findings.records(3)[0];
        assert_eq!(
            (found.severity, found.count, &found.places[..]),
            (Severity::Warning, 1, &["rows.jsonl:2".to_owned()][..])
        );
    }
}
