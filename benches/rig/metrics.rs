//! Reads numbers from `/metrics`.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

const PAGE_TIMEOUT: Duration = Duration::from_secs(10);

/// What `/metrics` said at one moment.
pub(crate) struct Metrics {
    text: String,
}

impl Metrics {
    pub(crate) async fn read(http: SocketAddr) -> Result<Self> {
        let text = timeout(PAGE_TIMEOUT, page(http)).await.context("/metrics does not answer")??;
        Ok(Self { text })
    }

    /// The sum of `name` over all its series. Not there: 0, since a series begins with the first time.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.text.lines().filter_map(|line| value(line, name)).sum()
    }
}

fn value(line: &str, name: &str) -> Option<f64> {
    let rest = line.strip_prefix(name)?;
    let (series, value) = rest.rsplit_once(' ')?;
    // Else it is another metric, whose name begins like this one.
    let is_it = series.is_empty() || series.starts_with('{');
    is_it.then(|| value.parse().ok())?
}

async fn page(http: SocketAddr) -> Result<String> {
    let mut connection = TcpStream::connect(http).await?;
    // HTTP/1.0: the page ends where the connection ends.
    connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").await?;
    let mut page = String::new();
    connection.read_to_string(&mut page).await?;
    Ok(page)
}
