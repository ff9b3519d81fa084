//! What a foreign server said, cut to what can be shown anywhere.

use std::fmt;

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
