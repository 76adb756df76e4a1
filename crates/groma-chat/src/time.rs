//! The date that a template may ask for.

use crate::error::{Result, TemplateError};

/// A moment of the caller's clock, as `strftime_now` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Year of the Gregorian calendar.
    pub year: i32,
    /// Month, 1 to 12.
    pub month: u32,
    /// Day of the month, from 1.
    pub day: u32,
    /// Hour, 0 to 23.
    pub hour: u32,
    /// Minute, 0 to 59.
    pub minute: u32,
    /// Second, 0 to 59.
    pub second: u32,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

impl Moment {
    /// Midnight of a day.
    pub fn day(year: i32, month: u32, day: u32) -> Self {
        Self { year, month, day, hour: 0, minute: 0, second: 0 }
    }

    /// From 0, Sunday (Sakamoto's rule).
    fn weekday(self) -> usize {
        const SHIFTS: [i32; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
        let year = if self.month < 3 { self.year - 1 } else { self.year };
        let shift = SHIFTS[self.month_index()];
        let day = i32::try_from(self.day).unwrap_or(1);
        let sum = year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + shift + day;
        usize::try_from(sum.rem_euclid(7)).unwrap_or(0)
    }

    fn month_index(self) -> usize {
        usize::try_from(self.month.clamp(1, 12) - 1).unwrap_or(0)
    }

    fn day_of_year(self) -> u32 {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        lengths[..self.month_index()].iter().sum::<u32>() + self.day
    }

    /// `datetime.strftime` for the codes that do not depend on a locale or time zone.
    pub(crate) fn strftime(self, format: &str) -> Result<String> {
        let mut out = String::new();
        let mut characters = format.chars();
        while let Some(character) = characters.next() {
            if character != '%' {
                out.push(character);
                continue;
            }
            let code = characters.next().unwrap_or('%');
            let (code, padded) = if code == '-' { (characters.next().unwrap_or('%'), false) } else { (code, true) };
            out.push_str(
                &self
                    .field(code, padded)
                    .ok_or_else(|| TemplateError::Failed { problem: format!("`strftime_now` with %{code}") })?,
            );
        }
        Ok(out)
    }

    fn field(self, code: char, padded: bool) -> Option<String> {
        let two = |value: u32| if padded { format!("{value:02}") } else { value.to_string() };
        let month = MONTHS[self.month_index()];
        let weekday = DAYS[self.weekday()];
        let hour = match self.hour % 12 {
            0 => 12,
            hour => hour,
        };
        Some(match code {
            'Y' => self.year.to_string(),
            'y' => format!("{:02}", self.year.rem_euclid(100)),
            'm' => two(self.month),
            'd' => two(self.day),
            'e' => format!("{:2}", self.day),
            'H' => two(self.hour),
            'I' => two(hour),
            'M' => two(self.minute),
            'S' => two(self.second),
            'p' => if self.hour < 12 { "AM" } else { "PM" }.into(),
            'B' => month.into(),
            'b' | 'h' => month[..3].into(),
            'A' => weekday.into(),
            'a' => weekday[..3].into(),
            'j' => format!("{:03}", self.day_of_year()),
            'F' => format!("{}-{:02}-{:02}", self.year, self.month, self.day),
            'T' => format!("{:02}:{:02}:{:02}", self.hour, self.minute, self.second),
            '%' => "%".into(),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_as_python_does() {
        let moment = Moment { year: 2024, month: 7, day: 26, hour: 15, minute: 4, second: 9 };
        assert_eq!(moment.strftime("%d %b %Y").unwrap(), "26 Jul 2024");
        assert_eq!(
            moment.strftime("%A %a %B %-d %H:%M:%S %I %p %j %F 100%%").unwrap(),
            "Friday Fri July 26 15:04:09 03 PM 208 2024-07-26 100%"
        );
        assert_eq!(Moment::day(2000, 2, 29).strftime("%a %j").unwrap(), "Tue 060");
        assert!(moment.strftime("%Q").is_err());
    }
}
