//! What shipments cost and when they arrive, by tables written for it and by the example of the docs.

use std::{fs, path::PathBuf};

use proptest::prelude::*;
use tempfile::TempDir;

use crate::domain::carrier::{Country, Parcel, Parcels, Place, PostalCode, SIDE_MM_MAX, WEIGHT_G_MAX};

use super::*;

/// A Tuesday, 13:00 in Berlin.
const TUESDAY: &str = "2026-11-24T12:00:00Z";

/// Writes the files of a table into a folder that is gone with the value returned, and tells where the table is.
pub(super) fn written(toml: &str, files: &[(&str, &str)]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("written");
    }
    let path = folder.path().join("rates.toml");
    fs::write(&path, toml).expect("written");
    (folder, path)
}

pub(super) fn source() -> SourceId {
    SourceId::parse("table").expect("a source")
}

fn table(toml: &str, files: &[(&str, &str)]) -> RateTable {
    let (_folder, path) = written(toml, files);
    RateTable::load(source(), &path).unwrap_or_else(|error| panic!("{error}"))
}

fn example() -> RateTable {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/rates/rates.toml");
    RateTable::load(source(), &path).unwrap_or_else(|error| panic!("{error}"))
}

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

fn euros(minor: i64) -> Money {
    Money::new(minor, Currency::parse("EUR").expect("known")).expect("in range")
}

fn parcel(weight_g: i64, sides_mm: [i64; 3]) -> Parcel {
    Parcel::parse(weight_g, sides_mm).expect("a parcel")
}

fn shipment(destination: &str, parcels: &[Parcel]) -> Shipment {
    Shipment {
        origin: place("DE-20095"),
        destination: place(destination),
        parcels: Parcels::parse(parcels.to_vec()).expect("parcels"),
        value: None,
        currency: Currency::parse("EUR").expect("known"),
        collect: None,
    }
}

fn quoted(table: &RateTable, shipment: &Shipment) -> Quoted {
    table.quoted(shipment, TUESDAY.parse().expect("a time"))
}

/// As `dhl/parcel 4.97 EUR 2026-11-25`, in the order of the table.
fn lines(quoted: &Quoted) -> Vec<String> {
    let line = |quote: &Quote| {
        let delivers = quote.delivers.expect("a day");
        format!("{}/{} {} {delivers}", quote.carrier, quote.service, quote.price)
    };
    quoted.quotes.iter().map(line).collect()
}

/// One service, one zone, three steps; `fields` are put into the service.
fn small(fields: &str) -> RateTable {
    let toml = format!(
        r#"
        currency = "EUR"
        time_zone = "Europe/Berlin"
        cut_off = "15:00"
        work_days = ["mon", "tue", "wed", "thu", "fri"]
        zones = [{{ name = "all", to = ["DE"] }}]
        [[services]]
        carrier = "a"
        service = "b"
        prices = "b.csv"
        days = {{ all = 1 }}
        {fields}
        "#
    );
    table(&toml, &[("b.csv", "zone,weight_g_max,price\nall,1000,4.01\nall,2000,5\nall,30000,12.5\n")])
}

#[test]
fn the_example_of_the_docs_loads_and_quotes() {
    let table = example();
    let check = |destination, parcels: &[Parcel], expected: &[&str]| {
        assert_eq!(lines(&quoted(&table, &shipment(destination, parcels))), expected, "{destination}");
    };
    let small = parcel(1_500, [300, 200, 100]);
    // 4.90 + 1.25 %; 14.20 + 18.5 %; the least price, 6.50, + 12.75 %: each rounded up.
    let domestic = [
        "dhl/parcel 4.97 EUR 2026-11-25",
        "dhl/express 16.83 EUR 2026-11-25",
        "ups/standard 7.33 EUR 2026-11-25",
    ];
    check("DE-10115", &[small], &domestic);
    // Heligoland is an island to DHL alone.
    check("DE-27498", &[small], &["dhl/parcel 20.15 EUR 2026-11-27", "ups/standard 7.33 EUR 2026-11-25"]);
    check(
        "AT-1010",
        &[small],
        &[
            "dhl/parcel 13.07 EUR 2026-11-30",
            "dhl/express 66.60 EUR 2026-11-25",
            "ups/standard 15.90 EUR 2026-11-26",
        ],
    );
    check("US-94107", &[small], &["dhl/parcel 26.23 EUR 2026-12-08"]);
    check(
        "DE-10115",
        &[parcel(31_501, [300, 200, 100])],
        &["dhl/express 68.73 EUR 2026-11-25", "ups/standard 16.69 EUR 2026-11-25"],
    );
    assert_eq!(table.kind(), "rate_table");
}

#[test]
fn each_service_keeps_its_own_hours_and_days() {
    let check = |now: &str, expected: [&str; 3]| {
        let shipment = shipment("DE-10115", &[parcel(1_000, [100, 100, 100])]);
        let quoted = example().quoted(&shipment, now.parse().expect("a time"));
        let days: Vec<String> =
            quoted.quotes.iter().filter_map(|quote| Some(quote.delivers?.to_string())).collect();
        assert_eq!(days, expected, "{now}");
    };
    // The parcel goes until 15:00, the express until 17:30 and on Saturdays.
    check("2026-11-24T15:00:00Z", ["2026-11-26", "2026-11-25", "2026-11-26"]);
    check("2026-11-27T12:00:00Z", ["2026-11-30", "2026-11-28", "2026-11-30"]);
    // UPS does not work on Christmas Eve; nobody does on the days after.
    check("2026-12-23T12:00:00Z", ["2026-12-24", "2026-12-24", "2026-12-28"]);
    check("2026-12-24T12:00:00Z", ["2026-12-28", "2026-12-28", "2026-12-29"]);
}

#[test]
fn prices_are_exact_and_rounded_up() {
    let check = |fields, parcels: &[Parcel], expected: Option<i64>| {
        let quoted = quoted(&small(fields), &shipment("DE-1", parcels));
        assert_eq!(quoted.quotes.first().map(|quote| quote.price.minor()), expected, "{fields} {parcels:?}");
    };
    let weighing = |weight_g| parcel(weight_g, [100, 100, 100]);
    check("", &[weighing(1)], Some(401));
    check("", &[weighing(1_000)], Some(401));
    check("", &[weighing(1_001)], Some(500));
    check("", &[weighing(30_000)], Some(1_250));
    check("", &[weighing(30_001)], None);
    check("", &[weighing(1_000), weighing(2_000)], Some(901));
    check("", &[weighing(1_000), weighing(30_001)], None);
    check("fuel_percent = \"12.75\"", &[weighing(1)], Some(453)); // 51.1275 cents
    check("fuel_percent = 12.75", &[weighing(1)], Some(453));
    check("fuel_percent = \"12.75\"", &[weighing(1), weighing(1)], Some(905)); // 102.255: once, not twice
    check("fuel_percent = 25", &[weighing(1_001)], Some(625));
    check("price_min = \"8.00\"", &[weighing(1)], Some(800));
    check("price_min = \"8.00\"\nfuel_percent = \"10\"", &[weighing(1)], Some(880));
    check("weight_g_max = 999", &[weighing(1_000)], None);
    check("volumetric_cm3_per_kg = 5000", &[parcel(1, [100, 250, 200])], Some(401)); // 5 l count 1,000 g
    check("volumetric_cm3_per_kg = 5000", &[parcel(1, [100, 250, 201])], Some(500));
    check("sides_mm_max = [100, 300, 200]", &[parcel(1, [300, 100, 200])], Some(401));
    check("sides_mm_max = [100, 300, 200]", &[parcel(1, [300, 101, 200])], None);
    check("length_plus_girth_mm_max = 900", &[parcel(1, [100, 300, 200])], Some(401));
    check("length_plus_girth_mm_max = 899", &[parcel(1, [100, 300, 200])], None);
}

#[test]
fn fees_and_insurance_are_asked_when_they_are_wanted() {
    let table = small("collect_fee = \"7.90\"\ninsurance_percent = \"0.5\"\ninsurance_free = \"500.00\"");
    let check = |collect: Option<i64>, value: Option<i64>, expected: i64| {
        let shipment = Shipment {
            collect: collect.map(euros),
            value: value.map(euros),
            ..shipment("DE-1", &[parcel(1, [1, 1, 1])])
        };
        let quoted = quoted(&table, &shipment);
        let quote = quoted.quotes.first().expect("a quote");
        assert_eq!((quote.price.minor(), quote.collects), (expected, true), "{collect:?} {value:?}");
    };
    check(None, None, 401);
    check(Some(2_000), None, 1_191);
    check(None, Some(50_000), 401);
    check(None, Some(50_001), 402);
    check(Some(2_000), Some(150_000), 1_691);
    // Whoever collects nothing quotes all the same: the rule drops it, and says why.
    let asked = Shipment { collect: Some(euros(2_000)), ..shipment("DE-1", &[parcel(1, [1, 1, 1])]) };
    let quote = quoted(&small(""), &asked).quotes.remove(0);
    assert_eq!((quote.price.minor(), quote.collects, quote.is_guaranteed), (401, false, false));
    assert!(quoted(&small("guaranteed = true"), &asked).quotes[0].is_guaranteed);
    // The rule drops other currencies too.
    let in_dollars = Shipment { currency: Currency::parse("USD").expect("known"), ..asked };
    assert_eq!(quoted(&small(""), &in_dollars).quotes[0].price, euros(401));
}

#[test]
fn carriers_say_why_they_are_silent_only_when_all_are() {
    let check = |fields, destination, parcel, expected: &str| {
        let quoted = quoted(&small(fields), &shipment(destination, &[parcel]));
        let said: Vec<String> =
            quoted.silent.iter().map(|silent| format!("{} {}", silent.carrier, silent.message)).collect();
        assert_eq!(said, [expected]);
        assert!(quoted.quotes.is_empty() && !quoted.silent[0].is_transient);
    };
    let light = parcel(1, [1, 1, 1]);
    check("", "FR-1", light, "a b: no zone has these places");
    check("", "DE-1", parcel(30_001, [1, 1, 1]), "a b: a parcel counts 30001 g, 30000 at most");
    check("weight_g_max = 9", "DE-1", parcel(10, [1, 1, 1]), "a b: a parcel counts 10 g, 9 at most");
    check("sides_mm_max = [9, 9, 9]", "DE-1", parcel(1, [1, 10, 1]), "a b: a parcel is too large");
    check(
        "price_min = \"10000000000\"\nfuel_percent = 1",
        "DE-1",
        light,
        "a b: costs more than 1000000000000 minor units",
    );
    assert!(quoted(&example(), &shipment("US-94107", &[light])).silent.is_empty(), "DHL has a quote");
}

#[test]
fn a_thousand_services_tell_the_two_hundred_cheapest() {
    let services: String = (0..1_000)
        .map(|n| {
            let cents = (n * 7) % 1_000;
            format!("[[services]]\ncarrier = \"c{}\"\nservice = \"s{n}\"\nprices = \"p.csv\"\ndays = {{ all = 1 }}\nprice_min = \"1{cents:03}.00\"\n", n % 10)
        })
        .collect();
    let head = "currency = \"EUR\"\ntime_zone = \"UTC\"\ncut_off = \"15:00\"\nwork_days = [\"tue\", \"wed\"]\nzones = [{ name = \"all\", to = [\"*\"] }]\n";
    let table = table(&format!("{head}{services}"), &[("p.csv", "zone,weight_g_max,price\nall,1000,1.00\n")]);
    let quoted = quoted(&table, &shipment("US-1", &[parcel(1, [1, 1, 1])]));
    let prices: Vec<i64> = quoted.quotes.iter().map(|quote| quote.price.minor()).collect();
    assert_eq!(prices, (0..200).map(|n| 100_000 + n * 100).collect::<Vec<i64>>());
    let nothing =
        table.quoted(&shipment("US-1", &[parcel(1_001, [1, 1, 1])]), TUESDAY.parse().expect("a time"));
    assert_eq!((nothing.quotes.len(), nothing.silent.len()), (0, 10));
}

proptest! {
    #[test]
    fn more_weight_never_costs_less(
        one in 1..=WEIGHT_G_MAX,
        other in 1..=WEIGHT_G_MAX,
        sides in [1..=SIDE_MM_MAX, 1..=SIDE_MM_MAX, 1..=SIDE_MM_MAX],
        fuel in 0_u32..2_000,
    ) {
        let table = small(&format!("fuel_percent = \"{}.{:02}\"\nvolumetric_cm3_per_kg = 5000", fuel / 100, fuel % 100));
        let cost = |weight_g| {
            let quoted = quoted(&table, &shipment("DE-1", &[parcel(weight_g, sides)]));
            // Not carried at all is dearer than any price.
            quoted.quotes.first().map(|quote| quote.price.minor()).unwrap_or(i64::MAX)
        };
        prop_assert!(cost(one.min(other)) <= cost(one.max(other)));
    }
}
