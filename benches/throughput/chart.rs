//! The chart of rivals, as SVG: a bar for each, as long as its calls per second.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use plotters::{
    coord::Shift,
    drawing::IntoDrawingArea as _,
    element::{Rectangle, Text},
    prelude::{Color as _, DrawingArea, IntoFont as _, RGBColor, SVGBackend},
};

use crate::{
    measure::{Measured, Table},
    plan,
};

const WIDTH: u32 = 1000;
const BAR: i32 = 18;
const ROW: i32 = 26;
const TITLE: i32 = 34;
/// Where bars begin, and how long the longest is.
const LEFT: i32 = 370;
const LONGEST: f64 = 540.0;
const OURS: RGBColor = RGBColor(0x1b, 0x6c, 0xa8);
const OTHERS: RGBColor = RGBColor(0xb4, 0xbc, 0xc4);
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// Readable on a dark page too.
const PAPER: RGBColor = RGBColor(0xff, 0xff, 0xff);

/// Draws the groups with rivals, and says where.
pub(crate) fn draw(tables: &[Table]) -> Result<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/throughput.svg"));
    let rivals = [plan::HOT, plan::SPREAD, plan::ALWAYS];
    let shown: Vec<&Table> = tables.iter().filter(|table| rivals.contains(&table.name)).collect();
    let height: i32 = shown.iter().map(|table| TITLE + ROW * table.lines.len() as i32).sum();
    let size = (WIDTH, u32::try_from(height + ROW)?);
    let area = SVGBackend::new(&path, size).into_drawing_area();
    let failed =
        |error: plotters::drawing::DrawingAreaErrorKind<_>| anyhow!("cannot draw the chart: {error}");
    area.fill(&PAPER).map_err(failed)?;
    let mut top = 0;
    for table in shown {
        top = draw_table(&area, table, top).map_err(failed)?;
    }
    area.present().map_err(failed)?;
    drop(area);
    Ok(path)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<'a, T> = Result<
    T,
    plotters::drawing::DrawingAreaErrorKind<<SVGBackend<'a> as plotters::prelude::DrawingBackend>::ErrorType>,
>;

/// Returns where the next one begins.
fn draw_table<'a>(area: &Area<'a>, table: &Table, top: i32) -> Drawn<'a, i32> {
    let fastest = table.lines.iter().map(Measured::median_per_s).fold(1.0, f64::max);
    let title = format!("Decrement on {}, calls per second", table.name);
    area.draw(&Text::new(title, (12, top + 12), ("sans-serif", 16).into_font().color(&INK)))?;
    let mut y = top + TITLE;
    for line in &table.lines {
        let per_s = line.median_per_s();
        let end = LEFT + (per_s / fastest * LONGEST) as i32;
        let is_ours =
            [plan::DECREMENT, plan::STREAM, plan::OURS_HOT, plan::OURS_SPREAD].contains(&line.contender.name);
        let colour = if is_ours { OURS } else { OTHERS };
        area.draw(&Text::new(label(line), (12, y + 3), ("sans-serif", 14).into_font().color(&INK)))?;
        area.draw(&Rectangle::new([(LEFT, y), (end, y + BAR)], colour.filled()))?;
        area.draw(&Text::new(
            format!("{per_s:.0}"),
            (end + 6, y + 3),
            ("sans-serif", 14).into_font().color(&INK),
        ))?;
        y += ROW;
    }
    Ok(y)
}

/// A bar says what it promises: rivals that keep less are not to be taken for equals.
fn label(line: &Measured) -> String {
    let name = line.contender.name;
    match line.contender.server.durability() {
        "-" => name.to_owned(),
        durability => format!("{name} (on disk: {durability})"),
    }
}
