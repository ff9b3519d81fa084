//! The alphabet of ids and notes: what may be written where, and how long.

use std::fmt;

/// Why a text was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextProblem {
    /// Nothing was given where something must be.
    #[error("must not be empty")]
    Empty,
    /// More bytes than allowed.
    #[error("must be at most {max} bytes, is {len}")]
    TooLong {
        /// Bytes given.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A byte outside the allowed alphabet.
    #[error("must be {alphabet}, has byte 0x{byte:02x} at position {position}")]
    BadByte {
        /// What is allowed, in words.
        alphabet: &'static str,
        /// The offending byte.
        byte: u8,
        /// Where it stands, from 0.
        position: usize,
    },
}

/// Checks a text of 1 to `max` bytes made of the bytes `allowed` accepts.
pub(super) fn check(
    text: &str,
    max: usize,
    alphabet: &'static str,
    allowed: fn(u8) -> bool,
) -> Result<(), TextProblem> {
    if text.is_empty() {
        return Err(TextProblem::Empty);
    }
    check_len(text, max)?;
    match text.bytes().position(|byte| !allowed(byte)) {
        Some(position) => Err(TextProblem::BadByte { alphabet, byte: text.as_bytes()[position], position }),
        None => Ok(()),
    }
}

fn check_len(text: &str, max: usize) -> Result<(), TextProblem> {
    if text.len() > max { Err(TextProblem::TooLong { len: text.len(), max }) } else { Ok(()) }
}

/// A free note (order ref, reason, actor): at most `MAX` bytes of UTF-8 without control characters; may be empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// Accepts at most `MAX` bytes without control characters.
    pub fn parse(text: String) -> Result<Self, TextProblem> {
        check_len(&text, MAX)?;
        match text.char_indices().find(|(_, c)| c.is_control()) {
            Some((position, _)) => Err(TextProblem::BadByte {
                alphabet: "UTF-8 without control characters",
                byte: text.as_bytes()[position],
                position,
            }),
            None => Ok(Self(text)),
        }
    }

    /// The note.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
