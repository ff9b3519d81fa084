//! Progress of the sale: a bar on a terminal, a plain line now and then elsewhere.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressStyle};

/// Lines printed over the whole way where there is no terminal.
const PLAIN_LINES: u64 = 10;

/// Steps towards a known end.
pub(super) struct Progress {
    what: &'static str,
    bar: Option<ProgressBar>,
    step_count: u64,
    step_count_max: u64,
}

impl Progress {
    pub(super) fn new(what: &'static str, step_count_max: u64) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg} [{elapsed}]")
                .expect("the template is a constant that parses");
            ProgressBar::new(step_count_max).with_style(style)
        });
        Self { what, bar, step_count: 0, step_count_max }
    }

    /// One step further.
    pub(super) fn step(&mut self, sold: u64, refused: u64) {
        self.step_count += 1;
        let said = format!("{}: {sold} sold, {refused} refused", self.what);
        if let Some(bar) = &self.bar {
            bar.set_message(said);
            bar.inc(1);
        } else if is_milestone(self.step_count, self.step_count_max) {
            eprintln!("{}/{} {said}", self.step_count, self.step_count_max);
        }
    }

    pub(super) fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish();
        }
    }
}

fn is_milestone(step_count: u64, step_count_max: u64) -> bool {
    let tenth = |count: u64| count * PLAIN_LINES / step_count_max.max(1);
    tenth(step_count) > tenth(step_count - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_output_has_ten_lines_and_ends_at_the_end() {
        let lines: Vec<_> = (1..=3_217).filter(|step| is_milestone(*step, 3_217)).collect();
        assert_eq!(lines.len(), 10);
        assert_eq!(lines.last(), Some(&3_217));
        assert_eq!((1..=3).filter(|step| is_milestone(*step, 3)).count(), 3);
    }
}
