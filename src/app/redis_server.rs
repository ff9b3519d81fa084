//! The Redis of a process: its own, or the one the settings name.

use anyhow::Result;

use crate::{
    config::{self, Config},
    store::{
        Address,
        embedded::{self, Embedded, EmbeddedConfig, Fsync},
    },
};

/// Where the Redis of a process is; the embedded one, which it starts, when the settings name no other.
pub(super) async fn start(config: &Config) -> Result<(Option<Embedded>, Address)> {
    match &config.redis.address {
        Some(address) => Ok((None, address.clone())),
        None => {
            let embedded = embedded::start(settings(config)).await?;
            let address = Address::parse(&embedded.url())?;
            Ok((Some(embedded), address))
        }
    }
}

fn settings(config: &Config) -> EmbeddedConfig {
    let embedded = &config.embedded;
    EmbeddedConfig {
        data_dir: embedded.data_dir.clone(),
        redis_server: embedded.redis_server.clone(),
        fsync: match embedded.fsync {
            config::Fsync::Everysec => Fsync::Everysec,
            config::Fsync::Always => Fsync::Always,
        },
        start_timeout: embedded.start_timeout,
        load_timeout: embedded.load_timeout,
        stop_timeout: embedded.stop_timeout,
    }
}
