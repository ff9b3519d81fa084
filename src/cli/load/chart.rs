//! Charts as SVG that stands in a page: lines, dots, axes. Colours of text come from the page, so that it reads in light and dark.

use std::ops::Range;

use plotters::{
    coord::{
        Shift,
        ranged1d::{AsRangedCoord, ValueFormatter},
    },
    prelude::*,
};

const HEIGHT: u32 = 290;
const GRID: RGBColor = RGBColor(128, 128, 128);
const FONT: (&str, u32) = ("sans-serif", 17);

/// A colour of a series.
pub(super) type Paint = RGBColor;

pub(super) const BLUE: RGBColor = RGBColor(0x3B, 0x82, 0xF6);
pub(super) const ORANGE: RGBColor = RGBColor(0xF5, 0x9E, 0x0B);
pub(super) const RED: RGBColor = RGBColor(0xEF, 0x44, 0x44);
pub(super) const GREEN: RGBColor = RGBColor(0x10, 0xB9, 0x81);
pub(super) const GREY: RGBColor = RGBColor(0x94, 0xA3, 0xB8);

/// What belongs together.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) color: RGBColor,
    pub(super) shape: Shape,
    pub(super) points: Vec<(f64, f64)>,
}

/// How much of the page a chart takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    Half,
    Full,
}

/// How it is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Line,
    Dots,
}

/// One axis.
#[derive(Debug)]
pub(super) struct Axis {
    pub(super) range: Range<f64>,
    pub(super) tick: fn(f64) -> String,
    pub(super) ticks: usize,
}

impl Width {
    /// Wide enough that text has the same size on both.
    fn pixels(self) -> u32 {
        match self {
            Self::Half => 720,
            Self::Full => 1_460,
        }
    }
}

/// Draws on axes with even steps.
pub(super) fn even(width: Width, x: &Axis, y: &Axis, series: &[Series]) -> String {
    draw(width, x, y, y.range.clone(), series)
}

/// Draws with a y axis on which each step is ten times the one before. Its range must begin above 0.
pub(super) fn by_tens(width: Width, x: &Axis, y: &Axis, series: &[Series]) -> String {
    draw(width, x, y, y.range.clone().log_scale(), series)
}

fn draw<Y>(width: Width, x: &Axis, y: &Axis, y_range: Y, series: &[Series]) -> String
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut svg = String::new();
    // Text in memory takes whatever is drawn: there is nothing to report.
    let area = SVGBackend::with_string(&mut svg, (width.pixels(), HEIGHT)).into_drawing_area();
    let _ = draw_on(&area, x, y, y_range, series);
    drop(area);
    svg
}

fn draw_on<Y>(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    x: &Axis,
    y: &Axis,
    y_range: Y,
    series: &[Series],
) -> Result<(), Box<dyn std::error::Error>>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .margin_right(36)
        .x_label_area_size(34)
        .y_label_area_size(76)
        .build_cartesian_2d(x.range.clone(), y_range)?;
    chart
        .configure_mesh()
        .x_labels(x.ticks)
        .y_labels(y.ticks)
        .x_label_formatter(&|at| (x.tick)(*at))
        .y_label_formatter(&|at| (y.tick)(*at))
        .label_style(FONT)
        .axis_style(GRID.mix(0.6))
        .bold_line_style(GRID.mix(0.2))
        .light_line_style(TRANSPARENT)
        .draw()?;
    for Series { color, shape, points, .. } in series {
        match shape {
            Shape::Line => {
                chart.draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))?;
            }
            Shape::Dots => {
                chart.draw_series(points.iter().map(|at| Circle::new(*at, 4, color.filled())))?;
            }
        }
    }
    area.present()?;
    Ok(())
}

/// The colour as a page names it.
pub(super) fn hex(color: RGBColor) -> String {
    let RGBColor(red, green, blue) = color;
    format!("#{red:02X}{green:02X}{blue:02X}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_drawn_in_its_colour() {
        let axis = |range| Axis { range, tick: |at| format!("<{at:.0}>"), ticks: 5 };
        let series = |color, shape| Series {
            name: "n".to_owned(),
            color,
            shape,
            points: vec![(0.0, 10.0), (1.0, 1_000.0)],
        };
        let all = [series(BLUE, Shape::Line), series(RED, Shape::Dots)];
        for svg in [
            even(Width::Half, &axis(0.0..1.0), &axis(0.0..2_000.0), &all),
            by_tens(Width::Full, &axis(0.0..1.0), &axis(1.0..2_000.0), &all),
        ] {
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
            assert!(svg.contains("<polyline") && svg.contains(&hex(BLUE)), "{svg}");
            assert!(svg.contains("<circle") && svg.contains(&hex(RED)), "{svg}");
            assert!(svg.contains("&lt;"), "text is escaped: {svg}");
        }
    }
}
