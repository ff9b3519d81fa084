//! What is wrong with a request, collected field by field and said at once.

use std::{borrow::Cow, fmt::Display};

use tonic::Code;

use super::{details::Details, problem::Problem};

/// As `level.MAX` of the scripts: no SKU comes near it, and Lua prints larger numbers with an exponent.
const VERSION_MAX: i64 = 10_000_000_000_000;

/// The reason of every malformed request.
const MALFORMED_REQUEST: &str = "MALFORMED_REQUEST";

#[derive(Debug)]
struct Violation {
    field: Cow<'static, str>,
    description: String,
}

/// The faults found so far; a good request allocates nothing here.
#[derive(Debug, Default)]
pub(super) struct Violations(Vec<Violation>);

impl Violations {
    /// Records that a field breaks a rule.
    pub(super) fn add(&mut self, field: impl Into<Cow<'static, str>>, description: impl Display) {
        self.0.push(Violation { field: field.into(), description: description.to_string() });
    }

    /// Whether nothing was found.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the value, or records why there is none.
    pub(super) fn take<T>(&mut self, field: &'static str, parsed: Result<T, impl Display>) -> Option<T> {
        self.take_at(|| Cow::Borrowed(field), parsed)
    }

    /// Like [`Self::take`] for fields whose path is only spelled when it is needed.
    pub(super) fn take_at<T>(
        &mut self,
        field: impl FnOnce() -> Cow<'static, str>,
        parsed: Result<T, impl Display>,
    ) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(problem) => {
                self.add(field(), problem);
                None
            }
        }
    }

    /// Accepts versions from 0 to what scripts count exactly.
    pub(super) fn take_version(
        &mut self,
        field: impl FnOnce() -> Cow<'static, str>,
        version: i64,
    ) -> Option<i64> {
        if version > VERSION_MAX {
            let what = format_args!(
                "must be at most {VERSION_MAX}, is {version}: give the version an answer showed"
            );
            self.add(field(), what);
            return None;
        }
        if version >= 0 {
            return Some(version);
        }
        self.add(field(), format_args!("must be 0 or more, is {version}: give the version an answer showed"));
        None
    }

    /// INVALID_ARGUMENT naming every field.
    pub(super) fn into_problem(self) -> Problem {
        let message = match self.0.as_slice() {
            // Callers give up on the request only after recording why.
            [] => "the request is malformed".to_owned(),
            [one] => format!("{} {}", one.field, one.description),
            [first, rest @ ..] => {
                format!("{} {}; and {} more, see the details", first.field, first.description, rest.len())
            }
        };
        let mut details = Details::default();
        let mut list = details.bad_request();
        for violation in &self.0 {
            list.field(&violation.field, format_args!("{}", violation.description));
        }
        let omitted = list.end();
        let omitted = (omitted > 0).then(|| omitted.to_string());
        details.info(MALFORMED_REQUEST, omitted.as_deref().map(|count| ("omitted", count)));
        Problem { code: Code::InvalidArgument, reason: MALFORMED_REQUEST, message, details, replayed: false }
    }
}

impl Problem {
    /// INVALID_ARGUMENT for one field whose rule only its reader knows (page tokens, `as_of_event`).
    pub fn invalid(field: &'static str, description: impl Display) -> Self {
        let mut bad = Violations::default();
        bad.add(field, description);
        bad.into_problem()
    }
}
