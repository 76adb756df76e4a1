//! Numbers in words of people.

use groma_run::{Interval, Unit};

/// The digits that numbers are written with: as many as people read, and more where a change would not be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Digits {
    /// The power of ten that must be seen.
    place: Option<i32>,
}

/// Decimals of a percentage, and significant digits, at most.
const MOST_DECIMALS: i32 = 3;
const MOST_DIGITS: i32 = 7;

impl Digits {
    /// So many that two numbers which differ by this are not written alike.
    pub(crate) fn to_see(difference: f64) -> Self {
        let half = difference.abs() / 2.0;
        Digits { place: (half > 0.0 && half.is_finite()).then(|| half.log10().floor() as i32) }
    }

    /// A value in its unit: `12.3%`, `24.81`, `n/a`.
    pub(crate) fn value(self, value: f64, unit: Unit) -> String {
        match unit {
            _ if !value.is_finite() => "n/a".into(),
            Unit::Share => format!("{}%", self.percent(value)),
            Unit::Nats | Unit::Bits | Unit::Plain => self.plain(value),
        }
    }

    /// A difference of values, with its sign; of shares in percentage points.
    pub(crate) fn difference(self, value: f64, unit: Unit) -> String {
        if !value.is_finite() {
            return "n/a".into();
        }
        let text = match unit {
            Unit::Share => self.percent(value.abs()),
            Unit::Nats | Unit::Bits | Unit::Plain => self.plain(value.abs()),
        };
        let is_zero = !text.bytes().any(|b| (b'1'..=b'9').contains(&b));
        match value {
            _ if is_zero => text,
            value if value < 0.0 => format!("−{text}"),
            _ => format!("+{text}"),
        }
    }

    /// An interval of values: `[10.1%, 14.9%]`.
    pub(crate) fn interval(self, interval: &Interval, unit: Unit) -> String {
        format!("[{}, {}]", self.value(interval.low, unit), self.value(interval.high, unit))
    }

    /// An interval of differences: `[+1.2, +3.4]`.
    pub(crate) fn difference_interval(self, interval: &Interval, unit: Unit) -> String {
        format!("[{}, {}]", self.difference(interval.low, unit), self.difference(interval.high, unit))
    }

    fn percent(self, value: f64) -> String {
        let decimals = self.place.map_or(1, |place| (-place - 2).clamp(1, MOST_DECIMALS)) as usize;
        minus(format!("{:.decimals$}", value * 100.0))
    }

    /// Three or four digits that matter, or more.
    fn plain(self, value: f64) -> String {
        let size = value.abs();
        if !size.is_finite() {
            return "n/a".into();
        }
        if size == 0.0 {
            return "0".into();
        }
        let first = size.log10().floor() as i32;
        if !(1e-3..1e7).contains(&size) {
            let needed = self.place.map_or(0, |place| first - place).clamp(0, MOST_DIGITS - 1);
            let digits = needed.max(1) as usize;
            let text = format!("{value:.digits$e}");
            return minus(if needed <= 1 { text.replace(".0e", "e") } else { text });
        }
        let needed = self.place.map_or(0, |place| (-place).min(MOST_DIGITS - 1 - first));
        let usual = match size {
            s if s >= 1000.0 => 0,
            s if s >= 100.0 => 1,
            s if s >= 1.0 => 2,
            _ => 3,
        };
        match usual.max(needed) as usize {
            0 => minus(grouped(value)),
            decimals => minus(format!("{value:.decimals$}")),
        }
    }
}

/// A value in its unit, in the usual digits.
pub fn value(value: f64, unit: Unit) -> String {
    Digits::default().value(value, unit)
}

/// An interval of values, in the usual digits.
pub(crate) fn interval(interval: &Interval, unit: Unit) -> String {
    Digits::default().interval(interval, unit)
}

/// A plain number, in the usual digits.
pub(crate) fn plain(value: f64) -> String {
    Digits::default().plain(value)
}

/// So many of what the noun names: `1 item`, `12 items`.
pub(crate) fn counted(count: u64, one: &str) -> String {
    groma_run::counted(count, one).replacen(&count.to_string(), &self::count(count), 1)
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
    fn digits_show_the_change() {
        let both = |before: f64, after: f64, unit| {
            let digits = Digits::to_see(after - before);
            [digits.value(before, unit), digits.value(after, unit), digits.difference(after - before, unit)]
        };
        assert_eq!(both(1.8e7, 1.75e7, Unit::Plain), ["1.80e7", "1.75e7", "−500,000"]);
        assert_eq!(both(12345.0, 12345.3, Unit::Plain), ["12345.0", "12345.3", "+0.300"]);
        assert_eq!(both(12.345, 12.346, Unit::Plain), ["12.3450", "12.3460", "+1e−3"]);
        assert_eq!(both(0.5, 0.5004, Unit::Nats), ["0.5000", "0.5004", "+4e−4"]);
        assert_eq!(both(0.4512, 0.4516, Unit::Share), ["45.12%", "45.16%", "+0.04"]);
        assert_eq!(both(0.4, 0.9, Unit::Share), ["40.0%", "90.0%", "+50.0"]);
        assert_eq!(both(0.5, 0.5, Unit::Share), ["50.0%", "50.0%", "0.0"]);
        assert_eq!([counted(1, "item"), counted(1200, "item")], ["1 item", "1,200 items"]);
    }

    #[test]
    fn numbers_as_people_write_them() {
        assert_eq!(value(0.12345, Unit::Share), "12.3%");
        assert_eq!(value(f64::NAN, Unit::Share), "n/a");
        let plains = [0.0, 24.8123, 0.5, 123.456, 12345.6, 2e-5, 1e9, -3.0, f64::INFINITY].map(plain);
        assert_eq!(plains, ["0", "24.81", "0.500", "123.5", "12,346", "2e−5", "1e9", "−3.00", "n/a"]);
        let differences = [0.1, -0.02, 0.0004, -0.0004].map(|d| Digits::default().difference(d, Unit::Share));
        assert_eq!(differences, ["+10.0", "−2.0", "0.0", "0.0"]);
        assert_eq!([0.41, 48.2, 185.0, 7800.0].map(seconds), ["0.4 s", "48 s", "3 min 5 s", "2 h 10 min"]);
        assert_eq!([12, 3400, 999_999, 31_600_000].map(bytes), ["12 B", "3.4 kB", "1.0 MB", "32 MB"]);
        assert_eq!([0.0001, 0.004, 0.2].map(p_value), ["p < 0.001", "p = 0.004", "p = 0.20"]);
        assert_eq!([5, 1234, 1_234_567].map(count), ["5", "1,234", "1,234,567"]);
    }
}
