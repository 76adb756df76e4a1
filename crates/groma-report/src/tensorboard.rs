//! Training metrics in the form that TensorBoard reads: an event file of TFRecords, each a protobuf message `Event`.
//!
//! A record is its length (u64), the masked CRC-32C of these eight bytes, the bytes, and their masked CRC-32C, all
//! little-endian. Of `Event` the fields 1 (`wall_time`, double), 2 (`step`, int64), 3 (`file_version`, string) and 5
//! (`summary`) are written; of a value of a summary 1 (`tag`, string) and 2 (`simple_value`, float).

use std::collections::BTreeMap;

/// Metrics of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedStep {
    /// The step.
    pub step: u64,
    /// When it was logged, in seconds since 1970.
    pub time: f64,
    /// Its metrics, by name.
    pub metrics: BTreeMap<String, f64>,
}

/// An event file with the scalars of these steps. Their names are those that TRL's logs have there: `train/loss`,
/// `eval/loss`.
pub fn event_file(steps: &[LoggedStep]) -> Vec<u8> {
    let start = steps.first().map_or(0.0, |step| step.time);
    let mut version = Vec::new();
    double(&mut version, 1, start);
    bytes(&mut version, 3, b"brain.Event:2");
    let mut file = record(&version);
    for step in steps {
        let mut summary = Vec::new();
        for (name, value) in &step.metrics {
            let mut scalar = Vec::new();
            bytes(&mut scalar, 1, tag(name).as_bytes());
            key(&mut scalar, 2, FIXED_32);
            scalar.extend((*value as f32).to_le_bytes());
            bytes(&mut summary, 1, &scalar);
        }
        let mut event = Vec::new();
        double(&mut event, 1, step.time);
        key(&mut event, 2, VARINT);
        varint(&mut event, step.step);
        bytes(&mut event, 5, &summary);
        file.extend(record(&event));
    }
    file
}

/// The name of a metric as transformers' own TensorBoard callback writes it.
fn tag(name: &str) -> String {
    name.strip_prefix("eval_").map_or_else(|| format!("train/{name}"), |name| format!("eval/{name}"))
}

const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const FIXED_32: u64 = 5;

fn key(out: &mut Vec<u8>, field: u64, kind: u64) {
    varint(out, field << 3 | kind);
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn double(out: &mut Vec<u8>, field: u64, value: f64) {
    key(out, field, FIXED_64);
    out.extend(value.to_le_bytes());
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    key(out, field, BYTES);
    varint(out, value.len() as u64);
    out.extend(value);
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(&length).to_le_bytes(), data, &masked(data).to_le_bytes()].concat()
}

/// TensorFlow's masking of a checksum, for data that hold checksums themselves.
fn masked(data: &[u8]) -> u32 {
    crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), reflected.
fn crc32c(data: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    !data.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 })
    })
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

    /// The check value of CRC-32C (RFC 3720, B.4, and the catalogue of parametrised CRC algorithms).
    #[test]
    fn checksums_of_the_standard() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
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
