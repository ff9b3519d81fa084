//! The report as one HTML file that needs no other: no script, no font, no style from elsewhere.

use std::fmt::Write as _;

use super::{
    super::output::Row, books::Books, figures, quantiles::show_us, ramp::Step, report::Report,
    text::show_rate,
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
    let parts =
        [head(report), tiles(report), figures::html(report), tables(report), books(report), foot(report)];
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

/// The text with what HTML would read as markup written out.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
