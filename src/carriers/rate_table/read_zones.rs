//! Reads the zones of a table: names for ways from somewhere to somewhere, shared or of one carrier.

use std::{collections::BTreeMap, ops::Range};

use toml::{Spanned, de::DeTable};

use crate::domain::carrier::CarrierName;

use super::{
    mistakes::Mistakes,
    section::{Section, Source},
    value,
    zone_map::{End, ZoneMap},
};

/// The most zones of a table.
pub(super) const ZONES_MAX: usize = 1_000;
/// The most ways of all zones together: places it goes from × places it goes to.
const WAYS_MAX: usize = 1_000_000;
/// Characters of the longest name of a zone.
const NAME_CHARS_MAX: usize = 64;

/// The zones of one carrier, or those all others share.
#[derive(Debug)]
pub(super) struct CarrierZones {
    /// Whose; None: everybody's who has none of his own.
    pub(super) carrier: Option<CarrierName>,
    /// Where they are.
    pub(super) map: ZoneMap,
    /// Their numbers in the table.
    pub(super) by_name: BTreeMap<String, u16>,
    /// Where the first of them stands in the file.
    pub(super) at: Range<usize>,
}

/// Reads all `[[zones]]`.
pub(super) fn read<'a>(
    source: &'a Source,
    tables: Vec<Spanned<&'a DeTable<'a>>>,
    mistakes: &mut Mistakes,
) -> Vec<CarrierZones> {
    let mut all: Vec<CarrierZones> = Vec::new();
    let mut ways_left = WAYS_MAX;
    let mut names = Vec::new();
    if let Some(beyond) = tables.get(ZONES_MAX) {
        source.mistake(
            mistakes,
            &beyond.span(),
            format!("zones must be at most {ZONES_MAX}, are {}", tables.len()),
        );
    }
    for (number, table) in (0..).zip(tables.into_iter().take(ZONES_MAX)) {
        let mut section = Section::new(source, mistakes, "zones: ".to_owned(), table);
        let name = section.required("name", "\"domestic\"", zone_name).unwrap_or("?");
        names.push(name);
        section.rename(format!("zone {name:?}: "));
        let carrier = section.optional("carrier", |value| {
            CarrierName::parse(value::text(value)?).map_err(|problem| problem.to_string())
        });
        let everywhere = || End::parse("*").map(|end| vec![("*", end)]).unwrap_or_default();
        let from = section.filled_list("from", end).unwrap_or_else(everywhere);
        section.must_have("to", "[\"DE\"], or [\"*\"] for everywhere");
        let to = section.filled_list("to", end).unwrap_or_default();
        let index = all.iter().position(|zones| zones.carrier == carrier).unwrap_or_else(|| {
            let (map, by_name) = (ZoneMap::default(), BTreeMap::new());
            all.push(CarrierZones { carrier, map, by_name, at: section.at() });
            all.len() - 1
        });
        let zones = &mut all[index];
        if zones.by_name.insert(name.to_owned(), number).is_some() {
            let at = section.at();
            section.mistake(&at, "has the name of another zone: put both into one, or rename it");
        }
        match ways_left.checked_sub(from.len() * to.len()) {
            Some(left) => ways_left = left,
            None => {
                let at = section.at();
                section.mistake(
                    &at,
                    &format!("all ways from × to must be at most {WAYS_MAX}: use shorter codes"),
                );
                return all;
            }
        }
        add_ways(&mut section, &mut zones.map, number, [&from, &to], &names);
        section.finish();
    }
    all
}

type NamedEnd<'a> = (&'a str, End);

/// Puts each way into the map; one that is there already would belong to two zones.
fn add_ways(
    section: &mut Section<'_, '_>,
    map: &mut ZoneMap,
    number: u16,
    [from, to]: [&[NamedEnd<'_>]; 2],
    names: &[&str],
) {
    for (origin_text, origin) in from {
        for (destination_text, destination) in to {
            let Err(taken) = map.insert(*origin, *destination, number) else { continue };
            let other = names.get(usize::from(taken)).copied().unwrap_or_default();
            let message = format!(
                "the way from {origin_text:?} to {destination_text:?} is in zone {other:?} already: leave it out of one"
            );
            let at = section.at();
            section.mistake(&at, &message);
        }
    }
}

fn zone_name<'a>(value: &'a toml::de::DeValue<'a>) -> Result<&'a str, String> {
    let name = value::text(value)?;
    let is_name = !name.is_empty() && name.trim() == name && name.chars().count() <= NAME_CHARS_MAX;
    is_name
        .then_some(name)
        .ok_or_else(|| format!("must be 1 to {NAME_CHARS_MAX} characters without space around, is {name:?}"))
}

fn end<'a>(value: &'a toml::de::DeValue<'a>) -> Result<NamedEnd<'a>, String> {
    let text = value::text(value)?;
    Ok((text, End::parse(text)?))
}
