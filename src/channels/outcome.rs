//! What a channel said about one item. Matched without a wildcard, so that a new class shows every place that must
//! decide about it.

use std::{fmt, time::Duration};

/// What became of one item of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushOutcome {
    /// The channel shows the number.
    Applied,
    /// The channel cannot take it now; nothing is wrong with the item.
    RetryAfter {
        /// How long the channel asked to be left alone, above zero; None: it did not say.
        after: Option<Duration>,
        /// What it said.
        error: ErrorText,
    },
    /// The channel will not take it, now or later, until somebody changes something.
    Rejected {
        /// What it said.
        error: ErrorText,
    },
    /// The call went out and no answer came: the channel may or may not show the number. Push again.
    Unknown {
        /// What happened.
        error: ErrorText,
    },
}

impl PushOutcome {
    /// What went wrong; None when nothing did.
    pub fn error(&self) -> Option<&ErrorText> {
        match self {
            Self::Applied => None,
            Self::RetryAfter { error, .. } | Self::Rejected { error } | Self::Unknown { error } => {
                Some(error)
            }
        }
    }
}

/// What went wrong, fit for a table, a log line and a Redis field: one line of at most 200 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct ErrorText(String);

impl ErrorText {
    /// Bytes in the longest.
    pub const BYTES_MAX: usize = 200;

    /// Shortens any text to one line: white space runs become one space, other control characters vanish.
    pub fn new(text: &str) -> Self {
        let mut line = String::new();
        for word in text.split_whitespace() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.extend(word.chars().filter(|c| !c.is_control()));
            if line.len() > Self::BYTES_MAX {
                break;
            }
        }
        if line.len() > Self::BYTES_MAX {
            let end = line.floor_char_boundary(Self::BYTES_MAX - "…".len());
            line.truncate(end);
            line.push('…');
        }
        Self(line)
    }

    /// The line.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ErrorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ErrorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_text_is_one_short_line() {
        let check = |text: &str, line: &str| assert_eq!(ErrorText::new(text).as_str(), line);
        check("", "");
        check("503: busy", "503: busy");
        check(" a\r\n\tb\u{2028}c \u{1b}[31mred\0 ", "a b c [31mred");
        check(&"x".repeat(200), &"x".repeat(200));
        check(&"x".repeat(201), &format!("{}…", "x".repeat(197)));
        check(&"é".repeat(5_000), &format!("{}…", "é".repeat(98)));
    }
}
