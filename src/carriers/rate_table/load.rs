//! Reads a rate table from its files, or tells everything that is wrong with them.

use std::{collections::HashSet, fs::File, io::Read as _, path::Path};

use jiff::tz::{TimeZone, TimeZoneDatabase};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::domain::carrier::{Currency, SourceId};

use super::{
    RateTable,
    mistakes::{Mistakes, RateTableError, instead},
    read_service::{SERVICES_MAX, Services, Week},
    read_zones::{self, CarrierZones},
    section::{Section, Source},
    value,
};

/// The most bytes of a file.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The most rows of all price files together.
const ROWS_MAX: usize = 1_000_000;
/// Digits a price may have when its currency is not known, so that only the currency is complained of.
const DIGITS_MAX: u32 = 4;

/// Reads the table at `path`; price files stand beside it.
pub(super) fn load(source_id: SourceId, path: &Path) -> Result<RateTable, RateTableError> {
    let mut mistakes = Mistakes::default();
    let file = path.display().to_string();
    let text = read_file(path).unwrap_or_else(|problem| {
        mistakes.add(&file, None, format!("cannot be read: {problem}"));
        String::new()
    });
    let source = Source::new(file, &text);
    let (root, mut faults) = DeTable::parse_recoverable(&text);
    faults.sort_by_key(|fault| fault.span().map(|span| span.start));
    for fault in faults {
        source.mistake(
            &mut mistakes,
            &fault.span().unwrap_or(0..0),
            format!("is not valid TOML: {}", fault.message()),
        );
    }
    // What is left of a broken file would be complained of as missing.
    if let Some(error) = std::mem::take(&mut mistakes).into_error() {
        return Err(error);
    }
    let table = read_root(source_id, &source, &root, path.parent().unwrap_or(Path::new("")), &mut mistakes);
    match (table, mistakes.into_error()) {
        (_, Some(error)) => Err(error),
        (Some(table), None) => Ok(table),
        (None, None) => unreachable!("a table that is not read has a mistake"),
    }
}

fn read_root<'a>(
    source_id: SourceId,
    source: &'a Source,
    root: &'a Spanned<DeTable<'a>>,
    folder: &'a Path,
    mistakes: &mut Mistakes,
) -> Option<RateTable> {
    let table = Spanned::new(0..0, root.get_ref());
    let mut section = Section::new(source, mistakes, String::new(), table);
    let currency = section.required("currency", "\"EUR\"", |value| {
        Currency::parse(value::text(value)?).map_err(|problem| problem.to_string())
    });
    let time_zone = section.required("time_zone", "\"Europe/Berlin\"", time_zone);
    section.must_have("cut_off", "\"15:00\"");
    section.must_have("work_days", "[\"mon\", \"tue\", \"wed\", \"thu\", \"fri\"]");
    let week = Week::read(&mut section);
    let zone_tables = section.tables("zones");
    let service_tables = section.tables("services");
    section.finish();

    let zones = read_zones::read(source, zone_tables, mistakes);
    if let Some(beyond) = service_tables.get(SERVICES_MAX) {
        let message = format!("services must be at most {SERVICES_MAX}, are {}", service_tables.len());
        source.mistake(mistakes, &beyond.span(), message);
    }
    let mut reader = Services {
        source,
        folder,
        digits: currency.map(Currency::minor_digits).unwrap_or(DIGITS_MAX),
        zones: &zones,
        week: &week,
        rows_left: ROWS_MAX,
        calendars: Vec::new(),
        taken: HashSet::new(),
    };
    let tables = service_tables.into_iter().take(SERVICES_MAX);
    let services: Vec<_> = tables.filter_map(|table| reader.read(table, mistakes)).collect();
    let Services { calendars, taken, .. } = reader;
    let carriers = || taken.iter().map(|(carrier, _)| carrier.as_str());
    for zones in &zones {
        let Some(carrier) =
            zones.carrier.as_ref().filter(|carrier| carriers().all(|name| name != carrier.as_str()))
        else {
            continue;
        };
        let message =
            format!("zones of {carrier}, which has no service: {}", instead(carrier.as_str(), carriers()));
        source.mistake(mistakes, &zones.at, message);
    }
    let zone_maps = zones.into_iter().map(|CarrierZones { map, .. }| map).collect();
    Some(RateTable {
        source: source_id,
        currency: currency?,
        time_zone: time_zone?,
        zone_maps,
        calendars,
        services,
    })
}

/// The system knows the newest rules of time zones; a container may have none, so each name is bundled too.
fn time_zone(value: &DeValue<'_>) -> Result<TimeZone, String> {
    let name = value::text(value)?;
    let found = TimeZone::get(name).or_else(|_| TimeZoneDatabase::bundled().get(name));
    found.map_err(|_| format!("must be a time zone of IANA such as \"Europe/Berlin\", is {name:?}"))
}

/// The text of a file of bounded length.
pub(super) fn read_file(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|fault| fault.to_string())?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > FILE_BYTES_MAX) {
        return Err(format!("has more than {FILE_BYTES_MAX} bytes: split it"));
    }
    // Spreadsheets put a mark before the text.
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8: save it as such".to_owned())?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
