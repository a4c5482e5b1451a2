//! From figures to places along an axis, and the marks on it.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// How one axis runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Scale {
    /// The values at its ends.
    pub ends: (f64, f64),
    /// Marks: value and label.
    pub marks: Vec<(f64, String)>,
    logarithmic: bool,
}

/// About as many marks as an axis should have.
const MARKS: f64 = 7.0;
/// Where the largest value is so many times the smallest, a linear axis hides the small ones.
const LOGARITHMIC_FROM: f64 = 15.0;

impl Scale {
    /// From zero to the largest of `values`, or by powers where they differ too much for that.
    pub fn of(values: impl Iterator<Item = f64> + Clone) -> Self {
        let most = values.clone().fold(0.0, f64::max);
        let least = values.filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
        if most <= 0.0 {
            return Self::between(0.0, 1.0);
        }
        if most / least > LOGARITHMIC_FROM { Self::by_powers(least, most) } else { Self::between(0.0, most) }
    }

    /// Linear, ends included.
    pub fn between(low: f64, high: f64) -> Self {
        let step = step((high - low) / MARKS);
        let (first, last) = ((low / step).ceil(), (high / step + 1e-9).floor());
        let marks = (0..).map(|mark| first + f64::from(mark)).take_while(|mark| *mark <= last);
        let marks = marks.map(|mark| (mark * step, label(mark * step, step))).collect();
        Scale { ends: (low, high), marks, logarithmic: false }
    }

    /// Logarithmic, with marks at 1, 2 and 5 of each power of ten; `low` is above zero.
    pub fn by_powers(low: f64, high: f64) -> Self {
        let mut tens = libm::pow(10.0, libm::log10(low).floor());
        let ends = (tens, high);
        let mut marks = Vec::new();
        while tens <= high {
            marks.extend([1.0, 2.0, 5.0].map(|digit| (digit * tens, label(digit * tens, digit * tens))));
            tens *= 10.0;
        }
        marks.retain(|(value, _)| *value <= high);
        Scale { ends, marks, logarithmic: true }
    }

    /// One place per label, as far from each other.
    pub fn named(labels: Vec<String>) -> Self {
        let marks: Vec<(f64, String)> = labels.into_iter().enumerate().map(|(place, label)| (place as f64, label)).collect();
        Scale { ends: (-0.3, marks.len() as f64 - 0.7), marks, logarithmic: false }
    }

    /// Where a value lies, from 0 at the beginning to 1 at the end; on a logarithmic axis nothing lies below the beginning.
    fn share(&self, value: f64) -> f64 {
        let (low, high) = self.ends;
        let along = if self.logarithmic { libm::log(value.max(low) / low) / libm::log(high / low) } else { (value - low) / (high - low) };
        if along.is_finite() { along } else { 0.0 }
    }
}

// === impl Ranged: what the drawing library asks of an axis ===

impl Ranged for Scale {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        #[expect(clippy::cast_possible_truncation, reason = "a place on paper, or just beside it")]
        let place = (self.share(*value).clamp(-1.0, 2.0) * f64::from(last - first)).round() as i32;
        first + place
    }

    fn key_points<H: KeyPointHint>(&self, _: H) -> Vec<f64> {
        self.marks.iter().map(|(value, _)| *value).collect()
    }

    fn range(&self) -> Range<f64> {
        self.ends.0..self.ends.1
    }
}

impl ValueFormatter<f64> for Scale {
    fn format_ext(&self, value: &f64) -> String {
        self.marks.iter().find(|(mark, _)| mark == value).map(|(_, label)| label.clone()).unwrap_or_default()
    }
}

/// The next of 1, 2, 5, 10, 20 ... that is not below `size`.
fn step(size: f64) -> f64 {
    let tens = libm::pow(10.0, libm::log10(size.max(1e-12)).floor());
    [1.0, 2.0, 5.0].map(|digit| digit * tens).into_iter().find(|step| *step >= size * (1.0 - 1e-9)).unwrap_or(10.0 * tens)
}

/// A number with the digits that its step needs.
fn label(value: f64, step: f64) -> String {
    let digits = if step >= 1.0 {
        0
    } else if step >= 0.1 {
        1
    } else if step >= 0.01 {
        2
    } else if step >= 0.001 {
        3
    } else {
        5
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<&str> {
        scale.marks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn marks_are_round_numbers() {
        assert_eq!(labels(&Scale::between(0.3, 0.9)), ["0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"]);
        assert_eq!(labels(&Scale::of([93.0, 484.0].into_iter())), ["0", "100", "200", "300", "400"]);
        assert_eq!(labels(&Scale::between(0.98, 1.0)), ["0.980", "0.985", "0.990", "0.995", "1.000"]);
    }

    #[test]
    fn values_far_apart_are_shown_by_powers() {
        let scale = Scale::of([90.0, 9000.0, 0.0].into_iter());
        assert_eq!(labels(&scale), ["10", "20", "50", "100", "200", "500", "1000", "2000", "5000"]);
        let ends = scale.map(&9000.0, (0, 1000));
        assert_eq!([0.0, 10.0, 90.0, 9000.0].map(|value| scale.map(&value, (0, 1000))), [0, 0, 323, ends]);
        assert_eq!(ends, 1000);
    }

    #[test]
    fn nothing_and_zero_have_an_axis_too() {
        assert_eq!(Scale::of(std::iter::empty()).ends, (0.0, 1.0));
        assert_eq!(Scale::of([0.0].into_iter()).ends, (0.0, 1.0));
    }
}
