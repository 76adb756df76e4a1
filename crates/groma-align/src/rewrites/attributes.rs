//! Attribute conditioning: the prompt says what values of several attributes the answer is to have.

use super::rewrite::{Rewrite, typed};
use super::turns::{completion, tagged};
use crate::parameter::{Kind, Parameter, as_list, said_twice};
use crate::training::OneOrMany;
use groma_data::{Row, Shape};
use serde::Deserialize;
use serde_json::Value;

pub(super) const REWRITE: Rewrite = Rewrite {
    id: "attributes",
    title: "Attribute-conditioned training",
    paper: "Dong et al. 2023, SteerLM (arXiv 2310.05344)",
    doc: "A row for `sft` whose prompt begins with the answer's attributes, as `helpfulness:4,verbosity:1` and a line break; \
          their values are columns of the row. Prompts alone begin with the `values` that are wanted. Differs from the paper: \
          values come with the rows (a stage `rate` asks a reward model of attributes for them), and there is no second round of \
          bootstrapping but by a recipe that does this twice.",
    data: &[Shape::PromptCompletion, Shape::PromptOnly],
    parameters: &[
        Parameter {
            name: "attributes",
            kind: Kind::Words,
            default: "null",
            range: None,
            doc: "The columns, in the order in which they are said. Must be given.",
        },
        Parameter {
            name: "values",
            kind: Kind::Words,
            default: "null",
            range: None,
            doc: "Of prompts alone, what each attribute is to be, in the same order.",
        },
    ],
    build: |settings| {
        let Attributes { attributes, values } = typed(settings)?;
        let Some(names) = attributes else {
            return Err("the setting `attributes` must name the columns".to_owned());
        };
        if let Some(name) = said_twice(names.as_slice()) {
            return Err(format!("the setting `attributes` names the column `{name}` twice"));
        }
        let values = values.map(|values| values.as_slice().to_vec());
        if values.as_ref().is_some_and(|values| values.len() != names.as_slice().len()) {
            let hint = values.iter().flatten().map(|value| as_list(value)).collect::<String>();
            return Err(format!("the setting `values` must have one for each of `attributes`{hint}"));
        }
        Ok(Box::new(move |row| {
            Ok(vec![match row.shape {
                Shape::PromptOnly => wanted(row, names.as_slice(), values.as_deref())?,
                _ => tagged_row(row, names.as_slice())?,
            }])
        }))
    },
};

/// A prompt that asks for these values.
fn wanted(row: &Row, names: &[String], values: Option<&[String]>) -> Result<Row, String> {
    let values = values.ok_or("the setting `values` must say what is wanted of prompts alone")?;
    let said: Vec<String> = names.iter().zip(values).map(|(name, value)| format!("{name}:{value}")).collect();
    Ok(Row { prompt: Some(tagged(row.question(), &format!("{}\n", said.join(",")))), ..row.clone() })
}

#[derive(Debug, Deserialize)]
struct Attributes {
    attributes: Option<OneOrMany<String>>,
    values: Option<OneOrMany<String>>,
}

fn tagged_row(row: &Row, names: &[String]) -> Result<Row, String> {
    let value = |name: &String| match row.other.get(name) {
        Some(Value::Number(number)) => Ok(format!("{name}:{number}")),
        Some(Value::String(text)) => Ok(format!("{name}:{text}")),
        other => {
            let found = other.map_or("nothing".to_owned(), Value::to_string);
            Err(format!("the column `{name}` must hold a number or a word, found {found}{}", as_list(name)))
        }
    };
    let said = names.iter().map(value).collect::<Result<Vec<_>, String>>()?.join(",");
    let answer = row.answer(0).cloned().ok_or("there is no answer")?;
    Ok(completion(row, tagged(row.question(), &format!("{said}\n")), answer))
}
