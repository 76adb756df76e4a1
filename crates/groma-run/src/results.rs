//! What a stage found, before it is written down.

use crate::{Check, Error, Figure, Interval, Measurement, Recorder};

/// Numbers, pictures and controls of a stage, as a pure function leaves them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Results {
    /// The numbers.
    pub measurements: Vec<Measurement>,
    /// The pictures.
    pub figures: Vec<Figure>,
    /// Null controls and identities, and how they came out.
    pub checks: Vec<Check>,
}

impl Recorder {
    /// Writes all of it.
    ///
    /// # Errors
    /// Where a measurement cannot be written.
    pub fn results(&self, results: Results) -> Result<(), Error> {
        results.figures.into_iter().for_each(|figure| self.figure(figure));
        results.checks.into_iter().for_each(|check| self.check(check));
        results.measurements.into_iter().try_for_each(|measurement| self.measure(measurement))
    }
}

impl Measurement {
    /// The same with an interval of this level, which was made by `method`.
    #[must_use]
    pub fn between(self, [low, high]: [f64; 2], level: f64, method: &str) -> Self {
        Measurement { interval: Some(Interval { low, high, level, method: method.to_owned() }), ..self }
    }
}
