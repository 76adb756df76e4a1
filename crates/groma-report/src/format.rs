//! Numbers in words of people.

use groma_run::{Interval, Unit};

/// A value in its unit: `12.3%`, `24.81`, `n/a`.
pub(crate) fn value(value: f64, unit: Unit) -> String {
    match unit {
        _ if !value.is_finite() => "n/a".into(),
        Unit::Share => format!("{:.1}%", value * 100.0),
        Unit::Nats | Unit::Bits | Unit::Plain => plain(value),
    }
}

/// A difference of values, with its sign; of shares in percentage points.
pub(crate) fn difference(value: f64, unit: Unit) -> String {
    if !value.is_finite() {
        return "n/a".into();
    }
    let text = magnitude(value.abs(), unit);
    let is_zero = !text.bytes().any(|b| (b'1'..=b'9').contains(&b));
    match value {
        _ if is_zero => text,
        value if value < 0.0 => format!("−{text}"),
        _ => format!("+{text}"),
    }
}

/// An interval of values: `[10.1%, 14.9%]`.
pub(crate) fn interval(interval: &Interval, unit: Unit) -> String {
    format!("[{}, {}]", value(interval.low, unit), value(interval.high, unit))
}

/// An interval of differences: `[+1.2, +3.4]`.
pub(crate) fn difference_interval(interval: &Interval, unit: Unit) -> String {
    format!("[{}, {}]", difference(interval.low, unit), difference(interval.high, unit))
}

fn magnitude(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Share => format!("{:.1}", value * 100.0),
        Unit::Nats | Unit::Bits | Unit::Plain => plain(value),
    }
}

/// Three or four digits that matter.
pub(crate) fn plain(value: f64) -> String {
    let size = value.abs();
    let text = match size {
        _ if !size.is_finite() => return "n/a".into(),
        0.0 => "0".into(),
        s if !(1e-3..1e7).contains(&s) => scientific(value),
        s if s >= 1000.0 => return minus(grouped(value)),
        s if s >= 100.0 => format!("{value:.1}"),
        s if s >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    };
    minus(text)
}

fn scientific(value: f64) -> String {
    let text = format!("{value:.1e}");
    text.replace(".0e", "e")
}

fn minus(text: String) -> String {
    text.replace('-', "−")
}

fn grouped(value: f64) -> String {
    let sign = if value < 0.0 { "-" } else { "" };
    format!("{sign}{}", count(value.abs().round() as u64))
}

/// A whole number with its thousands apart.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A time span: `0.4 s`, `48 s`, `3 min 5 s`, `2 h 10 min`.
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds {
        s if !s.is_finite() || s < 0.0 => "n/a".into(),
        s if s < 9.95 => format!("{s:.1} s"),
        s if s < 59.5 => format!("{s:.0} s"),
        s if s < 3599.5 => format!("{} min {} s", s.round() as u64 / 60, s.round() as u64 % 60),
        s => format!("{} h {} min", s.round() as u64 / 3600, s.round() as u64 % 3600 / 60),
    }
}

/// A size: `12 B`, `3.4 MB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut size = bytes as f64 / 1000.0;
    let mut unit = 0;
    while size >= 999.5 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    if size < 9.95 { format!("{size:.1} {}", UNITS[unit]) } else { format!("{size:.0} {}", UNITS[unit]) }
}

/// A probability: `p = 0.03`, `p < 0.001`.
pub(crate) fn p_value(p: f64) -> String {
    match p {
        p if !p.is_finite() => "p n/a".into(),
        p if p < 0.001 => "p < 0.001".into(),
        p if p < 0.01 => format!("p = {p:.3}"),
        p => format!("p = {p:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_write_them() {
        assert_eq!(value(0.12345, Unit::Share), "12.3%");
        assert_eq!(value(f64::NAN, Unit::Share), "n/a");
        let plains = [0.0, 24.8123, 0.5, 123.456, 12345.6, 2e-5, 1e9, -3.0, f64::INFINITY].map(plain);
        assert_eq!(plains, ["0", "24.81", "0.500", "123.5", "12,346", "2e−5", "1e9", "−3.00", "n/a"]);
        let differences = [0.1, -0.02, 0.0004, -0.0004].map(|d| difference(d, Unit::Share));
        assert_eq!(differences, ["+10.0", "−2.0", "0.0", "0.0"]);
        assert_eq!([0.41, 48.2, 185.0, 7800.0].map(seconds), ["0.4 s", "48 s", "3 min 5 s", "2 h 10 min"]);
        assert_eq!([12, 3400, 999_999, 31_600_000].map(bytes), ["12 B", "3.4 kB", "1.0 MB", "32 MB"]);
        assert_eq!([0.0001, 0.004, 0.2].map(p_value), ["p < 0.001", "p = 0.004", "p = 0.20"]);
        assert_eq!([5, 1234, 1_234_567].map(count), ["5", "1,234", "1,234,567"]);
    }
}
