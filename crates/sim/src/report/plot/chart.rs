//! Curves on paper: panels over one horizontal axis, and the names of the curves beside them.
//!
//! The same chart is the same bytes on any machine: no fonts are asked how wide they are, and all logarithms are our own.

use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::prelude::{Circle, IntoDrawingArea, LineSeries, PathElement, Polygon, RGBColor, SVGBackend, TRANSPARENT, Text, WHITE};
use plotters::style::{Color, IntoFont};

use super::scale::Scale;

/// Everything that is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// Above all.
    pub title: String,
    /// Under the horizontal axis.
    pub x_name: String,
    /// The horizontal axis.
    pub x: Scale,
    /// One above the other.
    pub panels: Vec<Panel>,
}

/// One vertical axis and its curves. The same place in every panel is the same colour.
#[derive(Debug, Clone, PartialEq)]
pub struct Panel {
    /// Beside the vertical axis.
    pub y_name: String,
    /// The vertical axis.
    pub y: Scale,
    /// The curves.
    pub curves: Vec<Trace>,
}

/// A named curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Its name.
    pub name: String,
    /// Values along both axes, from left to right.
    pub points: Vec<(f64, f64)>,
    /// Lowest and highest value of each point; empty if there is no telling.
    pub band: Vec<(f64, f64)>,
    /// Whether the points are marked, where there are few of them.
    pub marked: bool,
}

/// The colours of Okabe and Ito, which colour-blind readers can tell apart.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(60, 60, 60),
];
const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(225, 225, 225);
const FONT: &str = "sans-serif";
const WIDTH: u32 = 960;
const PANEL_HEIGHT: u32 = 420;
const HEAD_HEIGHT: i32 = 44;
/// Of a row of names.
const ROW_HEIGHT: i32 = 20;
/// Most characters of a curve's name that are shown.
const NAME_MAX: usize = 30;
const NAMES_WIDTH: i32 = 230;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws.
pub fn svg(chart: &Chart) -> String {
    let mut text = String::new();
    let height = u32::try_from(HEAD_HEIGHT).unwrap_or(0) + PANEL_HEIGHT * u32::try_from(chart.panels.len()).unwrap_or(1);
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        draw(chart, &root).expect("a text takes all that is drawn into it");
        root.present().expect("a text takes all that is drawn into it");
    }
    text
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw(chart: &Chart, root: &Area<'_>) -> Drawn {
    root.fill(&WHITE)?;
    root.draw(&Text::new(chart.title.clone(), (24, 14), (FONT, 20).into_font().color(&INK)))?;
    let (_, below) = root.split_vertically(HEAD_HEIGHT);
    let (left, names) = below.split_horizontally(i32::try_from(WIDTH).unwrap_or(0) - NAMES_WIDTH);
    if let Some(panel) = chart.panels.first() {
        draw_names(panel, &names)?;
    }
    for (panel, area) in chart.panels.iter().zip(left.split_evenly((chart.panels.len(), 1))) {
        draw_panel(chart, panel, &area)?;
    }
    Ok(())
}

fn draw_names(panel: &Panel, area: &Area<'_>) -> Drawn {
    for ((trace, colour), row) in panel.curves.iter().zip(COLOURS.iter().cycle()).zip(0..) {
        let y = 14 + row * ROW_HEIGHT;
        area.draw(&PathElement::new([(4, y), (26, y)], colour.stroke_width(3)))?;
        let cut = trace.name.chars().count() > NAME_MAX;
        let name: String = trace.name.chars().take(if cut { NAME_MAX - 1 } else { NAME_MAX }).chain(cut.then_some('…')).collect();
        area.draw(&Text::new(name, (32, y - 6), (FONT, 13).into_font().color(&INK)))?;
    }
    Ok(())
}

fn draw_panel(chart: &Chart, panel: &Panel, area: &Area<'_>) -> Drawn {
    let mut built = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(48)
        .y_label_area_size(74)
        .build_cartesian_2d(chart.x.clone(), panel.y.clone())?;
    built
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .label_style((FONT, 13).into_font().color(&INK))
        .axis_desc_style((FONT, 14).into_font().color(&INK))
        .x_desc(chart.x_name.as_str())
        .y_desc(panel.y_name.as_str())
        .x_labels(chart.x.marks.len())
        .y_labels(panel.y.marks.len())
        .draw()?;
    for (trace, colour) in panel.curves.iter().zip(COLOURS.iter().cycle()) {
        let low = trace.points.iter().zip(&trace.band).map(|((x, _), (low, _))| (*x, *low));
        let high = trace.points.iter().zip(&trace.band).map(|((x, _), (_, high))| (*x, *high));
        let band: Vec<(f64, f64)> = low.chain(high.rev()).collect();
        if !band.is_empty() {
            built.draw_series([Polygon::new(band, colour.mix(0.18))])?;
        }
        let points = trace.points.iter().copied();
        built.draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?;
        if trace.marked {
            built.draw_series(points.map(|point| Circle::new(point, 3, colour.filled())))?;
        }
    }
    Ok(())
}
