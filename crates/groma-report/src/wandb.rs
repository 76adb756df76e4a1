//! Training metrics as an offline run of W&B: the transaction log (`run-*.wandb`) that `wandb sync` uploads and `wandb leet`
//! shows.
//!
//! A log is `:W&B`, a magic number and a version, and then records in LevelDB's log format: blocks of 32 KiB, in which a record,
//! or a part of one, is the CRC-32 of its type and bytes, its length, its type (whole, first, middle, last) and its bytes. The
//! bytes are a protobuf message `Record` (wandb_internal.proto, wandb 0.31), of which are written: `header`, `run`, a `history`
//! for each step, and at the end a `summary` and an `exit`.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

use crate::logged_step::LoggedStep;
use crate::protobuf::{VARINT, ZLIB, crc32, field, key, varint};

const MAGIC: &[u8] = b":W&B\xe1\xbe\0";
const BLOCK: usize = 32 << 10;
/// Checksum, length and type of a part of a record.
const FRAME: usize = 7;
/// The oldest reader that knows such records, as wandb's own files say.
const MIN_CONSUMER: &str = "0.70.0";

/// What a run is called.
#[derive(Clone, Debug, PartialEq)]
pub struct WandbRun {
    /// Its id, unique in the project: letters, digits and `-`.
    pub id: String,
    /// The name that is shown.
    pub name: String,
    /// The project.
    pub project: String,
    /// Its settings, by name.
    pub config: Map<String, Value>,
}

impl WandbRun {
    /// The log of these steps; what is logged at one step twice is one record. Of a run that has ended, its end too.
    pub fn log(&self, steps: &[LoggedStep], has_ended: bool) -> Vec<u8> {
        let mut log = MAGIC.to_vec();
        let started = steps.first().map_or(0.0, |step| step.time);
        append(&mut log, &header());
        append(&mut log, &self.run(started));
        for of_step in steps.chunk_by(|a, b| a.step == b.step) {
            append(&mut log, &history(of_step, started));
        }
        if has_ended {
            append(&mut log, &summary(steps, started));
            // The field `exit`, with an exit code of 0, which is not written.
            append(&mut log, &field(18, &[]));
        }
        log
    }

    fn run(&self, started: f64) -> Vec<u8> {
        let mut seconds = Vec::new();
        key(&mut seconds, 1, VARINT);
        varint(&mut seconds, started.max(0.0) as u64);
        let texts = [(1, &self.id), (3, &self.project), (8, &self.name)];
        let mut run: Vec<u8> = texts.iter().flat_map(|(number, text)| field(*number, text.as_bytes())).collect();
        let item = |(name, value): (&String, &Value)| {
            field(1, &[field(1, name.as_bytes()), field(16, value.to_string().as_bytes())].concat())
        };
        run.extend(field(4, &self.config.iter().flat_map(item).collect::<Vec<u8>>()));
        run.extend(field(17, &seconds));
        field(17, &run)
    }
}

/// What a step adds to the log of steps before it, which takes so many bytes.
pub fn wandb_step(step: &LoggedStep, started: f64, log_bytes: usize) -> Vec<u8> {
    let mut rest = vec![0; log_bytes % BLOCK];
    let before = rest.len();
    append(&mut rest, &history(std::slice::from_ref(step), started));
    rest.split_off(before)
}

fn header() -> Vec<u8> {
    let producer = format!("groma {}", env!("CARGO_PKG_VERSION"));
    let version = [field(1, producer.as_bytes()), field(2, MIN_CONSUMER.as_bytes())].concat();
    field(21, &field(1, &version))
}

/// The metrics of logs of one step as JSON, with the step itself and the times that W&B draws by.
fn values(logs: &[LoggedStep], started: f64) -> Vec<(String, String)> {
    let Some(last) = logs.last() else { return Vec::new() };
    let own = [
        ("_step", last.step.to_string()),
        ("_timestamp", json_number(last.time)),
        ("_runtime", json_number(last.time - started)),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value)).into_iter();
    own.chain(logs.iter().flat_map(LoggedStep::tagged).map(|(tag, value)| (tag, json_number(value)))).collect()
}

/// A number as W&B's JSON has it, which knows those that are none.
fn json_number(value: f64) -> String {
    match value {
        v if v.is_nan() => "NaN".to_owned(),
        v if v.is_infinite() => if v > 0.0 { "Infinity" } else { "-Infinity" }.to_owned(),
        v => serde_json::Value::from(v).to_string(),
    }
}

fn items(values: &[(String, String)]) -> Vec<u8> {
    // Each is a field `item`, or `update`, with a `nested_key` and a `value_json`.
    let item =
        |(name, json): &(String, String)| field(1, &[field(2, name.as_bytes()), field(16, json.as_bytes())].concat());
    values.iter().flat_map(item).collect()
}

fn history(logs: &[LoggedStep], started: f64) -> Vec<u8> {
    let mut step = Vec::new();
    key(&mut step, 1, VARINT);
    varint(&mut step, logs.last().map_or(0, |last| last.step));
    field(2, &[items(&values(logs, started)), field(2, &step)].concat())
}

/// The last value of each metric.
fn summary(steps: &[LoggedStep], started: f64) -> Vec<u8> {
    let last: BTreeMap<String, String> =
        steps.chunk_by(|a, b| a.step == b.step).flat_map(|of| values(of, started)).collect();
    field(3, &items(&last.into_iter().collect::<Vec<_>>()))
}

/// Puts a record behind a log, in as many parts as blocks want.
fn append(log: &mut Vec<u8>, record: &[u8]) {
    const WHOLE: u8 = 1;
    const FIRST: u8 = 2;
    const MIDDLE: u8 = 3;
    const LAST: u8 = 4;
    let mut rest = record;
    let mut is_first = true;
    loop {
        let left = BLOCK - log.len() % BLOCK;
        if left < FRAME {
            log.resize(log.len() + left, 0);
            continue;
        }
        let (part, after) = rest.split_at(rest.len().min(left - FRAME));
        let kind = match (is_first, after.is_empty()) {
            (true, true) => WHOLE,
            (true, false) => FIRST,
            (false, false) => MIDDLE,
            (false, true) => LAST,
        };
        let checked = [&[kind], part].concat();
        log.extend(crc32(ZLIB, &checked).to_le_bytes());
        log.extend((part.len() as u16).to_le_bytes());
        log.extend(checked);
        if after.is_empty() {
            return;
        }
        (rest, is_first) = (after, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> WandbRun {
        let config = [("beta".to_owned(), 0.1.into())].into_iter().collect();
        WandbRun { id: "groma123".to_owned(), name: "out".to_owned(), project: "groma".to_owned(), config }
    }

    fn step(step: u64, metrics: &[(&str, f64)]) -> LoggedStep {
        let metrics = metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        LoggedStep { step, time: 1_700_000_000.5 + step as f64, metrics }
    }

    fn steps() -> Vec<LoggedStep> {
        vec![step(10, &[("loss", 0.5)]), step(300, &[("loss", 0.25)]), step(300, &[("eval_loss", f64::NAN)])]
    }

    /// The records of a log, by the rules of its format; checksums hold.
    fn records(log: &[u8]) -> Vec<Vec<u8>> {
        assert_eq!(&log[..MAGIC.len()], MAGIC);
        let (mut at, mut found, mut open, mut is_open) = (MAGIC.len(), Vec::new(), Vec::new(), false);
        while at < log.len() {
            if BLOCK - at % BLOCK < FRAME {
                at += BLOCK - at % BLOCK;
                continue;
            }
            let length = usize::from(u16::from_le_bytes([log[at + 4], log[at + 5]]));
            let (kind, part) = (log[at + 6], &log[at + FRAME..at + FRAME + length]);
            let sum = u32::from_le_bytes(log[at..at + 4].try_into().unwrap());
            assert_eq!(sum, crc32(ZLIB, &log[at + 6..at + FRAME + length]), "at {at}");
            assert!(at % BLOCK + FRAME + length <= BLOCK && is_open == matches!(kind, 3 | 4));
            open.extend_from_slice(part);
            is_open = matches!(kind, 2 | 3);
            if kind == 1 || kind == 4 {
                found.push(std::mem::take(&mut open));
            }
            at += FRAME + length;
        }
        found
    }

    #[test]
    fn a_log_has_a_record_a_step_and_an_end() {
        let (open, ended) = (run().log(&steps(), false), run().log(&steps(), true));
        assert_eq!((records(&open).len(), records(&ended).len()), (4, 6));
        assert!(ended.starts_with(&open));
        assert_eq!(records(&run().log(&[], false)).len(), 2);
    }

    /// Records that fit into no block, and those that end where a frame has no room.
    #[test]
    fn records_go_over_the_ends_of_blocks() {
        let long: Vec<(String, f64)> = (0..3000).map(|place| (format!("metric_{place:05}"), place as f64)).collect();
        let long: Vec<(&str, f64)> = long.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert!(run().log(&[step(1, &long)], true).len() > 2 * BLOCK);
        assert_eq!(records(&run().log(&[step(1, &long), step(2, &[("loss", 1.0)])], true)).len(), 6);
        for left in 0..20 {
            let mut log = MAGIC.to_vec();
            append(&mut log, &vec![7; BLOCK - MAGIC.len() - FRAME - left]);
            append(&mut log, b"after");
            assert_eq!(records(&log)[1], b"after", "{left}");
        }
    }

    /// A log that grows step by step is the one that is written at once.
    #[test]
    fn steps_are_added_where_the_log_ends() {
        let all: Vec<LoggedStep> = (1..=600).map(|number| step(number, &[("loss", 1.0 / number as f64)])).collect();
        let mut log = run().log(&all[..1], false);
        for next in &all[1..] {
            log.extend(wandb_step(next, all[0].time, log.len()));
        }
        assert!(log.len() > BLOCK && log == run().log(&all, false));
    }

    /// `fixtures/run-groma.wandb`: these steps, which `scripts/check_wandb.py` reads back by W&B's own program.
    #[test]
    fn the_log_is_the_one_that_wandb_read() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/run-groma.wandb");
        if std::env::var_os("GROMA_WRITE_FIXTURES").is_some() {
            std::fs::write(path, run().log(&steps(), true)).unwrap();
        }
        assert!(std::fs::read(path).unwrap() == run().log(&steps(), true));
    }
}
