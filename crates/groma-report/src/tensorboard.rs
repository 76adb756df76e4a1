//! Training metrics in the form that TensorBoard reads: an event file of TFRecords, each a protobuf message `Event`.
//!
//! A record is its length (u64), the masked CRC-32C of these eight bytes, the bytes, and their masked CRC-32C, all
//! little-endian. Of `Event` the fields 1 (`wall_time`, double), 2 (`step`, int64), 3 (`file_version`, string) and 5
//! (`summary`) are written; of a value of a summary 1 (`tag`, string) and 2 (`simple_value`, float).

use crate::logged_step::LoggedStep;
use crate::protobuf::{CASTAGNOLI, FIXED_32, VARINT, bytes, crc32, double, key, varint};

/// An event file with the scalars of these steps. Their names are those that TRL's logs have there: `train/loss`,
/// `eval/loss`.
pub fn event_file(steps: &[LoggedStep]) -> Vec<u8> {
    let start = steps.first().map_or(0.0, |step| step.time);
    let mut version = Vec::new();
    double(&mut version, 1, start);
    bytes(&mut version, 3, b"brain.Event:2");
    let mut file = record(&version);
    file.extend(steps.iter().flat_map(event));
    file
}

/// What a step adds to an event file.
pub fn event(step: &LoggedStep) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in step.tagged() {
        let mut scalar = Vec::new();
        bytes(&mut scalar, 1, tag.as_bytes());
        key(&mut scalar, 2, FIXED_32);
        scalar.extend((value as f32).to_le_bytes());
        bytes(&mut summary, 1, &scalar);
    }
    let mut event = Vec::new();
    double(&mut event, 1, step.time);
    key(&mut event, 2, VARINT);
    varint(&mut event, step.step);
    bytes(&mut event, 5, &summary);
    record(&event)
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(&length).to_le_bytes(), data, &masked(data).to_le_bytes()].concat()
}

/// TensorFlow's masking of a checksum, for data that hold checksums themselves.
fn masked(data: &[u8]) -> u32 {
    crc32(CASTAGNOLI, data).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps() -> Vec<LoggedStep> {
        let of = |step, values: &[(&str, f64)]| LoggedStep {
            step,
            time: 1_700_000_000.5 + step as f64,
            metrics: values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        };
        vec![of(10, &[("loss", 0.5), ("rewards/margins", -1.25)]), of(300, &[("loss", 0.25), ("eval_loss", f64::NAN)])]
    }

    #[test]
    fn records_are_framed_and_checked() {
        let file = event_file(&steps());
        let (mut rest, mut count) = (&file[..], 0);
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let at = |from: usize| u32::from_le_bytes(rest[from..from + 4].try_into().unwrap());
            assert_eq!(at(8), masked(&rest[..8]));
            assert_eq!(at(12 + length), masked(&rest[12..12 + length]));
            rest = &rest[16 + length..];
            count += 1;
        }
        assert_eq!(count, 1 + steps().len());
    }

    /// `fixtures/events.out.tfevents.groma`: these steps, which `scripts/check_tensorboard.py` reads back by TensorBoard.
    #[test]
    fn the_file_is_the_one_that_tensorboard_read() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/events.out.tfevents.groma");
        if std::env::var_os("GROMA_WRITE_FIXTURES").is_some() {
            std::fs::write(path, event_file(&steps())).unwrap();
        }
        assert!(std::fs::read(path).unwrap() == event_file(&steps()));
    }
}
