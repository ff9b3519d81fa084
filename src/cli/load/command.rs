//! `stockgate load`: what can be asked of it.

use std::{
    fs::OpenOptions,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use uuid::Uuid;

use super::{
    super::{
        Verdict, durability::DurabilityArgs, failure::CliError, gateway::GatewayArgs, moment::parse_duration,
        output::Output,
    },
    conduct::{Conduct, Settings, unwritable},
    consent,
    interrupt::Interrupt,
    plan::{Fates, Plan, Profile},
};

/// Calls due per second at most.
const RATE_PER_S_MAX: f64 = 1_000_000.0;

const NOTES: &str = "\
It is an open loop: a call is sent when it is due, however many are under way, and its latency counts from the moment it was
due. A stall of the gateway is therefore measured in full. Calls are due at an even pace, on a grid of half a millisecond.
When --in-flight-max calls are under way the next ones that are due wait, and their wait counts; what was never sent when the time is up
counts with the time it had waited. One thread drives all of it.

It makes SKUs of its own (PREFIX-<run>-000000 ...) and touches no others, so it may be pointed at a gateway in use. They
stay when it is over, with their events and records, and every channel of that gateway is told of them.

Afterwards it asks again, with the same key, for every answer that was lost, and checks the books: for each SKU, sold and
left make what there was at the start, nothing is negative, nothing is held any more, repeats got their first answer. Wrong
books: exit code 1, and the SKUs that are wrong. Ctrl-C ends the sending; the books are checked all the same.";

/// Drives a running gateway at a set rate and checks the books afterwards.
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(in crate::cli) struct Load {
    /// What kind of day it is
    #[arg(long, value_enum, default_value_t = Profile::Steady)]
    profile: Profile,
    /// Calls due per second; spike: before and after it; ramp: of the first step; holds: Reserves
    #[arg(long, value_name = "PER_SECOND", default_value_t = 1_000.0, value_parser = parse_rate)]
    rate: f64,
    /// How long calls are due, at most 1h; ramp: at most so long [default: 10s; spike: 20s; ramp: 2m]
    #[arg(long, value_parser = parse_length)]
    duration: Option<Duration>,
    /// SKUs it makes, 1 to 1,000,000; each call draws one, or as many as its cart has lines [default: 1000; flash: 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    skus: Option<u32>,
    /// Units of each SKU at the start [default: 1000000; flash: 1000]
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=1_000_000_000))]
    units: Option<i64>,
    /// HTTP/2 connections, 1 to 64
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    connections: u8,
    /// Calls under way from which on first calls wait, 1 to 65,536, and the wait counts; what follows an answer is sent at once
    #[arg(long, value_name = "CALLS", default_value_t = 1_024, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    in_flight_max: u32,
    /// The same seed draws the same SKUs, carts, repeats and ends of holds
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Begins the names of the SKUs it makes; a part of its own for each run follows
    #[arg(long, default_value = "LOAD", value_parser = parse_prefix)]
    prefix: String,
    /// Of a hundred calls, how many are sent again with the same key as soon as they are answered, and some once more at the end
    #[arg(long, value_name = "PERCENT", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=100))]
    repeats: u8,
    /// carts: lines of an order, 1 to 100: one number, or from-to [default: 1-20]
    #[arg(long, value_name = "LINES", value_parser = parse_cart_lines)]
    cart_lines: Option<RangeInclusive<u16>>,
    /// spike: how many times the rate, together at most 1,000,000 a second [default: 10]
    #[arg(long, value_name = "TIMES", value_parser = parse_factor)]
    spike_factor: Option<f64>,
    /// ramp: how long one rate is tried, 500ms to 5m [default: 3s]
    #[arg(long, value_name = "DURATION", value_parser = parse_step)]
    step: Option<Duration>,
    /// ramp: a rate holds while p99 is at most this, 0.1 % of the calls fail and 1 % are never sent [default: 20ms]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    p99_limit: Option<Duration>,
    /// holds: of a hundred, how many are committed as soon as they are made [default: 70]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    commits: Option<u8>,
    /// holds: how many are released; the others are left to expire [default: 20]
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    releases: Option<u8>,
    /// holds: how long one lives, 100ms to 5m; the books wait for the last one [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = parse_hold_ttl)]
    hold_ttl: Option<Duration>,
    #[command(flatten)]
    durability: DurabilityArgs,
    /// Write a report with charts, in one file that needs no other
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Drive a gateway that is not on this machine
    #[arg(long)]
    allow_remote: bool,
}

impl Load {
    pub(in crate::cli) async fn run(
        self,
        gateway: &GatewayArgs,
        output: Output,
    ) -> Result<Verdict, CliError> {
        consent::check(gateway.url(), self.allow_remote)?;
        let plan = self.plan()?;
        let settings = self.settings()?;
        let mut gateways = Vec::with_capacity(usize::from(self.connections));
        for _ in 0..self.connections {
            gateways.push(gateway.connect().await?);
        }
        // Before anything is sent: a report that cannot be written is found out now.
        self.html.as_deref().map(probe).transpose()?;
        let interrupt = Interrupt::listen()?;
        let conduct = Conduct { plan: &plan, settings: &settings, gateways: &gateways, url: gateway.url() };
        let work = conduct.run(&interrupt, output, self.html.as_deref());
        tokio::select! {
            verdict = work => verdict,
            () = interrupt.twice() => {
                Err(CliError::Gateway(anyhow::anyhow!("interrupted twice: the books were not checked")))
            }
        }
    }

    fn plan(&self) -> Result<Plan, CliError> {
        let run = Uuid::now_v7().simple().to_string();
        // The first twelve digits are the time in milliseconds, the last are drawn.
        let run = format!("{}{}", &run[..12], &run[28..]);
        let fates = self.fates()?;
        let is_flash = self.profile == Profile::Flash;
        Ok(Plan {
            durability: self.durability.level(),
            profile: self.profile,
            sku_prefix: format!("{}-{run}-", self.prefix),
            key_prefix: format!("load-{run}-"),
            skus: self.skus.unwrap_or(if is_flash { 1 } else { 1_000 }),
            units: self.units.unwrap_or(if is_flash { 1_000 } else { 1_000_000 }),
            seed: self.seed,
            cart_lines: self.cart_lines.clone().unwrap_or(1..=20),
            repeat_percent: self.repeats,
            fates,
            hold_ttl: self.hold_ttl.unwrap_or(Duration::from_secs(5)),
        })
    }

    fn fates(&self) -> Result<Fates, CliError> {
        let (commit_percent, release_percent) = match (self.commits, self.releases) {
            (None, None) => (70, 20),
            // What is not said yields to what is.
            (Some(commits), releases) => (commits, releases.unwrap_or(20.min(100 - commits))),
            (None, Some(releases)) => (70.min(100 - releases), releases),
        };
        if commit_percent + release_percent > 100 {
            return Err(CliError::Usage(format!(
                "--commits {commit_percent} and --releases {release_percent} are more than all: together at most 100"
            )));
        }
        Ok(Fates { commit_percent, release_percent })
    }

    fn settings(&self) -> Result<Settings, CliError> {
        self.refuse_foreign_flags()?;
        let duration = self.duration.unwrap_or(match self.profile {
            Profile::Ramp => Duration::from_secs(120),
            Profile::Spike => Duration::from_secs(20),
            Profile::Steady | Profile::Flash | Profile::Carts | Profile::Holds => Duration::from_secs(10),
        });
        let settings = Settings {
            rate_per_s: self.rate,
            duration,
            in_flight_max: self.in_flight_max as usize,
            spike_factor: self.spike_factor.unwrap_or(10.0),
            step: self.step.unwrap_or(Duration::from_secs(3)),
            p99_limit: self.p99_limit.unwrap_or(Duration::from_millis(20)),
        };
        if self.profile == Profile::Ramp && settings.step > duration {
            return Err(CliError::Usage(format!(
                "--duration {} has no room for one --step of {}: give it more",
                humantime::format_duration(duration),
                humantime::format_duration(settings.step)
            )));
        }
        let Settings { rate_per_s, spike_factor, .. } = settings;
        if self.profile == Profile::Spike && rate_per_s * spike_factor > RATE_PER_S_MAX {
            return Err(CliError::Usage(format!(
                "--rate {rate_per_s} times --spike-factor {spike_factor} is more than {RATE_PER_S_MAX} calls per second: \
                 make one of them smaller"
            )));
        }
        Ok(settings)
    }

    /// A flag that would be passed over in silence is a misunderstanding.
    fn refuse_foreign_flags(&self) -> Result<(), CliError> {
        let profile = self.profile;
        let flags = [
            ("--cart-lines", self.cart_lines.is_some(), Profile::Carts),
            ("--spike-factor", self.spike_factor.is_some(), Profile::Spike),
            ("--step", self.step.is_some(), Profile::Ramp),
            ("--p99-limit", self.p99_limit.is_some(), Profile::Ramp),
            ("--commits", self.commits.is_some(), Profile::Holds),
            ("--releases", self.releases.is_some(), Profile::Holds),
            ("--hold-ttl", self.hold_ttl.is_some(), Profile::Holds),
        ];
        if let Some((flag, _, owner)) = flags.iter().find(|(_, is_set, owner)| *is_set && *owner != profile) {
            let (owner, profile) = (owner.name(), profile.name());
            return Err(CliError::Usage(format!(
                "{flag} means something with --profile {owner} only, and this is {profile}"
            )));
        }
        if profile == Profile::Flash && self.skus.is_some_and(|skus| skus > 1) {
            return Err(CliError::Usage("--profile flash has one SKU: leave --skus out".to_owned()));
        }
        Ok(())
    }
}

/// Finds out whether a file can be written, and leaves what is in it.
fn probe(path: &Path) -> Result<(), CliError> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.map(drop).map_err(|error| unwritable(path, &error))
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate: f64 =
        text.parse().map_err(|_| "is not a number: write calls per second, like 1000".to_owned())?;
    if rate > 0.0 && rate <= RATE_PER_S_MAX {
        Ok(rate)
    } else {
        Err("must be more than 0 and at most 1000000 calls per second".to_owned())
    }
}

fn parse_factor(text: &str) -> Result<f64, String> {
    let factor: f64 =
        text.parse().map_err(|_| "is not a number: write how many times, like 10".to_owned())?;
    if (1.0..=1_000.0).contains(&factor) { Ok(factor) } else { Err("must be 1 to 1000".to_owned()) }
}

fn parse_length(text: &str) -> Result<Duration, String> {
    parse_between(text, Duration::from_millis(100), Duration::from_secs(3_600))
}

fn parse_step(text: &str) -> Result<Duration, String> {
    parse_between(text, Duration::from_millis(500), Duration::from_secs(300))
}

fn parse_hold_ttl(text: &str) -> Result<Duration, String> {
    parse_between(text, Duration::from_millis(100), Duration::from_secs(300))
}

fn parse_between(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let length = parse_duration(text)?;
    if (least..=most).contains(&length) {
        return Ok(length);
    }
    let show = |limit| humantime::format_duration(limit);
    Err(format!("must be {} to {}", show(least), show(most)))
}

fn parse_cart_lines(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u16>().ok().filter(|lines| (1..=100).contains(lines));
    match (number(from), number(to)) {
        (Some(from), Some(to)) if from <= to => Ok(from..=to),
        _ => Err("must be 1 to 100 lines: write it like 5 or 1-20".to_owned()),
    }
}

fn parse_prefix(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if (1..=64).contains(&text.len()) && text.chars().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err("must be 1 to 64 letters, digits, - _ or .".to_owned())
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
