//! `make bench`: what the gateway makes of a machine, beside a tonic server that answers at once, as a ratio.
//!
//! Three processes besides this one, which is the caller: the ceiling (this program again), the gateway, and the gateway's
//! embedded Redis. Rounds against ceiling and gateway take turns, so that drift of the machine hits both. After each
//! case the books are checked: sold + left = start, else exit code 1.

mod case;
mod ceiling;
mod load;
mod measure;
mod report;
#[path = "../rig/mod.rs"]
mod rig;
mod stock;

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use clap::Parser;
use tokio::runtime;

use case::CASES;
use measure::{Measured, Pace};
use report::Report;
use rig::{machine::Machine, page};

/// How the bench is asked for.
#[derive(Debug, Parser)]
#[command(about = "Measures Decrement beside a server that answers at once")]
struct Arguments {
    /// Only the cases whose name contains this
    filter: Option<String>,
    /// Two short rounds: to try it, not to quote it
    #[arg(long)]
    quick: bool,
    /// Put the table into docs/benchmarks.md
    #[arg(long, conflicts_with_all = ["quick", "filter"])]
    write: bool,
    /// Be the server that answers at once
    #[arg(long, hide = true)]
    answer_at_once: bool,
    /// Cargo says this to every benchmark
    #[arg(long = "bench", hide = true)]
    _bench: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    // One thread: the caller must not take the cores of those it measures.
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    if arguments.answer_at_once {
        runtime.block_on(ceiling::serve())?;
        return Ok(ExitCode::SUCCESS);
    }
    runtime.block_on(measure_all(&arguments))
}

async fn measure_all(arguments: &Arguments) -> Result<ExitCode> {
    let pace = if arguments.quick {
        Pace { warm_up: Duration::from_millis(500), rounds: 2, round: Duration::from_secs(1) }
    } else {
        Pace { warm_up: Duration::from_secs(2), rounds: 5, round: Duration::from_secs(3) }
    };
    let filter = arguments.filter.as_deref().unwrap_or_default();
    let mut all: Vec<Measured> = Vec::new();
    for case in CASES.iter().filter(|case| case.name.contains(filter)) {
        eprintln!("measuring: {}", case.name);
        let measured = measure::run(case, &pace).await?;
        eprintln!("{}", measured.summary());
        all.push(measured);
    }
    let report = Report { machine: Machine::here(), pace, all: &all };
    println!("{report}");
    if arguments.write {
        let written = page::write_between("measured", &report.to_string())?;
        println!("written into {}", written.display());
    }
    let is_right = all.iter().all(|measured| measured.books.are_right());
    Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
