//! Worker sets on one shop by the clock of Redis, and a channel whose answers the test decides.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use stockgate::{
    channels::{Channel, PushFuture, PushOutcome},
    domain::{Backoff, BreakerTerms, ChannelRules, ChannelTerms, DesiredState, Partitions, RateTerms},
    outbound::ErrorText,
    store::{Clock, Store, StoreSettings, SyncState},
    telemetry,
    workers::{self, ChannelSetup, WorkerSettings},
};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    gateway::{SOON, eventually},
    harness::Shop,
    requests::{channel, set, sku},
};

/// So long that it does not come within a test.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// The time by the clock that Redis goes by too, in ms.
pub(crate) fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// One call, as the channel got it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Its number, from 0.
    pub(crate) index: usize,
    pub(crate) began_ms: i64,
    /// None while it is not answered, and for ever when it was cut off.
    pub(crate) ended_ms: Option<i64>,
    pub(crate) items: Vec<DesiredState>,
}

impl Call {
    pub(crate) fn has(&self, name: &str) -> bool {
        self.items.iter().any(|item| item.sku.as_str() == name)
    }
}

/// What the channel does with a call.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// This, for each item.
    All(PushOutcome),
    /// The same after a while.
    Later(Duration, PushOutcome),
    /// Nothing, ever.
    Never,
}

/// Takes what it is told.
pub(crate) fn takes() -> Reply {
    Reply::All(PushOutcome::Applied)
}

/// Fails as a server does.
pub(crate) fn fails() -> PushOutcome {
    PushOutcome::RetryAfter { after: None, throttled: false, error: ErrorText::new("503") }
}

/// Refuses the call and names no item.
pub(crate) fn rejects() -> Reply {
    Reply::All(PushOutcome::BatchRejected { error: ErrorText::new("400") })
}

/// A channel that answers by a script and writes every call down.
pub(crate) struct Scripted {
    batch: usize,
    script: Box<dyn Fn(&Call) -> Reply + Send + Sync>,
    calls: Mutex<Vec<Call>>,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
}

impl Scripted {
    pub(crate) fn new(batch: usize, script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            batch,
            script: Box::new(script),
            calls: Mutex::default(),
            under_way: AtomicUsize::new(0),
            most_under_way: AtomicUsize::new(0),
        })
    }

    /// All calls so far, in order.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    /// Every item of every call, in order.
    pub(crate) fn told(&self) -> Vec<DesiredState> {
        self.calls().into_iter().flat_map(|call| call.items).collect()
    }

    /// How often it was told a SKU.
    pub(crate) fn times(&self, name: &str) -> usize {
        self.told().iter().filter(|item| item.sku.as_str() == name).count()
    }

    /// The most calls on their way at the same time, since this was asked last.
    pub(crate) fn most_under_way(&self) -> usize {
        self.most_under_way.swap(self.under_way.load(Ordering::SeqCst), Ordering::SeqCst)
    }

    async fn answer(&self, items: &[DesiredState]) -> Vec<PushOutcome> {
        let call = {
            let mut calls = self.calls.lock().unwrap();
            let call = Call { index: calls.len(), began_ms: now_ms(), ended_ms: None, items: items.to_vec() };
            calls.push(call.clone());
            call
        };
        let _under_way = UnderWay::of(self);
        let outcome = match (self.script)(&call) {
            Reply::All(outcome) => outcome,
            Reply::Later(wait, outcome) => {
                tokio::time::sleep(wait).await; // why: a slow channel is what the test asks for
                outcome
            }
            Reply::Never => std::future::pending().await,
        };
        self.calls.lock().unwrap()[call.index].ended_ms = Some(now_ms());
        vec![outcome; items.len()]
    }
}

impl Channel for Scripted {
    fn kind(&self) -> &'static str {
        "scripted"
    }

    fn batch_max(&self) -> usize {
        self.batch
    }

    fn push<'a>(&'a self, items: &'a [DesiredState]) -> PushFuture<'a> {
        Box::pin(self.answer(items))
    }
}

/// Counts a call for as long as it is on its way; one that is cut off too.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn of(channel: &'a Scripted) -> Self {
        let now = channel.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        channel.most_under_way.fetch_max(now, Ordering::SeqCst);
        Self(&channel.under_way)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A breaker that does not open.
pub(crate) fn patient() -> BreakerTerms {
    BreakerTerms { failures: u32::MAX, calls_min: u32::MAX, jitter: 0.0, ..BreakerTerms::default() }
}

/// A channel that fails is tried again after an hour, and its breaker does not open.
pub(crate) fn setup(name: &str, scripted: &Arc<Scripted>) -> ChannelSetup {
    ChannelSetup {
        id: channel(name),
        channel: Arc::<Scripted>::clone(scripted),
        rules: ChannelRules::default(),
        terms: ChannelTerms {
            breaker: patient(),
            rate: RateTerms::default(),
            call_timeout: Duration::from_secs(20),
        },
        fingerprint: "here:so".to_owned(),
        backoff: Backoff { first: HOUR, cap: HOUR, jitter: 0.0 },
        concurrency: 4,
    }
}

/// A shop by the clock of Redis, with these channels. Metrics are of the whole process: no name is used twice.
pub(crate) async fn open(names: &[&str], change: impl FnOnce(&mut StoreSettings)) -> Shop {
    Shop::open_with(Partitions::ONE, |settings| {
        settings.clock = Clock::Redis;
        settings.channels = names.iter().map(|name| channel(name)).collect();
        let policies = settings.channels.iter().map(|id| (id.clone(), ChannelRules::default().policy));
        settings.policies = policies.collect();
        change(settings);
    })
    .await
}

/// One set of workers, as one process has it.
pub(crate) struct Crew {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Crew {
    /// Starts one; its channels count as told about all stock if nobody said otherwise.
    pub(crate) async fn start(store: &Store, setups: Vec<ChannelSetup>) -> Self {
        Self::start_with(store, setups, |_| {}).await
    }

    pub(crate) async fn start_with(
        store: &Store,
        setups: Vec<ChannelSetup>,
        change: impl FnOnce(&mut WorkerSettings),
    ) -> Self {
        telemetry::init_metrics().unwrap();
        store.register_channels().await.unwrap();
        for setup in &setups {
            if let Some(seeding) = store.seeding(&setup.id, None).await.unwrap() {
                store.mark_seeded(&seeding, &setup.fingerprint).await.unwrap();
            }
        }
        let mut settings = WorkerSettings {
            consumer: uuid::Uuid::now_v7().simple().to_string(),
            poll_interval: Duration::from_secs(1),
            fan_out_batch: 1000,
            blocking_readers_max: 256,
            gather: Duration::from_millis(5),
            sweep_interval: Duration::from_secs(1),
            sweep_batch: 100,
            lag_critical: HOUR,
            lag_cost: HOUR,
            drain_timeout: Duration::from_secs(10),
        };
        change(&mut settings);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        workers::spawn(store, setups, &settings, &tasks, &stop);
        Self { tasks, stop }
    }

    /// Stops it, as a process that is told to.
    pub(crate) async fn leave(self) {
        self.stop.cancel();
        self.tasks.close();
        timeout(SOON, self.tasks.wait()).await.expect("workers end when they are told to");
    }
}

/// Sets counts, one after the other, however often.
pub(crate) async fn stock(shop: &Shop, counts: &[(&str, i64)]) {
    for (name, units) in counts {
        let key = uuid::Uuid::now_v7().to_string();
        shop.applied(&set(&key, name, *units)).await;
    }
}

/// What a channel knows about a SKU.
pub(crate) async fn state(shop: &Shop, name: &str, of: &str) -> SyncState {
    shop.store.sync_state(&channel(name), &sku(of)).await.unwrap()
}

/// Waits until a channel has confirmed this version of a SKU, or a newer one.
pub(crate) async fn confirmed(shop: &Shop, name: &str, of: &str, version: i64) -> SyncState {
    eventually(&format!("{name} confirms version {version} of {of}"), SOON, async || {
        Some(state(shop, name, of).await).filter(|state| state.confirmed_version >= version)
    })
    .await
}

/// Waits until nothing is due or leased on a channel.
pub(crate) async fn at_rest(shop: &Shop, name: &str) {
    eventually(&format!("{name} is told everything"), SOON, async || {
        let counts = shop.store.channel_counts(&channel(name)).await.unwrap();
        (counts.due == 0 && counts.leased == 0).then_some(())
    })
    .await;
}

/// Waits until so many SKUs are due on a channel.
pub(crate) async fn due(shop: &Shop, name: &str, count: u64) {
    eventually(&format!("{count} are due on {name}"), SOON, async || {
        let counts = shop.store.channel_counts(&channel(name)).await.unwrap();
        (counts.due == count).then_some(())
    })
    .await;
}

/// Sets counts of SKUs while a channel is paused and lets it go, so that all become due at the same time.
pub(crate) async fn become_due_together(shop: &Shop, name: &str, counts: &[(&str, i64)]) {
    shop.store.pause_channel(&channel(name), "test", "until all are due").await.unwrap();
    eventually("the pause is heard", SOON, async || {
        // A grant from before the pause is good for a moment longer.
        shop.store.ring(&[channel(name)]).await.unwrap();
        (metric(telemetry::WAITS, name, "paused") > 0.0).then_some(())
    })
    .await;
    stock(shop, counts).await;
    due(shop, name, counts.len().try_into().unwrap()).await;
    resume(shop, name).await;
}

/// Lets a paused channel go, as an operator does.
pub(crate) async fn resume(shop: &Shop, name: &str) {
    shop.store.resume_channel(&channel(name)).await.unwrap();
    shop.store.ring(&[channel(name)]).await.unwrap();
}

/// The value of a metric of one channel, over all worker sets of this process; 0 while there is none.
pub(crate) fn metric(metric_name: &str, name: &str, label: &str) -> f64 {
    let page = telemetry::init_metrics().unwrap().render();
    let is_it = |line: &&str| {
        let labels = line.strip_prefix(metric_name).filter(|rest| rest.starts_with('{'));
        labels.is_some_and(|labels| labels.contains(&format!("channel=\"{name}\"")) && labels.contains(label))
    };
    page.lines().filter(is_it).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}
