//! From two places to the zone between them: the longest match of the destination, then of the origin.

use std::collections::{HashMap, hash_map::Entry};

use crate::domain::carrier::{Country, Place, PostalCode};

/// Two letters of the country and ten characters of the postal code.
const END_BYTES: usize = 12;

/// One end of a zone: everywhere, a country, or a country and the beginning of its postal codes; filled up with zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct End([u8; END_BYTES]);

impl End {
    /// Reads `*`, `DE` or `DE-10`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self([0; END_BYTES]));
        }
        let (country, prefix) = match text.split_once('-') {
            Some((_, "")) => return Err(format!("must have a postal code behind the '-', is {text:?}")),
            Some((country, prefix)) => (country, prefix),
            None => (text, ""),
        };
        let country = Country::parse(country).map_err(|problem| problem.to_string())?;
        let prefix =
            PostalCode::parse(prefix).map_err(|problem| format!("postal code {prefix:?} {problem}"))?;
        Ok(Self::of(country, &prefix))
    }

    fn of(country: Country, postal_code: &PostalCode) -> Self {
        let mut bytes = [0; END_BYTES];
        let text = country.code().bytes().chain(postal_code.as_str().bytes());
        bytes.iter_mut().zip(text).for_each(|(byte, letter)| *byte = letter);
        Self(bytes)
    }

    fn len(self) -> usize {
        self.0.iter().take_while(|byte| **byte != 0).count()
    }

    fn cut_to(self, len: usize) -> Self {
        let mut bytes = self.0;
        bytes[len..].fill(0);
        Self(bytes)
    }
}

/// Which zone lies between which ends. Zones are numbers, from 0.
#[derive(Debug, Default)]
pub(super) struct ZoneMap {
    zones: HashMap<(End, End), u16>,
    /// Bit n: some end has n letters.
    origin_lens: u16,
    destination_lens: u16,
}

impl ZoneMap {
    /// Adds a way; the zone that has it already when there is one.
    pub(super) fn insert(&mut self, origin: End, destination: End, zone: u16) -> Result<(), u16> {
        match self.zones.entry((origin, destination)) {
            Entry::Occupied(taken) => Err(*taken.get()),
            Entry::Vacant(free) => {
                free.insert(zone);
                self.origin_lens |= 1 << origin.len();
                self.destination_lens |= 1 << destination.len();
                Ok(())
            }
        }
    }

    /// The zone between two places. Cost: a look-up for each pair of lengths in use, at most 144 and mostly under 10.
    pub(super) fn zone(&self, origin: &Place, destination: &Place) -> Option<u16> {
        let origin = End::of(origin.country, &origin.postal_code);
        let destination = End::of(destination.country, &destination.postal_code);
        let lens = |end: End, in_use: u16| (0..=end.len()).rev().filter(move |len| in_use & (1 << len) != 0);
        lens(destination, self.destination_lens).find_map(|to_len| {
            let to = destination.cut_to(to_len);
            lens(origin, self.origin_lens)
                .find_map(|from_len| self.zones.get(&(origin.cut_to(from_len), to)).copied())
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::domain::Text;

    use super::*;

    fn place(text: &str) -> Place {
        let (country, postal_code) = text.split_once('-').unwrap_or((text, ""));
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
    fn the_longest_destination_wins_and_then_the_longest_origin() {
        let mut map = ZoneMap::default();
        let end = |text| End::parse(text).expect("an end");
        let ways =
            [("*", "*"), ("DE", "DE"), ("DE-1", "DE"), ("DE", "DE-8"), ("DE", "DE-80331"), ("*", "FR")];
        for (zone, (origin, destination)) in (0..).zip(ways) {
            assert_eq!(map.insert(end(origin), end(destination), zone), Ok(()));
        }
        assert_eq!(map.insert(end("de-1"), end("DE"), 9), Err(2));
        let check = |origin, destination, expected: Option<u16>| {
            assert_eq!(map.zone(&place(origin), &place(destination)), expected, "{origin} {destination}");
        };
        check("DE-20095", "DE-10115", Some(1));
        check("DE-10115", "DE-20095", Some(2));
        check("DE-10115", "DE-81925", Some(3));
        check("DE-10115", "DE-80331", Some(4));
        check("DE-10115", "DE", Some(2));
        check("AT-1010", "DE-80331", Some(0));
        check("AT-1010", "FR-75001", Some(5));
        check("US", "US-94107-1234", Some(0));
        assert_eq!(ZoneMap::default().zone(&place("DE"), &place("DE")), None);
    }

    #[test]
    fn ends_are_countries_with_or_without_a_postal_code() {
        for good in ["*", "DE", "de", "DE-10", "GB-SW1A 1", "US-94107-1234"] {
            assert!(End::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "DE-", "ZZ", "DEU", "DE-1_", "-10", "DE-12345678901"] {
            assert!(End::parse(bad).is_err(), "{bad}");
        }
    }
}
