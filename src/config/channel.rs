//! A `[[channels]]` section, and the channel it describes.

use std::{path::PathBuf, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use crate::domain::{Backoff, ChannelId, Patience, PublishPolicy};

use super::{Problem, Propagation, SecretUrl, layers::Origins, secret_file};

/// The most channels a gateway serves: each has its tasks, and its label in every metric.
pub const CHANNELS_MAX: usize = 64;

/// From the end of a call's time to the end of its lease, at least: claiming takes some too.
const LEASE_MARGIN: Duration = Duration::from_millis(500);

/// The `pause_at` of a listing that is never paused.
const NEVER: i64 = -1;

/// A place that sells the stock and must be told the number.
#[derive(Debug, Clone)]
pub struct Channel {
    /// Its name.
    pub id: ChannelId,
    /// What it speaks.
    pub kind: ChannelKind,
    /// Where it is told.
    pub url: SecretUrl,
    /// What signs the calls.
    pub secret: SecretString,
    /// SKUs in one call.
    pub batch: usize,
    /// How much of the stock it may show, and when its listing is paused.
    pub publish: PublishPolicy,
    /// Calls per second over all workers. None: no limit.
    pub rate: Option<f64>,
    /// Calls that may go out at once after a quiet time; means something only with a rate.
    pub burst: u32,
    /// Calls on their way at the same time.
    pub concurrency: usize,
    /// How long one call may take.
    pub timeout: Duration,
    /// The waits between attempts.
    pub backoff: Backoff,
    /// Failed attempts after which a SKU is a dead letter.
    pub max_attempts: u32,
    /// How long after the first attempt it is one.
    pub max_age: Duration,
}

impl Channel {
    /// When a SKU becomes a dead letter.
    pub fn patience(&self) -> Patience {
        Patience { attempts_max: self.max_attempts, age_max: self.max_age }
    }
}

/// What a channel speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelKind {
    /// CloudEvents, signed by Standard Webhooks.
    Webhook,
}

/// A channel as it was written.
#[derive(Deserialize)]
#[serde(default)]
pub(super) struct RawChannel {
    pub(super) id: Option<String>,
    pub(super) kind: ChannelKind,
    pub(super) url: Option<SecretUrl>,
    pub(super) secret: Option<SecretString>,
    pub(super) secret_file: Option<PathBuf>,
    pub(super) batch: usize,
    pub(super) buffer: i64,
    pub(super) share: f64,
    pub(super) cap: Option<i64>,
    pub(super) pause_at: i64,
    pub(super) resume_at: Option<i64>,
    pub(super) rate: Option<f64>,
    pub(super) burst: Option<u32>,
    pub(super) concurrency: usize,
    #[serde(with = "humantime_serde")]
    pub(super) timeout: Duration,
    pub(super) max_attempts: u32,
    #[serde(with = "humantime_serde")]
    pub(super) max_age: Duration,
}

impl Default for RawChannel {
    fn default() -> Self {
        let publish = PublishPolicy::default();
        Self {
            id: None,
            kind: ChannelKind::Webhook,
            url: None,
            secret: None,
            secret_file: None,
            batch: 1,
            buffer: publish.buffer,
            share: publish.share,
            cap: publish.cap,
            pause_at: publish.pause_at.unwrap_or(NEVER),
            resume_at: None,
            rate: None,
            burst: None,
            concurrency: 8,
            timeout: Duration::from_secs(5),
            max_attempts: 20,
            max_age: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// Converts the sections that are complete, and notes what the others lack.
pub(super) fn convert(
    sections: Vec<RawChannel>,
    propagation: &Propagation,
    origins: &Origins,
    problems: &mut Vec<Problem>,
) -> Vec<Channel> {
    let mut channels: Vec<Channel> = Vec::with_capacity(sections.len());
    for (index, section) in sections.into_iter().enumerate() {
        let path = format!("channels.{index}");
        let Some(channel) = complete(section, &path, propagation, origins, problems) else { continue };
        if channels.iter().any(|other| other.id == channel.id) {
            let detail = "is the id of more than one channel: give each its own".to_owned();
            problems.push(origins.invalid(&format!("{path}.id"), detail));
        }
        check_timeout(&channel, &path, propagation, origins, problems);
        channels.push(channel);
    }
    channels
}

fn check_timeout(
    channel: &Channel,
    path: &str,
    propagation: &Propagation,
    origins: &Origins,
    problems: &mut Vec<Problem>,
) {
    if channel.timeout + LEASE_MARGIN <= propagation.lease {
        return;
    }
    // Else another worker takes the SKUs over while this one still waits, and both push.
    let detail = format!(
        "is {}, must be {} shorter than propagation.lease, {} in {}: raise the lease or lower the timeout",
        humantime::format_duration(channel.timeout),
        humantime::format_duration(LEASE_MARGIN),
        humantime::format_duration(propagation.lease),
        origins.of("propagation.lease"),
    );
    problems.push(origins.invalid(&format!("{path}.timeout"), detail));
}

fn complete(
    section: RawChannel,
    path: &str,
    propagation: &Propagation,
    origins: &Origins,
    problems: &mut Vec<Problem>,
) -> Option<Channel> {
    let publish = policy(&section, path, origins, problems);
    let burst = burst(&section, path, origins, problems);
    let mut missing = |field: &str, fix: &str| {
        // A value that was there and refused has been noted already.
        if !is_noted(&format!("{path}.{field}"), origins, problems) {
            let setting = format!("{}.{field}", origins.name(path));
            problems.push(Problem::Missing { setting, fix: fix.to_owned() });
        }
    };
    let id = section.id.and_then(|id| ChannelId::parse(&id).ok());
    if id.is_none() {
        missing("id", "write id = \"web\", or what you call it");
    }
    if section.url.is_none() {
        missing("url", "write url = \"https://…\", where the channel is told");
    }
    let given = section.secret.filter(|secret| !secret.expose_secret().is_empty());
    if given.is_none() && section.secret_file.is_none() {
        missing("secret", "write secret = \"whsec_…\", or secret_file = \"PATH\"");
    }
    let secret = match (given, section.secret_file) {
        (Some(_), Some(_)) => {
            let detail = format!(
                "is set beside secret in {}: keep one of them",
                origins.of(&format!("{path}.secret"))
            );
            problems.push(origins.invalid(&format!("{path}.secret_file"), detail));
            None
        }
        (given, None) => given,
        (None, Some(file)) => {
            let secret = secret_file::secret(&file, &format!("{path}.secret_file"), origins);
            secret.map_err(|problem| problems.push(problem)).ok()
        }
    };
    Some(Channel {
        id: id?,
        kind: section.kind,
        url: section.url?,
        secret: secret?,
        batch: section.batch,
        publish,
        rate: section.rate,
        burst,
        concurrency: section.concurrency,
        timeout: section.timeout,
        backoff: propagation.backoff(),
        max_attempts: section.max_attempts,
        max_age: section.max_age,
    })
}

/// Whether something is wrong with a setting already.
fn is_noted(path: &str, origins: &Origins, problems: &[Problem]) -> bool {
    let name = origins.name(path);
    problems.iter().any(|problem| problem.is_about(&name))
}

fn policy(section: &RawChannel, path: &str, origins: &Origins, problems: &mut Vec<Problem>) -> PublishPolicy {
    let RawChannel { buffer, share, cap, pause_at, .. } = *section;
    let resume_at = section.resume_at.unwrap_or(pause_at + 1);
    let mut contradicts = |bound: &str, detail: String| {
        let bound = format!("{path}.{bound}");
        if !is_noted(&bound, origins, problems) {
            let detail = format!("is {resume_at}, must be {detail} in {}", origins.of(&bound));
            problems.push(origins.invalid(&format!("{path}.resume_at"), detail));
        }
    };
    if resume_at <= pause_at {
        contradicts("pause_at", format!("above pause_at, {pause_at}"));
    }
    // A cap at or under pause_at keeps the listing paused for ever: that is no mistake by itself.
    if let Some(cap) = cap.filter(|cap| pause_at != NEVER && (pause_at + 1..resume_at).contains(cap)) {
        contradicts("cap", format!("at most cap, since a paused listing could not come back, {cap}"));
    }
    PublishPolicy { buffer, share, cap, pause_at: Some(pause_at).filter(|at| *at != NEVER), resume_at }
}

fn burst(section: &RawChannel, path: &str, origins: &Origins, problems: &mut Vec<Problem>) -> u32 {
    if section.burst.is_some()
        && section.rate.is_none()
        && !is_noted(&format!("{path}.rate"), origins, problems)
    {
        let detail = "is set without rate: set rate too, or leave it out".to_owned();
        problems.push(origins.invalid(&format!("{path}.burst"), detail));
    }
    // At most 100,000.
    section.burst.unwrap_or_else(|| section.rate.map_or(1, |rate| rate.ceil() as u32))
}
