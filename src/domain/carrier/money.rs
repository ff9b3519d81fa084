//! Amounts of money: whole minor units with a currency, never floating point.

use std::{fmt, str::FromStr as _};

use rust_decimal::{Decimal, RoundingStrategy};

/// The largest amount: 10^12 minor units, ten thousand million euros. Products with a reliability stay far inside 128 bits.
pub const MINOR_MAX: i64 = 1_000_000_000_000;

/// Why a text is no currency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a currency of ISO 4217 such as \"EUR\", is {given:?}")]
pub struct CurrencyProblem {
    /// The text given, cut to 16 characters.
    pub given: String,
}

/// A currency of ISO 4217.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// Accepts the three letters, in either case: carriers write both.
    pub fn parse(code: &str) -> Result<Self, CurrencyProblem> {
        iso_currency::Currency::from_code(&code.to_ascii_uppercase())
            .map(Self)
            .ok_or_else(|| CurrencyProblem { given: code.chars().take(16).collect() })
    }

    /// The three letters.
    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// Digits behind the point: 2 for the euro, 0 for the yen.
    pub fn minor_digits(self) -> u32 {
        u32::from(self.0.exponent().unwrap_or(0))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Why an amount was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyProblem {
    /// Below zero or beyond [`MINOR_MAX`].
    #[error("must be 0 to {MINOR_MAX} minor units, is {given}")]
    OutOfRange {
        /// The amount given, as far as it can be shown.
        given: String,
    },
    /// No decimal number.
    #[error("must be a decimal number such as \"7.42\", is {given:?}")]
    NoNumber {
        /// The text given, cut to 32 characters.
        given: String,
    },
}

/// An amount of 0 to [`MINOR_MAX`] minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

impl Money {
    /// Accepts 0 to [`MINOR_MAX`] minor units.
    pub fn new(minor: i64, currency: Currency) -> Result<Self, MoneyProblem> {
        if (0..=MINOR_MAX).contains(&minor) {
            Ok(Self { minor, currency })
        } else {
            Err(MoneyProblem::OutOfRange { given: minor.to_string() })
        }
    }

    /// Nothing.
    pub fn zero(currency: Currency) -> Self {
        Self { minor: 0, currency }
    }

    /// Reads what carriers write, such as `7.42`. What is finer than the minor unit is rounded up: a price must not look lower
    /// than it is.
    pub fn from_decimal(text: &str, currency: Currency) -> Result<Self, MoneyProblem> {
        let no_number = || MoneyProblem::NoNumber { given: text.chars().take(32).collect() };
        let decimal = Decimal::from_str(text.trim()).or_else(|_| Decimal::from_scientific(text.trim()));
        let decimal = decimal.map_err(|_| no_number())?;
        let scale = Decimal::from(10_u64.pow(currency.minor_digits()));
        let minor = decimal
            .checked_mul(scale)
            .map(|minor| minor.round_dp_with_strategy(0, RoundingStrategy::ToPositiveInfinity))
            .and_then(|minor| i64::try_from(minor).ok());
        let out_of_range = || MoneyProblem::OutOfRange { given: text.chars().take(32).collect() };
        Self::new(minor.ok_or_else(out_of_range)?, currency)
    }

    /// The amount, in minor units.
    pub fn minor(self) -> i64 {
        self.minor
    }

    /// Its currency.
    pub fn currency(self) -> Currency {
        self.currency
    }

    /// The sum; None when the currencies differ or the sum is too large.
    pub fn plus(self, other: Self) -> Option<Self> {
        let sum = self.minor + other.minor;
        (self.currency == other.currency && sum <= MINOR_MAX).then_some(Self { minor: sum, ..self })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", Decimal::new(self.minor, self.currency.minor_digits()), self.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_and_round_up() {
        let check = |text: &str, code: &str, expected: Option<i64>| {
            let currency = Currency::parse(code).expect("a currency");
            assert_eq!(Money::from_decimal(text, currency).ok().map(Money::minor), expected, "{text} {code}");
        };
        check("7.42", "EUR", Some(742));
        check("7.4", "usd", Some(740));
        check("0.1", "EUR", Some(10));
        check("0.29", "EUR", Some(29));
        check("7.421", "EUR", Some(743));
        check("1.2e1", "EUR", Some(1_200));
        check("742", "JPY", Some(742));
        check("742.1", "JPY", Some(743));
        check("1.234", "KWD", Some(1_234));
        check("-0.01", "EUR", None);
        check("10000000000.01", "EUR", None);
        check("1e30", "EUR", None);
        check("NaN", "EUR", None);
        check("", "EUR", None);
    }

    #[test]
    fn money_shows_its_digits() {
        let shown = |minor, code| {
            Money::new(minor, Currency::parse(code).expect("known")).expect("in range").to_string()
        };
        assert_eq!(shown(5, "EUR"), "0.05 EUR");
        assert_eq!(shown(742, "JPY"), "742 JPY");
        assert!(Currency::parse("EURO").is_err() && Currency::parse("ZZZ").is_err());
    }

    #[test]
    fn sums_stay_in_one_currency_and_in_range() {
        let [euro, dollar] = ["EUR", "USD"].map(|code| Currency::parse(code).expect("known"));
        let one = |currency| Money::new(1, currency).expect("in range");
        assert_eq!(one(euro).plus(one(euro)).map(Money::minor), Some(2));
        assert_eq!(one(euro).plus(one(dollar)), None);
        assert_eq!(Money::new(MINOR_MAX, euro).expect("in range").plus(one(euro)), None);
        assert!(Money::new(-1, euro).is_err() && Money::new(MINOR_MAX + 1, euro).is_err());
    }
}
