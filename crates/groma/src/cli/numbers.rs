//! Numbers with the ranges that flags have, as clap reads them.

/// A number that is not below `least`.
pub(super) fn at_least<T: Number>(least: T) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| number(text, |value| value >= least, &format!("it must be at least {least}"))
}

/// A number between two, both of which it may be.
pub(super) fn within<T: Number>(
    least: T,
    most: T,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| number(text, |value| value >= least && value <= most, &format!("it must be from {least} to {most}"))
}

/// What [`at_least`] and [`within`] read.
pub(super) trait Number:
    std::str::FromStr + PartialOrd + std::fmt::Display + Copy + Send + Sync + 'static
{
}

impl<T: std::str::FromStr + PartialOrd + std::fmt::Display + Copy + Send + Sync + 'static> Number for T {}

/// A number that fits; one that the type cannot hold, such as a negative count, is told its range like another.
fn number<T: Number>(text: &str, fits: impl Fn(T) -> bool, range: &str) -> Result<T, String> {
    match text.trim().parse::<T>() {
        Ok(value) if fits(value) => Ok(value),
        Ok(_) => Err(range.to_owned()),
        Err(_) => match text.trim().parse::<f64>() {
            Ok(value) if value.is_finite() && value.fract() == 0.0 => Err(range.to_owned()),
            Ok(_) => Err(format!("it must be a whole number; {range}")),
            Err(_) => Err(format!("it is no number; {range}")),
        },
    }
}

/// An amount of money.
pub(super) fn amount(text: &str) -> Result<f64, String> {
    let amount = text.parse().ok().filter(|amount: &f64| amount.is_finite() && *amount >= 0.0);
    amount.ok_or_else(|| "an amount is a number of at least 0".to_owned())
}
