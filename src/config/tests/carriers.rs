//! What `[carriers]` and a `[[carriers.sources]]` section may say.

use super::*;
use crate::domain::carrier::PolicyKind;

const TABLE: &str = "[[carriers.sources]]\nid = \"table\"\nkind = \"rate_table\"\nfile = \"rates.toml\"\n";
const POST: &str = "[[carriers.sources]]\nid = \"post\"\nkind = \"easypost\"\nkey = \"EZTK_hunter2\"\n";

fn source(toml: &str, env: &[(&str, &str)]) -> HttpOrigin {
    match load(toml, env).unwrap().carriers.sources.remove(0).origin {
        PriceOrigin::Http(origin) => origin,
        PriceOrigin::RateTable { .. } => panic!("a table"),
    }
}

#[test]
fn the_manual_shows_every_setting_of_a_source() {
    let lines = DEFAULTS.lines().filter_map(|line| line.strip_prefix("#source "));
    let example: String = lines.map(|line| format!("{line}\n")).collect();
    let mut tree = File::from_str(&example, FileFormat::Toml).collect().unwrap();
    let ValueKind::Table(mut carriers) = tree.remove("carriers").unwrap().kind else { panic!("no section") };
    let ValueKind::Array(mut items) = carriers.remove("sources").unwrap().kind else { panic!("no sources") };
    let ValueKind::Table(fields) = items.remove(0).kind else { panic!("no section") };
    let written: BTreeSet<&str> = fields.keys().map(String::as_str).collect();
    assert_eq!(written, schema::SOURCE.iter().map(|(field, _)| *field).collect());
    let example = example.replace("id = \"easypost\"", "id = \"post\"").replace("key = \"\"", "key = \"k\"");
    let unset = ["file", "key_file", "accounts", "rate", "burst"];
    let example = example.lines().filter(|line| !unset.iter().any(|field| line.starts_with(field)));
    let [short, long] = [POST.to_owned(), example.collect::<Vec<_>>().join("\n")]
        .map(|toml| format!("{:?}", load(&toml, &[]).unwrap().carriers.sources));
    assert_eq!(short, long);
}

#[test]
fn the_defaults_of_carriers_are_what_the_contract_says() {
    let carriers = load("", &[]).unwrap().carriers;
    assert_eq!(carriers.policy, PolicyKind::CostOverReliability);
    assert_eq!((carriers.prior.on_time.ppm(), carriers.prior.weight), (900_000, 20));
    assert_eq!(carriers.half_life, Duration::from_secs(30 * 24 * 3600));
    assert!(carriers.sources.is_empty());
    let set = "[carriers]\npolicy = \"lateness_penalty\"\nprior_on_time = 1\n";
    let carriers = load(set, &[("STOCKGATE__CARRIERS__CACHE_TTL", "0s")]).unwrap().carriers;
    assert_eq!((carriers.policy, carriers.prior.on_time.ppm()), (PolicyKind::LatenessPenalty, 1_000_000));
    assert_eq!(carriers.cache_ttl, Duration::ZERO);
}

#[test]
fn a_source_is_complete_and_the_only_one_of_its_id() {
    check(TABLE, &[], &[]);
    check(
        "[[carriers.sources]]\n",
        &[],
        &[
            "carriers.sources[0].id is not set: write id = \"table\", or what you call it",
            "carriers.sources[0].kind is not set: write kind = \"rate_table\", \"easypost\", \"shippo\" or \"shipengine\"",
        ],
    );
    check(
        &format!("{TABLE}{TABLE}"),
        &[],
        &["carriers.sources.table.id in FILE is the id of more than one source: give each its own"],
    );
    check(
        &TABLE.replace("file", "# file"),
        &[],
        &["carriers.sources.table.file is not set: write file = \"PATH\", where the table is"],
    );
    check(
        &POST.replace("key", "# key"),
        &[],
        &["carriers.sources.post.key is not set: write key = \"…\", or key_file = \"PATH\""],
    );
    check(
        &POST.replace("easypost", "shipengine"),
        &[],
        &[
            "carriers.sources.post.accounts is not set: write accounts = [\"se-…\"], the carriers ShipEngine is to ask",
        ],
    );
    let many: String = (0..17).map(|n| TABLE.replace("\"table\"", &format!("\"t{n}\""))).collect();
    check(&many, &[], &["carriers.sources in FILE are 17, must be at most 16"]);
    check(
        "[carriers.sources.post]\n",
        &[],
        &["carriers.sources in FILE must be sections: write [[carriers.sources]] and id = \"…\""],
    );
}

#[test]
fn what_means_nothing_to_a_source_is_refused() {
    let nothing = "means nothing to a rate_table, which is in memory: leave it out";
    check(
        &format!("{TABLE}key = \"k\"\ntimeout = \"1s\"\n"),
        &[],
        &[
            &format!("carriers.sources.table.key in FILE {nothing}"),
            &format!("carriers.sources.table.timeout in FILE {nothing}"),
        ],
    );
    check(
        &format!("{POST}file = \"x\"\nfallback = true\nburst = 3\n"),
        &[],
        &[
            "carriers.sources.post.file in FILE is for a rate_table: leave it out",
            "carriers.sources.post.fallback in FILE is for a rate_table, which answers at once: leave it out",
            "carriers.sources.post.burst in FILE is set without rate: set rate too, or leave it out",
        ],
    );
    check(
        &format!("{POST}key_file = \"x\"\n"),
        &[],
        &["carriers.sources.post.key_file in FILE is set beside key in FILE: keep one of them"],
    );
}

#[test]
fn a_value_of_carriers_that_cannot_be_is_refused() {
    check(
        &format!("{POST}accounts = [\"a\", \"\"]\nconcurrency = 0\nrate = 0\nurl = \"ftp://x\"\n"),
        &[],
        &[
            "carriers.sources.post.url in FILE must be a url such as \"https://shop.example/stock\"",
            "carriers.sources.post.accounts in FILE must be texts in quotes, none of them empty: [\"…\", \"…\"]",
            "carriers.sources.post.rate in FILE must be a number, 0.01 to 100000, is 0",
            "carriers.sources.post.concurrency in FILE must be 1 to 1024, is 0",
        ],
    );
    check(
        &TABLE.replace("rate_table", "fax"),
        &[],
        &[
            "carriers.sources.table.kind in FILE must be \"rate_table\" or \"easypost\" or \"shippo\" or \"shipengine\", is \
             \"fax\"",
        ],
    );
    check(
        &format!("{TABLE}fallback = \"yes\"\n"),
        &[],
        &["carriers.sources.table.fallback in FILE must be true or false, is \"yes\""],
    );
    check(
        "[carriers]\nselect_timeout = \"1ms\"\npolicy = \"luck\"\nusual_percent = 100\n",
        &[],
        &[
            "carriers.select_timeout in FILE must be 10ms to 1m, is \"1ms\"",
            "carriers.policy in FILE must be \"cost_over_reliability\" or \"cheapest\" or \"fastest\" or \
             \"lateness_penalty\", is \"luck\"",
            "carriers.usual_percent in FILE must be 50 to 99, is 100",
        ],
    );
}

#[test]
fn an_unknown_setting_of_a_source_is_named_with_its_place() {
    check(
        &format!("{POST}timout = \"3s\"\n"),
        &[],
        &[
            "unknown setting carriers.sources.post.timout in FILE: did you mean carriers.sources.post.timeout?",
        ],
    );
    check(
        "[carriers]\nselect_timout = \"3s\"\n",
        &[],
        &["unknown setting carriers.select_timout in FILE: did you mean carriers.select_timeout?"],
    );
}

#[test]
fn variables_set_sources_by_their_ids() {
    let toml = POST.replace("\"post\"", "\"Easy-post\"").replace("key", "# key");
    let env = [
        ("STOCKGATE__CARRIERS__SOURCES__EASY_POST__KEY", "k"),
        ("STOCKGATE__CARRIERS__SOURCES__EASY_POST__ACCOUNTS", "ca_1, ca_2"),
        ("STOCKGATE__CARRIERS__SOURCES__EASY_POST__RATE", "2.5"),
    ];
    let origin = source(&toml, &env);
    assert_eq!((origin.key.expose_secret(), origin.rate, origin.burst), ("k", Some(2.5), 3));
    assert_eq!(origin.accounts, ["ca_1", "ca_2"]);
    let fallback = load(TABLE, &[("STOCKGATE__CARRIERS__SOURCES__TABLE__FALLBACK", "true")]).unwrap();
    assert!(matches!(fallback.carriers.sources[0].origin, PriceOrigin::RateTable { fallback: true, .. }));
    let name = "STOCKGATE__CARRIERS__SOURCES__UPS__KEY";
    check(
        TABLE,
        &[(name, "x")],
        &[&format!("environment variable {name} names no source: the settings file has table")],
    );
}

#[test]
fn keys_come_from_files_and_are_never_printed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    fs::write(&path, "EZTK_filed\n").unwrap();
    let toml = format!("{}key_file = {path:?}\n", POST.replace("key", "# key"));
    assert_eq!(source(&toml, &[]).key.expose_secret(), "EZTK_filed");
    let config = load(POST, &[]).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let error =
        load(&POST.replace("\"EZTK_", "[\"EZTK_").replace("hunter2\"", "hunter2\"]"), &[]).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
}
