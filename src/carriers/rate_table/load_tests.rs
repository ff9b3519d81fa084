//! Tables with mistakes: each is told with its file, its line and what to do, and all of them at once.

use std::fs;

use super::{
    RateTable,
    tests::{source, written},
};

const GOOD: &str = r#"currency = "EUR"
time_zone = "Europe/Berlin"
cut_off = "15:00"
work_days = ["mon", "fri"]

[[zones]]
name = "home"
to = ["DE"]

[[services]]
carrier = "dhl"
service = "parcel"
prices = "p.csv"
days = { home = 1 }
"#;

const PRICES: &str = "zone,weight_g_max,price\nhome,1000,4.90\nhome,2000,5.90\n";

/// What is said of two files, without the folder they are in.
fn mistakes(toml: &str, prices: &str) -> Vec<String> {
    let (folder, path) = written(toml, &[("p.csv", prices)]);
    let Err(error) = RateTable::load(source(), &path) else { return Vec::new() };
    let folder = format!("{}/", folder.path().display());
    error.to_string().lines().map(|line| line.replace(&folder, "")).collect()
}

/// The one mistake of the good table with `wrong` in the place of `right`.
#[track_caller]
fn check_table(right: &str, wrong: &str, expected: &str) {
    assert!(GOOD.contains(right), "{right}");
    assert_eq!(mistakes(&GOOD.replacen(right, wrong, 1), PRICES), [expected], "{wrong}");
}

#[track_caller]
fn check_prices(prices: &str, expected: &[&str]) {
    assert_eq!(mistakes(GOOD, prices), expected, "{prices}");
}

/// The good table with something more in its service.
#[track_caller]
fn check_service(field: &str, expected: &str) {
    check_table("days = { home = 1 }\n", &format!("days = {{ home = 1 }}\n{field}\n"), expected);
}

#[test]
fn a_good_table_has_no_mistakes() {
    assert_eq!(mistakes(GOOD, PRICES), [""; 0]);
    assert_eq!(mistakes(&GOOD.replace("\"15:00\"", "15:00:00"), PRICES), [""; 0]);
    assert_eq!(
        mistakes(
            &GOOD.replacen("work_days", "holidays = [2026-12-25, \"2026-12-26\"]\nwork_days", 1),
            PRICES
        ),
        [""; 0]
    );
}

#[test]
fn each_field_of_the_table_is_checked() {
    check_table(
        "\"EUR\"",
        "\"EURO\"",
        "rates.toml:1: currency must be a currency of ISO 4217 such as \"EUR\", is \"EURO\"",
    );
    check_table("\"EUR\"", "5", "rates.toml:1: currency must be a text in quotes, is of type integer");
    check_table("currency = \"EUR\"", "", "rates.toml:1: currency is missing: add currency = \"EUR\"");
    check_table(
        "Europe/Berlin",
        "Berlin",
        "rates.toml:2: time_zone must be a time zone of IANA such as \"Europe/Berlin\", is \"Berlin\"",
    );
    check_table("15:00", "25:00", "rates.toml:3: cut_off must be an hour such as \"15:00\", is \"25:00\"");
    check_table("cut_off = \"15:00\"\n", "", "rates.toml:1: cut_off is missing: add cut_off = \"15:00\"");
    check_table(
        "\"mon\"",
        "\"Mon\"",
        "rates.toml:4: work_days must be days such as \"mon\", has \"Mon\": did you mean \"mon\"?",
    );
    check_table("[\"mon\", \"fri\"]", "[]", "rates.toml:4: work_days must have one entry at least");
    check_table(
        "[\"mon\", \"fri\"]",
        "\"mon\"",
        "rates.toml:4: work_days must be a list in [ ], is of type string",
    );
    check_table(
        "cut_off",
        "holidays = [\n\"2026-02-30\"]\ncut_off",
        "rates.toml:4: holidays must be a day such as \"2026-12-25\", is \"2026-02-30\"",
    );
    check_table(
        "cut_off",
        "cutoff = 1\ncut_off",
        "rates.toml:3: unknown field \"cutoff\": did you mean \"cut_off\"?",
    );
}

#[test]
fn zones_are_checked() {
    check_table(
        "\"DE\"",
        "\"ZZ\"",
        "rates.toml:8: zone \"home\": to must be a country of ISO 3166 in two letters such as \"DE\", is \"ZZ\"",
    );
    check_table(
        "\"DE\"",
        "\"DE-\"",
        "rates.toml:8: zone \"home\": to must have a postal code behind the '-', is \"DE-\"",
    );
    check_table(
        "to = [\"DE\"]",
        "from = [\"DE\"]",
        "rates.toml:6: zone \"home\": to is missing: add to = [\"DE\"], or [\"*\"] for everywhere",
    );
    check_table(
        "name = \"home\"",
        "name = \"home\"\ncountry = \"DE\"",
        "rates.toml:8: zone \"home\": unknown field \"country\": there are name, carrier, from, to",
    );
    let second = |fields: &str| format!("[[zones]]\n{fields}\n\n[[services]]");
    check_table(
        "[[services]]",
        &second("name = \"b\"\nto = [\"FR\", \"DE\"]"),
        "rates.toml:10: zone \"b\": the way from \"*\" to \"DE\" is in zone \"home\" already: leave it out of one",
    );
    check_table(
        "[[services]]",
        &second("name = \"home\"\nto = [\"FR\"]"),
        "rates.toml:10: zone \"home\": has the name of another zone: put both into one, or rename it",
    );
    check_table(
        "[[services]]",
        &second("name = \"b\"\ncarrier = \"dhi\"\nto = [\"FR\"]"),
        "rates.toml:10: zones of dhi, which has no service: did you mean \"dhl\"?",
    );
    // The same way may be in a zone of another carrier.
    let ups = "[[services]]\ncarrier = \"ups\"\nservice = \"std\"\nprices = \"p.csv\"\ndays = { home = 1 }\n";
    let both = GOOD.replacen("[[services]]", &second("name = \"home\"\ncarrier = \"ups\"\nto = [\"DE\"]"), 1);
    assert_eq!(mistakes(&format!("{both}{ups}"), PRICES), [""; 0]);
}

#[test]
fn services_are_checked() {
    let dhl = "service \"dhl/parcel\": ";
    check_table(
        "\"dhl\"",
        "\"DHL\"",
        "rates.toml:11: services: carrier must be small letters, digits, '-', '_' or '.', has byte 0x44 at position 0",
    );
    check_table(
        "service = \"parcel\"\n",
        "",
        "rates.toml:10: services: service is missing: add service = \"parcel\"",
    );
    check_table(
        "home = 1",
        "hone = 1",
        &format!("rates.toml:14: {dhl}days has unknown zone \"hone\": did you mean \"home\"?"),
    );
    check_table(
        "home = 1",
        "home = -1",
        &format!("rates.toml:14: {dhl}days of zone \"home\" must be 0 to 60, is -1"),
    );
    check_table(
        "home = 1",
        "",
        &format!("rates.toml:10: {dhl}days must have one zone at least, such as {{ domestic = 1 }}"),
    );
    check_table(
        "p.csv",
        "q.csv",
        &format!("rates.toml:10: {dhl}cannot read prices q.csv: No such file or directory (os error 2)"),
    );
    check_service(
        "fuel_pct = 1",
        &format!("rates.toml:15: {dhl}unknown field \"fuel_pct\": did you mean \"fuel_percent\"?"),
    );
    check_service(
        "fuel_percent = \"12,75\"",
        &format!(
            "rates.toml:15: {dhl}fuel_percent must be a decimal number of 0 or more such as \"7.42\", is \"12,75\""
        ),
    );
    check_service(
        "fuel_percent = 12.755",
        &format!(
            "rates.toml:15: {dhl}fuel_percent must have at most 2 digits behind the point, is \"12.755\""
        ),
    );
    check_service(
        "fuel_percent = 1000.01",
        &format!("rates.toml:15: {dhl}fuel_percent must be at most \"1000\""),
    );
    check_service(
        "collect_fee = -1",
        &format!(
            "rates.toml:15: {dhl}collect_fee must be a decimal number of 0 or more such as \"7.42\", is \"-1\""
        ),
    );
    check_service(
        "weight_g_max = 0",
        &format!("rates.toml:15: {dhl}weight_g_max must be 1 to 1000000, is 0"),
    );
    check_service(
        "weight_g_max = 31.5",
        &format!("rates.toml:15: {dhl}weight_g_max must be a whole number of 1 to 1000000, is of type float"),
    );
    check_service(
        "sides_mm_max = [1, 2]",
        &format!("rates.toml:10: {dhl}sides_mm_max must be three sides such as [1200, 600, 600]"),
    );
    check_service(
        "guaranteed = \"yes\"",
        &format!("rates.toml:15: {dhl}guaranteed must be true or false, is of type string"),
    );
    check_service(
        "cut_off = \"3pm\"",
        &format!("rates.toml:15: {dhl}cut_off must be an hour such as \"15:00\", is \"3pm\""),
    );
    let twice = "days = { home = 1 }\n[[services]]\ncarrier = \"dhl\"\nservice = \"parcel\"\nprices = \"p.csv\"\ndays = { home = 1 }";
    check_table("days = { home = 1 }", twice, &format!("rates.toml:15: {dhl}is there twice: leave one out"));
    check_table(
        "[[zones]]",
        "[[zones]]\ncarrier = \"dhl\"\nname = \"x\"\nto = [\"DE\"]\n[[zones]]",
        "rates.toml:18: service \"dhl/parcel\": days has unknown zone \"home\": there are x",
    );
}

#[test]
fn prices_are_checked_row_by_row() {
    check_prices(
        "zone,weight_g_max,price\nhome,-500,4.90\nhome,1000,-4.90\nhone,2000,5.90\nhome,2000\nhome,1.5,4,90\n",
        &[
            "p.csv:2: weight_g_max must be whole grams of 1 to 1000000, is \"-500\"",
            "p.csv:3: price must be a decimal number of 0 or more such as \"7.42\", is \"-4.90\"",
            "p.csv:4: zone \"hone\" is not among the days of service \"dhl/parcel\": did you mean \"home\"?",
            "p.csv:5: must have 3 columns, has 2",
            "p.csv:6: must have 3 columns, has 4",
            "rates.toml:10: service \"dhl/parcel\": days has zone \"home\", but p.csv has no price for it",
        ],
    );
    check_prices(
        "zone,weight_g_max,price\nhome,1000,4.90\nhome,1000,5.90\nhome,999,6.90\nhome,2000,7.901\n",
        &[
            "p.csv:3: weight_g_max must be more than in the zone's row before, 1000, is 1000: put the rows in order",
            "p.csv:4: weight_g_max must be more than in the zone's row before, 1000, is 999: put the rows in order",
            "p.csv:5: price must have at most 2 digits behind the point, is \"7.901\"",
        ],
    );
    check_prices(
        "zone,weight_g_max,price\nhome,1000001,10000000000.01\n",
        &[
            "p.csv:2: weight_g_max must be whole grams of 1 to 1000000, is \"1000001\"",
            "p.csv:2: price must be at most 1000000000000 minor units, is \"10000000000.01\"",
            "rates.toml:10: service \"dhl/parcel\": days has zone \"home\", but p.csv has no price for it",
        ],
    );
    let no_price =
        "rates.toml:10: service \"dhl/parcel\": days has zone \"home\", but p.csv has no price for it";
    check_prices("", &["p.csv:1: is empty: begin with zone,weight_g_max,price", no_price]);
    check_prices(
        "zone,weight,price\n",
        &["p.csv:1: unknown column \"weight\": did you mean \"weight_g_max\"?", no_price],
    );
    check_prices(
        "zone,price\n",
        &[
            "p.csv:1: column \"weight_g_max\" is missing: the first line must be zone,weight_g_max,price",
            no_price,
        ],
    );
    check_prices(
        "zone,price,price,weight_g_max\n",
        &["p.csv:1: column \"price\" is there twice: leave one out", no_price],
    );
}

#[test]
fn spreadsheets_of_all_countries_are_read() {
    check_prices("\u{feff}zone;weight_g_max;price\r\nhome;1000;4,90\r\n\r\nhome;2000;5.90\r\n", &[]);
    check_prices("# Prices of 2026\nprice, zone, weight_g_max\n\"4.90\", home, 1000\n", &[]);
    check_prices(
        "zone,weight_g_max,price\nhome,1000,\"4,90\"\n",
        &[
            "p.csv:2: price must be a decimal number of 0 or more such as \"7.42\", is \"4,90\"",
            "rates.toml:10: service \"dhl/parcel\": days has zone \"home\", but p.csv has no price for it",
        ],
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    let toml = GOOD
        .replace("EUR", "EURO")
        .replace("15:00", "3pm")
        .replace("days = { home = 1 }", "days = { home = 1 }\nguarantee = true");
    assert_eq!(
        mistakes(&toml, "zone,weight_g_max,price\nhome,0,4.90\nhome,1000,4.90\n"),
        [
            "rates.toml:1: currency must be a currency of ISO 4217 such as \"EUR\", is \"EURO\"",
            "rates.toml:3: cut_off must be an hour such as \"15:00\", is \"3pm\"",
            "rates.toml:15: service \"dhl/parcel\": unknown field \"guarantee\": did you mean \"guaranteed\"?",
            "p.csv:2: weight_g_max must be whole grams of 1 to 1000000, is \"0\"",
        ]
    );
}

#[test]
fn files_that_are_no_tables_are_refused() {
    let broken = mistakes("currency = \n[[zones\n", PRICES);
    assert!(broken.len() >= 2 && broken[0].starts_with("rates.toml:1: is not valid TOML: "), "{broken:?}");
    let missing = mistakes("", PRICES);
    assert_eq!(missing.len(), 6, "{missing:?}");
    let (folder, path) = written(GOOD, &[]);
    let error = RateTable::load(source(), &folder.path().join("none.toml")).expect_err("no such file");
    assert!(error.to_string().contains("none.toml: cannot be read: No such file"), "{error}");
    fs::write(folder.path().join("p.csv"), b"zone,weight_g_max,price\nhome,1000,4.90 \xff").expect("written");
    let error = RateTable::load(source(), &path).expect_err("no text");
    assert!(error.to_string().ends_with("p.csv: is not UTF-8: save it as such"), "{error}");
    fs::write(folder.path().join("p.csv"), vec![b'#'; 16 * 1024 * 1024 + 1]).expect("written");
    let error = RateTable::load(source(), &path).expect_err("too large");
    assert!(error.to_string().ends_with("has more than 16777216 bytes: split it"), "{error}");
}

#[test]
fn numbers_of_services_and_zones_are_bounded() {
    let zones: String =
        (0..1_001).map(|n| format!("[[zones]]\nname = \"z{n}\"\nto = [\"US-{n}\"]\n")).collect();
    let said = mistakes(&format!("{GOOD}{zones}"), PRICES);
    assert_eq!(said, ["rates.toml:3012: zones must be at most 1000, are 1002"]);
    let service = |n| {
        format!(
            "[[services]]\ncarrier = \"c\"\nservice = \"s{n}\"\nprices = \"p.csv\"\ndays = {{ home = 1 }}\n"
        )
    };
    let services: String = (0..1_000).map(service).collect();
    let said = mistakes(&format!("{GOOD}{services}"), PRICES);
    assert_eq!(said, ["rates.toml:5010: services must be at most 1000, are 1001"]);
    // 1,001 × 1,000 ways.
    let ends = |country: &str, count| (0..count).map(|n| format!("\"{country}-{n}\",")).collect::<String>();
    let ways =
        format!("[[zones]]\nname = \"w\"\nfrom = [{}]\nto = [{}]\n", ends("DE", 1_001), ends("US", 1_000));
    let said = mistakes(&format!("{GOOD}{ways}"), PRICES);
    assert_eq!(
        said,
        ["rates.toml:15: zone \"w\": all ways from × to must be at most 1000000: use shorter codes"]
    );
}
