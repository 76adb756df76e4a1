//! What can be known of a recipe before it is done: that its names resolve, its settings hold, its rows can be read.

use std::path::Path;

use groma_align::read_findings;
use groma_chat::{Message, Options};
use groma_data::Shape;
use groma_lm::Address;
use groma_model::{LocalModel, TemplateChoice, base_checkpoint, open_tokenizer, parameters};
use groma_run::Seed;

use crate::Error;
use crate::data_name::{NONE, TWIN, VILLAGE};
use crate::fit::{check_stage, settle_base};
use crate::output::OutputKind;
use crate::recipe::Recipe;
use crate::resolve::Resolve;
use crate::rows::read_rows;
use crate::said::{finding, read_as};
use crate::stages::work;

/// Checks a recipe; says in a line for each part what was found.
///
/// # Errors
/// The first part that cannot be done.
pub fn check(recipe: &Recipe, resolve: Resolve<'_>) -> Result<Vec<String>, Error> {
    let template = TemplateChoice::parse(&recipe.chat_template)?;
    settle_base(recipe, resolve)?;
    let mut lines = vec![model(&recipe.model, &template, resolve)?];
    if let Some(name) = &recipe.preferences {
        let (path, _) = (resolve.data)(name)?;
        let pairs = read_rows(&path, &[Shape::Preference], None, Seed::new(recipe.seed), &recipe.reading)?;
        lines.push(format!("preferences {name}: {}", read_as(&pairs)));
        lines.extend(read_findings(&pairs).iter().map(finding));
    }
    for stage in &recipe.stages {
        for reference in stage.declared().reads() {
            if reference.kind == OutputKind::Model && recipe.is_outside(reference.name) {
                lines.push(model(reference.name, &template, resolve)?);
            }
        }
        check_stage(recipe, stage, resolve)?;
        lines.extend(work(stage).check(recipe, resolve)?);
    }
    Ok(lines)
}

/// A model that no stage leaves.
fn model(name: &str, template: &TemplateChoice, resolve: Resolve<'_>) -> Result<String, Error> {
    if name == NONE {
        return Ok("model: none".into());
    }
    if [VILLAGE, TWIN].contains(&name) {
        return Ok(format!("model: the {name}'s, made from nothing"));
    }
    if Address::is_meant(name) {
        return Ok(format!("model {}: on a server, which is not asked yet", Address::parse(name)?));
    }
    let (path, _) = (resolve.model)(name)?;
    let checkpoint = LocalModel::check(&path, template)?;
    let count: usize = parameters(checkpoint.spec()).iter().map(|p| p.shape.iter().product::<usize>()).sum();
    let mut line = format!("model {name}: {}, {count} parameters", checkpoint.spec().family);
    for note in checkpoint.notes().into_iter().chain(unrendered(&path, template)?) {
        line.push_str(&format!("; {note}"));
    }
    Ok(line)
}

/// Why a model's own chat template cannot show a plain question, where it cannot: conversations would fail.
fn unrendered(directory: &Path, template: &TemplateChoice) -> Result<Option<String>, Error> {
    if template.built_in.is_some() {
        return Ok(None);
    }
    let found = groma_chat::template_in(directory, None).map_err(groma_model::Error::from)?;
    let Some(found) = found else { return Ok(None) };
    let tokenizer = base_checkpoint(directory).and_then(|checkpoint| open_tokenizer(directory, &checkpoint))?;
    let options = Options { variables: tokenizer.template_variables(), ..Options::default() };
    let rendered = found.render(&[Message::new("user", "Hello")], &options);
    Ok(rendered.err().map(|error| format!("its chat template cannot show a plain question: {error}")))
}
