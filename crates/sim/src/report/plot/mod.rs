//! A scenario's results as a drawing.

mod chart;
mod scale;

use std::borrow::Cow;

use crate::report::Estimate;
use crate::scenario::{Axis, Case, Curve, Figure, Line, PlotKind, Results, Tick};

pub use chart::{Chart, Panel, Trace, svg};
pub use scale::Scale;

/// On a linear axis these many times the smallest value are still told apart from it.
const LINEAR_UP_TO: f64 = 20.0;
/// Where a distribution's axis ends: the slowest few would squeeze all others together.
const DISTRIBUTION_END: f64 = 0.995;
/// Distributions whose ends are no further apart than this share a linear axis.
const TOGETHER_UP_TO: f64 = 4.0;

/// Draws what the scenario's plot asks for, as SVG.
pub fn results(results: &Results) -> String {
    svg(&match results.scenario.plot.kind {
        PlotKind::Percentiles => percentiles(results),
        PlotKind::Cdf => distribution(results),
        PlotKind::Timeline => timeline(results),
    })
}

// === percentiles ===

/// The figure that was asked for, a curve per variant; of a single variant p50, p95 and p99.
fn percentiles(results: &Results) -> Chart {
    let scenario = &results.scenario;
    let axis = scenario.axis.as_ref().map(Cow::Borrowed).unwrap_or(Cow::Owned(Axis { setting: String::new(), points: Vec::new() }));
    let (x, places) = horizontal(&axis);
    let mut variants: Vec<&str> = scenario.cases.iter().map(|case| case.variant.as_str()).collect();
    variants.dedup();
    let asked = scenario.plot.figure;
    let latency = !matches!(asked, Figure::Success);
    let figures = if variants.len() == 1 && latency { vec![Figure::P99, Figure::P95, Figure::P50] } else { vec![asked] };
    let curves: Vec<Trace> = variants
        .iter()
        .flat_map(|variant| figures.iter().map(move |figure| (variant, figure)))
        .map(|(variant, figure)| {
            let lines = results.cases().filter(|(case, _)| case.variant == **variant);
            let seen: Vec<(f64, Estimate)> =
                lines.filter_map(|(case, line)| Some((places[case.point?], estimate(line, *figure)))).collect();
            let name = if variants.len() == 1 { figure.name().to_owned() } else { (*variant).to_owned() };
            trace(name, &seen)
        })
        .collect();
    let name = if figures.len() > 1 { "latency, ms".to_owned() } else { asked.label() };
    Chart { title: scenario.title.clone(), x_name: unit(&axis), x, panels: vec![panel(name, latency, curves)] }
}

fn trace(name: String, seen: &[(f64, Estimate)]) -> Trace {
    let points = seen.iter().map(|(x, estimate)| (*x, estimate.mean)).collect();
    let known = seen.iter().all(|(_, estimate)| estimate.half.is_finite());
    let band = if known { seen.iter().map(|(_, estimate)| (estimate.low().max(0.0), estimate.high())).collect() } else { Vec::new() };
    Trace { name, points, band, marked: true }
}

/// The axis of the swept setting and the value of each point on it: numbers where they are near enough to each other, else names.
fn horizontal(axis: &Axis) -> (Scale, Vec<f64>) {
    let numbers: Option<Vec<f64>> = axis.points.iter().map(|point| point.number).collect();
    if let Some(numbers) = numbers {
        let (least, most) = (numbers.iter().copied().fold(f64::INFINITY, f64::min), numbers.iter().copied().fold(0.0, f64::max));
        if least > 0.0 && most > least && most / least <= LINEAR_UP_TO {
            let room = (most - least) * 0.03;
            return (Scale::between(least - room, most + room), numbers);
        }
    }
    let names = axis.points.iter().map(|point| point.text.clone()).collect();
    (Scale::named(names), (0..axis.points.len()).map(|place| place as f64).collect())
}

/// The setting's name; lengths of time are drawn in milliseconds where they are drawn as numbers.
fn unit(axis: &Axis) -> String {
    let lengths = axis.points.iter().all(|point| point.number.is_some() && point.text.parse::<f64>().is_err());
    let (_, places) = horizontal(axis);
    let drawn = axis.points.iter().map(|point| point.number).eq(places.into_iter().map(Some));
    if lengths && drawn { format!("{}, ms", axis.setting) } else { axis.setting.clone() }
}

fn estimate(line: &Line, figure: Figure) -> Estimate {
    match figure {
        Figure::Success => line.spread.success,
        Figure::P50 => line.spread.p50,
        Figure::P95 => line.spread.p95,
        Figure::P99 => line.spread.p99,
        Figure::Max => line.spread.max,
    }
}

// === distributions and timelines ===

fn distribution(results: &Results) -> Chart {
    let curve = |(case, line): (&Case, &Line)| {
        let points = match &line.curve {
            Curve::Distribution(points) => points.clone(),
            _ => Vec::new(),
        };
        Trace { name: case_name(results, case), points, band: Vec::new(), marked: false }
    };
    let mut curves: Vec<Trace> = results.cases().map(curve).collect();
    let ends = curves.iter().filter_map(|curve| curve.points.iter().rfind(|(_, share)| *share <= DISTRIBUTION_END));
    let ends: Vec<f64> = ends.map(|(millis, _)| *millis).collect();
    let (nearest, end) = (ends.iter().copied().fold(f64::INFINITY, f64::min), ends.iter().copied().fold(1.0, f64::max));
    let x = if end / nearest > TOGETHER_UP_TO { Scale::by_powers(nearest / LINEAR_UP_TO, end) } else { Scale::between(0.0, end) };
    for curve in &mut curves {
        curve.points.retain(|(millis, _)| *millis <= end);
        curve.points.extend(curve.points.last().map(|(_, share)| (end, *share)));
    }
    let panel = Panel { y_name: "share of requests".to_owned(), y: Scale::between(0.0, 1.0), curves };
    Chart { title: results.scenario.title.clone(), x_name: "latency, ms".to_owned(), x, panels: vec![panel] }
}

fn timeline(results: &Results) -> Chart {
    let ticks = |line: &Line| match &line.curve {
        Curve::Timeline(ticks) => ticks.clone(),
        _ => Vec::new(),
    };
    let curves = |value: fn(&Tick) -> f64| -> Vec<Trace> {
        let points = |line: &Line| ticks(line).iter().map(|tick| (tick.at, value(tick))).collect();
        results
            .cases()
            .map(|(case, line)| Trace { name: case_name(results, case), points: points(line), band: Vec::new(), marked: false })
            .collect()
    };
    let times: Vec<f64> = results.lines.iter().flat_map(ticks).map(|tick| tick.at).collect();
    let (first, last) = (times.iter().copied().fold(f64::INFINITY, f64::min), times.iter().copied().fold(0.0, f64::max));
    let x = if last > first { Scale::between(first, last) } else { Scale::between(0.0, 1.0) };
    let success = panel("served".to_owned(), false, curves(|tick| tick.success));
    let latency = panel("p99, ms".to_owned(), true, curves(|tick| tick.p99));
    let x_name = "time at which requests came, s".to_owned();
    Chart { title: results.scenario.title.clone(), x_name, x, panels: vec![success, latency] }
}

/// Latencies are drawn from zero, or by powers; a share that is near 1 everywhere is drawn from just below its least.
fn panel(y_name: String, latency: bool, curves: Vec<Trace>) -> Panel {
    let of = |curve: &Trace| -> Vec<f64> {
        curve.points.iter().map(|(_, y)| *y).chain(curve.band.iter().flat_map(|(low, high)| [*low, *high])).collect()
    };
    let values: Vec<f64> = curves.iter().flat_map(of).collect();
    let y = if latency {
        let highest = values.iter().copied().fold(0.0, f64::max) * 1.04;
        Scale::of(values.iter().copied().chain([highest]))
    } else {
        let least = values.iter().copied().fold(1.0, f64::min);
        Scale::between((1.0 - (1.0 - least) * 1.1 - 1e-4).max(0.0), 1.0)
    };
    Panel { y_name, y, curves }
}

fn case_name(results: &Results, case: &Case) -> String {
    match (&results.scenario.axis, results.point(case)) {
        (Some(axis), Some(point)) => format!("{}, {} {}", case.variant, axis.setting, point.text),
        _ => case.variant.clone(),
    }
}

// === impl Figure ===

impl Figure {
    /// Its name in results.
    pub fn name(self) -> &'static str {
        match self {
            Figure::Success => "success",
            Figure::P50 => "p50",
            Figure::P95 => "p95",
            Figure::P99 => "p99",
            Figure::Max => "max",
        }
    }

    fn label(self) -> String {
        match self {
            Figure::Success => "served".to_owned(),
            latency => format!("{}, ms", latency.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;

    use super::*;
    use crate::scenario::{Scenario, Size, run};

    fn drawn(rest: &str, threads: usize) -> String {
        let head = "name = \"a\"\ntitle = \"Fast & slow <dynos>\"\nquestion = \"?\"\nseeds = 2\n";
        let base = "[base]\nrequests = 2000\npolicy = \"random\"\nload = 0.3\n";
        let scenario = Scenario::parse("a", &format!("{head}{base}{rest}"), Size::default()).unwrap();
        results(&run(&scenario, NonZero::new(threads).unwrap(), || ()))
    }

    const PLOTS: [(&str, &[&str]); 4] = [
        (
            "[[variant]]\nname = \"one\"\n[[variant]]\nname = \"two\"\nslow_share = 0.1\nslow_factor = 2.0\n[sweep]\nload = [0.2, 0.4]\n",
            &["p99, ms", "load", "one", "two"],
        ),
        ("[sweep]\nrouter_cable = [\"1ms\", \"1s\"]\n", &["latency, ms", "p50", "p95", ">1s<", "router_cable<"]),
        ("", &["share of requests", "latency, ms"]),
        ("[plot]\nkind = \"timeline\"\n", &["served", "p99, ms", "time at which requests came, s"]),
    ];

    #[test]
    fn every_kind_names_its_axes_and_curves() {
        for (rest, names) in PLOTS {
            let svg = drawn(rest, 2);
            assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && svg.contains("Fast &amp; slow &lt;dynos&gt;"), "{svg}");
            let text: String = svg.split_whitespace().collect::<Vec<_>>().join(" ").replace("> ", ">").replace(" <", "<");
            for name in names {
                assert!(text.contains(name), "{rest:?}: no {name:?} in {text}");
            }
        }
    }

    #[test]
    fn the_same_seeds_draw_the_same_bytes() {
        for (rest, _) in PLOTS {
            assert_eq!(drawn(rest, 1), drawn(rest, 2));
        }
    }
}
