//! Amounts of money as people write and read them: `49.90EUR`, `49.90 EUR`.

use std::str::FromStr;

use serde::Serialize;

use crate::{
    domain::carrier::{Currency, Money},
    proto,
};

/// An amount from the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AmountArg(Money);

impl AmountArg {
    /// Its currency, in three letters.
    pub(super) fn currency(&self) -> &'static str {
        self.0.currency().code()
    }

    pub(super) fn into_proto(self) -> proto::Money {
        proto::Money { amount_minor: self.0.minor(), currency: self.currency().to_owned() }
    }
}

impl FromStr for AmountArg {
    type Err = String;

    /// Takes nothing finer than the minor unit: a person who writes it means something else.
    fn from_str(text: &str) -> Result<Self, String> {
        let unclear = || format!("{text:?} is not an amount: write it like 49.90EUR");
        let letters = text.len().checked_sub(3).and_then(|at| text.split_at_checked(at));
        let (number, code) = letters.ok_or_else(unclear)?;
        let number = number.trim_end();
        let currency =
            Currency::parse(code).map_err(|problem| format!("{}: currency {problem}", unclear()))?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !is_digits(whole) || !is_digits(fraction) {
            return Err(unclear());
        }
        let digits = currency.minor_digits();
        if fraction.len() > usize::try_from(digits).unwrap_or(usize::MAX) {
            return Err(format!("{text:?} is finer than {currency} is: {digits} digits behind the point"));
        }
        Money::from_decimal(number, currency).map(Self).map_err(|problem| problem.to_string())
    }
}

/// An amount that was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Amount {
    amount_minor: i64,
    currency: String,
}

impl From<proto::Money> for Amount {
    fn from(money: proto::Money) -> Self {
        Self { amount_minor: money.amount_minor, currency: money.currency }
    }
}

impl Amount {
    /// Another amount of the same currency, in minor units.
    pub(super) fn with_minor(&self, amount_minor: i64) -> Self {
        Self { amount_minor, currency: self.currency.clone() }
    }

    /// "7.42 EUR"; what this program does not know as money is shown as it came.
    pub(super) fn text(&self) -> String {
        let Self { amount_minor, currency } = self;
        let known = Currency::parse(currency).ok().and_then(|known| Money::new(*amount_minor, known).ok());
        match known {
            Some(money) => money.to_string(),
            None if currency.is_empty() => String::new(),
            None => format!("{amount_minor} minor units of {currency}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_whole_minor_units() {
        let check = |text: &str, minor, currency| {
            let money = text.parse::<AmountArg>().map(AmountArg::into_proto);
            assert_eq!(
                money.map(|money| (money.amount_minor, money.currency)),
                Ok((minor, currency)),
                "{text}"
            );
        };
        check("49.90EUR", 4_990, "EUR".to_owned());
        check("49.9 eur", 4_990, "EUR".to_owned());
        check("0USD", 0, "USD".to_owned());
        check("1200JPY", 1_200, "JPY".to_owned());
    }

    #[test]
    fn wrong_amounts_say_how_to_write_them() {
        let check = |text: &str, said: &str| {
            let error = text.parse::<AmountArg>().unwrap_err();
            assert!(error.contains(said), "{text:?}: {error}");
        };
        for bad in ["", "EUR", "49.90", "49,90EUR", "-1EUR", "1e3EUR", "ü€", "49.90XXE"] {
            check(bad, "write it like 49.90EUR");
        }
        check("49.901EUR", "2 digits behind the point");
        check("10.5JPY", "0 digits behind the point");
        check("99999999999EUR", "must be 0 to");
    }

    #[test]
    fn answered_amounts_show_their_digits() {
        let shown = |amount_minor, currency: &str| {
            Amount::from(proto::Money { amount_minor, currency: currency.to_owned() }).text()
        };
        assert_eq!(shown(742, "EUR"), "7.42 EUR");
        assert_eq!(shown(-1, "EUR"), "-1 minor units of EUR");
        assert_eq!(Amount::default().text(), "");
    }
}
