//! What was done to dead letters, summed over the calls it took.

use serde::Serialize;

use super::{
    super::{
        Verdict,
        failure::CliError,
        output::{Output, table},
    },
    letter::LetterRow,
};
use crate::proto::DeadLetter;

/// Letters shown of those found.
const SAMPLE_MAX: usize = 100;

/// What was found and done.
#[derive(Debug, Serialize)]
pub(super) struct Treated {
    #[serde(skip)]
    verb: &'static str,
    dry_run: bool,
    matched_count: i64,
    treated_count: i64,
    sample: Vec<LetterRow>,
}

impl Treated {
    /// Nothing yet; `verb` is what is done to them, in the past tense.
    pub(super) fn begin(verb: &'static str, dry_run: bool) -> Self {
        Self { verb, dry_run, matched_count: 0, treated_count: 0, sample: Vec::new() }
    }

    /// Adds what one call did.
    pub(super) fn add(&mut self, matched: i64, treated: i64, sample: Vec<DeadLetter>) {
        self.matched_count += matched;
        self.treated_count += treated;
        let room = SAMPLE_MAX - self.sample.len();
        self.sample.extend(sample.into_iter().take(room).map(LetterRow::from));
    }

    /// Says on stderr what earlier calls did, when a later one failed.
    pub(super) fn failed(&self, status: tonic::Status) -> CliError {
        if self.treated_count > 0 {
            eprintln!(
                "{} dead letters were {} before this: run it again for the rest",
                self.treated_count, self.verb
            );
        }
        status.into()
    }

    /// Prints it; letters that were found and left alone are a finding.
    pub(super) fn print(&self, output: Output) -> Result<Verdict, CliError> {
        output.text_or_json(self, Self::text)?;
        Ok(Verdict::of_findings(!self.dry_run && self.treated_count < self.matched_count))
    }

    fn text(&self) -> String {
        let Self { verb, matched_count, treated_count, sample, .. } = self;
        if *matched_count == 0 {
            return "no dead letters there".to_owned();
        }
        if !self.dry_run {
            let left = matched_count - treated_count;
            return match left {
                0 => format!("{treated_count} dead letters {verb}"),
                left => format!(
                    "{treated_count} dead letters {verb}; {left} left alone: no longer dead, or of a broken stock record"
                ),
            };
        }
        let shown = match usize::try_from(*matched_count) {
            Ok(count) if count == sample.len() => String::new(),
            _ => format!(", of which {}", sample.len()),
        };
        format!("{matched_count} dead letters would be {verb}{shown}:\n{}", table(sample))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_done_and_what_would_be() {
        let mut none = Treated::begin("replayed", false);
        assert_eq!(none.text(), "no dead letters there");
        none.add(3, 3, vec![DeadLetter::default(); 3]);
        assert_eq!(none.text(), "3 dead letters replayed");
        none.add(2, 1, Vec::new());
        assert!(none.text().starts_with("4 dead letters replayed; 1 left alone"), "{}", none.text());
        let mut dry = Treated::begin("discarded", true);
        for _ in 0..3 {
            dry.add(50, 0, vec![DeadLetter::default(); 50]);
        }
        let text = dry.text();
        assert!(text.starts_with("150 dead letters would be discarded, of which 100:\nCHANNEL"), "{text}");
    }
}
