//! A load writes: it drives this machine, or another one only when told to.

use std::net::IpAddr;

use super::super::failure::CliError;

/// Refuses a gateway on another machine that nobody said yes to.
pub(super) fn check(url: &str, allow_remote: bool) -> Result<(), CliError> {
    if allow_remote || is_loopback(url) {
        return Ok(());
    }
    Err(CliError::Usage(format!(
        "{url} is not on this machine: a load makes SKUs, events and records there that stay, and its channels are told of \
         them; say --allow-remote when you mean it"
    )))
}

fn is_loopback(url: &str) -> bool {
    let host = url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    let Some(host) = host else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_machines_need_a_yes() {
        for here in
            ["http://127.0.0.1:50051", "http://127.1.2.3:1", "http://localhost:50051", "http://[::1]:5"]
        {
            assert!(check(here, false).is_ok(), "{here}");
        }
        for there in
            ["http://10.0.0.1:50051", "http://shop:50051", "http://localhost.example:1", "http://[::2]:5"]
        {
            let said = check(there, false).expect_err(there).to_string();
            assert!(said.contains("--allow-remote") && said.contains(there), "{said}");
            assert!(check(there, true).is_ok(), "{there}");
        }
    }
}
