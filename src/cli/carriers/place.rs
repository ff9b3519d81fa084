//! The ends of a way as people write them: `DE:10115`, `US:94107:CA:San Francisco:1 Main St`.

use std::str::FromStr;

use crate::{
    domain::carrier::{Country, PostalCode},
    proto::Address,
};

/// An end of a way from the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PlaceArg {
    country: Country,
    postal_code: PostalCode,
    state: String,
    city: String,
    street: String,
}

impl PlaceArg {
    /// `residential`: whether somebody lives there; None when unknown.
    pub(super) fn into_address(self, residential: Option<bool>) -> Address {
        Address {
            country: self.country.code().to_owned(),
            postal_code: self.postal_code.as_str().to_owned(),
            state: self.state,
            city: self.city,
            street: self.street,
            residential,
        }
    }
}

impl FromStr for PlaceArg {
    type Err = String;

    /// Splits at the first four `:`; only the country has to be there.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.splitn(5, ':').map(str::trim);
        let mut next = || parts.next().unwrap_or_default();
        let form = "write it like DE:10115 or US:94107:CA:City:Street";
        let country = Country::parse(next()).map_err(|problem| format!("country {problem}; {form}"))?;
        let postal_code =
            PostalCode::parse(next()).map_err(|problem| format!("postal code {problem}; {form}"))?;
        let [state, city, street] = [next(), next(), next()].map(str::to_owned);
        Ok(Self { country, postal_code, state, city, street })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_country_must_be_there() {
        let check = |text: &str, parts: [&str; 5]| {
            let address = text.parse::<PlaceArg>().unwrap().into_address(None);
            let Address { country, postal_code, state, city, street, residential } = address;
            assert_eq!([country, postal_code, state, city, street], parts.map(str::to_owned), "{text}");
            assert_eq!(residential, None);
        };
        check("HK", ["HK", "", "", "", ""]);
        check("de:10 115", ["DE", "10115", "", "", ""]);
        check("US:94107:CA", ["US", "94107", "CA", "", ""]);
        check("DE:10115::Berlin:Weg 1: left", ["DE", "10115", "", "Berlin", "Weg 1: left"]);
    }

    #[test]
    fn wrong_places_say_how_to_write_them() {
        for bad in ["", "Germany", "ZZ:1", ":10115", "DE-10115", "DE:12345678901", "DE:1_2"] {
            let error = bad.parse::<PlaceArg>().unwrap_err();
            assert!(error.contains("write it like DE:10115"), "{bad:?}: {error}");
        }
    }
}
