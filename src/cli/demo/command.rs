//! `stockgate demo`: a gateway of its own, four channels, a flash sale, and a table that says whether every number is right.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Args;
use tokio::time::{Instant, sleep};
use tonic::transport::{Channel, Endpoint};

use crate::{
    app,
    config::{Config, Role},
    domain::PublishPolicy,
    telemetry::{self, LogFormat},
};

use super::{
    super::{CliError, Verdict},
    receiver::{Behaviour, Receiver},
    report::{ChannelEnd, Ends, Report},
    sale::{self, SalePlan},
    shelves::{self, Shelf},
};

/// Signs the demo's calls; both ends are in this process.
const SECRET: &str = "whsec_ZGVtby1zZWNyZXQtb2Ytc3RvY2tnYXRlLTAwMDE=";
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the channels may take to show the truth after the sale.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How often the demo looks whether they do.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Show a flash sale against four channels of its own and check every number; exit code 1 when one is wrong.
#[derive(Debug, Args)]
pub(in crate::cli) struct Demo {
    /// Orders, repeats not counted
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    orders: u32,
    /// Orders on their way at once
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// The same seed draws the same orders
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Show the gateway's own log lines of this level
    #[arg(long, default_value = "off")]
    log: String,
}

impl Demo {
    /// Runs the demo on a runtime of two threads: the shop and the gateway.
    pub(in crate::cli) fn run(self) -> Result<Verdict, CliError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.map_err(|source| CliError::Gateway(source.into()))?;
        runtime.block_on(self.show()).map_err(CliError::Gateway)
    }

    async fn show(self) -> Result<Verdict> {
        telemetry::init_logs(&self.log, LogFormat::Text)?;
        let metrics = telemetry::init_metrics()?;
        let home = Home::make()?;
        let receivers = start_receivers().await?;
        let config = home.config(&receivers)?;
        println!("starting a gateway on an embedded redis in {}", home.0.display());
        let app = app::start(config, Role::All, metrics.clone()).await?;
        let sold = self.sell(&app, &receivers).await;
        // The page is read before the stop: it is what a dashboard would have seen.
        let metrics_text = metrics.render();
        // What it cut off is in its log; the books are checked all the same.
        let _ = app.shut_down().await;
        let (shelves, sale, truth) = sold?;
        let channels = end_receivers(receivers).await;
        let ends = Ends {
            shelves: &shelves,
            sale: &sale,
            truth: &truth,
            channels: &channels,
            metrics_text: &metrics_text,
        };
        let report = Report::new(&ends);
        println!("\n{report}");
        Ok(report.verdict())
    }

    async fn sell(
        &self,
        app: &app::App,
        receivers: &[Receiver],
    ) -> Result<(Vec<Shelf>, sale::SaleOutcome, Vec<crate::proto::Stock>)> {
        let address = app.grpc_address().context("the demo serves gRPC")?;
        let gateway = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
        let shelves = shelves::standard();
        shelves::fill(gateway.clone(), &shelves, CALL_TIMEOUT).await.context("cannot fill the shelves")?;
        println!("shelves filled; the sale begins: {} orders, {} at once", self.orders, self.concurrency);
        for receiver in receivers {
            receiver.start_failing();
        }
        let plan = SalePlan {
            orders: self.orders,
            concurrency: usize::from(self.concurrency),
            timeout: CALL_TIMEOUT,
            seed: self.seed,
        };
        let sale = sale::run(gateway.clone(), &shelves, &plan).await;
        println!("sale over after {:.2?}; waiting until every channel shows the truth", sale.elapsed);
        let truth = wait_for_truth(gateway, &shelves, receivers).await?;
        Ok((shelves, sale, truth))
    }
}

/// A folder of the demo's own, gone when the demo ends.
struct Home(PathBuf);

impl Home {
    fn make() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("stockgate-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Settings as a shop would write them, with the receivers as channels.
    fn config(&self, receivers: &[Receiver]) -> Result<Config> {
        let data_dir = self.0.join("data");
        let mut text = String::new();
        writeln!(text, "embedded.data_dir = {}", quoted(&data_dir))?;
        writeln!(text, "grpc.listen = \"127.0.0.1:0\"\nhttp.listen = \"127.0.0.1:0\"")?;
        for receiver in receivers {
            let (id, url) = (receiver.channel(), receiver.url());
            writeln!(
                text,
                "[[channels]]\nid = \"{id}\"\nkind = \"webhook\"\nurl = \"{url}\"\nsecret = \"{SECRET}\""
            )?;
        }
        let file = self.0.join("stockgate.toml");
        std::fs::write(&file, text)?;
        Ok(Config::load(Some(&file), std::iter::empty())?)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Nothing depends on it; the system's own cleaning takes what stays.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn quoted(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}

async fn start_receivers() -> Result<Vec<Receiver>> {
    let behaviours = [
        ("web", Behaviour::Healthy),
        ("market", Behaviour::Healthy),
        ("slow", Behaviour::Slow { delay: Duration::from_millis(200) }),
        ("flaky", Behaviour::FailsFor { duration: Duration::from_secs(3) }),
    ];
    let mut receivers = Vec::with_capacity(behaviours.len());
    for (channel, behaviour) in behaviours {
        receivers.push(Receiver::start(channel, SECRET, behaviour).await?);
    }
    Ok(receivers)
}

async fn end_receivers(receivers: Vec<Receiver>) -> Vec<ChannelEnd> {
    let mut ends = Vec::with_capacity(receivers.len());
    for receiver in receivers {
        ends.push(ChannelEnd {
            channel: receiver.channel().to_owned(),
            behaviour: receiver.behaviour(),
            policy: PublishPolicy::default(),
            seen: receiver.stop().await,
        });
    }
    ends
}

/// Waits until every channel shows the truth, or the time is over: the report tells which.
async fn wait_for_truth(
    gateway: Channel,
    shelves: &[Shelf],
    receivers: &[Receiver],
) -> Result<Vec<crate::proto::Stock>> {
    let truth = shelves::count(gateway, shelves, CALL_TIMEOUT).await.context("cannot count the shelves")?;
    let shows_it = |receiver: &Receiver| {
        let shown = receiver.seen().shown;
        truth.iter().all(|stock| shown.get(&stock.sku).is_some_and(|shown| shown.version == stock.version))
    };
    let give_up = Instant::now() + SETTLE_TIMEOUT;
    while Instant::now() < give_up && !receivers.iter().all(shows_it) {
        sleep(LOOK_INTERVAL).await; // why: the receivers have no bell, and a person is watching
    }
    Ok(truth)
}
