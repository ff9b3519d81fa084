//! Where everything meets: starts the parts in order, and drains them in the opposite order.
//!
//! Start: embedded Redis (or a look at a foreign one), store, listeners, workers, gRPC, HTTP. Stop: not ready, a grace, calls
//! and pushes finish, what is queued for Redis is sent, Redis ends.

pub mod carriers;
mod foreign;
mod redis_server;
pub mod repartition;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use futures_util::future::join;
use metrics::gauge;
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::SecretString;
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    channels::{Channel, Webhook, WebhookConfig},
    config::{self, ChannelKind, Config, Role},
    domain::{ChannelRules, ChannelTerms, PublishPolicy, RateTerms},
    grpc::{self, CarrierSettings, ChannelInfo, CutOff, GrpcSettings, convert::ContractLimits},
    http::{self, HttpState, Readiness},
    store::{
        Address, AtomicDomain, Clock, DurabilitySettings, LinkSettings, Store, StoreSettings,
        embedded::Embedded,
    },
    telemetry,
    workers::{self, ChannelSetup, WorkerSettings},
};

/// How often Redis is asked for a sign of life.
const PULSE_INTERVAL: Duration = Duration::from_millis(500);
/// How long saying no may take: nothing but memory is written.
const NOTICE_PATIENCE: Duration = Duration::from_secs(1);
/// The part of the drain timeout that is kept for handing leases back, after calls to channels were cut off.
const HAND_BACK: Duration = Duration::from_secs(1);
/// After the drain timeout: for parts that have cut off what was under way, and end now.
const CUT_PATIENCE: Duration = Duration::from_secs(3);

/// A running gateway.
pub struct App {
    grpc_address: Option<SocketAddr>,
    http_address: SocketAddr,
    embedded: Option<Embedded>,
    /// What runs until it is told to stop, in the order in which it is told.
    health: Part,
    servers: Part,
    workers: Part,
    store: Part,
    pages: Part,
    /// What the gRPC server had to cut off; None in a process that serves no calls.
    cut_off: Option<oneshot::Receiver<CutOff>>,
    drain_grace: Duration,
    drain_timeout: Duration,
    /// Falls when a server ended by itself.
    failed: CancellationToken,
}

/// Tasks that stop together.
#[derive(Default)]
struct Part {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Part {
    /// Tells its tasks to stop and waits for them until then at most; whether they ended.
    async fn end(&self, until: Instant) -> bool {
        self.stop.cancel();
        self.tasks.close();
        timeout_at(until, self.tasks.wait()).await.is_ok()
    }
}

/// What was under way when a gateway had to end.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not finished in time: {}", .0.join(", "))]
pub struct Unfinished(Vec<String>);

impl Unfinished {
    /// None when all was finished.
    fn of(cut_off: CutOff, parts_left: &[&str]) -> Option<Self> {
        let count = |count: usize, what: &str| match count {
            0 => None,
            1 => Some(format!("1 {what}")),
            more => Some(format!("{more} {what}s")),
        };
        let counted = [count(cut_off.calls, "call"), count(cut_off.committers, "queue for redis")];
        let left = parts_left.iter().map(|part| (*part).to_owned());
        let all: Vec<_> = counted.into_iter().flatten().chain(left).collect();
        (!all.is_empty()).then_some(Self(all))
    }
}

/// Starts a gateway in this role; returns once it serves.
pub async fn start(config: Config, role: Role, metrics: PrometheusHandle) -> Result<App> {
    let setups = Setups { channels: channel_setups(&config)?, carriers: carriers::settings(&config)? };
    let (embedded, address) = redis_server::start(&config).await?;
    match raise(config, role, metrics, setups, address, embedded.is_some()).await {
        Ok(app) => Ok(App { embedded, ..app }),
        Err(error) => {
            if let Some(embedded) = embedded {
                embedded.stop().await;
            }
            Err(error)
        }
    }
}

/// What is built of the settings before anything starts.
struct Setups {
    channels: Vec<ChannelSetup>,
    carriers: CarrierSettings,
}

async fn raise(
    config: Config,
    role: Role,
    metrics: PrometheusHandle,
    setups: Setups,
    address: Address,
    is_embedded: bool,
) -> Result<App> {
    let (health_part, servers, workers, store_part, pages) = <(Part, Part, Part, Part, Part)>::default();
    let store = Store::open(store_settings(&config, address), &store_part.tasks, store_part.stop.clone())?;
    if !is_embedded {
        foreign::look(&store, &config).await?;
    }
    store.prepare().await?;
    if role.serves() {
        let level = config.durability.level;
        store
            .check_durability()
            .await
            .with_context(|| format!("cannot serve with durability.level {level}"))?;
    }

    let listen = |address| async move {
        TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}: is another gateway running?"))
    };
    let http_listener = listen(config.http.listen).await?;
    let grpc_listener = if role.serves() { Some(listen(config.grpc.listen).await?) } else { None };
    let http_address = http_listener.local_addr()?;
    let grpc_address = grpc_listener.as_ref().map(TcpListener::local_addr).transpose()?;

    let failed = CancellationToken::new();
    let Setups { channels: setups, carriers } = setups;
    let infos: Vec<ChannelInfo> = setups
        .iter()
        .map(|setup| ChannelInfo {
            id: setup.id.clone(),
            kind: setup.channel.kind(),
            policy: setup.rules.policy,
            rate: setup.terms.rate.per_second,
            attempts_max: setup.rules.patience.attempts_max,
        })
        .collect();
    if role.works() {
        workers::spawn(&store, setups, &worker_settings(&config), &workers.tasks, &workers.stop);
    }

    let health = grpc::health();
    let (readiness, ready) = watch::channel(Readiness::NotReady { reasons: vec!["starting".to_owned()] });
    pages.tasks.spawn(telemetry::keep_metrics(metrics.clone(), pages.stop.clone()));
    let state = HttpState { metrics, readiness: ready };
    let (http_stop, http_failed) = (pages.stop.clone(), failed.clone());
    pages.tasks.spawn(async move {
        if let Err(error) = http::serve(http_listener, state, http_stop).await {
            tracing::error!(error = &error as &dyn std::error::Error, "the http server ended");
            http_failed.cancel();
        }
    });
    let first_pulse = pulse(&store).await;
    tell(&first_pulse, &readiness, &health).await;
    health_part.tasks.spawn(watch_pulse(store.clone(), readiness, health.clone(), health_part.stop.clone()));
    let mut cut_off = None;
    if let Some(grpc_listener) = grpc_listener {
        let (grpc_stop, grpc_failed) = (servers.stop.clone(), failed.clone());
        let settings = grpc_settings(&config, infos, carriers);
        let (told, ended) = oneshot::channel();
        cut_off = Some(ended);
        servers.tasks.spawn(async move {
            match grpc::serve(grpc_listener, store, settings, health, grpc_stop).await {
                // Nobody listens when the whole took too long.
                Ok(cut_off) => drop(told.send(cut_off)),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "the grpc server ended");
                    grpc_failed.cancel();
                }
            }
        });
    }
    tracing::info!(grpc_address = grpc_address.map(tracing::field::display), %http_address, role = ?role, "stockgate is up");
    Ok(App {
        grpc_address,
        http_address,
        embedded: None,
        health: health_part,
        servers,
        workers,
        store: store_part,
        pages,
        cut_off,
        drain_grace: config.grpc.drain_grace,
        drain_timeout: config.grpc.drain_timeout,
        failed,
    })
}

impl App {
    /// Where gRPC is served; None by a worker.
    pub fn grpc_address(&self) -> Option<SocketAddr> {
        self.grpc_address
    }

    /// Where HTTP is served.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// The process id of the embedded Redis.
    pub fn redis_pid(&self) -> Option<u32> {
        self.embedded.as_ref().and_then(Embedded::pid)
    }

    /// Returns when a server ended by itself.
    pub async fn failure(&self) {
        self.failed.cancelled().await;
    }

    /// Drains and stops everything within grace and drain timeout; what was not finished by then is cut off and named.
    pub async fn shut_down(self) -> Result<(), Unfinished> {
        tracing::info!("shutting down");
        let mut parts_left = Vec::new();
        if !self.health.end(Instant::now() + NOTICE_PATIENCE).await {
            parts_left.push("health");
        }
        if self.cut_off.is_some() && !self.drain_grace.is_zero() && !self.failed.is_cancelled() {
            tracing::info!(grace = ?self.drain_grace, "calls are served on until balancers have noticed");
            sleep(self.drain_grace).await; // why: balancers do not say when they have noticed
        }
        let limit = Instant::now() + self.drain_timeout;
        // Together: calls to channels take their time whether or not callers wait for theirs.
        let ended = join(self.servers.end(limit + CUT_PATIENCE), self.workers.end(limit)).await;
        let cut_off = match self.cut_off {
            Some(mut cut_off) => cut_off.try_recv().unwrap_or_default(),
            None => CutOff::default(),
        };
        let is_flushed = self.store.end(limit.max(Instant::now() + CUT_PATIENCE)).await;
        // Pages change nothing: whoever still asks for one is no reason to wait.
        let _ = self.pages.end(limit.max(Instant::now() + CUT_PATIENCE)).await;
        let named = [(ended.0, "grpc"), (ended.1, "workers"), (is_flushed, "store")];
        parts_left.extend(named.into_iter().filter(|(is_ended, _)| !is_ended).map(|(_, name)| name));
        if let Some(embedded) = self.embedded {
            embedded.stop().await;
        }
        match Unfinished::of(cut_off, &parts_left) {
            None => {
                tracing::info!("stopped");
                Ok(())
            }
            Some(unfinished) => {
                tracing::error!(unfinished = unfinished.0.join(", "), "stopped before all was finished");
                Err(unfinished)
            }
        }
    }
}

/// What Redis said when asked for a sign of life.
async fn pulse(store: &Store) -> Readiness {
    match store.pulse().await {
        Ok(()) => Readiness::Ready,
        Err(fault) => {
            let reasons = vec![format!("redis: {fault}; calls are answered UNAVAILABLE until it is back")];
            Readiness::NotReady { reasons }
        }
    }
}

async fn tell(now: &Readiness, readiness: &watch::Sender<Readiness>, health: &grpc::Health) {
    let is_ready = *now == Readiness::Ready;
    gauge!(telemetry::REDIS_UP).set(if is_ready { 1.0 } else { 0.0 });
    health.set_serving(is_ready).await;
    let was_ready = *readiness.borrow() == Readiness::Ready;
    if was_ready != is_ready {
        match now {
            Readiness::Ready => tracing::info!("ready: redis answers"),
            Readiness::NotReady { reasons } => tracing::warn!(reason = reasons.join("; "), "not ready"),
        }
    }
    readiness.send_replace(now.clone());
}

/// Keeps readiness and health true until told to stop; then both say no at once, before the servers drain.
async fn watch_pulse(
    store: Store,
    readiness: watch::Sender<Readiness>,
    health: grpc::Health,
    stop: CancellationToken,
) {
    let mut beat = interval(PULSE_INTERVAL);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next = async || {
        beat.tick().await;
        pulse(&store).await
    };
    // A pulse on its way to a Redis that hangs does not keep the last word waiting.
    while let Some(now) = stop.run_until_cancelled(next()).await {
        tell(&now, &readiness, &health).await;
    }
    let leaving = Readiness::NotReady { reasons: vec!["shutting down".to_owned()] };
    tell(&leaving, &readiness, &health).await;
}

fn store_settings(config: &Config, address: Address) -> StoreSettings {
    let domain = if address.is_cluster() { AtomicDomain::Partition } else { AtomicDomain::Node };
    StoreSettings {
        link: LinkSettings {
            address,
            login: config.redis.login.clone(),
            sentinel_login: config.redis.sentinel_login.clone(),
            certificates: config.redis.certificates.clone(),
            connect_timeout: config.redis.connect_timeout,
            response_timeout: config.redis.response_timeout,
        },
        namespace: config.redis.namespace.clone(),
        partitions: config.redis.partitions,
        domain,
        cluster_wait: config.redis.cluster_wait,
        retention: config.holds.retention,
        cart_ttl: config.holds.cart_ttl,
        batch_max: config.committer.batch_max,
        lines_max: config.committer.lines_max,
        queue_max: config.committer.queue_max,
        scripts_in_flight_max: config.committer.scripts_of(threads(config)),
        overlap_calls_min: config.committer.overlap_calls_min,
        // All partitions may be on one server.
        pool_max: config.redis.pool_max + config.propagation.blocking_readers_max,
        channels: config.channels.iter().map(|channel| channel.id.clone()).collect(),
        policies: config.channels.iter().map(|channel| (channel.id.clone(), channel.publish)).collect(),
        lease: config.propagation.lease,
        clock: Clock::Redis,
        durability: DurabilitySettings {
            level: config.durability.level,
            wait_timeout: config.durability.wait_timeout,
        },
    }
}

fn worker_settings(config: &Config) -> WorkerSettings {
    WorkerSettings {
        consumer: uuid::Uuid::now_v7().simple().to_string(),
        poll_interval: config.propagation.poll_interval,
        fan_out_batch: config.propagation.fan_out_batch,
        blocking_readers_max: config.propagation.blocking_readers_max,
        gather: config.propagation.gather,
        sweep_interval: config.holds.sweep_interval,
        sweep_batch: u32::try_from(config.holds.sweep_batch).unwrap_or(u32::MAX),
        lag_critical: config.propagation.lag_critical,
        lag_cost: config.propagation.lag_cost,
        drain_timeout: config
            .propagation
            .drain_timeout
            .min(config.grpc.drain_timeout.saturating_sub(HAND_BACK)),
    }
}

/// Threads that serve calls on this machine.
fn threads(config: &Config) -> usize {
    config.grpc.threads_of(std::thread::available_parallelism().map_or(1, usize::from))
}

fn grpc_settings(config: &Config, channels: Vec<ChannelInfo>, carriers: CarrierSettings) -> GrpcSettings {
    GrpcSettings {
        threads: threads(config),
        message_bytes_max: config.grpc.message_bytes_max,
        concurrent_streams_max: config.grpc.concurrent_streams_max,
        watches_max: config.grpc.watches_max,
        transact_in_flight_max: config.grpc.transact_in_flight_max,
        copied_skus_max: config.reads.copied_skus_max,
        copy_refresh: config.reads.copy_refresh,
        default_deadline: config.grpc.default_deadline,
        drain_timeout: config.grpc.drain_timeout,
        connection_age_max: config.grpc.connection_age_max,
        connection_age_grace: config.grpc.connection_age_grace,
        limits: ContractLimits { ttl_default: config.holds.ttl_default, ttl_max: config.holds.ttl_max },
        channels,
        carriers,
    }
}

fn channel_setups(config: &Config) -> Result<Vec<ChannelSetup>> {
    config.channels.iter().map(|channel| channel_setup(channel, &config.propagation)).collect()
}

fn channel_setup(configured: &config::Channel, propagation: &config::Propagation) -> Result<ChannelSetup> {
    let channel: Arc<dyn Channel> = match configured.kind {
        ChannelKind::Webhook => {
            let secrets: Vec<SecretString> = vec![configured.secret.clone()];
            Arc::new(Webhook::new(WebhookConfig {
                channel: configured.id.clone(),
                url: configured.url.expose().to_owned(),
                secrets,
                batch: configured.batch,
                timeout: configured.timeout,
            })?)
        }
    };
    Ok(ChannelSetup {
        id: configured.id.clone(),
        fingerprint: fingerprint(configured),
        channel,
        rules: ChannelRules { policy: configured.publish, patience: configured.patience() },
        terms: ChannelTerms {
            breaker: propagation.breaker(),
            rate: RateTerms { per_second: configured.rate, burst: configured.burst },
            call_timeout: configured.timeout,
        },
        backoff: configured.backoff,
        concurrency: configured.concurrency,
    })
}

/// Where a channel is told, and what: `<address>:<policy>`, so that a change of the one is told from a change of the other.
/// Hashed, since an address may hold a token.
fn fingerprint(configured: &config::Channel) -> String {
    let PublishPolicy { buffer, share, cap, pause_at, resume_at } = configured.publish;
    let policy = format!("{buffer} {share} {cap:?} {pause_at:?} {resume_at}");
    let [address, policy] = [configured.url.expose(), &policy].map(|text| xxh3_64(text.as_bytes()));
    format!("{address:016x}:{policy:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finished_is_named() {
        assert_eq!(Unfinished::of(CutOff::default(), &[]), None);
        let all = Unfinished::of(CutOff { calls: 2, committers: 1 }, &["workers"]).unwrap();
        assert_eq!(all.to_string(), "not finished in time: 2 calls, 1 queue for redis, workers");
    }

    #[test]
    fn a_fingerprint_tells_another_address_from_another_policy() {
        let fingerprint_of = |settings: &str| {
            let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
            let channel = format!("[[channels]]\nid = \"web\"\nsecret = \"whsec_x\"\n{settings}\n");
            std::fs::write(file.path(), channel).unwrap();
            let config = Config::load(Some(file.path()), std::iter::empty()).unwrap();
            let fingerprint = fingerprint(&config.channels[0]);
            let (address, policy) = fingerprint.split_once(':').unwrap();
            (address.to_owned(), policy.to_owned())
        };
        let (address, policy) = fingerprint_of("url = \"http://a/\"");
        let (moved, same_policy) = fingerprint_of("url = \"http://b/\"\nbatch = 9");
        assert!(moved != address && same_policy == policy);
        for field in ["buffer = 1", "share = 0.5", "cap = 9", "pause_at = 2\nresume_at = 5", "resume_at = 2"]
        {
            let (same_address, changed) = fingerprint_of(&format!("url = \"http://a/\"\n{field}"));
            assert!(same_address == address && changed != policy, "{field}");
        }
    }
}
