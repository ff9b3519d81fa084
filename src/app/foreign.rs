//! A look at a Redis that is not ours.

use std::collections::HashSet;

use anyhow::{Context as _, Result};

use crate::{
    config::Config,
    store::{Address, Store, inspect::inspect},
};

/// Looks at every server before anything is written: refuses one that is not fit, and says what is weak about the others.
pub(super) async fn look(store: &Store, config: &Config) -> Result<()> {
    let shown = config.redis.url.as_ref().map(ToString::to_string).unwrap_or_default();
    let connections = store.connections().await.with_context(|| {
        let tls = config.redis.address.as_ref().is_some_and(Address::is_tls);
        let files = if tls { ", and redis.ca_file and redis.client_cert_file," } else { "," };
        format!("cannot connect to redis at {shown}: check STOCKGATE_REDIS_URL{files} and that it runs")
    })?;
    let is_cluster = config.redis.address.as_ref().is_some_and(Address::is_cluster);
    let (servers, mut said) = (connections.len(), HashSet::new());
    for mut connection in connections {
        let inspection = inspect(&mut connection, &config.redis.namespace, is_cluster).await?;
        // Servers of a cluster are set up alike: each thing is said once.
        for note in inspection.notes.into_iter().filter(|note| said.insert(note.clone())) {
            tracing::info!(note, "about this redis");
        }
        for warning in inspection.warnings.into_iter().filter(|warning| said.insert(warning.clone())) {
            tracing::warn!(warning, "about this redis");
        }
        if said.insert(inspection.version.clone()) {
            tracing::info!(version = inspection.version, url = shown, servers, "redis may be used");
        }
    }
    Ok(())
}
