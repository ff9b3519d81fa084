//! Reads the CSV file of a service: the price of a parcel by zone and weight.

use std::collections::BTreeMap;

use csv::{ReaderBuilder, StringRecord, Trim};

use crate::domain::carrier::{MINOR_MAX, WEIGHT_G_MAX};

use super::{
    exact,
    mistakes::{Mistakes, instead},
    service::Step,
};

/// The columns, in any order.
const COLUMNS: [&str; 3] = ["zone", "weight_g_max", "price"];

/// What a price file is read against.
pub(super) struct Expected<'a> {
    /// The file, as mistakes name it.
    pub(super) file: &'a str,
    /// The service, as mistakes name it.
    pub(super) service: &'a str,
    /// The zones the service has days for.
    pub(super) zones: &'a BTreeMap<&'a str, u16>,
    /// Digits of a price behind the point.
    pub(super) digits: u32,
}

/// Reads the steps of each zone, by weight; takes a row off `rows_left` for each.
pub(super) fn read(
    text: &str,
    expected: &Expected<'_>,
    rows_left: &mut usize,
    mistakes: &mut Mistakes,
) -> BTreeMap<u16, Vec<Step>> {
    let mut steps = BTreeMap::new();
    // A spreadsheet of a country that writes 4,90 puts semicolons between the columns.
    let is_semicolon = text.lines().next().is_some_and(|line| line.contains(';'));
    let mut reader = ReaderBuilder::new()
        .delimiter(if is_semicolon { b';' } else { b',' })
        .trim(Trim::All)
        .flexible(true)
        .comment(Some(b'#'))
        .has_headers(false)
        .from_reader(text.as_bytes());
    // Text is UTF-8 and rows may have any length, so no row fails.
    let mut rows = reader.records().map_while(Result::ok);
    let columns = rows.next().ok_or_else(|| "is empty: begin with zone,weight_g_max,price".to_owned());
    let columns = match columns.and_then(|header| columns_of(&header)) {
        Ok(columns) => columns,
        Err(problem) => {
            mistakes.add(expected.file, Some(1), problem);
            return steps;
        }
    };
    for row in rows {
        let line = row.position().and_then(|position| usize::try_from(position.line()).ok());
        if *rows_left == 0 {
            mistakes.add(expected.file, line, "is one row too many for the table: leave some out".to_owned());
            return steps;
        }
        *rows_left -= 1;
        match step_of(&row, columns, is_semicolon, expected) {
            Ok((zone, step)) => {
                let ladder: &mut Vec<Step> = steps.entry(zone).or_default();
                if let Some(before) = ladder.last().filter(|before| before.weight_g_max >= step.weight_g_max)
                {
                    let message = format!(
                        "weight_g_max must be more than in the zone's row before, {}, is {}: put the rows in order",
                        before.weight_g_max, step.weight_g_max,
                    );
                    mistakes.add(expected.file, line, message);
                } else {
                    ladder.push(step);
                }
            }
            Err(problems) => {
                problems.into_iter().for_each(|problem| mistakes.add(expected.file, line, problem));
            }
        }
    }
    steps
}

/// Where the three columns stand.
fn columns_of(header: &StringRecord) -> Result<[usize; 3], String> {
    let unknown = header.iter().find(|name| !COLUMNS.contains(name));
    if let Some(unknown) = unknown {
        return Err(format!("unknown column {unknown:?}: {}", instead(unknown, COLUMNS)));
    }
    let mut columns = [0; 3];
    for (column, name) in columns.iter_mut().zip(COLUMNS) {
        let mut places = header.iter().enumerate().filter(|(_, known)| *known == name);
        *column = match (places.next(), places.next()) {
            (Some((place, _)), None) => place,
            (Some(_), Some(_)) => return Err(format!("column {name:?} is there twice: leave one out")),
            (None, _) => {
                return Err(format!(
                    "column {name:?} is missing: the first line must be {}",
                    COLUMNS.join(",")
                ));
            }
        };
    }
    Ok(columns)
}

fn step_of(
    row: &StringRecord,
    columns: [usize; 3],
    is_semicolon: bool,
    expected: &Expected<'_>,
) -> Result<(u16, Step), Vec<String>> {
    if row.len() != COLUMNS.len() {
        return Err(vec![format!("must have {} columns, has {}", COLUMNS.len(), row.len())]);
    }
    let [zone, weight, price] = columns.map(|column| &row[column]);
    let zone = expected.zones.get(zone).copied().ok_or_else(|| {
        let hint = instead(zone, expected.zones.keys().copied());
        format!("zone {zone:?} is not among the days of {}: {hint}", expected.service)
    });
    let weight_g_max =
        weight.parse::<u32>().ok().filter(|weight_g| (1..=WEIGHT_G_MAX).contains(&i64::from(*weight_g)));
    let weight_g_max = weight_g_max
        .ok_or_else(|| format!("weight_g_max must be whole grams of 1 to {WEIGHT_G_MAX}, is {weight:?}"));
    let with_point = if is_semicolon { price.replacen(',', ".", 1) } else { price.to_owned() };
    let price_minor =
        exact::steps(&with_point, expected.digits).map_err(|problem| format!("price {problem}"));
    let price_minor = price_minor.and_then(|minor| {
        let in_range = minor <= MINOR_MAX;
        in_range
            .then_some(minor)
            .ok_or_else(|| format!("price must be at most {MINOR_MAX} minor units, is {price:?}"))
    });
    match (zone, weight_g_max, price_minor) {
        (Ok(zone), Ok(weight_g_max), Ok(price_minor)) => Ok((zone, Step { weight_g_max, price_minor })),
        (zone, weight_g_max, price_minor) => {
            Err([zone.err(), weight_g_max.err(), price_minor.err()].into_iter().flatten().collect())
        }
    }
}
