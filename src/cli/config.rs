//! `stockgate config check`: reads the settings as `serve` would and says what is wrong with them.

use clap::Subcommand;

use crate::{
    app,
    config::{CarrierSource, PriceOrigin},
};

use super::{CliError, Verdict, serve::ConfigArgs};

/// Look at the settings.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Read all settings as `serve` would; every mistake is named with the nearest right setting
    Check(ConfigArgs),
    /// Print the manual: every setting with its meaning, range and default
    Manual,
}

impl ConfigCommand {
    pub(super) fn run(self) -> Result<Verdict, CliError> {
        match self {
            Self::Check(args) => {
                let config = args.load()?;
                app::carriers::check(&config).map_err(CliError::Gateway)?;
                let redis = match &config.redis.url {
                    Some(url) => url.to_string(),
                    None => format!("embedded, in {}", config.embedded.data_dir.display()),
                };
                println!("the settings are fine");
                println!("redis     {redis}");
                println!("grpc      {}", config.grpc.listen);
                println!("http      {}", config.http.listen);
                for channel in &config.channels {
                    println!("channel   {} -> {}", channel.id, channel.url);
                }
                for CarrierSource { id, origin } in &config.carriers.sources {
                    match origin {
                        PriceOrigin::RateTable { file, .. } => {
                            println!("carriers  {id} <- {}", file.display())
                        }
                        PriceOrigin::Http(origin) => println!("carriers  {id} <- {}", origin.url),
                    }
                }
            }
            Self::Manual => print!("{}", crate::config::DEFAULTS),
        }
        Ok(Verdict::Fine)
    }
}
