//! A contender as it runs: the gateway, or the front of a rival, with full shelves.

use std::time::Duration;

use anyhow::Result;

use crate::{
    front::{Front, Shelves},
    memory::Memory,
    plan::{Ask, Call, Load, Rival, Server},
    rig::{
        gateway::Gateway,
        process::{cpu_time, cpu_time_below},
    },
    servers::Servers,
    shelves::{self, Books},
};

/// A running contender.
pub(crate) enum Running {
    Gateway(Gateway),
    Foreign(Gateway, Servers),
    Rival(Rival, Front),
}

/// CPU time so far, where the system tells.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    /// Of who is called: the gateway, or the front.
    pub(crate) server: Option<Duration>,
    /// Of what runs below: Redis or PostgreSQL.
    pub(crate) below: Option<Duration>,
    /// Of who calls: this program.
    pub(crate) caller: Option<Duration>,
}

impl Running {
    /// Starts it and fills its shelves.
    pub(crate) async fn start(server: Server, load: Load) -> Result<Self> {
        match server {
            Server::Gateway(settings) => {
                let gateway = Gateway::start(settings).await?;
                shelves::fill(&gateway.url, load).await?;
                Ok(Self::Gateway(gateway))
            }
            Server::Foreign { masters, partitions } => {
                let servers = match masters {
                    None => Servers::single().await?,
                    Some(masters) => Servers::cluster(masters).await?,
                };
                let url = servers.url();
                let settings = format!("[redis]\nurl = \"{url}\"\npartitions = {partitions}\n");
                let gateway = Gateway::start(&settings).await?;
                shelves::fill(&gateway.url, load).await?;
                Ok(Self::Foreign(gateway, servers))
            }
            Server::Rival(rival) => {
                let shelves = Shelves { skus: load.skus, units: load.units };
                Ok(Self::Rival(rival, Front::start(rival, shelves).await?))
            }
        }
    }

    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Gateway(gateway) | Self::Foreign(gateway, _) => &gateway.url,
            Self::Rival(_, front) => &front.url,
        }
    }

    pub(crate) fn cpu(&self) -> Cpu {
        let pid = match self {
            Self::Gateway(gateway) | Self::Foreign(gateway, _) => gateway.pid(),
            Self::Rival(_, front) => front.pid(),
        };
        Cpu {
            server: pid.and_then(cpu_time),
            below: match self {
                Self::Foreign(_, servers) => servers.cpu(),
                Self::Gateway(_) | Self::Rival(..) => pid.and_then(cpu_time_below),
            },
            caller: cpu_time(std::process::id()),
        }
    }

    /// How many scripts group commit has sent so far; None: it has none.
    pub(crate) async fn scripts(&self) -> Result<Option<u64>> {
        match self {
            // Whole numbers far below 2^53.
            Self::Gateway(gateway) | Self::Foreign(gateway, _) => {
                Ok(Some(gateway.metrics().await?.sum(stockgate::telemetry::BATCHES) as u64))
            }
            Self::Rival(..) => Ok(None),
        }
    }

    /// What is left; None: it keeps no count, or nothing was to be sold.
    pub(crate) async fn count(&self, load: Load, sold: &[i64]) -> Result<Option<Books>> {
        if matches!(load.ask, Ask::Call(Call::SelectCarrier)) {
            return Ok(None);
        }
        match self {
            Self::Rival(Rival::AtOnce, _) => Ok(None),
            Self::Gateway(_)
            | Self::Foreign(..)
            | Self::Rival(Rival::Optimistic | Rival::Postgres | Rival::PostgresAsync, _) => {
                shelves::count(self.url(), load, sold).await.map(Some)
            }
        }
    }

    /// What its Redis keeps; None: it is not the gateway's.
    pub(crate) async fn memory(&self) -> Result<Option<Memory>> {
        match self {
            Self::Gateway(gateway) => Memory::of(gateway).await.map(Some),
            Self::Foreign(..) | Self::Rival(..) => Ok(None),
        }
    }

    pub(crate) async fn stop(self) -> Result<()> {
        match self {
            Self::Gateway(gateway) => gateway.stop().await,
            Self::Foreign(gateway, servers) => {
                gateway.stop().await?;
                drop(servers);
                Ok(())
            }
            Self::Rival(_, front) => front.stop().await,
        }
    }
}

impl Cpu {
    /// What was used since an earlier look.
    pub(crate) fn since(self, before: Self) -> Self {
        let between = |now: Option<Duration>, before: Option<Duration>| Some(now?.saturating_sub(before?));
        Self {
            server: between(self.server, before.server),
            below: between(self.below, before.below),
            caller: between(self.caller, before.caller),
        }
    }
}
