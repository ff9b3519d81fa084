//! Where a parcel starts and ends, and the lane between.

use std::{fmt, sync::Arc};

use super::super::text::{Text, TextProblem, check};

/// Characters of the longest postal code, spaces left out.
const POSTAL_CODE_MAX: usize = 10;
/// Bytes in the longest lane: two countries, two postal codes and their signs.
const LANE_BYTES_MAX: usize = 32;

/// Why a text is no country.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a country of ISO 3166 in two letters such as \"DE\", is {given:?}")]
pub struct CountryProblem {
    /// The text given, cut to 16 characters.
    pub given: String,
}

/// A country of ISO 3166, by its two letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country(&'static str);

impl Country {
    /// Accepts the two letters, in either case.
    pub fn parse(code: &str) -> Result<Self, CountryProblem> {
        rust_iso3166::from_alpha2(&code.to_ascii_uppercase())
            .map(|country| Self(country.alpha2))
            .ok_or_else(|| CountryProblem { given: code.chars().take(16).collect() })
    }

    /// The two letters.
    pub fn code(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A postal code: up to 10 letters, digits and `-`, without spaces and in capitals; may be empty, as some countries have none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PostalCode(String);

impl PostalCode {
    /// Leaves spaces out, and turns letters into capitals.
    pub fn parse(text: &str) -> Result<Self, TextProblem> {
        let squeezed: String = text.chars().filter(|c| *c != ' ').map(|c| c.to_ascii_uppercase()).collect();
        if !squeezed.is_empty() {
            let is_postal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            check(&squeezed, POSTAL_CODE_MAX, "letters, digits, '-' and spaces", is_postal)?;
        }
        Ok(Self(squeezed))
    }

    /// The code.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One end of a way. Only country and postal code matter to rate tables and lanes; carriers' own prices may need the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The country.
    pub country: Country,
    /// The postal code.
    pub postal_code: PostalCode,
    /// State or province, where addresses have one.
    pub state: Text<64>,
    /// City.
    pub city: Text<128>,
    /// Street and number.
    pub street: Text<256>,
    /// Whether somebody lives there; None when nobody said.
    pub is_residential: Option<bool>,
}

/// Where parcels go from and to, as coarse as deliveries are counted: country and the first letters and digits of the postal code of
/// both ends, such as `DE-10:US-941`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane(Arc<str>);

impl Lane {
    /// The lane between two places, with this many characters (0 to 10) of their postal codes.
    pub fn between(origin: &Place, destination: &Place, postal_characters: usize) -> Self {
        let end = |place: &Place| {
            // Without `-`, which some write and some do not: 00-950 and 00950 are one place.
            let code = place.postal_code.as_str().chars().filter(|c| *c != '-');
            let prefix: String = code.take(postal_characters).collect();
            match prefix.as_str() {
                "" => place.country.code().to_owned(),
                prefix => format!("{}-{prefix}", place.country),
            }
        };
        Self(format!("{}:{}", end(origin), end(destination)).into())
    }

    /// Reads what SelectCarrier told.
    pub fn parse(text: &str) -> Result<Self, LaneProblem> {
        let is_lane = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b':';
        check(text, LANE_BYTES_MAX, "letters, digits, '-' and ':'", is_lane).map_err(LaneProblem::Text)?;
        let is_end = |end: &str| {
            let (country, code) = end.split_once('-').unwrap_or((end, ""));
            let is_whole = !end.ends_with('-') && code.bytes().all(|byte| !byte.is_ascii_lowercase());
            is_whole && Country::parse(country).is_ok_and(|parsed| parsed.code() == country)
        };
        match text.split_once(':') {
            Some((origin, destination)) if is_end(origin) && is_end(destination) => Ok(Self(text.into())),
            _ => Err(LaneProblem::Form { given: text.to_owned() }),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no lane.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaneProblem {
    /// Its letters or its length.
    #[error(transparent)]
    Text(TextProblem),
    /// Its parts.
    #[error("must be two places such as \"DE-10:US-941\", as SelectCarrier tells it, is {given:?}")]
    Form {
        /// The text given.
        given: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(country: &str, postal_code: &str) -> Place {
        Place {
            country: Country::parse(country).expect("a country"),
            postal_code: PostalCode::parse(postal_code).expect("a postal code"),
            state: Text::default(),
            city: Text::default(),
            street: Text::default(),
            is_residential: None,
        }
    }

    #[test]
    fn lanes_are_read_as_they_are_written() {
        let check = |from: (&str, &str), to: (&str, &str), characters, expected: &str| {
            let lane = Lane::between(&place(from.0, from.1), &place(to.0, to.1), characters);
            assert_eq!(lane.as_str(), expected);
            assert_eq!(Lane::parse(expected), Ok(lane));
        };
        check(("de", "10 115"), ("US", "94107-1234"), 3, "DE-101:US-941");
        check(("GB", "sw1a 1aa"), ("HK", ""), 2, "GB-SW:HK");
        check(("DE", "10115"), ("FR", "75001"), 0, "DE:FR");
        check(("US", "94107-1234"), ("US", "10"), 10, "US-941071234:US-10");
        check(("PL", "00-950"), ("LV", "LV-1010"), 3, "PL-009:LV-LV1");
        check(("PL", "00950"), ("SE", "SE-114 55"), 3, "PL-009:SE-SE1");
        for bad in ["", "DE", "DE:", "DE:ZZ", "de:FR", "DE-:FR", "DE-a:FR", "DE FR", "DE:FR:US"] {
            assert!(Lane::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn countries_and_postal_codes() {
        assert_eq!(Country::parse("de").map(Country::code), Ok("DE"));
        for bad in ["", "D", "DEU", "ZZ", "Ä"] {
            assert!(Country::parse(bad).is_err(), "{bad}");
        }
        assert!(PostalCode::parse("12345678901").is_err() && PostalCode::parse("1_2").is_err());
    }
}
