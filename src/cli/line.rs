//! Lines as people write them: `SKU` or `SKU=3`.

use std::str::FromStr;

use crate::{
    domain,
    proto::{Line, Quantity},
};

/// A SKU and a quantity from the command line; one unit when none is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LineArg {
    sku: String,
    quantity: i64,
}

impl LineArg {
    pub(super) fn into_line(self) -> Line {
        Line { sku: self.sku, quantity: self.quantity, expected_version: None }
    }

    pub(super) fn into_quantity(self) -> Quantity {
        Quantity { sku: self.sku, quantity: self.quantity }
    }
}

impl FromStr for LineArg {
    type Err = String;

    /// Splits at the last `=`, since a SKU may contain one.
    fn from_str(text: &str) -> Result<Self, String> {
        let (sku, quantity) = match text.rsplit_once('=') {
            None => (text, 1),
            Some((sku, digits)) => {
                let quantity = digits.parse().map_err(|_| {
                    format!(
                        "{digits:?} is not a quantity: write SKU=3, and SKU=1 for a SKU that contains '='"
                    )
                })?;
                (sku, quantity)
            }
        };
        domain::Sku::parse(sku).map_err(|problem| format!("sku {problem}"))?;
        domain::Quantity::parse(quantity).map_err(|problem| format!("quantity {problem}"))?;
        Ok(Self { sku: sku.to_owned(), quantity })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sku_with_and_without_quantity() {
        let check = |text: &str, sku: &str, quantity| {
            assert_eq!(text.parse(), Ok(LineArg { sku: sku.to_owned(), quantity }), "{text}");
        };
        check("A", "A", 1);
        check("A=3", "A", 3);
        check("A=+3", "A", 3);
        check("a=b=3", "a=b", 3);
        check("x=1000000000", "x", 1_000_000_000);
    }

    #[test]
    fn wrong_lines_say_what_is_wrong() {
        let check = |text: &str, said: &str| {
            let error = text.parse::<LineArg>().unwrap_err();
            assert!(error.contains(said), "{text:?}: {error}");
        };
        check("", "sku must not be empty");
        check("=3", "sku must not be empty");
        check("A=", "is not a quantity");
        check("A=x", "write SKU=3");
        check("A=1.5", "is not a quantity");
        check("A=0", "quantity must be 1 to");
        check("A=-1", "quantity must be 1 to");
        check("A=1000000001", "is 1000000001");
        check("A B=1", "printable ASCII without space");
    }
}
