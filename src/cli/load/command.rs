//! `stockgate load`: what can be asked of it, and the order in which it goes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use super::{
    super::{
        Verdict,
        failure::CliError,
        gateway::{Gateway, GatewayArgs},
        moment::parse_duration,
        output::Output,
    },
    books, consent,
    plan::{Fates, Plan, Profile},
    report::Report,
    resolve,
    run::Run,
    schedule, shelves,
};

/// Drives a running gateway at a set rate and checks the books afterwards.
#[derive(Debug, Args)]
pub(in crate::cli) struct Load {
    /// What kind of day it is
    #[arg(long, value_enum, default_value_t = Profile::Steady)]
    profile: Profile,
    /// Calls due per second
    #[arg(long, value_name = "PER_SECOND", default_value_t = 1_000.0, value_parser = parse_rate)]
    rate: f64,
    /// How long calls are due
    #[arg(long, default_value = "10s", value_parser = parse_length)]
    duration: Duration,
    /// SKUs it makes
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    skus: u32,
    /// Units of each SKU at the start
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(i64).range(1..=1_000_000_000))]
    units: i64,
    /// HTTP/2 connections
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    connections: u8,
    /// Calls under way at most; one more waits, and the wait counts
    #[arg(long, default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    in_flight_max: u32,
    /// The same seed makes the same calls
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Drive a gateway on another machine
    #[arg(long)]
    allow_remote: bool,
}

impl Load {
    pub(in crate::cli) async fn run(
        self,
        gateway: &GatewayArgs,
        output: Output,
    ) -> Result<Verdict, CliError> {
        consent::check(gateway.url(), self.allow_remote)?;
        let plan = self.plan();
        let gateways = connect(gateway, self.connections).await?;
        let interrupted = listen()?;
        shelves::fill(&gateways[0], &plan).await?;
        let phases = schedule::steady(self.rate, self.duration);
        let mut run =
            Run::new(&plan, &gateways, self.in_flight_max as usize, self.duration, Arc::clone(&interrupted));
        run.drive(&phases, |_, _| {}).await;
        let Run { tally, mut ledger, unknown, kept, .. } = run;
        let mut report = Report::new(&plan, &tally, interrupted.load(Ordering::Relaxed));
        resolve::unknown(&gateways[0], &plan, &mut ledger, unknown).await;
        resolve::kept(&gateways[0], &plan, &mut ledger, kept).await;
        let checked = books::check(&gateways[0], &plan, &ledger).await?;
        let right = checked.right;
        report.books = Some(checked);
        output.text_or_json(&report, |report| {
            let books = report.books.as_ref().map(|books| books.text()).unwrap_or_default();
            format!("{}\n\n{books}", report.text())
        })?;
        Ok(Verdict::of_findings(!right))
    }

    fn plan(&self) -> Plan {
        let run = Uuid::now_v7().simple().to_string();
        // The first half is the time in milliseconds, the end is drawn.
        let run = format!("{}{}", &run[..12], &run[28..]);
        Plan {
            profile: self.profile,
            sku_prefix: format!("LOAD-{run}-"),
            key_prefix: format!("load-{run}-"),
            skus: self.skus,
            units: self.units,
            seed: self.seed,
            cart_lines: 1..=20,
            repeat_percent: 1,
            fates: Fates { commit_percent: 70, release_percent: 20 },
            hold_ttl: Duration::from_secs(5),
        }
    }
}

async fn connect(gateway: &GatewayArgs, connections: u8) -> Result<Vec<Gateway>, CliError> {
    let mut gateways = Vec::with_capacity(usize::from(connections));
    for _ in 0..connections {
        gateways.push(gateway.connect().await?);
    }
    Ok(gateways)
}

fn listen() -> Result<Arc<AtomicBool>, CliError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| CliError::Gateway(error.into()))?;
    let interrupted = Arc::<AtomicBool>::default();
    let pressed = Arc::clone(&interrupted);
    tokio::spawn(async move {
        interrupt.recv().await;
        pressed.store(true, Ordering::Relaxed);
    });
    Ok(interrupted)
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "write calls per second, like 1000".to_owned())?;
    if rate > 0.0 && rate <= 1_000_000.0 {
        Ok(rate)
    } else {
        Err("must be more than 0 and at most 1000000".to_owned())
    }
}

fn parse_length(text: &str) -> Result<Duration, String> {
    let length = parse_duration(text)?;
    if length.is_zero() || length > Duration::from_secs(3_600) {
        return Err("must be more than zero and at most 1h".to_owned());
    }
    Ok(length)
}
