//! `stockgate serve`: runs the gateway until it is told to stop.

use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    app,
    config::{Config, Role, file_to_read, process_env},
    telemetry,
};

use super::{CliError, Verdict};

/// Where settings come from.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// TOML file with settings; ./stockgate.toml when there is one. The manual of settings is config.default.toml
    #[arg(long, env = "STOCKGATE_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

impl ConfigArgs {
    pub(super) fn load(self) -> Result<Config, CliError> {
        Config::load(file_to_read(self.config).as_deref(), process_env())
            .map_err(|error| CliError::Usage(error.to_string()))
    }
}

/// Run the gateway: gRPC, workers and pages, on an embedded Redis when no URL is set.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    config: ConfigArgs,
    /// What this process does
    #[arg(long, value_enum, default_value_t)]
    role: Role,
}

impl Serve {
    /// Builds a runtime of the size settings and machine ask for, and serves on it.
    pub(super) fn run(self) -> Result<Verdict, CliError> {
        let config = self.config.load()?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // With more than one thread calls are served on runtimes of their own, and this one has the workers.
        let runtime = runtime(config.grpc.threads_of(cores).min((cores / 2).max(1)))?;
        let verdict = runtime.block_on(serve(config, self.role));
        // What is left by now was cut off: nothing of it is waited for.
        runtime.shutdown_background();
        verdict
    }
}

/// One thread runs everything itself: on few cores, handing calls between threads costs more than it gains.
fn runtime(threads: usize) -> Result<tokio::runtime::Runtime, CliError> {
    let built = if threads == 1 {
        tokio::runtime::Builder::new_current_thread().enable_all().build()
    } else {
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()
    };
    built.map_err(|source| CliError::Gateway(anyhow::Error::new(source).context("cannot start the runtime")))
}

async fn serve(config: Config, role: Role) -> Result<Verdict, CliError> {
    let gateway = |error: anyhow::Error| CliError::Gateway(error);
    telemetry::init_logs(&config.log.level, config.log.format).map_err(|error| gateway(error.into()))?;
    let metrics = telemetry::init_metrics().map_err(|error| gateway(error.into()))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|error| gateway(error.into()))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| gateway(error.into()))?;
    let app = tokio::select! {
        started = app::start(config, role, metrics) => started.map_err(gateway)?,
        _ = terminate.recv() => return Ok(Verdict::Fine),
        _ = interrupt.recv() => return Ok(Verdict::Fine),
    };
    let verdict = tokio::select! {
        _ = terminate.recv() => Verdict::Fine,
        _ = interrupt.recv() => Verdict::Fine,
        () = app.failure() => Verdict::Findings,
    };
    tokio::select! {
        finished = app.shut_down() => Ok(if finished.is_ok() { verdict } else { Verdict::Findings }),
        _ = terminate.recv() => Ok(end_at_once()),
        _ = interrupt.recv() => Ok(end_at_once()),
    }
}

/// Told to stop for the second time.
fn end_at_once() -> Verdict {
    tracing::error!("told to stop once more: what is under way is cut off");
    Verdict::Findings
}
