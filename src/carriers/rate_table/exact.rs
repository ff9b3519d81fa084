//! Decimal numbers as whole numbers of their smallest step: "12.75" with two digits is 1,275. Nothing is rounded.

/// Digits before the point at most; with four behind it a number still fits 64 bits.
const WHOLE_DIGITS_MAX: usize = 14;

/// Why a text is no such number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ExactProblem {
    /// Not digits with at most one point among them.
    #[error("must be a decimal number of 0 or more such as \"7.42\", is {given:?}")]
    NoNumber {
        /// The text given, cut to 32 characters.
        given: String,
    },
    /// More digits than the step has: a slip, or a sign for thousands.
    #[error("must have at most {digits} digits behind the point, is {given:?}")]
    TooFine {
        /// Digits allowed.
        digits: u32,
        /// The text given, cut to 32 characters.
        given: String,
    },
}

/// Reads a decimal number in steps of 10^-`digits`; `digits` is 0 to 4.
pub(super) fn steps(text: &str, digits: u32) -> Result<i64, ExactProblem> {
    let given = || text.chars().take(32).collect();
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if !is_digits(whole) || !is_digits(fraction) || whole.len() > WHOLE_DIGITS_MAX {
        return Err(ExactProblem::NoNumber { given: given() });
    }
    let fraction = fraction.trim_end_matches('0');
    let missing = usize::try_from(digits).ok().and_then(|digits| digits.checked_sub(fraction.len()));
    let Some(missing) = missing else { return Err(ExactProblem::TooFine { digits, given: given() }) };
    let all = format!("{whole}{fraction}{:0<missing$}", "");
    all.parse().map_err(|_| ExactProblem::NoNumber { given: given() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly_or_not_at_all() {
        let check = |text: &str, digits, expected: Option<i64>| {
            assert_eq!(steps(text, digits).ok(), expected, "{text} {digits}");
        };
        check("12.75", 2, Some(1_275));
        check("0.29", 2, Some(29));
        check("7", 2, Some(700));
        check("7.400", 2, Some(740));
        check("742", 0, Some(742));
        check("742.0", 0, Some(742));
        check("1.234", 3, Some(1_234));
        check("99999999999999.9999", 4, Some(999_999_999_999_999_999));
        for bad in ["", ".", "7.", ".5", "-1", "+1", "7,42", "1e3", " 7", "0.125", "100000000000000", "٣"] {
            check(bad, 2, None);
        }
    }
}
