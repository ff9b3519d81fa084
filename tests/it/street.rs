//! A shop whose SKU A two channels are told about, by the same rules.

use stockgate::{
    domain::{ChannelId, ChannelRules, Mutation, Partition, Partitions},
    store::{ChannelCounts, Claim, SettleOutcome, Settled, Settlement, SyncState, Told},
};

use crate::{
    harness::Shop,
    requests::{channel, sku},
};

pub(crate) struct Street {
    pub(crate) shop: Shop,
    /// The partition of A.
    pub(crate) home: Partition,
    pub(crate) web: ChannelId,
    pub(crate) app: ChannelId,
    rules: ChannelRules,
}

impl Street {
    /// Ten of A, due on both channels.
    pub(crate) async fn open(shop: Shop) -> Self {
        Self::open_by(shop, ChannelRules::default()).await
    }

    async fn open_by(shop: Shop, rules: ChannelRules) -> Self {
        let home = shop.partitions().of(&sku("A"));
        let street = Self { shop, home, web: channel("web"), app: channel("app"), rules };
        street.shop.stock(&[("A", 10)]).await;
        street.fan_out().await;
        street
    }

    /// Both channels have confirmed the newest version.
    pub(crate) async fn in_sync(shop: Shop) -> Self {
        Self::open(shop).await.told().await
    }

    /// The same by other rules.
    pub(crate) async fn in_sync_by(partitions: Partitions, rules: ChannelRules) -> Self {
        let shop = Shop::open_with(partitions, |settings| {
            settings.policies.values_mut().for_each(|policy| *policy = rules.policy);
        });
        Self::open_by(shop.await, rules).await.told().await
    }

    async fn told(self) -> Self {
        for channel in [&self.web, &self.app] {
            let settled = self.tell(channel).await;
            assert!(matches!(settled[..], [Settled::Confirmed(_)]), "{settled:?}");
        }
        self
    }

    pub(crate) async fn change(&self, mutation: &Mutation) {
        self.shop.answer(mutation).await;
        self.fan_out().await;
    }

    /// Reads what is new in the streams and marks it; answers how many marks were set.
    pub(crate) async fn fan_out(&self) -> u64 {
        let mut marks = 0;
        for (partition, entries) in self.shop.read("me", 4096).await {
            marks += self.shop.store.fan_out(partition, self.shop.store.channels(), &entries).await.unwrap();
        }
        marks
    }

    pub(crate) async fn claim(&self, channel: &ChannelId, token: &str) -> Claim {
        self.claim_some(channel, token, 100).await
    }

    pub(crate) async fn claim_some(&self, channel: &ChannelId, token: &str, limit: usize) -> Claim {
        self.shop.store.claim(self.home, channel, &self.rules, token, limit).await.unwrap()
    }

    pub(crate) async fn settle(
        &self,
        channel: &ChannelId,
        token: &str,
        answers: &[Settlement],
    ) -> Vec<Settled> {
        self.shop.store.settle(self.home, channel, &self.rules, token, answers).await.unwrap()
    }

    /// Claims what is due and has it confirmed.
    pub(crate) async fn tell(&self, channel: &ChannelId) -> Vec<Settled> {
        let claim = self.claim(channel, "tell").await;
        let answers: Vec<_> = (0..claim.items.len()).map(|index| applied(&claim, index)).collect();
        self.settle(channel, "tell", &answers).await
    }

    /// Claims A alone and answers it so.
    pub(crate) async fn answer(&self, channel: &ChannelId, outcome: SettleOutcome) -> Settled {
        let claim = self.claim(channel, "answer").await;
        assert_eq!(claim.items.len(), 1, "{claim:?}");
        let answer = Settlement { outcome, ..applied(&claim, 0) };
        self.settle(channel, "answer", &[answer]).await[0]
    }

    pub(crate) async fn state(&self, channel: &ChannelId) -> SyncState {
        self.shop.store.sync_state(channel, &sku("A")).await.unwrap()
    }

    pub(crate) async fn counts(&self, channel: &ChannelId) -> ChannelCounts {
        self.shop.store.channel_counts(channel).await.unwrap()
    }

    pub(crate) async fn is_due(&self, channel: &ChannelId) -> bool {
        self.state(channel).await.due_ms.is_some()
    }
}

pub(crate) fn applied(claim: &Claim, index: usize) -> Settlement {
    let told = &claim.items[index].desired;
    let outcome = SettleOutcome::Applied;
    Settlement {
        sku: told.sku.clone(),
        version: told.version,
        quantity: told.published,
        paused: told.paused,
        outcome,
    }
}

pub(crate) fn failed(claim: &Claim, delay_ms: i64, burns_attempt: bool) -> Settlement {
    Settlement { outcome: failure(delay_ms, burns_attempt), ..applied(claim, 0) }
}

pub(crate) fn failure(delay_ms: i64, burns_attempt: bool) -> SettleOutcome {
    SettleOutcome::Failed { delay_ms, burns_attempt, error: "503 from the shop".to_owned() }
}

pub(crate) fn permanent() -> SettleOutcome {
    SettleOutcome::Permanent { delay_ms: 1000, error: "no such item".to_owned() }
}

pub(crate) fn lag(lag_ms: i64, versions: i64) -> Told {
    Told { lag_ms, versions, ..Told::default() }
}
