//! Changing the number of partitions of a shop that is stopped: reaches its Redis as a gateway would, and serves nothing.

use std::time::Duration;

use anyhow::Result;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::Config,
    domain::Partitions,
    store::{Repartition, Store, StoreSettings, abandon_repartition, repartition},
};

pub use crate::store::{RepartitionError, RepartitionStep, Repartitioned, ShopTotals, StoreError, Teller};

/// Gateways show a sign of life twice a second, or as soon as Redis lets them.
const QUIET: Duration = Duration::from_secs(3);
/// How long a run that was killed keeps others away.
const LEASE: Duration = Duration::from_secs(10);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Change it to so many.
    To {
        /// How many.
        partitions: Partitions,
        /// Check, count, and change nothing.
        dry_run: bool,
    },
    /// Give up a change that was killed while copying.
    Abandon,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fulfilled {
    /// It was changed, or could be.
    Moved(Box<Repartitioned>),
    /// There are so many, as before.
    Abandoned(Partitions),
}

/// Carries out a wish.
pub async fn fulfil(config: Config, wish: Wish, tell: Teller<'_>) -> Result<Fulfilled> {
    let (own, address) = super::redis_server::start(&config).await?;
    let settings = super::store_settings(&config, address);
    let done = async {
        if own.is_none() {
            look(&settings, &config).await?;
        }
        carry_out(settings, wish, tell).await
    };
    let done = done.await;
    if let Some(own) = own {
        own.stop().await;
    }
    done
}

/// Whether we may do there what we must.
async fn look(settings: &StoreSettings, config: &Config) -> Result<()> {
    let stop = CancellationToken::new();
    let _stopped = stop.clone().drop_guard();
    let store = Store::open(settings.clone(), &TaskTracker::new(), stop)?;
    super::foreign::look(&store, config).await
}

async fn carry_out(settings: StoreSettings, wish: Wish, tell: Teller<'_>) -> Result<Fulfilled> {
    let order = |to, dry_run| Repartition { to, dry_run, quiet: QUIET, lease: LEASE };
    Ok(match wish {
        Wish::To { partitions, dry_run } => {
            let moved = repartition(settings, order(partitions, dry_run), tell).await?;
            Fulfilled::Moved(Box::new(moved))
        }
        Wish::Abandon => {
            let order = order(settings.partitions, false);
            Fulfilled::Abandoned(abandon_repartition(settings, order).await?)
        }
    })
}
