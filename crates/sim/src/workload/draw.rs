//! Random lengths of time: what a request takes, when the next one comes, how long a part is up.

use std::fmt;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;

use dynomesh_core::id::Invalid;
use dynomesh_core::time::Span;
use rand::{Rng, RngExt};
use serde::Deserialize;

/// Longest length that may be written in a scenario or drawn: nothing in a mesh takes longer, and sums of it stay far from overflow.
pub const DRAW_MAX: Span = Span::from_secs(7 * 24 * 3600);

/// A distribution of lengths of time: a fixed part and an exponential one on top of it. Written `20ms`, `exp100ms` or `20ms+exp100ms`;
/// a bare number is milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Draw {
    /// At least this.
    pub fixed: Span,
    /// Mean of the exponential part.
    pub mean: Span,
    /// What a draw is rounded to; zero for not at all.
    pub grain: Span,
}

/// Where service times or gaps come from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A distribution.
    Drawn(Draw),
    /// Measured ones, drawn at random with replacement; not empty.
    Measured(Rc<[Span]>),
    /// Measured ones in the order in which they were measured, from the start again after the last; not empty.
    Replayed(Arc<[Span]>),
}

impl Draw {
    /// Always the same length.
    pub const fn fixed(span: Span) -> Self {
        Draw { fixed: span, mean: Span::ZERO, grain: Span::ZERO }
    }

    /// Exponential.
    pub const fn exponential(mean: Span) -> Self {
        Draw { fixed: Span::ZERO, mean, grain: Span::ZERO }
    }

    /// The same with `fixed` added.
    pub const fn after(self, fixed: Span) -> Self {
        Draw { fixed, ..self }
    }

    /// The same, rounded to whole `grain`s.
    pub const fn rounded(self, grain: Span) -> Self {
        Draw { grain, ..self }
    }

    /// One length.
    pub fn draw(&self, rng: &mut impl Rng) -> Span {
        let mut nanos = self.fixed.as_nanos();
        if self.mean > Span::ZERO {
            // The logarithm of a uniform number that is never zero. Its bits are the same on every machine.
            let uniform = 1.0 - rng.random::<f64>();
            nanos += nanos_of(-libm::log(uniform) * self.mean.as_nanos() as f64);
        }
        let grain = self.grain.as_nanos();
        let rounded = nanos.saturating_add(grain / 2).checked_div(grain).map(|grains| grains * grain);
        Span::from_nanos(rounded.unwrap_or(nanos))
    }

    /// The mean of what is drawn, rounding included.
    pub fn mean(&self) -> Span {
        let (fixed, mean, grain) = (self.fixed.as_nanos() as f64, self.mean.as_nanos() as f64, self.grain.as_nanos() as f64);
        if grain == 0.0 || mean == 0.0 || !self.fixed.as_nanos().is_multiple_of(self.grain.as_nanos()) {
            return Span::from_nanos(nanos_of(fixed + mean));
        }
        // A rounded exponential is k grains or more with the chance that the exponential is over k - 1/2 grains.
        let step = libm::exp(-grain / mean);
        Span::from_nanos(nanos_of(fixed + grain * libm::exp(-grain / (2.0 * mean)) / (1.0 - step)))
    }
}

/// Whole nanoseconds of a number that is not negative, at most [`DRAW_MAX`].
pub fn nanos_of(nanos: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded on the line before the cast")]
    let whole = nanos.clamp(0.0, DRAW_MAX.as_nanos() as f64) as u64;
    whole
}

impl Source {
    /// The length at a place: that of a replay stands there, the others are drawn.
    pub fn at(&self, place: u64, rng: &mut impl Rng) -> Span {
        match self {
            Source::Drawn(draw) => draw.draw(rng),
            Source::Measured(spans) => spans[rng.random_range(0..spans.len())],
            #[expect(clippy::cast_possible_truncation, reason = "less than the length of a list")]
            Source::Replayed(spans) => spans[(place % spans.len() as u64) as usize],
        }
    }

    /// The mean.
    pub fn mean(&self) -> Span {
        match self {
            Source::Drawn(draw) => draw.mean(),
            Source::Measured(spans) => mean(spans),
            Source::Replayed(spans) => mean(spans),
        }
    }
}

/// The mean of some lengths, of which there is at least one.
pub fn mean(spans: &[Span]) -> Span {
    let sum: u128 = spans.iter().map(|span| u128::from(span.as_nanos())).sum();
    Span::from_nanos(u64::try_from(sum / spans.len() as u128).unwrap_or(u64::MAX))
}

// === impl text ===

impl fmt::Display for Draw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.fixed, self.mean) {
            (fixed, Span::ZERO) => write!(f, "{fixed}"),
            (Span::ZERO, mean) => write!(f, "exp{mean}"),
            (fixed, mean) => write!(f, "{fixed}+exp{mean}"),
        }
    }
}

impl FromStr for Draw {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let bad = || {
            Invalid::new(
                "time distribution",
                text,
                "must be a length, an exponential one or both, for example 20ms, exp100ms or 20ms+exp100ms, of at most a week",
            )
        };
        let span = |text: &str| -> Result<Span, Invalid> {
            let text = text.trim();
            let bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            let span = match bare {
                true => text.parse::<f64>().ok().map(|millis| Span::from_nanos(nanos_of(millis * 1e6))),
                false => text.parse().ok(),
            };
            span.filter(|span| *span < DRAW_MAX).ok_or_else(bad)
        };
        match text.split_once("exp") {
            None => Ok(Draw::fixed(span(text)?)),
            Some(("", mean)) => Ok(Draw::exponential(span(mean)?)),
            Some((fixed, mean)) => {
                let fixed = fixed.trim_end().strip_suffix('+').ok_or_else(bad)?;
                Ok(Draw::exponential(span(mean)?).after(span(fixed)?))
            }
        }
    }
}

impl TryFrom<String> for Draw {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn the_gap_of_the_reference_has_the_mean_that_rounding_gives_it() {
        let gap = Draw::exponential(Span::from_micros(1_500)).rounded(Span::from_millis(1));
        assert_eq!(gap.mean().as_nanos() / 1_000, 1_472);
        let mut rng = StdRng::seed_from_u64(1);
        let draws: Vec<Span> = (0..200_000).map(|_| gap.draw(&mut rng)).collect();
        assert!(draws.iter().all(|span| span.as_nanos() % 1_000_000 == 0));
        let mean = draws.iter().map(|span| span.as_millis_f64()).sum::<f64>() / 200_000.0;
        assert!((mean - 1.4726).abs() < 0.02, "{mean}");
    }

    #[test]
    fn distributions_are_read_and_written() {
        for (text, written) in [
            ("20ms+exp100ms", "20ms+exp100ms"),
            ("20+exp100", "20ms+exp100ms"),
            ("exp1500us", "exp1500us"),
            ("5ms", "5ms"),
            ("1.5", "1500us"),
        ] {
            assert_eq!(text.parse::<Draw>().unwrap().to_string(), written);
        }
        for bad in ["", "exp", "20ms+", "20ms exp100ms", "-5ms", "exp-1", "nan", "1e99", "9999999h", "20ms+exp100ms+exp5ms"] {
            assert!(bad.parse::<Draw>().is_err(), "{bad:?} passed");
        }
    }

    #[test]
    fn draws_have_the_same_bits_everywhere() {
        let mut rng = StdRng::seed_from_u64(42);
        let draw = Draw::exponential(Span::from_millis(100)).after(Span::from_millis(20));
        let nanos: Vec<u64> = (0..3).map(|_| draw.draw(&mut rng).as_nanos()).collect();
        assert_eq!(nanos, PINNED);
    }

    /// Written down from one machine; another that differs would tell other stories by the same seed.
    const PINNED: [u64; 3] = [94_772_461, 98_247_077, 121_187_997];
}
