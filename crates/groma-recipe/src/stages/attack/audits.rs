//! Attacks on privacy: what a model tells of texts that its training may have had.

use groma_attack::{Audited, Method, Target};
use groma_lm::{Control, LanguageModel, Local, LocalOptions};
use groma_organism::Planted;
use groma_run::{Group, Measurement, Pillar, Recorder, Seed};

use crate::Error;
use crate::asked::Asked;
use crate::data_file::DataFile;
use crate::records::Attack;
use crate::runner::Runner;

/// All audits of a stage; their numbers are recorded. Of a world in which secrets were planted, what was is said beside the number
/// that is to recover it; of its clean twin, chance beside all that have one.
pub(super) fn audit(
    stage: &Attack,
    runner: &Runner,
    recorder: &Recorder,
    (asked, reference): (&Asked, Option<&Asked>),
    file: &DataFile,
) -> Result<(), Error> {
    let texts = stage.read_texts(file, runner.recipe)?;
    let planted = Planted::beside(&file.path)?;
    let weights = match asked {
        Asked::Here(model) => Some(Local::new(model, LocalOptions::default())),
        Asked::Served(_) => None,
    };
    let work = runner.work;
    let with = |model: &dyn LanguageModel, reference: Option<&dyn LanguageModel>| {
        let target = Target { asked: model, weights: weights.clone(), shield: None };
        for (record, settings) in stage.chosen()?.into_iter().filter(|(record, _)| record.is_audit) {
            let Method::Audit(audits) = record.method(&settings)? else { continue };
            work.progress.begin(&format!("{}: {}", stage.name, record.id), None, "text");
            let seed = Seed::new(runner.recipe.seed).named(&stage.name).named(record.id);
            let control = Control { progress: &*work.progress, cancel: &work.cancel };
            let audited = Audited { target: &target, reference, texts: &texts, seed, control };
            let found = audits.audit(&audited)?;
            let first = found.first().map_or(String::new(), |number| format!("{} {:.4}", number.metric, number.value));
            work.progress.finish(&first);
            for number in found {
                let planted = planted.as_ref().and_then(|planted| truth(planted, audits.recovers(), &number));
                recorder.measure(filled(stage, runner.recipe.seed, record.id, Measurement { planted, ..number }))?;
            }
        }
        Ok::<_, Error>(())
    };
    let (done, _) = asked.lend(None, |model| match reference {
        Some(reference) => reference.lend(None, |reference| with(model, Some(reference))).map(|(done, _)| done),
        None => with(model, None),
    })?;
    Ok(done)
}

/// What is true of a number: what was planted, where it is to recover that, and chance where nothing was.
fn truth(planted: &Planted, recovers: Option<&str>, number: &Measurement) -> Option<f64> {
    match recovers == Some(&*number.metric) {
        true => Some(planted.truth),
        false => number.chance.filter(|_| planted.size == 0.0 && number.group != Group::Control),
    }
}

/// A number of the stage's subject.
fn filled(stage: &Attack, seed: u64, attack: &str, mut number: Measurement) -> Measurement {
    number.factors.insert("attack".to_owned(), attack.to_owned());
    number.factors.extend(stage.factors.clone());
    Measurement {
        subject: stage.name.clone(),
        pillar: Pillar::Attack,
        seed: Some(seed),
        mode: "likelihood".into(),
        ..number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_twin_chance_is_true_of_what_has_one() {
        let planted = |size: f64, truth: f64| Planted {
            plant: "secret".into(),
            size,
            truth,
            of: String::new(),
            metric: None,
            words: Vec::new(),
        };
        let number = |metric: &str, chance: Option<f64>| Measurement {
            chance,
            ..Measurement::new("", "membership", metric, 0.7, 200)
        };
        let (village, twin) = (planted(8.0, 0.5), planted(0.0, 0.0));
        assert_eq!(truth(&village, None, &number("auc", Some(0.5))), None);
        assert_eq!(truth(&twin, None, &number("auc", Some(0.5))), Some(0.5));
        assert_eq!(truth(&twin, None, &number("auc", None)), None);
        for world in [&village, &twin] {
            assert_eq!(truth(world, Some("extracted"), &number("extracted", Some(0.1))), Some(world.truth));
        }
        let control = Measurement { group: Group::Control, ..number("auc", Some(0.5)) };
        assert_eq!(truth(&twin, None, &control), None);
    }
}
