//! `make bench`: what the gateway makes of a machine, beside a tonic server that answers at once and beside what people
//! would use instead, as ratios.
//!
//! This program is the caller; every contender is a process of its own: the gateway with its Redis, or this program again as
//! the front of a rival. All of a group take turns round by round, so that drift of the machine hits each. Afterwards the
//! books are checked: sold + left = start, else exit code 1 and nothing is written.

mod aims;
mod callers;
mod chart;
mod contender;
mod ending;
mod front;
mod measure;
mod memory;
mod open_loop;
mod plan;
mod polling;
mod report;
#[path = "../rig/mod.rs"]
mod rig;
mod servers;
mod shelves;

use std::{process::ExitCode, time::Duration};

use anyhow::{Result, ensure};
use clap::Parser;
use mimalloc::MiMalloc;
use tokio::runtime;

use ending::Home;
use front::Shelves;
use measure::{Measured, Pace, Table};
use plan::Rival;
use report::Report;
use rig::{machine::Machine, page};

// As the gateway has it: caller and rivals must not differ from it in this.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// What is measured beside the groups of the plan.
const POLLING: &str = "polling";

/// How the bench is asked for.
#[derive(Debug, Parser)]
#[command(about = "Measures the gateway beside a server that answers at once and beside its rivals")]
struct Arguments {
    /// Only the groups whose name contains this; `polling` is one too
    filter: Option<String>,
    /// Of these, only the contenders whose name contains this, and who answers at once
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Two short rounds: to try it, not to quote it
    #[arg(long)]
    quick: bool,
    /// Put the tables into docs/benchmarks.md
    #[arg(long, conflicts_with_all = ["quick", "filter", "only"])]
    write: bool,
    /// Be the front of a rival
    #[arg(long, hide = true, requires = "shelves")]
    front: Option<Rival>,
    /// With so many SKUs of so many units
    #[arg(long, hide = true, num_args = 2)]
    shelves: Vec<i64>,
    /// Cargo says this to every benchmark
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    // One thread: the caller must not take the cores of those it measures.
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    if let (Some(rival), [skus, units]) = (arguments.front, arguments.shelves.as_slice()) {
        let shelves = Shelves { skus: usize::try_from(*skus)?, units: *units };
        runtime.block_on(front::serve(rival, shelves))?;
        return Ok(ExitCode::SUCCESS);
    }
    runtime.block_on(ending::cleanly(Home::make()?, measure_all(&arguments)))
}

async fn measure_all(arguments: &Arguments) -> Result<ExitCode> {
    let pace = if arguments.quick {
        Pace { warm_up: Duration::from_millis(300), rounds: 2, round: Duration::from_millis(700) }
    } else {
        Pace { warm_up: Duration::from_secs(1), rounds: 5, round: Duration::from_millis(2_500) }
    };
    let filter = arguments.filter.as_deref();
    let mut tables: Vec<Table> = Vec::new();
    for mut group in plan::groups() {
        if !wanted(filter, group.name) {
            continue;
        }
        let mut is_first = true;
        group.contenders.retain(|contender| {
            std::mem::take(&mut is_first) || wanted(arguments.only.as_deref(), contender.name)
        });
        eprintln!("measuring: {}", group.name);
        tables.push(measure::run(group, &pace).await?);
    }
    let peak = aims::line(&tables, plan::SPREAD, plan::DECREMENT).map(Measured::median_per_s);
    let open_loop = match peak {
        Some(peak) => {
            eprintln!("measuring: open loop");
            Some(open_loop::run(peak, &pace).await?)
        }
        None => None,
    };
    let oversold = if wanted(filter, POLLING) {
        eprintln!("measuring: {POLLING}");
        polling::run().await?
    } else {
        Vec::new()
    };
    ensure!(!tables.is_empty() || !oversold.is_empty(), "nothing has this in its name");
    let report = Report { machine: Machine::here(), pace, tables, open_loop, oversold };
    println!("{report}");
    if !report.books_are_right() {
        // The page keeps what was right before.
        eprintln!("the books are wrong: docs are left as they were");
        return Ok(ExitCode::FAILURE);
    }
    if arguments.write {
        let written = page::write_between("measured", &report.to_string())?;
        let drawn = chart::draw(&report.tables)?;
        println!("written into {} and {}", written.display(), drawn.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn wanted(filter: Option<&str>, name: &str) -> bool {
    filter.is_none_or(|part| name.contains(part))
}
