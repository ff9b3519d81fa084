//! What is wrong with a rate table, all of it at once: which file, which line, which field, and what to do.

use std::fmt;

/// Mistakes told at most; a table with more has one cause, and the first ones show it.
const MISTAKES_MAX: usize = 100;
/// How alike two names must be before one is suggested for the other; lower ones are noise.
const ALIKE_MIN: f64 = 0.75;

/// One thing that is wrong with a rate table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file, as it was named.
    pub file: String,
    /// The line in it, from 1; None: the file as a whole.
    pub line: Option<usize>,
    /// What is wrong: the service or row and its field first, then how to put it right.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

/// Why a rate table cannot be used; at least one mistake.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(mistakes, *left_out))]
pub struct RateTableError {
    /// In the order they were found, at most 100.
    pub mistakes: Vec<Mistake>,
    /// How many more there are.
    pub left_out: usize,
}

fn lines(mistakes: &[Mistake], left_out: usize) -> String {
    let mut lines: Vec<String> = mistakes.iter().map(Mistake::to_string).collect();
    if left_out > 0 {
        lines.push(format!("and {left_out} more"));
    }
    lines.join("\n")
}

/// The mistakes found so far.
#[derive(Debug, Default)]
pub(super) struct Mistakes {
    found: Vec<Mistake>,
    left_out: usize,
}

impl Mistakes {
    /// Adds one.
    pub(super) fn add(&mut self, file: &str, line: Option<usize>, message: String) {
        if self.found.len() == MISTAKES_MAX {
            self.left_out += 1;
            return;
        }
        self.found.push(Mistake { file: file.to_owned(), line, message });
    }

    /// The error they make; None when there are none.
    pub(super) fn into_error(self) -> Option<RateTableError> {
        let Self { found, left_out } = self;
        (!found.is_empty()).then_some(RateTableError { mistakes: found, left_out })
    }
}

/// What to do about an unknown name: the one it was probably meant to be, else the first few there are.
pub(super) fn instead<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let scored = known.iter().map(|known| (*known, strsim::jaro_winkler(name, known)));
    let alike = scored.filter(|(_, score)| *score >= ALIKE_MIN).max_by(|(_, a), (_, b)| a.total_cmp(b));
    match alike {
        Some((nearest, _)) => format!("did you mean {nearest:?}?"),
        None if known.is_empty() => "there are none".to_owned(),
        None => {
            let more = if known.len() > 10 { ", …" } else { "" };
            format!("there are {}{more}", known[..known.len().min(10)].join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_hundred_are_told_and_the_rest_counted() {
        let mut mistakes = Mistakes::default();
        (1..=102).for_each(|line| mistakes.add("a.csv", Some(line), "is wrong".to_owned()));
        let error = mistakes.into_error().expect("mistakes");
        assert_eq!((error.mistakes.len(), error.left_out), (100, 2));
        let text = error.to_string();
        assert!(text.starts_with("a.csv:1: is wrong\n") && text.ends_with("\nand 2 more"), "{text}");
        assert_eq!(Mistakes::default().into_error(), None);
    }

    #[test]
    fn a_wrong_name_leads_to_a_right_one() {
        let check = |name, known: &[&str], expected: &str| {
            assert_eq!(instead(name, known.iter().copied()), expected);
        };
        check("domestik", &["eu", "domestic"], "did you mean \"domestic\"?");
        check("xyz", &["eu", "domestic"], "there are eu, domestic");
        check("xyz", &[], "there are none");
        check("q", &["b"; 11], "there are b, b, b, b, b, b, b, b, b, b, …");
    }
}
