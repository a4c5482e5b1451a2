//! What a scenario promises of its own results, so that a command can hold it to them.
//!
//! A latency keeps its promise when the upper end of its confidence interval does: a mean that was lucky is not enough.

use std::collections::BTreeMap;
use std::fmt;

use toml::Spanned;

use super::file::{Axis, Case, Fault, Scenario, Settings};
use super::study::{Line, Results};

/// Upper limits for one case.
#[derive(Debug, Clone, PartialEq)]
pub struct Expect {
    variant: String,
    point: Option<usize>,
    /// By figure (`p50`, `p95`, `p99`, `max` in milliseconds) or column; `failures` is the share of requests that failed.
    limits: BTreeMap<String, f64>,
}

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Broken {
    case: String,
    figure: String,
    found: f64,
    limit: f64,
}

impl Expect {
    /// One `[[expect]]` of a file: `variant`, the swept setting with one of its values, and limits.
    pub(super) fn read(written: &Spanned<Settings>, axis: Option<&Axis>, cases: &[Case]) -> Result<Self, Fault> {
        let wrong = |problem: String| (written.span(), problem);
        let mut settings: BTreeMap<String, toml::Value> =
            written.get_ref().iter().map(|(key, value)| (key.get_ref().clone(), value.get_ref().clone())).collect();
        let variant = match settings.remove("variant") {
            Some(toml::Value::String(name)) if cases.iter().any(|case| case.variant == name) => name,
            other => {
                return Err(wrong(format!(
                    "expect needs the name of a variant, not {}",
                    other.map_or("nothing".into(), |value| value.to_string())
                )));
            }
        };
        let point = axis.map(|axis| {
            let place = settings.remove(&axis.setting).and_then(|value| axis.points.iter().position(|point| point.is(&value)));
            place.ok_or_else(|| wrong(format!("expect needs {} with one of the values that are swept", axis.setting)))
        });
        let limits = settings.into_iter().map(|(figure, value)| match value {
            toml::Value::Float(limit) if limit >= 0.0 => Ok((figure, limit)),
            toml::Value::Integer(limit) if limit >= 0 => Ok((figure, limit as f64)),
            other => Err(wrong(format!("{figure} = {other}: a limit is a number that is not negative"))),
        });
        Ok(Expect { variant, point: point.transpose()?, limits: limits.collect::<Result<_, Fault>>()? })
    }

    fn broken(&self, case: &str, line: &Line) -> Vec<Broken> {
        let found = |figure: &str| match figure {
            "failures" => Some(1.0 - line.spread.success.mean),
            _ => {
                let latency = line.spread.named().into_iter().find(|(name, _)| *name == figure).map(|(_, estimate)| estimate.high());
                latency.or_else(|| line.notes.iter().find(|(name, _)| *name == figure).map(|(_, mean)| *mean))
            }
        };
        // A figure that nobody counted keeps no promise.
        let checked = self.limits.iter().map(|(figure, limit)| (figure, *limit, found(figure).unwrap_or(f64::NAN)));
        checked
            .filter(|(_, limit, found)| found.is_nan() || found > limit)
            .map(|(figure, limit, found)| Broken { case: case.to_owned(), figure: figure.clone(), found, limit })
            .collect()
    }
}

impl Results {
    /// The promises of the scenario that its results do not keep.
    pub fn broken(&self) -> Vec<Broken> {
        let Scenario { cases, expects, axis, .. } = &self.scenario;
        let lines = cases.iter().zip(&self.lines);
        lines
            .flat_map(|(case, line)| {
                let at = axis.as_ref().zip(case.point).map(|(axis, point)| format!(", {} = {}", axis.setting, axis.points[point].text));
                let name = format!("{}{}", case.variant, at.unwrap_or_default());
                let mine = expects.iter().filter(|expect| expect.variant == case.variant && expect.point == case.point);
                mine.flat_map(|expect| expect.broken(&name, line)).collect::<Vec<_>>()
            })
            .collect()
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Broken { case, figure, found, limit } = self;
        write!(f, "{case}: {figure} is up to {found:.5}, and {limit} was promised")
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use super::*;
    use crate::scenario::{Size, run};

    fn parse(expect: &str) -> Result<Scenario, String> {
        let text = format!(
            "name = \"a\"\ntitle = \"A\"\nquestion = \"?\"\nseeds = 3\n[base]\nrequests = 4000\n[[variant]]\nname = \"v\"\n[sweep]\nload = [0.3, 0.4]\n[[expect]]\n{expect}"
        );
        Scenario::parse("a.toml", &text, Size::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn promises_are_held_against_the_upper_end_of_the_interval() {
        let broken = |limits: &str| {
            let scenario = parse(&format!("variant = \"v\"\nload = 0.4\n{limits}")).unwrap();
            run(&scenario, NonZero::<usize>::MIN, || ()).broken().iter().map(Broken::to_string).collect::<Vec<_>>()
        };
        assert_eq!(broken("p99 = 900\nfailures = 0\nretries = 0.5"), Vec::<String>::new());
        let told = broken("p99 = 200\nnonsense = 1");
        assert!(told.len() == 2 && told[0].starts_with("v, load = 0.4: nonsense") && told[1].contains("200 was promised"), "{told:?}");
    }

    #[test]
    fn a_promise_names_a_case_that_there_is() {
        for bad in [
            "variant = \"w\"\nload = 0.3",
            "load = 0.3",
            "variant = \"v\"",
            "variant = \"v\"\nload = 0.9",
            "variant = \"v\"\nload = 0.3\np99 = -1",
        ] {
            assert!(parse(bad).is_err_and(|error| error.starts_with("a.toml:")), "{bad:?} passed");
        }
    }
}
