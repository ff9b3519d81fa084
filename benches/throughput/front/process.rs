//! A front as the process this bench starts, calls and ends.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum as _;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
    time::timeout,
};

use super::Shelves;
use crate::{ending, plan::Rival};

/// With a PostgreSQL to set up and fill.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// A running front.
pub(crate) struct Front {
    process: Child,
    pub(crate) url: String,
}

impl Front {
    /// Starts this program again as the front of a rival.
    pub(crate) async fn start(rival: Rival, shelves: Shelves) -> Result<Self> {
        let name = rival.to_possible_value().context("every rival has a name")?;
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--front", name.get_name()])
            .args(["--shelves", &shelves.skus.to_string(), &shelves.units.to_string()])
            .env("TMPDIR", ending::folders())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = process.stdout.take().context("stdout is piped")?;
        let mut lines = BufReader::new(stdout).lines();
        let first = timeout(START_TIMEOUT, lines.next_line()).await.context("a rival does not start")??;
        let address = first.with_context(|| format!("{rival:?} ended before it said where it is"))?;
        Ok(Self { process, url: format!("http://{address}") })
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Ends it, and returns when all it started is gone.
    pub(crate) async fn stop(mut self) -> Result<()> {
        drop(self.process.stdin.take());
        let status = timeout(STOP_TIMEOUT, self.process.wait()).await.context("a rival does not end")??;
        ensure!(status.success(), "a rival ended with {status}");
        Ok(())
    }
}
