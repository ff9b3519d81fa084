//! Progress of a run on stderr: a line that changes every second on a terminal, a plain one every ten seconds elsewhere.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{
    quantiles::{Latencies, show_us},
    tally::{Counts, Tally},
};

const TERMINAL_INTERVAL: Duration = Duration::from_secs(1);
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// Says how a run goes.
#[derive(Debug)]
pub(super) struct Progress {
    line: Option<ProgressBar>,
    interval: Duration,
    said_at: Duration,
    said: Counts,
}

impl Progress {
    pub(super) fn new() -> Self {
        let line = io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg}")
                .expect("the template is a constant that parses");
            ProgressBar::new_spinner().with_style(style)
        });
        let interval = if line.is_some() { TERMINAL_INTERVAL } else { PLAIN_INTERVAL };
        Self { line, interval, said_at: Duration::ZERO, said: Counts::default() }
    }

    /// Says something that takes a while.
    pub(super) fn say(&self, what: &str) {
        if let Some(line) = &self.line {
            line.set_message(what.to_owned());
            line.tick();
        }
    }

    /// Looks whether it is time for the next line, `elapsed` after the start of the run.
    pub(super) fn watch(&mut self, tally: &Tally, elapsed: Duration) {
        let since = elapsed.saturating_sub(self.said_at);
        if since < self.interval {
            return;
        }
        let counts = tally.counts();
        let text = line(tally, &self.said, &counts, self.said_at, elapsed);
        (self.said_at, self.said) = (elapsed, counts);
        match &self.line {
            Some(line) => {
                line.set_message(text);
                line.tick();
            }
            None => eprintln!("{text}"),
        }
    }

    pub(super) fn finish(self) {
        if let Some(line) = self.line {
            line.finish_and_clear();
        }
    }
}

fn line(tally: &Tally, before: &Counts, now: &Counts, from: Duration, to: Duration) -> String {
    let seconds = to.saturating_sub(from).as_secs_f64();
    let per_s = |count: fn(&Counts) -> u64| (count(now) - count(before)) as f64 / seconds;
    let under_way = now.due - now.unsent - now.answered() - now.failed;
    format!(
        "{:.0} s: {:.0}/s asked, {:.0}/s answered, {:.0}/s failed, {under_way} under way, p99 {}",
        to.as_secs_f64(),
        per_s(|counts| counts.due),
        per_s(Counts::answered),
        per_s(|counts| counts.failed),
        show_us(p99_between(tally, from, to))
    )
}

/// Of the calls due in a stretch of time; slices that begin in it count whole.
fn p99_between(tally: &Tally, from: Duration, to: Duration) -> u64 {
    let mut latency = Latencies::coarse();
    let begins_within = |number: u32| (from..to).contains(&(tally.slice_length * number));
    for (_, slice) in (0..).zip(&tally.slices).filter(|(number, _)| begins_within(*number)) {
        latency.add(&slice.latency);
    }
    latency.at(0.99)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            call::{Fault, Outcome},
            schedule::steady,
            tally::Took,
        },
        *,
    };

    #[test]
    fn line_tells_of_the_last_second_only() {
        let mut tally = Tally::new(Duration::from_secs(10));
        let phase = tally.begin(&steady(10.0, Duration::from_secs(10)));
        let fault = Fault { name: "X".to_owned(), message: String::new(), is_unknown: false };
        let took = |ms| Took { latency: Duration::from_millis(ms), service: Duration::ZERO };
        tally.sent(phase, Duration::ZERO, Duration::ZERO);
        tally.landed(phase, Duration::ZERO, took(900), &Outcome::Failed(fault.clone()));
        let before = tally.counts();
        for tenth in 10..20 {
            tally.sent(phase, Duration::from_millis(tenth * 100), Duration::ZERO);
        }
        tally.landed(phase, Duration::from_secs(1), took(5), &Outcome::Failed(fault));
        let said = line(&tally, &before, &tally.counts(), Duration::from_secs(1), Duration::from_secs(2));
        assert!(
            said.starts_with("2 s: 10/s asked, 0/s answered, 1/s failed, 9 under way, p99 5.0"),
            "{said}"
        );
    }
}
