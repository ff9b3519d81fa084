//! The charts of the page: what is drawn of a report, on which axes.

use super::{
    chart::{self, Axis, BLUE, GREEN, GREY, ORANGE, Paint, RED, Series, Shape, Width},
    page::escape,
    ramp::Ramp,
    report::{Moment, Report},
};

/// All charts, as a section of the page.
pub(super) fn html(report: &Report) -> String {
    let mut charts: Vec<String> = report.sort.ramp.iter().map(p99_against_rate).collect();
    // With the chart of a ramp they are four; without it three, and this one takes a row.
    let width = if charts.is_empty() { Width::Full } else { Width::Half };
    charts.extend([latency_over_time(report, width), rates_over_time(report), curves(report)]);
    format!("<section class=\"charts\">\n{}</section>\n", charts.concat())
}

fn p99_against_rate(ramp: &Ramp) -> String {
    let dots = |name: &str, color, is_broken: bool| Series {
        name: name.to_owned(),
        color,
        shape: Shape::Dots,
        points: ramp
            .steps
            .iter()
            .filter(|step| step.broken.is_some() == is_broken)
            .map(|step| (step.asked_per_s, step.p99_us as f64))
            .collect(),
    };
    let fastest = ramp.steps.iter().map(|step| step.asked_per_s).fold(1.0, f64::max) * 1.05;
    let limit_us = ramp.p99_limit_us as f64;
    let series = [
        lines("limit", GREY, vec![(0.0, limit_us), (fastest, limit_us)]),
        dots("p99 of a step that held", GREEN, false),
        dots("p99 of one that did not", RED, true),
    ];
    let x = Axis { range: 0.0..fastest, tick: tick_rate, ticks: 8 };
    let svg = latency_chart(Width::Half, &x, &series);
    figure(Width::Half, "p99 against rate", &svg, &series)
}

fn latency_over_time(report: &Report, width: Width) -> String {
    // Moments without calls have no latency: nothing is drawn there.
    let latency = |name: &str, color, value: fn(&Moment) -> f64| {
        let mut series = over_time(report, name, color, value);
        series.points.retain(|(_, us)| *us > 0.0);
        series
    };
    let series = [
        latency("p50", GREEN, |moment| moment.latency_us.p50 as f64),
        latency("p90", ORANGE, |moment| moment.latency_us.p90 as f64),
        latency("p99", RED, |moment| moment.latency_us.p99 as f64),
    ];
    let svg = latency_chart(width, &time_axis(report), &series);
    figure(width, "Latency over time, from the moment calls were due", &svg, &series)
}

fn rates_over_time(report: &Report) -> String {
    let mut series = vec![
        over_time(report, "asked", GREY, |moment| moment.asked_per_s),
        over_time(report, "carried out", GREEN, |moment| moment.done_per_s),
        over_time(report, "refused", ORANGE, |moment| moment.refused_per_s),
        over_time(report, "failed", RED, |moment| moment.failed_per_s),
    ];
    // What never happened needs no line.
    series.retain(|series| series.points.iter().any(|(_, per_s)| *per_s > 0.0));
    let y = Axis { range: 0.0..highest(&series) * 1.08, tick: tick_rate, ticks: 6 };
    let svg = chart::even(Width::Half, &time_axis(report), &y, &series);
    figure(Width::Half, "Calls per second over time", &svg, &series)
}

fn curves(report: &Report) -> String {
    let series = [
        lines("from due", BLUE, report.latency_curve.clone()),
        lines("from sent (service time)", GREY, report.service_curve.clone()),
    ];
    let x = Axis { range: 0.0..4.0, tick: tick_nines, ticks: 5 };
    let svg = latency_chart(Width::Half, &x, &series);
    figure(Width::Half, "How many calls took how long", &svg, &series)
}

fn lines(name: &str, color: Paint, points: Vec<(f64, f64)>) -> Series {
    Series { name: name.to_owned(), color, shape: Shape::Line, points }
}

fn over_time(report: &Report, name: &str, color: Paint, value: fn(&Moment) -> f64) -> Series {
    lines(name, color, report.timeline.iter().map(|moment| (moment.at_s, value(moment))).collect())
}

fn time_axis(report: &Report) -> Axis {
    let end_s = report.timeline.last().map_or(1.0, |moment| moment.at_s).max(0.1);
    Axis { range: 0.0..end_s, tick: tick_seconds, ticks: 10 }
}

fn latency_chart(width: Width, x: &Axis, series: &[Series]) -> String {
    let all = || series.iter().flat_map(|series| &series.points).map(|(_, us)| *us);
    let lowest = all().fold(f64::INFINITY, f64::min);
    let range =
        if lowest.is_finite() { lowest.max(1.0) / 1.4..highest(series).max(10.0) * 1.4 } else { 1.0..10.0 };
    chart::by_tens(width, x, &Axis { range, tick: tick_us, ticks: 6 }, series)
}

fn highest(series: &[Series]) -> f64 {
    series.iter().flat_map(|series| &series.points).map(|(_, y)| *y).fold(1.0, f64::max)
}

fn figure(width: Width, title: &str, svg: &str, series: &[Series]) -> String {
    let class = if width == Width::Full { " class=\"full\"" } else { "" };
    let legend: Vec<_> = series
        .iter()
        .map(|series| {
            format!(
                "<span><i style=\"background:{}\"></i>{}</span>",
                chart::hex(series.color),
                escape(&series.name)
            )
        })
        .collect();
    format!(
        "<figure{class}>\n<figcaption>{title}<small>{}</small></figcaption>\n{svg}</figure>\n",
        legend.concat()
    )
}

fn tick_us(us: f64) -> String {
    match us {
        us if us < 1_000.0 => format!("{us:.0} us"),
        us if us < 1_000_000.0 => format!("{} ms", us / 1_000.0),
        us => format!("{} s", us / 1_000_000.0),
    }
}

fn tick_rate(per_s: f64) -> String {
    if per_s < 10_000.0 { format!("{per_s:.0}/s") } else { format!("{}k/s", per_s / 1_000.0) }
}

fn tick_seconds(at_s: f64) -> String {
    format!("{at_s} s")
}

/// Whole nines only.
fn tick_nines(nines: f64) -> String {
    match nines.round() as u32 {
        0 => "0 %".to_owned(),
        1 => "90 %".to_owned(),
        2 => "99 %".to_owned(),
        more => format!("99.{} %", "9".repeat(more as usize - 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_short() {
        assert_eq!([0.0, 1.0, 2.0, 3.0, 4.0].map(tick_nines), ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        assert_eq!(
            [500.0, 1_000.0, 2_500.0, 10_000_000.0].map(tick_us),
            ["500 us", "1 ms", "2.5 ms", "10 s"]
        );
        assert_eq!([900.0, 20_000.0].map(tick_rate), ["900/s", "20k/s"]);
    }
}
