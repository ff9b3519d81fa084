//! The binary as an operator has it: what the commands print, and the exit codes scripts go by.

use std::process::Output;

use jiff::{Timestamp, ToSpan as _, tz::TimeZone};
use serde_json::Value;

use crate::{
    carrier_gateway::with_table,
    gateway::{Gateway, Setup},
    gateway_redis::Redis,
};

/// A gateway and the command line that speaks to it.
struct Shop {
    setup: Setup,
    gateway: Gateway,
}

/// What a command did.
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().expect("it ended by itself");
        Self { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

async fn run(setup: &Setup, gateway_url: &str, line: &str) -> Ran {
    let mut command = setup.command();
    command.args(line.split(' ')).env("STOCKGATE_GATEWAY", gateway_url);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap().into()
}

impl Shop {
    async fn open() -> Self {
        Self::of(Setup::on(Redis::shared().await)).await
    }

    async fn of(setup: Setup) -> Self {
        let gateway = setup.serve().await;
        Self { setup, gateway }
    }

    async fn run(&self, line: &str) -> Ran {
        run(&self.setup, &format!("http://{}", self.gateway.grpc), line).await
    }

    /// Runs a command that must succeed; answers its JSON.
    async fn json(&self, line: &str) -> Value {
        let ran = self.run(&format!("{line} -o json")).await;
        assert_eq!(ran.code, 0, "{line}: {}", ran.stderr);
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{line}: {error}: {}", ran.stdout))
    }

    /// Runs a command that must end so, and say so on stderr.
    async fn check(&self, line: &str, code: i32, parts: &[&str]) {
        let ran = self.run(line).await;
        assert_eq!(ran.code, code, "{line}: {}{}", ran.stdout, ran.stderr);
        for part in parts {
            assert!(ran.stderr.contains(part), "{line}: {part:?} is not in {}", ran.stderr);
        }
    }
}

#[tokio::test]
async fn a_hold_lives_and_ends_on_the_command_line() {
    let shop = Shop::open().await;
    shop.json("stock set A 10 --reason opening").await;
    let reserved = shop.json("holds reserve A=4 --ttl 5m --order-ref 17 --key r1").await;
    let hold = reserved["hold"]["hold_id"].as_str().unwrap();
    assert_eq!(reserved["lines"][0]["available"], 6);
    let again = shop.json("holds reserve A=4 --ttl 5m --order-ref 17 --key r1").await;
    assert_eq!(
        (&again["replayed"], &again["hold"]["hold_id"]),
        (&Value::Bool(true), &reserved["hold"]["hold_id"])
    );
    shop.json(&format!("holds extend {hold} --ttl 10m")).await;
    let part = shop.json(&format!("holds commit {hold} A=1 --keep-open")).await;
    assert_eq!((&part["hold"]["state"], &part["lines"][0]["on_hand"]), (&"held".into(), &9.into()));
    let rest = shop.json(&format!("holds release {hold}")).await;
    assert_eq!(rest["hold"]["lines"][0]["committed"], 1);
    let got = shop.json(&format!("holds get {hold}")).await;
    assert_ne!(got["state"], "held", "{got}");
    let stock = shop.json("stock get A").await;
    assert_eq!((&stock["available"], &stock["held"], &stock["on_hand"]), (&9.into(), &0.into(), &9.into()));
    shop.check("verify", 0, &["0 findings"]).await;
    let listed = shop.run("events list --sku A -o json").await;
    let kinds: Vec<_> = listed
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["set", "reserved", "extended", "committed", "released"]);
}

#[tokio::test]
async fn exit_codes_tell_done_refused_wrong_and_unreachable_apart() {
    let shop = Shop::open().await;
    let ran = shop.run("stock set A 3").await;
    assert_eq!((ran.code, ran.stdout.contains("key ")), (0, true), "{}", ran.stderr);
    let ran = shop.run("stock sell A=2 --key k1").await;
    assert_eq!((ran.code, ran.stdout.contains("key k1")), (0, true), "{}", ran.stderr);
    let ran = shop.run("stock sell A=2 --key k1").await;
    assert_eq!((ran.code, ran.stdout.contains("replayed")), (0, true), "{}", ran.stderr);

    let short = ["FAILED_PRECONDITION", "INSUFFICIENT_STOCK", "requested 2, available 1", "--key k2"];
    shop.check("stock sell A=2 --key k2", 1, &short).await;
    shop.check("stock sell A=1 --key k1", 1, &["IDEMPOTENCY_CONFLICT"]).await;
    shop.check("stock sell NO", 1, &["UNKNOWN_SKU", "NO"]).await;
    shop.check("stock set A 5 --expect-version 9", 1, &["VERSION_MISMATCH", "currentVersion=2"]).await;
    shop.check("stock sell A=0", 2, &["A=0"]).await;
    shop.check("stock sell A --channel no!", 2, &["INVALID_ARGUMENT", "channel"]).await;
    shop.check("holds commit no-hold", 2, &["INVALID_ARGUMENT", "hold_id"]).await;
    shop.check("stock sel A", 2, &["sell"]).await;
    assert_eq!(shop.gateway.level("A").await.on_hand, 1);

    let Shop { setup, mut gateway } = shop;
    gateway.kill();
    let ran = run(&setup, &format!("http://{}", gateway.grpc), "stock sell A").await;
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("cannot reach the gateway") && ran.stderr.contains("stockgate serve"));
}

#[tokio::test]
async fn a_file_is_imported_and_its_bad_rows_are_named() {
    let shop = Shop::open().await;
    let file = shop.setup.directory.path().join("counts.csv");
    std::fs::write(&file, "sku,quantity\nA,5\nB,many\nC,7\n").unwrap();
    let ran = shop.run("stock import counts.csv --force -o json").await;
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("2 set, 0 replayed, 1 failed"), "{}", ran.stderr);
    let rows: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 3, "{rows:?}");
    assert_eq!((shop.gateway.level("A").await.on_hand, shop.gateway.level("C").await.on_hand), (5, 7));
}

#[tokio::test]
async fn a_misspelt_setting_is_named_with_the_nearest() {
    let setup = Setup::embedded().set(r#"propagation.leese = "5s""#).set(r#"holds.ttl_max = "5 parsecs""#);
    let line = format!("config check --config {}", setup.file().display());
    let ran = run(&setup, "http://127.0.0.1:1", &line).await;
    assert_eq!(ran.code, 2, "{}", ran.stdout);
    for part in ["propagation.leese", "propagation.lease", "holds.ttl_max", "settings.toml"] {
        assert!(ran.stderr.contains(part), "{part:?} is not in {}", ran.stderr);
    }
    let (code, said) = setup.refusal().await;
    assert_eq!((code, said.contains("propagation.lease")), (Some(2), true), "{said}");

    let setup = Setup::embedded();
    let ran =
        run(&setup, "http://127.0.0.1:1", &format!("config check --config {}", setup.file().display())).await;
    assert_eq!((ran.code, ran.stdout.contains("the settings are fine")), (0, true), "{}", ran.stderr);
}

#[tokio::test]
async fn an_import_whose_rows_are_in_doubt_says_how_to_repeat_it() {
    let redis = Redis::start().await;
    let setup = Setup::on(&redis).set(r#"redis.response_timeout = "200ms""#);
    let gateway = setup.serve().await;
    let shop = Shop { setup, gateway };
    std::fs::write(shop.setup.directory.path().join("counts.csv"), "sku,quantity\nA,5\nB,6\n").unwrap();
    redis.freeze();
    let import = "stock import counts.csv --force --key i1";
    shop.check(import, 3, &["rows 1-2", "--force --key i1", "2 failed"]).await;
    redis.thaw();
    shop.gateway.readiness(200).await;
    let ran = shop.run(import).await;
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!((shop.gateway.level("A").await.on_hand, shop.gateway.level("B").await.on_hand), (5, 6));
}

fn days_ago(days: i64) -> String {
    Timestamp::now().to_zoned(TimeZone::UTC).date().saturating_sub(days.days()).to_string()
}

#[tokio::test]
async fn a_carrier_is_chosen_and_measured_on_the_command_line() {
    let shop = Shop::of(with_table(Setup::on(Redis::shared().await), "")).await;
    let quote = "carriers quote --from DE:10115 --to DE:80331 --parcel 500g:300x200x100 --value 49.90EUR --order-ref 17";
    let chosen = shop.json(quote).await;
    assert_eq!(chosen["chosen"]["carrier"], "cheap", "{chosen}");
    let ran = shop.run(quote).await;
    for part in ["chosen", "behind", "5.00 EUR", "lowest:", "more:", "lane DE-101:DE-803"] {
        assert!(ran.stdout.contains(part), "{part:?} is not in {}", ran.stdout);
    }

    let [shipped, promised, delivered, later] = [9, 7, 5, 4].map(days_ago);
    let days = format!("--shipped {shipped} --promised {promised}");
    let record =
        format!("carriers record cheap/parcel DE-101:DE-803 {days} --delivered {delivered} --key T1");
    let ran = shop.run(&record).await;
    assert_eq!((ran.code, ran.stdout.contains("recorded, key T1")), (0, true), "{}", ran.stderr);
    let again = shop.json(&record).await;
    assert_eq!(
        (&again["replayed"], &again["performance"]["delivery_count"]),
        (&Value::Bool(true), &1.into())
    );
    let other = record.replace(&delivered, &later);
    shop.check(&other, 1, &["IDEMPOTENCY_CONFLICT", "differingField=delivered_date", "--key T1"]).await;
    let chosen = shop.json(quote).await;
    assert_eq!(chosen["chosen"]["carrier"], "sure", "one late parcel makes the cheap one dearer: {chosen}");

    let ran = shop.run("carriers list").await;
    for part in ["rate_table", "cheap", "DE-101:DE-803"] {
        assert!(ran.stdout.contains(part), "{part:?} is not in {}", ran.stdout);
    }
    let ran = shop.run("carriers events --order-ref 17").await;
    assert_eq!(ran.stdout.matches("selection").count(), 3, "{}", ran.stdout);

    let late = format!("{quote} --by 2027-01-01 --service dhl");
    shop.check(&late, 1, &["NO_CARRIER", "not among the services allowed"]).await;
    shop.check(&quote.replace("DE:80331", "XX:1"), 2, &["--to", "XX"]).await;
    shop.check(&quote.replace("500g", "-5g"), 2, &["--parcel"]).await;
    shop.check(&format!("{quote} --by 2026-02-01"), 2, &["promised_date"]).await;
    shop.check(&format!("{quote} --currency USD"), 2, &["value", "USD"]).await;
    shop.check(&record.replace(":DE-803", ""), 2, &["DE-101"]).await;
    let old =
        format!("carriers record cheap/parcel DE-101:DE-803 --shipped {0} --promised {0}", days_ago(100));
    shop.check(&format!("{old} --failed lost"), 2, &["promised_date", "record_retention"]).await;
}
