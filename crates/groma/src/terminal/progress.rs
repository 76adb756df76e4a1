//! Draws the progress of long work on standard error.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use groma_run::{Advance, Level, Meter, Progress, Silent};
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::say;
use crate::cli::ProgressKind;

/// Time between two lines of plain progress.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// The progress that a user asked for; a bar only where somebody can see it, elsewhere lines.
pub(super) fn progress(kind: ProgressKind) -> Arc<dyn Progress> {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
    let visible = std::io::stderr().is_terminal() && !dumb && !set("CI");
    match kind {
        ProgressKind::None => Arc::new(Silent),
        ProgressKind::Auto if !visible => Arc::new(Display::new(Kind::Sparing)),
        ProgressKind::Plain => Arc::new(Display::new(Kind::Plain)),
        ProgressKind::Bar | ProgressKind::Auto => Arc::new(Display::new(Kind::Bar)),
    }
}

/// The stage being shown.
struct Stage {
    name: String,
    unit: String,
    total: Option<u64>,
    started: Instant,
    shown: Option<Instant>,
    meter: Meter,
    bar: Option<ProgressBar>,
}

/// How a stage is shown.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// By a bar.
    Bar,
    /// By a line now and then, and one at its end.
    Plain,
    /// The same of stages that take longer than the time between two lines; and of messages, warnings.
    Sparing,
}

/// A bar, or a line now and then.
struct Display {
    kind: Kind,
    stage: Mutex<Option<Stage>>,
}

impl Display {
    fn new(kind: Kind) -> Self {
        Display { kind, stage: Mutex::new(None) }
    }

    fn stage(&self) -> MutexGuard<'_, Option<Stage>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Display {
    fn begin(&self, stage: &str, total: Option<u64>, unit: &str) {
        let bar = (self.kind == Kind::Bar).then(|| bar(stage, total));
        let (name, unit) = (stage.to_owned(), unit.to_owned());
        let started = Instant::now();
        *self.stage() = Some(Stage { name, unit, total, started, shown: None, meter: Meter::default(), bar });
    }

    fn advance(&self, advance: &Advance) {
        let mut stage = self.stage();
        let Some(stage) = stage.as_mut() else { return };
        stage.meter.record(stage.started.elapsed(), advance.done);
        let words = words(stage, advance);
        if let Some(bar) = &stage.bar {
            bar.set_position(advance.done);
            bar.set_message(words);
        } else if stage.shown.unwrap_or(stage.started).elapsed() >= PLAIN_INTERVAL {
            let total = stage.total.map_or(String::new(), |total| format!("/{total}"));
            let name = groma_report::for_terminal(&stage.name);
            say(&format!("{name}: {} {}{total}, {words}", stage.unit, advance.done));
            stage.shown = Some(Instant::now());
        }
    }

    fn finish(&self, summary: &str) {
        let Some(stage) = self.stage().take() else { return };
        if let Some(bar) = &stage.bar {
            bar.finish_and_clear();
        }
        if self.kind == Kind::Sparing && stage.started.elapsed() < PLAIN_INTERVAL {
            return;
        }
        let seconds = stage.started.elapsed().as_secs_f64();
        say(&format!("{}: {summary} ({seconds:.1} s)", groma_report::for_terminal(&stage.name)));
    }

    fn message(&self, level: Level, text: &str) {
        if self.kind == Kind::Sparing && level != Level::Warning {
            return;
        }
        let prefix = if level == Level::Warning { "warning: " } else { "" };
        let text = format!("{prefix}{}", groma_report::for_terminal(text));
        match self.stage().as_ref().and_then(|stage| stage.bar.as_ref()) {
            Some(bar) => bar.println(text),
            None => say(&text),
        }
    }
}

/// Rate, loss and time left, in words.
fn words(stage: &Stage, advance: &Advance) -> String {
    let mut parts = Vec::new();
    if let Some(loss) = advance.loss {
        parts.push(format!("loss {loss:.4}"));
    }
    if let Some(rate) = stage.meter.rate() {
        parts.push(format!("{rate:.1} {}/s", stage.unit));
    }
    if let Some(left) = stage.total.and_then(|total| stage.meter.remaining(total)) {
        parts.push(format!("{} left", HumanDuration(left)));
    }
    parts.extend(advance.note.as_deref().map(groma_report::for_terminal));
    parts.join(", ")
}

fn bar(stage: &str, total: Option<u64>) -> ProgressBar {
    let bar = match total {
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::new_spinner(),
    };
    bar.set_draw_target(ProgressDrawTarget::stderr());
    let template =
        if total.is_some() { "{prefix} {wide_bar} {pos}/{len} {msg}" } else { "{prefix} {spinner} {pos} {msg}" };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_prefix(groma_report::for_terminal(stage));
    bar
}
