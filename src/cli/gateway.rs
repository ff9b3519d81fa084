//! The connection to a gateway: where it is, how long a call may take, and a client per service.

use std::time::Duration;

use clap::Args;
use tonic::{
    Request,
    transport::{Channel, Endpoint},
};

use super::failure::CliError;
use crate::proto::{
    carrier_service_client::CarrierServiceClient, channel_service_client::ChannelServiceClient,
    inventory_service_client::InventoryServiceClient, stock_service_client::StockServiceClient,
};

/// How long one call may take when `--timeout` is not given.
pub(super) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// Which gateway, and how long it may take.
#[derive(Debug, Args)]
pub(super) struct GatewayArgs {
    /// The gateway to talk to
    #[arg(
        long,
        global = true,
        env = "STOCKGATE_GATEWAY",
        value_name = "URL",
        default_value = "http://127.0.0.1:50051",
        value_parser = parse_url
    )]
    gateway: String,
    /// How long one call may take [default: 5s; verify: 5m]
    #[arg(long, global = true, value_name = "DURATION", value_parser = parse_timeout)]
    timeout: Option<Duration>,
}

impl GatewayArgs {
    /// Where it is.
    pub(super) fn url(&self) -> &str {
        &self.gateway
    }

    /// Connects, with the usual time per call.
    pub(super) async fn connect(&self) -> Result<Gateway, CliError> {
        self.connect_for(TIMEOUT_DEFAULT).await
    }

    /// Connects; a call may take `timeout_default` when the user did not say.
    pub(super) async fn connect_for(&self, timeout_default: Duration) -> Result<Gateway, CliError> {
        let timeout = self.timeout.unwrap_or(timeout_default);
        let unreachable = |source| CliError::Unreachable { gateway: self.gateway.clone(), source };
        let endpoint = Endpoint::from_shared(self.gateway.clone()).map_err(unreachable)?;
        let connected = tokio::time::timeout(timeout, endpoint.tcp_nodelay(true).connect()).await;
        let Ok(channel) = connected else {
            return Err(CliError::ConnectTimeout { gateway: self.gateway.clone(), waited: timeout });
        };
        Ok(Gateway { channel: channel.map_err(unreachable)?, timeout })
    }
}

/// A connected gateway.
#[derive(Debug, Clone)]
pub(super) struct Gateway {
    channel: Channel,
    timeout: Duration,
}

impl Gateway {
    /// A request with the call's deadline on it: sent as `grpc-timeout`, and kept by the client too.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }

    /// How long one call may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sells and holds.
    pub(super) fn stock(&self) -> StockServiceClient<Channel> {
        StockServiceClient::new(self.channel.clone())
    }

    /// Keeps the counts right.
    pub(super) fn inventory(&self) -> InventoryServiceClient<Channel> {
        InventoryServiceClient::new(self.channel.clone())
    }

    /// Answers for the channels.
    pub(super) fn channels(&self) -> ChannelServiceClient<Channel> {
        ChannelServiceClient::new(self.channel.clone())
    }

    /// Chooses carriers.
    pub(super) fn carriers(&self) -> CarrierServiceClient<Channel> {
        CarrierServiceClient::new(self.channel.clone())
    }
}

fn parse_url(text: &str) -> Result<String, String> {
    let uri: http::Uri = text.parse().map_err(|error| format!("is not a URL: {error}"))?;
    if uri.scheme_str() != Some("http") || uri.host().is_none_or(str::is_empty) {
        return Err("must look like http://host:port".to_owned());
    }
    Ok(text.to_owned())
}

fn parse_timeout(text: &str) -> Result<Duration, String> {
    let timeout = super::moment::parse_duration(text)?;
    if timeout.is_zero() { Err("must be more than zero".to_owned()) } else { Ok(timeout) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_listening_is_named_with_the_way_out() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let gateway = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let error = GatewayArgs { gateway: gateway.clone(), timeout: None }.connect().await.unwrap_err();
        assert!(matches!(error, CliError::Unreachable { .. }), "{error:?}");
        assert!(error.to_string().contains(&gateway), "{error}");
    }

    #[test]
    fn urls_need_a_scheme_and_a_host() {
        assert!(parse_url("http://127.0.0.1:50051").is_ok());
        for bad in ["127.0.0.1:50051", "https://shop", "http://", "/x", "redis://h"] {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
    }
}
