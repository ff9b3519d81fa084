//! Charts as SVG that stands in a page: lines, dots, axes. Colours of text come from the page, so that it reads in light and dark.

use std::ops::Range;

use plotters::{
    coord::ranged1d::{AsRangedCoord, ValueFormatter},
    prelude::*,
};

const SIZE: (u32, u32) = (720, 270);
const GRID: RGBColor = RGBColor(128, 128, 128);
const FONT: (&str, u32) = ("sans-serif", 13);

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

/// Draws on axes with even steps.
pub(super) fn even(x: &Axis, y: &Axis, series: &[Series]) -> String {
    draw(x, y, y.range.clone(), series)
}

/// Draws with a y axis on which each step is ten times the one before. Its range must begin above 0.
pub(super) fn by_tens(x: &Axis, y: &Axis, series: &[Series]) -> String {
    draw(x, y, y.range.clone().log_scale(), series)
}

fn draw<Y>(x: &Axis, y: &Axis, y_range: Y, series: &[Series]) -> String
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut svg = String::new();
    // Text in memory takes whatever is drawn: there is nothing to report.
    let _ = draw_on(&mut svg, x, y, y_range, series);
    svg
}

fn draw_on<Y>(
    svg: &mut String,
    x: &Axis,
    y: &Axis,
    y_range: Y,
    series: &[Series],
) -> Result<(), Box<dyn std::error::Error>>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&root)
        .margin(10)
        .x_label_area_size(28)
        .y_label_area_size(72)
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
    root.present()?;
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
            even(&axis(0.0..1.0), &axis(0.0..2_000.0), &all),
            by_tens(&axis(0.0..1.0), &axis(1.0..2_000.0), &all),
        ] {
            assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
            assert!(svg.contains("<polyline") && svg.contains(&hex(BLUE)), "{svg}");
            assert!(svg.contains("<circle") && svg.contains(&hex(RED)), "{svg}");
            assert!(svg.contains("&lt;"), "text is escaped: {svg}");
        }
    }
}
