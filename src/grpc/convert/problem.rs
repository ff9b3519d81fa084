//! A call that is answered with a status other than OK, before it is one.

use tonic::{Code, Status};

use super::details::Details;

/// Code, reason, message and details; becomes a [`Status`] with `?`.
#[derive(Debug, Clone)]
pub struct Problem {
    pub(super) code: Code,
    pub(super) reason: &'static str,
    pub(super) message: String,
    pub(super) details: Details,
    /// True when it is the first answer again.
    pub(super) replayed: bool,
}

impl Problem {
    /// A fault of the call without more to say than reason and message.
    pub(super) fn new(code: Code, reason: &'static str, message: String) -> Self {
        let mut details = Details::default();
        details.info(reason, []);
        Self { code, reason, message, details, replayed: false }
    }

    /// The code it is answered with.
    pub fn code(&self) -> Code {
        self.code
    }

    /// `ErrorInfo.reason`.
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    /// What is wrong and how to mend it.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        let bytes = problem.details.encode(problem.code, &problem.message);
        Self::with_details(problem.code, problem.message, bytes)
    }
}
