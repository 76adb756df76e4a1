//! Instruments as stages: what they leave, what bad input gets, and that a kill changes nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use groma_kernels::Cpu;
use groma_recipe::{Error, Inputs, Recipe, Resolve, Summary, Work, run};
use groma_run::{
    Advance, Cancel, Classify, Group, Level, Measurement, Pillar, Progress, RunDirectory, RunRecords, Silent,
};

/// The untrained model of the village, looked at with every instrument.
const RECIPE: &str = r#"
name = "looked-at"
model = "village"
seed = 7

[[stage]]
kind = "inspect"
name = "lens"
instrument = "lens"
data = "village:held_out/harmful"
against = "village:held_out/look_alike"
limit = 12

[[stage]]
kind = "inspect"
name = "patch"
instrument = "patch"
data = "village:held_out/harmful"
against = "village:held_out/look_alike"
settings = { pairs = 3, disturbed = ["denoising", "noising"] }
limit = 60

[[stage]]
kind = "inspect"
name = "probe"
instrument = "probe"
data = { rows = "village:held_out/harmful", only = { register = "plain" } }
against = "village:held_out/look_alike"
settings = { generate = 2 }
cluster = "source"
limit = 40

[[stage]]
kind = "inspect"
name = "direction"
instrument = "direction"
data = "village:held_out/harmful"
against = "village:held_out/look_alike"
texts = "village:held_out/texts"
settings = { strengths = [1.0], answers = 4, max_new_tokens = 3 }
limit = 40

[[stage]]
kind = "inspect"
name = "sae"
instrument = "sae"
data = "village:held_out/harmful"
texts = "village:held_out/texts"
settings = { steps = 30, batch_rows = 64, latents = 64, parameters = { k = 4 } }
limit = 40
"#;

/// Asks to stop once it was told so often how far the work is.
struct StopAfter {
    left: AtomicU64,
    cancel: Cancel,
}

impl Progress for StopAfter {
    fn begin(&self, _: &str, _: Option<u64>, _: &str) {}
    fn advance(&self, _: &Advance) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.cancel.request();
        }
    }
    fn finish(&self, _: &str) {}
    fn message(&self, _: Level, _: &str) {}
}

fn start(path: &Path, text: &str, progress: Arc<dyn Progress>, cancel: Cancel) -> Result<Summary, Error> {
    let recipe = Recipe::parse("test", text, &[])?;
    let nowhere = |name: &str| -> Result<_, Error> { panic!("{name} is to be made by the run") };
    let inputs = Inputs { resolve: Resolve { model: &nowhere, data: &nowhere }, command: Vec::new() };
    let directory = RunDirectory::create_or_resume(path)?;
    let work = Work { backend: Arc::new(Cpu::new()), progress, cancel, threads: 1, across_machines: false };
    run(&recipe, &inputs, &directory, &work)
}

fn undisturbed(path: &Path, text: &str) -> Result<RunRecords, Error> {
    start(path, text, Arc::new(Silent), Cancel::default())?;
    Ok(RunRecords::read(path)?)
}

/// Numbers without what tells of the time.
fn numbers(records: &RunRecords) -> Vec<Measurement> {
    let mut all: Vec<Measurement> =
        records.measurements.iter().map(|number| Measurement { seconds: 0.0, ..number.clone() }).collect();
    all.sort_by_key(|number| format!("{number:?}"));
    all
}

#[test]
fn every_instrument_leaves_numbers_controls_and_pictures_whatever_kills_it() {
    let place = tempfile::tempdir().unwrap();
    // How often it is told how far the work is.
    let told = Arc::new(StopAfter { left: AtomicU64::new(u64::MAX), cancel: Cancel::default() });
    start(&place.path().join("whole"), RECIPE, told.clone(), Cancel::default()).unwrap();
    let steps = u64::MAX - told.left.load(Ordering::SeqCst);
    let whole = RunRecords::read(&place.path().join("whole")).unwrap();
    for stage in ["lens", "patch", "probe", "direction", "sae"] {
        let own: Vec<&Measurement> = whole.measurements.iter().filter(|number| number.stage == stage).collect();
        assert!(
            own.iter().all(|number| number.pillar == Pillar::Interpretability && number.value.is_finite()),
            "{stage}"
        );
        assert!(own.iter().any(|number| number.group == Group::Control), "{stage} has a null control");
        let keys: BTreeSet<String> =
            own.iter().map(|number| format!("{} {} {:?}", number.metric, number.mode, number.factors)).collect();
        assert_eq!(keys.len(), own.len(), "{stage}: no two numbers are the same thing");
        let figures = whole.events.iter().filter(|event| event.stage == stage && event.figure.is_some());
        assert!(figures.count() > 0, "{stage} leaves a picture");
    }
    let of = |metric: &str| whole.measurements.iter().filter(|number| number.metric == metric).collect::<Vec<_>>();
    assert!(of("auroc_of_shuffled_labels").iter().all(|number| (number.value - 0.5).abs() < 0.3));
    let last = of("kl").into_iter().find(|number| number.factors["layer"] == "3").unwrap();
    assert!(last.value.abs() < 1e-6, "the last depth of the lens is the model");
    for file in ["probe.probe.blocks.2.hook_resid_post.json", "direction.direction.json", "sae.latents.json"] {
        assert!(place.path().join("whole/inspect").join(file).is_file(), "{file}");
    }

    for (index, at) in (1..6).map(|part| part * steps / 6).enumerate() {
        let path = place.path().join(format!("{index}/killed"));
        // By itself, so that nothing is taken over from the run beside it.
        std::fs::create_dir(place.path().join(index.to_string())).unwrap();
        let cancel = Cancel::default();
        let stop = StopAfter { left: AtomicU64::new(at), cancel: cancel.clone() };
        let error = start(&path, RECIPE, Arc::new(stop), cancel).map(|_| ()).unwrap_err();
        assert_eq!(error.class(), groma_run::Class::Interrupted, "{error}");
        let resumed = undisturbed(&path, RECIPE).unwrap();
        assert_eq!(numbers(&resumed), numbers(&whole), "killed at {at}");
    }
}

#[test]
fn what_cannot_be_looked_at_is_told_before_or_by_name() {
    let place = tempfile::tempdir().unwrap();
    let stage = |what: &str| {
        let data = "data = 'village:held_out/harmful'";
        format!("name = 'x'\nmodel = 'village'\n[[stage]]\nkind = 'inspect'\nname = 'look'\n{data}\nlimit = 40\n{what}")
    };
    let against = "against = 'village:held_out/look_alike'";
    for (index, (what, told)) in [
        ("instrument = 'probee'".to_owned(), "`probe`?"),
        ("instrument = 'probe'".to_owned(), "needs rows of a second class"),
        (
            format!("instrument = 'probe'\n{against}\nsettings = {{ points = ['blocks.2.hook_resid_pots'] }}"),
            "did you mean `blocks.2.hook_resid_post`",
        ),
        (
            format!("instrument = 'probe'\n{against}\nsettings = {{ layer = 9 }}"),
            "`layer` 9 is beyond the last of the model, 3",
        ),
        (format!("instrument = 'direction'\n{against}\nsettings = {{ behaviour = 'sings' }}"), "nothing of `sings`"),
        (
            "instrument = 'sae'\ntexts = 'village:held_out/texts'\nsettings = { point = 'blocks.9.hook_mlp_out' }"
                .to_owned(),
            "did you mean `blocks.",
        ),
        (
            "instrument = 'patch'\nagainst = { rows = 'village:held_out/look_alike', only = { register = 'sung' } }"
                .to_owned(),
            "has no row with register = sung",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let error = undisturbed(&place.path().join(index.to_string()), &stage(&what)).map(|_| ()).unwrap_err();
        let told_in = format!("{error} {:?}", error.hint());
        assert!(told_in.contains(told), "{told_in}, not {told}");
    }
}
