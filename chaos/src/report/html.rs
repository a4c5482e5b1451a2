//! The report as one page that needs nothing else: tables, and the timeline as a drawing.

use std::fmt::Write;

use super::timeline::{Second, seconds};
use super::{Beside, Table, notes, replay, rivals, tables};
use crate::judge::{Judgement, Verdict};
use crate::run::Run;

const WIDTH: f64 = 1000.0;
/// Height of each of the two panels, and the space around them.
const PANEL: f64 = 150.0;
const MARGIN: f64 = 46.0;
/// Labels of faults that follow each other are on lines of their own, so many of this height.
const LABELS: u8 = 8;
const LABEL: f64 = 15.0;
const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#1d232b}\
table{border-collapse:collapse;margin:.5em 0 1.5em;width:100%}td,th{border-bottom:1px solid #dde2e8;padding:.3em .6em;text-align:left;vertical-align:top}\
th{font-weight:600;color:#5a6675}code{background:#f1f3f6;padding:.1em .3em}.clean{color:#137a3c}.bad{color:#b3261e}svg{width:100%;height:auto}\
svg text{font:11px system-ui,sans-serif;fill:#5a6675}svg text.fault{fill:#8a4b00}li{white-space:pre-wrap}";

pub(super) fn page(run: &Run, judgement: &Judgement, beside: &[Beside]) -> String {
    let class = if judgement.verdict == Verdict::Clean { "clean" } else { "bad" };
    let (name, title) = (escaped(&run.scenario.name), escaped(&run.scenario.title));
    let mut page = format!(
        "{}<h1>{name}: <span class=\"{class}\">{}</span></h1><p>{title}.</p><p>Seed {}: <code>{}</code></p>",
        head(&format!("{name}: {}", judgement.verdict)),
        judgement.verdict,
        run.seed,
        escaped(&replay(&run.scenario, run.seed))
    );
    page += &list("What speaks against it", "bad", &notes(run, judgement));
    page += &list("Rivals that were not run", "", &rivals::missing(beside));
    page += &format!("<h2>Timeline</h2>{}", drawing(run));
    page + &texts(&tables(run, judgement, beside)) + "</html>\n"
}

/// A page of notes and tables.
pub(super) fn plain(title: &str, notes: &[String], tables: &[Table]) -> String {
    let notes: String = notes.iter().map(|note| format!("<p>{}.</p>", escaped(note))).collect();
    let title = escaped(title);
    format!("{}<h1>{title}</h1>{notes}{}</html>\n", head(&title), texts(tables))
}

fn head(title: &str) -> String {
    format!("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style>")
}

fn list(title: &str, class: &str, items: &[String]) -> String {
    let items: String = items.iter().map(|item| format!("<li>{}</li>", escaped(item))).collect();
    if items.is_empty() { items } else { format!("<h2>{title}</h2><ul class=\"{class}\">{items}</ul>") }
}

fn texts(tables: &[Table]) -> String {
    tables.iter().filter(|table| !table.rows.is_empty()).map(html).collect()
}

fn html(table: &Table) -> String {
    let head: String = table.head.iter().map(|cell| format!("<th>{}</th>", escaped(cell))).collect();
    let cells = |row: &Vec<String>| row.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect::<String>();
    let rows: String = table.rows.iter().map(|row| format!("<tr>{}</tr>", cells(row))).collect();
    format!("<h2>{}</h2><table><tr>{head}</tr>{rows}</table>", table.title)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Success above, the 99th percentile below, and the faults behind both.
fn drawing(run: &Run) -> String {
    let seconds = seconds(run);
    let length = run.ended.since(run.began).as_secs_f64().max(1.0);
    let x = |second: f64| MARGIN + second / length * (WIDTH - 2.0 * MARGIN);
    let most = seconds.iter().filter_map(|second| second.p99).fold(1.0, f64::max);
    let (top, low) = (MARGIN, 2.0 * MARGIN + PANEL);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\">", 3.0 * MARGIN + 2.0 * PANEL);
    for (fault, line) in run.faults.iter().zip((0..LABELS).cycle()) {
        let [from, to] = [fault.began, fault.ended].map(|at| x(at.since(run.began).as_secs_f64()));
        let colour = if fault.is_felt { "#f6b26b" } else { "#cfd4da" };
        let (width, height) = ((to - from).max(1.5), 2.0 * PANEL + MARGIN);
        let title = escaped(&fault.title);
        let _ = write!(
            svg,
            "<rect x=\"{from:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{colour}\" opacity=\".35\"><title>{title}</title></rect>"
        );
        svg += &label(&fault.title, from, top + 14.0 + LABEL * f64::from(line));
    }
    for (y, name, largest) in
        [(top, "answered by the app", "100 %".to_owned()), (low, "99th percentile beyond the service time", format!("{most:.0} ms"))]
    {
        let bottom = y + PANEL;
        let _ = write!(svg, "<path d=\"M{MARGIN} {y}V{bottom}H{}\" fill=\"none\" stroke=\"#9aa5b1\"/>", WIDTH - MARGIN);
        let _ = write!(svg, "<text x=\"{MARGIN}\" y=\"{}\">{name}</text><text x=\"4\" y=\"{}\">{largest}</text>", y - 8.0, y + 4.0);
    }
    svg += &curve(&seconds, |second| (second.asked > 0).then_some(second.success), x, top, "#137a3c");
    svg += &curve(&seconds, |second| second.p99.map(|p99| p99 / most), x, low, "#1a56b0");
    for second in (0..seconds.len()).step_by((seconds.len() / 12).max(1)) {
        #[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
        let at = x(second as f64);
        let _ = write!(svg, "<text x=\"{at:.1}\" y=\"{}\">{second} s</text>", low + PANEL + 16.0);
    }
    svg + "</svg>"
}

/// What a band stands for, beside its left edge; at the right end of the drawing it is written towards the left.
fn label(title: &str, from: f64, y: f64) -> String {
    let (x, anchor) = if from > WIDTH * 0.75 { (from - 3.0, "end") } else { (from + 3.0, "start") };
    format!("<text class=\"fault\" x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>", escaped(title))
}

/// A line through the middles of seconds; it is broken where there is nothing to tell.
fn curve(seconds: &[Second], share: impl Fn(&Second) -> Option<f64>, x: impl Fn(f64) -> f64, top: f64, colour: &str) -> String {
    let mut path = String::new();
    let mut is_down = false;
    for (n, second) in seconds.iter().enumerate() {
        let Some(share) = share(second) else {
            is_down = false;
            continue;
        };
        #[expect(clippy::cast_precision_loss, reason = "seconds of a run")]
        let (at, y) = (x(n as f64 + 0.5), top + PANEL * (1.0 - share));
        let _ = write!(path, "{}{at:.1} {y:.1}", if is_down { "L" } else { "M" });
        is_down = true;
    }
    format!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_broken_where_there_is_nothing() {
        let second = |p99| Second { asked: 1, success: 1.0, p99 };
        let path = curve(&[second(Some(1.0)), second(None), second(Some(0.0))], |second| second.p99, |at| at, 0.0, "red");
        assert_eq!(path, "<path d=\"M0.5 0.0M2.5 150.0\" fill=\"none\" stroke=\"red\" stroke-width=\"1.5\"/>");
    }

    #[test]
    fn a_fault_is_named_where_its_band_begins() {
        let told = label("kill <b1-1>", 100.0, 60.0);
        assert_eq!(told, "<text class=\"fault\" x=\"103.0\" y=\"60\" text-anchor=\"start\">kill &lt;b1-1&gt;</text>");
        assert!(label("kill b1-1", 940.0, 60.0).contains("x=\"937.0\" y=\"60\" text-anchor=\"end\""));
    }

    #[test]
    fn texts_cannot_break_the_page() {
        assert_eq!(escaped("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
    }
}
