//! Rotary embeddings with all kinds of scaling that configurations ask for, resolved into frequencies.
//!
//! Kinds: default (Su et al. 2021, arXiv 2104.09864); linear (Chen et al. 2023, arXiv 2306.15595); llama3 (the Llama 3.1
//! release); yarn (Peng et al. 2023, arXiv 2309.00071); longrope (Ding et al. 2024, arXiv 2402.13753); dynamic, which
//! changes nothing up to `max_position_embeddings`, beyond which we do not go. Formulas are those of transformers 5.23;
//! frequencies are kept in f64 rather than f32.

use std::f64::consts::TAU;

use crate::error::Result;
use crate::spec::{LongContext, Rotary, RotaryStyle, Spec};
use crate::weights::config::Fields;

/// What a family's class takes where a configuration is silent.
pub(super) struct RopeDefaults {
    /// Name of the field of the base outside of the rope object, and its default.
    pub(super) theta: (&'static str, f64),
    /// Name of the field of the rotated fraction of a head outside of the rope object, and its default.
    pub(super) partial: (&'static str, f64),
    /// Whether less than a head may be rotated.
    pub(super) partial_allowed: bool,
    /// `original_max_position_embeddings`; `None`: `max_position_embeddings`.
    pub(super) original_positions: Option<usize>,
    /// Phi-3's early names for longrope are accepted.
    pub(super) longrope_aliases: bool,
}

/// Llama's.
pub(super) const PLAIN: RopeDefaults = RopeDefaults {
    theta: ("rope_theta", 10_000.0),
    partial: ("partial_rotary_factor", 1.0),
    partial_allowed: false,
    original_positions: None,
    longrope_aliases: false,
};

/// A resolved embedding; `long` replaces `rotary` beyond `short_positions`.
pub(super) struct Tables {
    pub(super) rotary: Rotary,
    pub(super) long: Option<(usize, Rotary)>,
}

/// Sets the one rotary embedding of a model.
pub(super) fn read_into(spec: &mut Spec, fields: &Fields<'_>, defaults: &RopeDefaults) -> Result<()> {
    let scaling = scaling_object(fields)?;
    let original = fields.optional_size("original_max_position_embeddings")?;
    let base = Base::read(fields, scaling.as_ref(), defaults, spec, original)?;
    let tables = base.tables(fields, scaling)?;
    spec.rotaries = vec![tables.rotary];
    if let Some((short_positions, long)) = tables.long
        && spec.max_positions > short_positions
    {
        spec.long_context = Some(LongContext { max_positions: spec.max_positions, rotaries: vec![long] });
        spec.max_positions = short_positions;
    }
    Ok(())
}

/// `rope_scaling` (version 4) or else `rope_parameters` (version 5), where not empty.
fn scaling_object<'a>(fields: &Fields<'a>) -> Result<Option<Fields<'a>>> {
    let old = fields.object("rope_scaling")?.filter(|object| !object.is_empty());
    let new = fields.object("rope_parameters")?.filter(|object| !object.is_empty());
    Ok(old.or(new))
}

/// What all kinds of scaling start from.
pub(super) struct Base {
    pub(super) theta: f64,
    /// Width in the exponent of the frequencies.
    pub(super) width: usize,
    pub(super) max_positions: usize,
    pub(super) original_positions: usize,
    pub(super) longrope_aliases: bool,
}

impl Base {
    fn read(
        fields: &Fields<'_>,
        scaling: Option<&Fields<'_>>,
        defaults: &RopeDefaults,
        spec: &Spec,
        original: Option<usize>,
    ) -> Result<Base> {
        let within = |name: &str| scaling.map_or(Ok(None), |object| object.optional_positive(name));
        let theta = within("rope_theta")?.unwrap_or(fields.positive_or(defaults.theta.0, defaults.theta.1)?);
        let partial =
            within("partial_rotary_factor")?.unwrap_or(fields.positive_or(defaults.partial.0, defaults.partial.1)?);
        let width = rotated_width(fields, defaults, spec.head_dim, partial)?;
        let own = scaling.map_or(Ok(None), |object| object.optional_size("original_max_position_embeddings"))?;
        let original_positions = original.or(defaults.original_positions).or(own).unwrap_or(spec.max_positions);
        check_theta(fields, defaults.theta.0, theta)?;
        let Spec { max_positions, .. } = *spec;
        Ok(Base { theta, width, max_positions, original_positions, longrope_aliases: defaults.longrope_aliases })
    }

    /// The tables of the kind that the scaling object asks for; reports its unknown fields.
    pub(super) fn tables(&self, fields: &Fields<'_>, scaling: Option<Fields<'_>>) -> Result<Tables> {
        let Some(object) = scaling else { return Ok(self.plain()) };
        let outer = object.text("type")?;
        let kind = object.text("rope_type")?.or(outer).unwrap_or("default");
        let tables = match kind {
            "su" | "yarn" if self.longrope_aliases => self.longrope(&object)?,
            "default" => self.plain(),
            "linear" => self.linear(object.positive("factor")?),
            "dynamic" => {
                object.positive("factor")?;
                self.plain()
            }
            "llama3" => self.llama3(&object)?,
            "yarn" => self.yarn(fields, &object)?,
            "longrope" => self.longrope(&object)?,
            other => {
                let known = "default, linear, dynamic, llama3, yarn and longrope";
                return Err(object.error("rope_type", format!("is \"{other}\"; supported are {known}")));
            }
        };
        object.finish(&[])?;
        Ok(tables)
    }

    fn rotary(&self, inverse_frequencies: Vec<f64>, amplitude: f64) -> Rotary {
        Rotary {
            rotated: 2 * inverse_frequencies.len(),
            style: RotaryStyle::Halves,
            inverse_frequencies,
            amplitude: amplitude as f32,
        }
    }

    fn with(&self, inverse_frequencies: Vec<f64>, amplitude: f64) -> Tables {
        Tables { rotary: self.rotary(inverse_frequencies, amplitude), long: None }
    }

    /// `theta^(-2 i / width)`.
    fn frequencies(&self) -> Vec<f64> {
        let pairs = self.width.div_ceil(2);
        (0..pairs).map(|pair| self.theta.powf(-((2 * pair) as f64) / self.width as f64)).collect()
    }

    fn plain(&self) -> Tables {
        self.with(self.frequencies(), 1.0)
    }

    fn linear(&self, factor: f64) -> Tables {
        self.with(self.frequencies().into_iter().map(|frequency| frequency / factor).collect(), 1.0)
    }

    /// Long wavelengths are stretched, short ones kept, those between interpolated.
    fn llama3(&self, object: &Fields<'_>) -> Result<Tables> {
        let factor = object.positive("factor")?;
        let low = object.positive("low_freq_factor")?;
        let high = object.positive("high_freq_factor")?;
        if high <= low {
            return Err(object.error("high_freq_factor", format!("is {high}, not above low_freq_factor {low}")));
        }
        let context = self.original_positions as f64;
        let scaled = |frequency: f64| {
            let turns = context * frequency / TAU;
            let smooth = ((turns - low) / (high - low)).clamp(0.0, 1.0);
            (1.0 - smooth) * frequency / factor + smooth * frequency
        };
        Ok(self.with(self.frequencies().into_iter().map(scaled).collect(), 1.0))
    }

    /// Interpolation by parts, and warmer or cooler attention through the amplitude.
    fn yarn(&self, fields: &Fields<'_>, object: &Fields<'_>) -> Result<Tables> {
        let ratio = self.max_positions as f64 / self.original_positions as f64;
        let factor = object.positive_or("factor", ratio)?;
        let amplitude = match object.optional_positive("attention_factor")? {
            Some(amplitude) => amplitude,
            None => yarn_amplitude(object, factor)?,
        };
        let fast = object.positive_or("beta_fast", 32.0)?;
        let slow = object.positive_or("beta_slow", 1.0)?;
        if self.width % 2 == 1 {
            return Err(fields.error("head_dim", "is odd, which yarn does not allow"));
        }
        let truncate = object.flag_or("truncate", true)?;
        let (low, high) = self.yarn_range(fast, slow, truncate);
        let scaled = |(pair, frequency): (usize, f64)| {
            let ramp = ((pair as f64 - low) / (high - low)).clamp(0.0, 1.0);
            frequency / factor * ramp + frequency * (1.0 - ramp)
        };
        Ok(self.with(self.frequencies().into_iter().enumerate().map(scaled).collect(), amplitude))
    }

    fn yarn_range(&self, fast: f64, slow: f64, truncate: bool) -> (f64, f64) {
        let pair_of = |turns: f64| {
            self.width as f64 * (self.original_positions as f64 / (turns * TAU)).ln() / (2.0 * self.theta.ln())
        };
        let (low, high) = (pair_of(fast), pair_of(slow));
        let (low, high) = if truncate { (low.floor(), high.ceil()) } else { (low, high) };
        let (low, high) = (low.max(0.0), high.min(self.width as f64 - 1.0));
        // Where the range is empty the ramp is a step.
        if low == high { (low, high + 0.001) } else { (low, high) }
    }

    /// One factor a frequency; another set of them beyond the original context.
    fn longrope(&self, object: &Fields<'_>) -> Result<Tables> {
        let original = self.original_positions as f64;
        let factor = object.positive_or("factor", self.max_positions as f64 / original)?;
        let root = if factor <= 1.0 || original <= 1.0 { 1.0 } else { (1.0 + factor.ln() / original.ln()).sqrt() };
        let amplitude = object.positive_or("attention_factor", root)?;
        let frequencies = self.frequencies();
        let scaled = |name: &str| -> Result<Rotary> {
            let factors = object.positives(name, frequencies.len())?;
            let divided = frequencies.iter().zip(factors).map(|(frequency, factor)| frequency / factor).collect();
            Ok(self.rotary(divided, amplitude))
        };
        Ok(Tables { rotary: scaled("short_factor")?, long: Some((self.original_positions, scaled("long_factor")?)) })
    }
}

fn yarn_amplitude(object: &Fields<'_>, factor: f64) -> Result<f64> {
    let attention = |scale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 };
    let own = nonzero(object, "mscale")?;
    let all = nonzero(object, "mscale_all_dim")?;
    Ok(match (own, all) {
        (Some(own), Some(all)) => attention(own) / attention(all),
        _ => attention(1.0),
    })
}

/// A positive number, where 0 counts as absent.
fn nonzero(object: &Fields<'_>, name: &str) -> Result<Option<f64>> {
    match object.value(name).and_then(|value| value.as_f64()) {
        Some(0.0) => Ok(None),
        _ => object.optional_positive(name),
    }
}

pub(super) fn check_theta(fields: &Fields<'_>, name: &str, theta: f64) -> Result<()> {
    const THETA_LIMIT: f64 = 1e15;
    if theta > 1.0 && theta <= THETA_LIMIT {
        return Ok(());
    }
    Err(fields.error(name, format!("is {theta}; it must lie above 1 and at most at {THETA_LIMIT:e}")))
}

/// The whole part of the fraction of a head; an odd one is rotated with one element more, as in transformers.
fn rotated_width(fields: &Fields<'_>, defaults: &RopeDefaults, head_dim: usize, partial: f64) -> Result<usize> {
    let width = (head_dim as f64 * partial) as usize;
    let name = defaults.partial.0;
    if !defaults.partial_allowed && width != head_dim {
        return Err(fields.error(name, format!("is {partial}; this family rotates whole heads only")));
    }
    if width == 0 || width.next_multiple_of(2) > head_dim {
        let problem = format!("is {partial}: that rotates {width} of the {head_dim} elements of a head");
        return Err(fields.error(name, problem));
    }
    Ok(width)
}
