//! `stockgate load` as its user has it: every profile ends with right books, and books that were made wrong are found.

use std::process::{Child, Output, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;
use stockgate::proto::{ListStockRequest, Stock};
use tonic::Code;

use crate::{
    gateway::{Gateway, SOON, Setup, eventually, signal},
    gateway_calls::sale,
    gateway_redis::Redis,
};

/// A gateway to drive.
struct Shop {
    setup: Setup,
    gateway: Gateway,
}

/// What a run printed.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }
}

/// A run that goes on until it is told to stop.
struct Driving(Child);

impl Driving {
    /// Presses Ctrl-C, and waits for the report.
    async fn interrupt(self) -> Ran {
        signal(self.0.id(), Signal::SIGINT);
        tokio::task::spawn_blocking(move || self.0.wait_with_output().unwrap()).await.unwrap().into()
    }
}

impl Shop {
    async fn open() -> Self {
        Self::of(Setup::on(Redis::shared().await)).await
    }

    async fn of(setup: Setup) -> Self {
        let gateway = setup.serve().await;
        Self { setup, gateway }
    }

    fn start(&self, line: &str) -> Driving {
        let mut command = self.setup.command();
        command.arg("load").args(line.split(' '));
        command.env("STOCKGATE_GATEWAY", format!("http://{}", self.gateway.grpc));
        Driving(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    async fn load(&self, line: &str) -> Ran {
        let Driving(child) = self.start(line);
        tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap().into()
    }

    /// Runs a load whose books must be right; answers its JSON.
    async fn right(&self, line: &str) -> Value {
        let ran = self.load(&format!("{line} -o json")).await;
        let report = ran.json();
        assert_eq!((ran.code, &report["books"]["right"]), (Some(0), &true.into()), "{line}: {report}");
        let books = |name: &str| report["books"][name].as_i64().unwrap();
        assert_eq!(books("sold") + books("left"), books("start"), "{line}: {report}");
        report
    }

    /// Waits until the run has sold something, and answers what it sold of.
    async fn sold_of(&self, prefix: &str) -> Stock {
        eventually("the load sells", SOON, async || {
            let page = ListStockRequest { page_size: 1_000, ..ListStockRequest::default() };
            let stocks = self.gateway.inventory().list_stock(page).await.unwrap().into_inner().stocks;
            stocks.into_iter().find(|stock| stock.sku.starts_with(prefix) && stock.version > 1)
        })
        .await
    }
}

#[tokio::test]
async fn every_profile_ends_with_right_books() {
    let shop = Shop::open().await;
    shop.gateway.put(&[("MINE", 5)]).await;
    let common = "--rate 200 --duration 1s --repeats 20";

    let steady = shop.right(&format!("{common} --skus 20")).await;
    assert_eq!((&steady["profile"], &steady["calls"]), (&"steady".into(), &200.into()));
    assert_eq!(steady["done"], 200, "{steady}");
    assert!(steady["books"]["repeats"].as_u64().unwrap() > 40, "at once, and again at the end: {steady}");

    let flash = shop.right(&format!("{common} --profile flash --units 30")).await;
    assert_eq!((&flash["done"], &flash["refused"]), (&30.into(), &170.into()), "{flash}");
    assert_eq!((&flash["books"]["sold"], &flash["books"]["left"]), (&30.into(), &0.into()));
    assert!(flash["refusals"]["INSUFFICIENT_STOCK"].as_u64().unwrap() > 170, "with repeats: {flash}");

    let carts = shop.right(&format!("{common} --profile carts --cart-lines 2-4 --skus 10 --units 100")).await;
    assert!(carts["refused"].as_u64().unwrap() > 0, "too few for all: {carts}");

    let holds =
        shop.right(&format!("{common} --profile holds --hold-ttl 300ms --commits 50 --releases 25")).await;
    let ends = &holds["books"]["holds"];
    assert_eq!(ends["reserved"], 200, "{holds}");
    assert!(ends["committed"].as_u64().unwrap() > 50 && ends["released"].as_u64().unwrap() > 20, "{holds}");
    assert_eq!(holds["books"]["held"], 0);

    let spike = shop.right("--profile spike --rate 50 --duration 2s --spike-factor 4").await;
    assert_eq!(spike["calls"], 25 + 100 + 50);
    let names: Vec<_> = spike["phases"].as_array().unwrap().iter().map(|phase| &phase["name"]).collect();
    assert_eq!(names, ["before", "spike", "after"]);
    assert!(spike["spike"]["p99_before_us"].is_u64(), "{spike}");

    let mine = shop.gateway.level("MINE").await;
    assert_eq!((mine.on_hand, mine.version), (5, 1), "no other SKU is touched");
}

#[tokio::test]
async fn ramp_names_the_last_good_rate() {
    let shop = Shop::open().await;
    // A limit nobody breaks, and one nobody keeps: neither depends on the speed of the machine.
    let held = shop.right("--profile ramp --rate 20 --step 500ms --duration 2s --p99-limit 1h").await;
    assert!(held["last_good_per_s"].as_f64().unwrap() >= 20.0, "{held}");
    assert_eq!(held["ramp"]["first_bad"], Value::Null, "{held}");
    let ran = shop.load("--profile ramp --rate 20 --step 500ms --duration 2s --p99-limit 0s").await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    for part in ["no rate held", "too slow", "the books are right"] {
        assert!(ran.stdout.contains(part), "{part:?} is not in {}", ran.stdout);
    }
}

#[tokio::test]
async fn units_that_somebody_else_sold_are_missed() {
    let shop = Shop::open().await;
    let driving = shop.start("--duration 1h --rate 100 --skus 10 --prefix THEFT -o json");
    let victim = shop.sold_of("THEFT-").await.sku;
    shop.gateway.sell("theft", &victim, 1).await;
    let ran = driving.interrupt().await;
    let report = ran.json();
    assert_eq!((ran.code, &report["interrupted"]), (Some(1), &true.into()), "{report}");
    let books = &report["books"];
    assert_eq!((&books["right"], &books["wrong_sku_count"]), (&false.into(), &1.into()), "{report}");
    let wrong = &books["wrong_skus"][0];
    assert_eq!(wrong["sku"], victim);
    assert_eq!(wrong["on_hand"].as_i64().unwrap() + 1, wrong["expected"].as_i64().unwrap(), "{report}");
}

#[tokio::test]
async fn answers_that_were_lost_are_asked_for_again() {
    let redis = Redis::start().await;
    let shop = Shop::of(Setup::on(&redis).set(r#"redis.response_timeout = "200ms""#)).await;
    shop.gateway.put(&[("MINE", 5)]).await;
    let driving =
        shop.start("--profile flash --units 1000000 --duration 1h --rate 200 --prefix LOST -o json");
    shop.sold_of("LOST-").await;
    redis.freeze();
    // While the first is lost the load sends more, and they go to Redis no later than the second.
    for key in ["first", "second"] {
        let lost = shop.gateway.stock().decrement(sale(key, "MINE", 1)).await.unwrap_err();
        assert!(matches!(lost.code(), Code::Unavailable | Code::DeadlineExceeded), "{lost}");
    }
    redis.thaw();
    shop.gateway.readiness(200).await;
    let ran = driving.interrupt().await;
    let report = ran.json();
    assert_eq!((ran.code, &report["books"]["right"]), (Some(0), &true.into()), "{report}");
    assert!(report["failed"].as_u64().unwrap() > 0, "{report}");
    assert!(report["books"]["resolved"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(report["books"]["unresolved"], 0, "{report}");
}

#[tokio::test]
async fn gateway_that_is_gone_leaves_a_report_without_books() {
    let mut shop = Shop::open().await;
    let driving = shop.start("--duration 1h --rate 100 --skus 10 --prefix GONE -o json");
    shop.sold_of("GONE-").await;
    shop.gateway.kill();
    let ran = driving.interrupt().await;
    assert_eq!(ran.code, Some(3), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(ran.json()["books"], Value::Null);
}

#[tokio::test]
async fn page_holds_the_numbers_and_needs_nothing_else() {
    let shop = Shop::open().await;
    let report = shop.right("--rate 123 --duration 1s --skus 5 --html report.html").await;
    let page = std::fs::read_to_string(shop.setup.directory.path().join("report.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    for part in ["<b>123/s</b>", "<b>123</b><i>carried out</i>", "the books are right"] {
        assert!(page.contains(part), "{part:?} is not in {page}");
    }
    assert!(page.contains(report["sku_prefix"].as_str().unwrap()));
    let names = ["xmlns=\"http://www.w3.org/2000/svg\"", report["gateway"].as_str().unwrap()];
    let rest = names.into_iter().fold(page, |page, name| page.replace(name, ""));
    for foreign in ["http:", "https:", "<script", "<link", "@import", "url("] {
        assert!(!rest.contains(foreign), "{foreign:?} is in {rest}");
    }
}

#[tokio::test]
async fn page_that_cannot_be_written_any_more_never_hides_the_verdict() {
    let shop = Shop::open().await;
    let folder = shop.setup.directory.path().join("pages");
    for (prefix, is_stolen, code) in [("CLEAN", false, 3), ("STOLEN", true, 1)] {
        std::fs::create_dir(&folder).unwrap();
        let line = format!("--duration 1h --rate 50 --skus 5 --prefix {prefix} --html pages/x.html -o json");
        let driving = shop.start(&line);
        let victim = shop.sold_of(&format!("{prefix}-")).await.sku;
        if is_stolen {
            shop.gateway.sell("theft", &victim, 1).await;
        }
        std::fs::remove_dir_all(&folder).unwrap();
        let ran = driving.interrupt().await;
        assert_eq!(ran.code, Some(code), "{prefix}: {}{}", ran.stdout, ran.stderr);
        assert_eq!(ran.json()["books"]["right"], !is_stolen, "{prefix}: the report is printed all the same");
        assert!(ran.stderr.contains("pages/x.html"), "{prefix}: {}", ran.stderr);
    }
}

#[tokio::test]
async fn wrong_lines_are_refused_before_anything_is_sent() {
    let shop = Shop::open().await;
    let there = "--gateway http://192.0.2.1:50051 --timeout 50ms";
    for (line, code, said) in [
        ("--rate 0".to_owned(), 2, "--rate"),
        ("--duration 0s".to_owned(), 2, "--duration"),
        ("--profile storm".to_owned(), 2, "steady, ramp, spike, flash, carts, holds"),
        ("--html /nowhere/x.html".to_owned(), 2, "--html /nowhere/x.html"),
        (there.to_owned(), 2, "--allow-remote"),
        (format!("{there} --allow-remote"), 3, "192.0.2.1"),
        ("--gateway http://127.0.0.1:1".to_owned(), 3, "stockgate serve"),
    ] {
        let ran = shop.load(&line).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""), "{line}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{line}: {said:?} is not in {}", ran.stderr);
    }
    let page = ListStockRequest::default();
    let stocks = shop.gateway.inventory().list_stock(page).await.unwrap().into_inner().stocks;
    assert_eq!(stocks, Vec::<Stock>::new(), "nothing was made");
}

#[tokio::test]
async fn exposure_needs_no_gateway() {
    let setup = Setup::embedded();
    let run = |line: &'static str| {
        let mut command = setup.command();
        command.arg("exposure").args(line.split_whitespace()).env("STOCKGATE_GATEWAY", "http://127.0.0.1:1");
        async { Ran::from(tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()) }
    };
    let ran = run("").await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for part in ["5.2", "52.1", "5.8", "57.8", "each may sell what another channel has just sold"] {
        assert!(ran.stdout.contains(part), "{part:?} is not in {}", ran.stdout);
    }
    let json = run("--orders-per-day 86400 --poll-interval 1m --spike 2 --growth 50 --lag 500ms -o json")
        .await
        .json();
    let (polled, told) = (&json["polled"], &json["told"]);
    assert_eq!((&polled["usual"], &polled["grown_spike"]), (&60.0.into(), &180.0.into()));
    assert_eq!((&told["usual"], &told["spike"]), (&0.5.into(), &1.0.into()));
}
