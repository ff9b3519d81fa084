//! Reads one counter from `/metrics`.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

const PAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// The value of the counter `name`, which has no labels.
pub(crate) async fn counter(http: SocketAddr, name: &str) -> Result<u64> {
    let page = timeout(PAGE_TIMEOUT, page(http)).await.context("/metrics does not answer")??;
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.with_context(|| format!("/metrics does not show {name}"))?.parse()?)
}

async fn page(http: SocketAddr) -> Result<String> {
    let mut connection = TcpStream::connect(http).await?;
    // HTTP/1.0: the page ends where the connection ends.
    connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
    let mut page = String::new();
    connection.read_to_string(&mut page).await?;
    Ok(page)
}
