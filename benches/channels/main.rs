//! `make bench-channels`: how late forty channels hear of a change, with and without three sick ones among them.
//!
//! The gateway is the real binary on an embedded Redis; the channels and who sells are this process, on one thread. Exit
//! code 1 when at rest a channel does not show what is there, was told an older number after a newer one, or was given up.

mod backlog;
mod body;
mod book;
mod flow;
mod idle;
mod load;
mod plan;
mod receivers;
mod report;
#[path = "../rig/mod.rs"]
mod rig;
mod shop;
mod sweep;
mod turns;
mod wrongs;

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use clap::{Parser, ValueEnum};
use tokio::runtime;

use plan::{ILLNESSES, Plan};
use report::Report;
use rig::{machine::Machine, page};
use shop::Shop;
use wrongs::Wrongs;

/// How the bench is asked for.
#[derive(Debug, Parser)]
#[command(about = "Measures how late forty channels hear of a change, with and without sick ones")]
struct Arguments {
    /// Only these parts; none named: all
    parts: Vec<Part>,
    /// Changes per second; the sweep begins there
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// How long each round is measured, in seconds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Rounds with and without the sick channels
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// SKUs in all
    #[arg(long, default_value_t = 10_000)]
    skus: usize,
    /// Channels in all; the last three fall ill
    #[arg(long, default_value_t = 40)]
    channels: usize,
    /// SKUs in one call at most
    #[arg(long, default_value_t = 100)]
    batch: usize,
    /// SKUs of the part "backlog"
    #[arg(long, default_value_t = 100_000)]
    backlog_skus: usize,
    /// Channels of the part "backlog"; the last one dies
    #[arg(long, default_value_t = 3)]
    backlog_channels: usize,
    /// A setting of the gateway, as TOML: --set 'propagation.poll_interval = "5s"'
    #[arg(long, value_name = "TOML")]
    set: Vec<String>,
    /// A setting of every channel, as TOML: --set-channel 'concurrency = 2'
    #[arg(long, value_name = "TOML")]
    set_channel: Vec<String>,
    /// Few SKUs and short rounds: to try it, not to quote it
    #[arg(long)]
    quick: bool,
    /// Put the tables into docs/benchmarks.md
    #[arg(long, conflicts_with_all = ["quick", "parts"])]
    write: bool,
    /// Cargo says this to every benchmark
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// What it costs to have nothing to do
    Idle,
    /// The same load with and without the sick channels
    Turns,
    /// The highest rate held with the sick channels
    Sweep,
    /// Very many SKUs due on a dead channel
    Backlog,
}

impl Arguments {
    fn plan(&self) -> Plan {
        let quick = |count: usize| if self.quick { count.div_ceil(10) } else { count };
        Plan {
            channels: self.channels,
            skus: quick(self.skus),
            rate: self.rate,
            warm_up: Duration::from_secs(if self.quick { 1 } else { 3 }),
            round: Duration::from_secs(if self.quick { 2 } else { self.seconds }),
            rounds: if self.quick { 1 } else { self.rounds },
            batch: self.batch,
            settings: self.set.clone(),
            channel_settings: self.set_channel.clone(),
        }
    }

    fn backlog_plan(&self) -> Plan {
        let skus = if self.quick { self.backlog_skus.div_ceil(10) } else { self.backlog_skus };
        Plan { channels: self.backlog_channels, skus, ..self.plan() }
    }

    fn wants(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    // One thread: channels and sellers must not take the cores of those measured.
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure_all(&arguments))
}

async fn measure_all(arguments: &Arguments) -> Result<ExitCode> {
    let plan = arguments.plan();
    let mut report = Report {
        machine: Machine::here(),
        plan: &plan,
        idle: None,
        turns: None,
        sweep: None,
        backlog: None,
        wrongs: Wrongs::default(),
    };
    if [Part::Idle, Part::Turns, Part::Sweep].into_iter().any(|part| arguments.wants(part)) {
        eprintln!("telling {} channels about {} SKUs", plan.channels, plan.skus);
        let mut shop = Shop::open(&plan, &ILLNESSES).await?;
        if arguments.wants(Part::Idle) {
            eprintln!("measuring: nothing to do");
            report.idle = Some(idle::run(&mut shop, &plan).await?);
        }
        if arguments.wants(Part::Turns) {
            eprintln!("measuring: {} changes/s with and without sick channels", plan.rate);
            report.turns = Some(turns::run(&mut shop, &plan, &mut report.wrongs).await?);
        }
        if arguments.wants(Part::Sweep) {
            eprintln!("measuring: the highest rate");
            report.sweep = Some(sweep::run(&mut shop, &plan, &mut report.wrongs).await?);
        }
        shop.close().await?;
    }
    if arguments.wants(Part::Backlog) {
        let plan = arguments.backlog_plan();
        eprintln!("measuring: {} SKUs due on a dead channel", plan.skus);
        report.backlog = Some(backlog::run(&plan, &mut report.wrongs).await?);
    }
    println!("{report}");
    if arguments.write {
        let written = page::write_between("channels measured", &report.to_string())?;
        println!("written into {}", written.display());
    }
    Ok(if report.wrongs.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
