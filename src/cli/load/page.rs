//! The report as one HTML file that needs no other: no script, no font, no style from elsewhere.

use std::fmt::Write as _;

use super::{
    super::output::Row,
    books::Books,
    chart::{self, Axis, BLUE, GREEN, GREY, ORANGE, RED, Series, Shape, Width},
    quantiles::show_us,
    ramp::Step,
    report::{Moment, Report, show_rate},
};

const STYLE: &str = include_str!("page.css");

/// The whole page.
pub(super) fn html(report: &Report) -> String {
    let title = format!("stockgate load: {}", report.profile.name());
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n"
    );
    let parts = [head(report), tiles(report), charts(report), tables(report), books(report), foot(report)];
    parts.iter().for_each(|part| page.push_str(part));
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn head(report: &Report) -> String {
    let started = report.started.strftime("%Y-%m-%d %H:%M:%S UTC");
    let mut head = format!(
        "<header>\n<h1>stockgate load <span>{}</span></h1>\n<p>{} &middot; {started} &middot; {:.1} s{}</p>\n",
        report.profile.name(),
        escape(&report.gateway),
        report.seconds,
        if report.interrupted { " &middot; interrupted" } else { "" },
    );
    if let Some(finding) = report.finding() {
        // Writing to a string cannot fail.
        let _ = writeln!(head, "<p class=\"finding\">{}</p>", escape(&finding));
    }
    head.push_str("</header>\n");
    head
}

fn tiles(report: &Report) -> String {
    let mut tiles = match &report.sort.ramp {
        // The mean of steps of all rates would say nothing.
        Some(ramp) => {
            let rate = |step: &Option<Step>| {
                step.as_ref().map_or("none".to_owned(), |step| show_rate(step.asked_per_s))
            };
            let good = |us: fn(&Step) -> u64| {
                ramp.last_good.as_ref().map_or("none".to_owned(), |step| show_us(us(step)))
            };
            vec![
                ("last good rate", rate(&ramp.last_good), ""),
                ("degrades at", rate(&ramp.first_bad), ""),
                ("p50 when good", good(|step| step.p50_us), ""),
                ("p99 when good", good(|step| step.p99_us), ""),
            ]
        }
        None => vec![
            ("asked", show_rate(report.asked_per_s), ""),
            ("answered", show_rate(report.answered_per_s), ""),
            ("p50", show_us(report.latency_us.p50), ""),
            ("p99", show_us(report.latency_us.p99), ""),
            ("p99.9", show_us(report.latency_us.p999), ""),
        ],
    };
    tiles.extend([
        ("carried out", report.done.to_string(), ""),
        ("refused", report.refused.to_string(), ""),
        ("failed", report.failed.to_string(), if report.failed > 0 { "bad" } else { "" }),
        ("never sent", report.unsent.to_string(), if report.unsent > 0 { "bad" } else { "" }),
    ]);
    let (said, class) = match &report.books {
        Some(Books { right: true, .. }) => ("right", "good"),
        Some(Books { right: false, .. }) => ("WRONG", "bad"),
        None => ("not checked", "bad"),
    };
    tiles.push(("books", said.to_owned(), class));
    let shown: Vec<_> = tiles
        .iter()
        .map(|(name, value, class)| format!("<div class=\"{class}\"><b>{value}</b><i>{name}</i></div>"))
        .collect();
    format!("<section class=\"tiles\">\n{}\n</section>\n", shown.join("\n"))
}

fn charts(report: &Report) -> String {
    let mut charts = Vec::new();
    if let Some(ramp) = &report.sort.ramp {
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
        let limit = vec![(0.0, ramp.p99_limit_us as f64), (fastest, ramp.p99_limit_us as f64)];
        let series = vec![
            Series { name: "limit".to_owned(), color: GREY, shape: Shape::Line, points: limit },
            dots("p99 of a step that held", GREEN, false),
            dots("p99 of one that did not", RED, true),
        ];
        let x = Axis { range: 0.0..fastest, tick: tick_rate, ticks: 8 };
        charts.push(figure(
            Width::Half,
            "p99 against rate",
            &latency_chart(Width::Half, &x, &series),
            &series,
        ));
    }
    let timeline = &report.timeline;
    let end_s = timeline.last().map_or(1.0, |moment| moment.at_s).max(0.1);
    let over_time = || Axis { range: 0.0..end_s, tick: tick_seconds, ticks: 10 };
    let line = |name: &str, color, value: fn(&Moment) -> f64| Series {
        name: name.to_owned(),
        color,
        shape: Shape::Line,
        points: timeline.iter().map(|moment| (moment.at_s, value(moment))).collect(),
    };
    // Moments without calls have no latency: nothing is drawn there.
    let latency = |name: &str, color, value: fn(&Moment) -> f64| {
        let mut series = line(name, color, value);
        series.points.retain(|(_, us)| *us > 0.0);
        series
    };
    let series = [
        latency("p50", GREEN, |moment| moment.latency_us.p50 as f64),
        latency("p90", ORANGE, |moment| moment.latency_us.p90 as f64),
        latency("p99", RED, |moment| moment.latency_us.p99 as f64),
    ];
    // With the chart of a ramp they are four; without it three, and this one takes a row.
    let width = if report.sort.ramp.is_some() { Width::Half } else { Width::Full };
    let svg = latency_chart(width, &over_time(), &series);
    charts.push(figure(width, "Latency over time, from the moment calls were due", &svg, &series));

    let mut series = vec![
        line("asked", GREY, |moment| moment.asked_per_s),
        line("carried out", GREEN, |moment| moment.done_per_s),
    ];
    let others: [(&str, _, fn(&Moment) -> f64); 2] =
        [("refused", ORANGE, |moment| moment.refused_per_s), ("failed", RED, |moment| moment.failed_per_s)];
    series.extend(
        others
            .into_iter()
            .map(|(name, color, value)| line(name, color, value))
            .filter(|series| series.points.iter().any(|(_, per_s)| *per_s > 0.0)),
    );
    let y = Axis { range: 0.0..highest(&series) * 1.08, tick: tick_rate, ticks: 6 };
    charts.push(figure(
        Width::Half,
        "Calls per second over time",
        &chart::even(Width::Half, &over_time(), &y, &series),
        &series,
    ));

    let curve = |name: &str, color, points: &[(f64, u64)]| Series {
        name: name.to_owned(),
        color,
        shape: Shape::Line,
        points: points.iter().map(|(nines, us)| (*nines, *us as f64)).collect(),
    };
    let (latency, service) = &report.curves;
    let series = [curve("from due", BLUE, latency), curve("from sent (service time)", GREY, service)];
    let x = Axis { range: 0.0..4.0, tick: tick_nines, ticks: 5 };
    charts.push(figure(
        Width::Half,
        "How many calls took how long",
        &latency_chart(Width::Half, &x, &series),
        &series,
    ));
    format!("<section class=\"charts\">\n{}</section>\n", charts.concat())
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

fn tables(report: &Report) -> String {
    let mut tables = html_table("Percentiles", &report.lines());
    let names: Vec<_> = report
        .refusals
        .iter()
        .map(|(name, count)| Named { what: "refused", name: name.clone(), count: *count })
        .chain(report.errors.iter().map(|(name, count)| Named {
            what: "failed",
            name: name.clone(),
            count: *count,
        }))
        .collect();
    if !names.is_empty() {
        tables.push_str(&html_table("Refusals and errors, of all calls", &names));
    }
    if let Some(ramp) = &report.sort.ramp {
        tables.push_str(&html_table("Steps, in the order in which they were tried", &ramp.steps));
    }
    format!("<section>\n{tables}</section>\n")
}

/// A reason, and how often it came.
#[derive(Debug, serde::Serialize)]
struct Named {
    what: &'static str,
    name: String,
    count: u64,
}

impl Row for Named {
    const HEAD: &'static [&'static str] = &["outcome", "reason", "calls"];

    fn cells(&self) -> Vec<String> {
        vec![self.what.to_owned(), self.name.clone(), self.count.to_string()]
    }
}

fn html_table<R: Row>(title: &str, rows: &[R]) -> String {
    let cell = |tag: &str, text: &str| format!("<{tag}>{}</{tag}>", escape(text));
    let head: String = R::HEAD.iter().map(|name| cell("th", name)).collect();
    let body: String = rows
        .iter()
        .map(|row| {
            let cells: String = row.cells().iter().map(|text| cell("td", text)).collect();
            format!("<tr>{cells}</tr>\n")
        })
        .collect();
    format!("<h2>{title}</h2>\n<table>\n<tr>{head}</tr>\n{body}</table>\n")
}

fn books(report: &Report) -> String {
    let text = match &report.books {
        Some(books) => books.text(),
        None => "The gateway did not answer: the books were not checked.".to_owned(),
    };
    let class = if report.books.as_ref().is_some_and(|books| books.right) { "good" } else { "bad" };
    format!("<section>\n<h2>Books</h2>\n<pre class=\"{class}\">{}</pre>\n</section>\n", escape(&text))
}

fn foot(report: &Report) -> String {
    format!(
        "<footer>\n<p>Calls are sent when they are due, however many are under way: an open loop. Latency counts from the moment \
         a call was due, service time from the moment it was sent; calls that were never sent count with the time they had \
         waited. SKUs: {}&hellip;</p>\n<p>stockgate {}</p>\n</footer>\n",
        escape(&report.sku_prefix),
        env!("CARGO_PKG_VERSION")
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

/// The text with what HTML would read as markup written out.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
