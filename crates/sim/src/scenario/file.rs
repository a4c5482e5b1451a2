//! Scenarios as they are written: a base, variants of it, and at most one setting that is swept over several values.
//!
//! Every combination is checked before anything is run, so that a study does not end after an hour with what was wrong from its first
//! line. Whatever is refused is refused with its line.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use dynomesh_core::time::Span;
use serde::Deserialize;
use toml::{Spanned, Value};

use super::check::SEEDS_MAX;
use super::expect::Expect;
use super::setup::{Overrides, Setup};
use crate::workload::Draw;

/// Seeds of a scenario that does not say.
const SEEDS: u64 = 12;
/// Most combinations of a scenario: more than any table shows.
const CASES_MAX: usize = 1_000;

/// A scenario that can be run as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Short, for the command line.
    pub name: String,
    /// One line.
    pub title: String,
    /// What it answers.
    pub question: String,
    /// How often each case is run.
    pub seeds: u64,
    /// The first seed; the others follow it.
    pub first_seed: u64,
    /// What is swept.
    pub axis: Option<Axis>,
    /// What there is to draw.
    pub plot: Plot,
    /// Every combination, variant by variant in the order of the file.
    pub cases: Vec<Case>,
    /// What it promises of its results.
    pub expects: Vec<Expect>,
}

/// The setting that takes several values.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// Its name.
    pub setting: String,
    /// Its values.
    pub points: Vec<Point>,
}

/// A value of the swept setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// As it is written.
    pub text: String,
    /// As a number, where it is one: lengths of time in milliseconds.
    pub number: Option<f64>,
}

/// A combination of a variant and a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The variant's name.
    pub variant: String,
    /// Which of the points, if anything is swept.
    pub point: Option<usize>,
    /// What to run.
    pub setup: Setup,
}

/// What a plot shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plot {
    /// Its kind.
    pub kind: PlotKind,
    /// Which figure, where it shows one.
    #[serde(default)]
    pub figure: Figure,
    /// When a timeline begins.
    #[serde(default)]
    pub from: Span,
    /// When it ends; the end of the run if it is not set.
    pub to: Option<Span>,
}

/// The kinds of plots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlotKind {
    /// A figure against the swept setting, a line per variant.
    Percentiles,
    /// The distribution of latencies, a line per case.
    #[default]
    Cdf,
    /// Success and latency by the time at which requests came, a line per case.
    Timeline,
}

/// A figure that can be drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Figure {
    /// Share of requests that were served.
    Success,
    /// Median.
    P50,
    /// 95th percentile.
    P95,
    /// 99th percentile.
    #[default]
    P99,
    /// The slowest of a run.
    Max,
}

/// Why a scenario cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// Its file cannot be read.
    #[error("read {}: {cause}", file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Something in it is wrong.
    #[error("{file}:{line}: {problem}")]
    Wrong {
        /// Where it came from.
        file: String,
        /// The line, from one.
        line: usize,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

/// What the command line puts over a scenario.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// How often each case is run.
    pub seeds: Option<u64>,
    /// The first seed.
    pub first_seed: Option<u64>,
    /// Requests of a run.
    pub requests: Option<u64>,
}

/// Settings with the places where they are written.
pub(super) type Settings = BTreeMap<Spanned<String>, Spanned<Value>>;

/// The file as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileScenario {
    name: Spanned<String>,
    title: String,
    question: String,
    seeds: Option<Spanned<u64>>,
    first_seed: Option<Spanned<u64>>,
    #[serde(default)]
    overload: bool,
    #[serde(default)]
    base: Settings,
    #[serde(default)]
    variant: Vec<Spanned<Settings>>,
    sweep: Option<Spanned<Settings>>,
    plot: Option<Spanned<Plot>>,
    #[serde(default)]
    expect: Vec<Spanned<Settings>>,
}

/// A problem and where it is.
pub(super) type Fault = (Range<usize>, String);

// === impl Scenario ===

impl Scenario {
    /// Reads and checks a file.
    pub fn load(file: &Path, size: Size) -> Result<Self, ScenarioError> {
        let text = std::fs::read_to_string(file).map_err(|cause| ScenarioError::Read { file: file.to_path_buf(), cause })?;
        Self::parse(&file.display().to_string(), &text, size)
    }

    /// Reads and checks a text that came from `file`.
    pub fn parse(file: &str, text: &str, size: Size) -> Result<Self, ScenarioError> {
        let located = |(place, problem): Fault| {
            let line = 1 + text.bytes().take(place.start).filter(|byte| *byte == b'\n').count();
            ScenarioError::Wrong { file: file.to_owned(), line, problem }
        };
        let fault = |error: toml::de::Error| (error.span().unwrap_or(0..0), error.message().replace('\n', "; "));
        toml::from_str::<FileScenario>(text).map_err(fault).and_then(|file| file.checked(size)).map_err(located)
    }

    /// How many runs that is.
    pub fn runs(&self) -> u64 {
        self.cases.len() as u64 * self.seeds
    }
}

// === impl FileScenario ===

impl FileScenario {
    fn checked(self, size: Size) -> Result<Scenario, Fault> {
        check_name(&self.name)?;
        let seeds = at_most(self.seeds.as_ref(), "seeds", SEEDS, 1..=SEEDS_MAX)?;
        let first_seed = at_most(self.first_seed.as_ref(), "first_seed", 1, 0..=i64::MAX.unsigned_abs())?;
        let plot = self.checked_plot()?;
        let axis = self.sweep.as_ref().map(axis).transpose()?;
        let cases = self.cases(axis.as_ref(), size)?;
        let expect = |written| Expect::read(written, axis.as_ref().map(|(axis, _)| axis), &cases);
        let expects = self.expect.iter().map(expect).collect::<Result<_, Fault>>()?;
        Ok(Scenario {
            cases,
            expects,
            seeds: size.seeds.unwrap_or(seeds),
            first_seed: size.first_seed.unwrap_or(first_seed),
            axis: axis.map(|(axis, _)| axis),
            plot,
            name: self.name.into_inner(),
            title: self.title,
            question: self.question,
        })
    }

    fn checked_plot(&self) -> Result<Plot, Fault> {
        let Some(written) = &self.plot else {
            let kind = if self.sweep.is_some() { PlotKind::Percentiles } else { PlotKind::Cdf };
            return Ok(Plot { kind, ..Plot::default() });
        };
        let plot = *written.get_ref();
        if plot.kind == PlotKind::Percentiles && self.sweep.is_none() {
            return Err((written.span(), "a plot of percentiles needs a [sweep] to draw them against".to_owned()));
        }
        if plot.to.is_some_and(|to| to <= plot.from) {
            return Err((written.span(), format!("a timeline from {} must end later than that", plot.from)));
        }
        Ok(plot)
    }

    fn cases(&self, axis: Option<&(Axis, Vec<Spanned<Value>>)>, size: Size) -> Result<Vec<Case>, Fault> {
        let base = over(&Setup::default(), &self.base)?;
        let mut cases = Vec::new();
        for (name, place, settings) in self.variants()? {
            let setup = over(&base, &settings)?;
            let written =
                |key: &str| [&settings, &self.base].into_iter().find_map(|layer| layer.get_key_value(key)).map(|(key, _)| key.span());
            let Some((axis, values)) = axis else {
                let setup = self.sound(setup, size, |key| written(key).unwrap_or(place.clone()))?;
                cases.push(Case { variant: name, point: None, setup });
                continue;
            };
            if let Some((key, _)) = settings.get_key_value(axis.setting.as_str()) {
                return Err((key.span(), format!("{} is what the sweep varies; a variant cannot set it too", axis.setting)));
            }
            for (point, value) in values.iter().enumerate() {
                let setup = set(&setup, &axis.setting, value)?;
                let elsewhere = |key: &str| written(key).filter(|_| key != axis.setting);
                let setup = self.sound(setup, size, |key| elsewhere(key).unwrap_or(value.span()))?;
                cases.push(Case { variant: name.clone(), point: Some(point), setup });
            }
        }
        if cases.len() > CASES_MAX {
            return Err((self.name.span(), format!("{} combinations of variants and values; at most {CASES_MAX} are run", cases.len())));
        }
        Ok(cases)
    }

    /// The variants by name, each with its place; a scenario without any is one itself.
    fn variants(&self) -> Result<Vec<(String, Range<usize>, Settings)>, Fault> {
        if self.variant.is_empty() {
            return Ok(vec![(self.name.get_ref().clone(), self.name.span(), Settings::new())]);
        }
        let mut variants: Vec<(String, Range<usize>, Settings)> = Vec::new();
        for variant in &self.variant {
            let mut settings = variant.get_ref().clone();
            let name = settings.remove("name").ok_or_else(|| (variant.span(), "a variant needs a name".to_owned()))?;
            let place = name.span();
            let Value::String(name) = name.into_inner() else { return Err((place, "the name of a variant is a text".to_owned())) };
            if name.trim().is_empty() || variants.iter().any(|(known, ..)| *known == name) {
                return Err((place, format!("{name:?} cannot name this variant: names are not empty, and each is given once")));
            }
            variants.push((name, place, settings));
        }
        Ok(variants)
    }

    /// The setup, if it passes its checks; else what is wrong, at the place where `blame` finds the setting.
    fn sound(&self, setup: Setup, size: Size, blame: impl Fn(&str) -> Range<usize>) -> Result<Setup, Fault> {
        let setup = Setup { requests: size.requests.unwrap_or(setup.requests), ..setup };
        setup.check(self.overload).map_err(|bad| (blame(bad.key), bad.to_string()))?;
        Ok(setup)
    }
}

// === reading settings ===

fn check_name(name: &Spanned<String>) -> Result<(), Fault> {
    let text = name.get_ref();
    let plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if plain && !text.is_empty() {
        return Ok(());
    }
    Err((name.span(), format!("name {text:?} must be lower-case letters, digits and dashes, for example block-size")))
}

fn at_most(number: Option<&Spanned<u64>>, key: &str, default: u64, range: std::ops::RangeInclusive<u64>) -> Result<u64, Fault> {
    match number {
        None => Ok(default),
        Some(number) if range.contains(number.get_ref()) => Ok(*number.get_ref()),
        Some(number) => Err((number.span(), format!("{key} = {}: must be from {} to {}", number.get_ref(), range.start(), range.end()))),
    }
}

/// The one setting that is swept, and its values.
fn axis(sweep: &Spanned<Settings>) -> Result<(Axis, Vec<Spanned<Value>>), Fault> {
    let wrong = |place| (place, "sweep one setting over a list of values, for example load = [0.5, 0.7, 0.9]".to_owned());
    let mut settings = sweep.get_ref().iter();
    let (Some((key, values)), None) = (settings.next(), settings.next()) else { return Err(wrong(sweep.span())) };
    let Value::Array(list) = values.get_ref() else { return Err(wrong(values.span())) };
    if list.is_empty() {
        return Err(wrong(values.span()));
    }
    let points = list.iter().map(Point::of).collect();
    let values = list.iter().map(|value| Spanned::new(values.span(), value.clone())).collect();
    Ok((Axis { setting: key.get_ref().clone(), points }, values))
}

fn over(setup: &Setup, settings: &Settings) -> Result<Setup, Fault> {
    settings.iter().try_fold(setup.clone(), |setup, (key, value)| {
        // An unknown key is wrong itself; of a known one, the value is.
        let place = if Overrides::NAMES.contains(&key.get_ref().as_str()) { value.span() } else { key.span() };
        set(&setup, key.get_ref(), &Spanned::new(place, value.get_ref().clone()))
    })
}

/// One setting put over `setup`.
fn set(setup: &Setup, key: &str, value: &Spanned<Value>) -> Result<Setup, Fault> {
    let one = toml::Table::from_iter([(key.to_owned(), value.get_ref().clone())]);
    let overrides: Result<Overrides, toml::de::Error> = Value::Table(one).try_into();
    match overrides {
        Ok(overrides) => Ok(overrides.over(setup)),
        Err(error) if Overrides::NAMES.contains(&key) => Err((value.span(), format!("{key}: {}", error.message()))),
        Err(error) => Err((value.span(), error.message().to_owned())),
    }
}

impl Point {
    /// Whether it was written as this value.
    pub(super) fn is(&self, value: &Value) -> bool {
        Point::of(value).text == self.text
    }

    fn of(value: &Value) -> Self {
        let number = match value {
            Value::Integer(whole) => Some(*whole as f64),
            Value::Float(number) => Some(*number),
            Value::String(text) => text.parse::<Draw>().ok().map(|draw| draw.mean().as_millis_f64()),
            _ => None,
        };
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Point { text, number }
    }
}

#[cfg(test)]
mod tests;
