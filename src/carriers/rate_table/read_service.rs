//! Reads the services of a table, each with its price file.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
    path::Path,
};

use jiff::civil::{Date, Time, Weekday};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::domain::carrier::{CarrierName, MINOR_MAX, SIDE_MM_MAX, ServiceName, WEIGHT_G_MAX};

use super::{
    calendar::Calendar,
    load::read_file,
    mistakes::{Mistakes, instead},
    read_prices,
    read_zones::CarrierZones,
    section::{Section, Source},
    service::{Charges, Limits, ServedZone, Service},
    value,
};

/// The most services of a table.
pub(super) const SERVICES_MAX: usize = 1_000;
/// Working days the slowest service may take.
const TRANSIT_DAYS_MAX: i64 = 60;
/// The largest volumetric divisor; carriers use 4,000 to 6,000.
const VOLUMETRIC_MAX: i64 = 100_000;
/// 1,000 percent, in basis points.
const BASIS_POINTS_MAX: i64 = 100_000;

/// The calendar of the table, which a service may change.
pub(super) struct Week {
    pub(super) cut_off: Option<Time>,
    pub(super) work_days: Option<Vec<Weekday>>,
    pub(super) holidays: Option<Vec<Date>>,
}

impl Week {
    /// Reads the three fields where they are.
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let cut_off = section.optional("cut_off", value::hour);
        let work_days = section.filled_list("work_days", value::weekday);
        Self { cut_off, work_days, holidays: section.list("holidays", value::date) }
    }
}

/// What services are read against, and what reading them gathers.
pub(super) struct Services<'a> {
    pub(super) source: &'a Source,
    /// Where price files are.
    pub(super) folder: &'a Path,
    /// Digits of a price behind the point.
    pub(super) digits: u32,
    pub(super) zones: &'a [CarrierZones],
    pub(super) week: &'a Week,
    /// Rows the price files may still have.
    pub(super) rows_left: usize,
    /// Different ones only, each with the most days a service of it takes.
    pub(super) calendars: Vec<(Calendar, usize)>,
    /// Those read, so that none is there twice.
    pub(super) taken: HashSet<(CarrierName, ServiceName)>,
}

impl<'a> Services<'a> {
    /// Reads one `[[services]]`; None when it is wrong.
    pub(super) fn read(
        &mut self,
        table: Spanned<&'a DeTable<'a>>,
        mistakes: &mut Mistakes,
    ) -> Option<Service> {
        let mut section = Section::new(self.source, mistakes, "services: ".to_owned(), table);
        let carrier = section.required("carrier", "\"dhl\"", |value| {
            CarrierName::parse(value::text(value)?).map_err(|problem| problem.to_string())
        });
        let service = section.required("service", "\"parcel\"", |value| {
            ServiceName::parse(value::text(value)?).map_err(|problem| problem.to_string())
        });
        let named = carrier.zip(service);
        let name = named.as_ref().map(|(carrier, service)| format!("service \"{carrier}/{service}\""));
        let name = name.unwrap_or_else(|| "services".to_owned());
        section.rename(format!("{name}: "));
        let calendar = self.calendar(Week::read(&mut section));
        let charges = self.charges(&mut section);
        let limits = limits(&mut section);
        let is_guaranteed = section.optional("guaranteed", value::flag).unwrap_or(false);
        let prices = section.required("prices", "\"dhl_parcel.csv\"", value::text);
        let zone_map = named.as_ref().and_then(|(carrier, _)| self.zones_of(carrier, &mut section));
        let days = section.required("days", "{ domestic = 1 }", table_of);
        let days = zone_map.zip(days).and_then(|(zone_map, days)| self.days(zone_map, days, &mut section));
        if named.as_ref().is_some_and(|named| self.taken.contains(named)) {
            let at = section.at();
            section.mistake(&at, "is there twice: leave one out");
        }
        let at = section.at();
        section.finish();
        let (carrier, service) = named?;
        self.taken.insert((carrier.clone(), service.clone()));
        let (zone_map, days, prices) = (zone_map?, days?, prices?);
        let zones = self.prices(prices, &days, &name, (&at, mistakes))?;
        let days_max = zones.iter().map(|zone| zone.transit_days).max().unwrap_or(0);
        self.calendars[calendar].1 = self.calendars[calendar].1.max(days_max);
        Some(Service { carrier, service, zone_map, calendar, is_guaranteed, limits, charges, zones })
    }

    /// The number of the service's calendar: the table's, with what the service changes. Its holidays are more, not others.
    fn calendar(&mut self, own: Week) -> usize {
        let cut_off = own.cut_off.or(self.week.cut_off).unwrap_or(Time::MIN);
        let work_days = own.work_days.as_ref().or(self.week.work_days.as_ref());
        let holidays = self.week.holidays.iter().chain(own.holidays.iter()).flatten().copied();
        let work_days = work_days.map(Vec::as_slice).unwrap_or_default();
        let calendar = Calendar::new(cut_off, work_days, holidays.collect());
        let known = self.calendars.iter().position(|(known, _)| *known == calendar);
        known.unwrap_or_else(|| {
            self.calendars.push((calendar, 0));
            self.calendars.len() - 1
        })
    }

    fn charges(&self, section: &mut Section<'_, '_>) -> Charges {
        let digits = self.digits;
        let money = |value: &DeValue<'_>| {
            let minor = value::decimal(value, digits)?;
            (minor <= MINOR_MAX)
                .then_some(minor)
                .ok_or_else(|| format!("must be at most {MINOR_MAX} minor units"))
        };
        let percent = |value: &DeValue<'_>| {
            let points = value::decimal(value, 2)?;
            (points <= BASIS_POINTS_MAX)
                .then_some(points)
                .ok_or_else(|| "must be at most \"1000\"".to_owned())
        };
        Charges {
            price_minor_min: section.optional("price_min", money).unwrap_or(0),
            fuel_basis_points: section.optional("fuel_percent", percent).unwrap_or(0),
            collect_fee_minor: section.optional("collect_fee", money),
            insurance_basis_points: section.optional("insurance_percent", percent).unwrap_or(0),
            insurance_free_minor: section.optional("insurance_free", money).unwrap_or(0),
        }
    }

    /// The carrier's own zones, else those all share.
    fn zones_of(&self, carrier: &CarrierName, section: &mut Section<'_, '_>) -> Option<usize> {
        let of = |wanted: Option<&CarrierName>| {
            self.zones.iter().position(|zones| zones.carrier.as_ref() == wanted)
        };
        let found = of(Some(carrier)).or_else(|| of(None));
        if found.is_none() {
            let at = section.at();
            section.mistake(&at, &format!("{carrier} has no zones: add [[zones]] with or without its name"));
        }
        found
    }

    /// The working days to each zone, by the zone's name. None when one is wrong: its prices would be complained of too.
    fn days(
        &self,
        zone_map: usize,
        table: &'a DeTable<'a>,
        section: &mut Section<'_, '_>,
    ) -> Option<BTreeMap<&'a str, (u16, u32)>> {
        let by_name = &self.zones[zone_map].by_name;
        let mut days = BTreeMap::new();
        for (name, value) in table {
            let zone_name = name.get_ref().as_ref();
            let Some(zone) = by_name.get(zone_name) else {
                let hint = instead(zone_name, by_name.keys().map(String::as_str));
                section.mistake(&name.span(), &format!("days has unknown zone {zone_name:?}: {hint}"));
                continue;
            };
            match value::whole(value.get_ref(), 0..=TRANSIT_DAYS_MAX) {
                Ok(transit_days) => {
                    days.insert(zone_name, (*zone, transit_days));
                }
                Err(problem) => {
                    section.mistake(&value.span(), &format!("days of zone {zone_name:?} {problem}"));
                }
            }
        }
        if table.is_empty() {
            let at = section.at();
            section.mistake(&at, "days must have one zone at least, such as { domestic = 1 }");
        }
        (!days.is_empty() && days.len() == table.len()).then_some(days)
    }

    /// The steps of each zone from the price file.
    fn prices(
        &mut self,
        name: &str,
        days: &BTreeMap<&str, (u16, u32)>,
        service: &str,
        (at, mistakes): (&Range<usize>, &mut Mistakes),
    ) -> Option<Box<[ServedZone]>> {
        let path = self.folder.join(name);
        let text = match read_file(&path) {
            Ok(text) => text,
            Err(problem) => {
                let message = format!("{service}: cannot read prices {}: {problem}", path.display());
                self.source.mistake(mistakes, at, message);
                return None;
            }
        };
        let file = path.display().to_string();
        let zones = days.iter().map(|(name, (zone, _))| (*name, *zone)).collect();
        let expected = read_prices::Expected { file: &file, service, zones: &zones, digits: self.digits };
        let mut steps = read_prices::read(&text, &expected, &mut self.rows_left, mistakes);
        let mut served = Vec::with_capacity(days.len());
        for (zone_name, (zone, transit_days)) in days {
            let Some(steps) = steps.remove(zone).filter(|steps| !steps.is_empty()) else {
                let message =
                    format!("{service}: days has zone {zone_name:?}, but {file} has no price for it");
                self.source.mistake(mistakes, at, message);
                continue;
            };
            let transit_days = usize::try_from(*transit_days).unwrap_or(usize::MAX);
            served.push(ServedZone { zone: *zone, transit_days, steps: steps.into_boxed_slice() });
        }
        served.sort_unstable_by_key(|served| served.zone);
        Some(served.into_boxed_slice())
    }
}

fn limits(section: &mut Section<'_, '_>) -> Limits {
    let side = |value: &DeValue<'_>| value::whole(value, 1..=SIDE_MM_MAX);
    let sides = section.list("sides_mm_max", side);
    let sides_mm_max = sides.and_then(|mut sides| {
        sides.sort_unstable_by(|one, other| other.cmp(one));
        let three = <[u32; 3]>::try_from(sides).ok();
        if three.is_none() {
            let at = section.at();
            section.mistake(&at, "sides_mm_max must be three sides such as [1200, 600, 600]");
        }
        three
    });
    Limits {
        weight_g_max: section.optional("weight_g_max", |value| value::whole(value, 1..=WEIGHT_G_MAX)),
        sides_mm_max,
        length_plus_girth_mm_max: section
            .optional("length_plus_girth_mm_max", |value| value::whole(value, 1..=5 * SIDE_MM_MAX)),
        volumetric_cm3_per_kg: section
            .optional("volumetric_cm3_per_kg", |value| value::whole(value, 1..=VOLUMETRIC_MAX)),
    }
}

fn table_of<'a>(value: &'a DeValue<'a>) -> Result<&'a DeTable<'a>, String> {
    value
        .as_table()
        .ok_or_else(|| format!("must be written as {{ domestic = 1 }}, is of type {}", value.type_str()))
}
