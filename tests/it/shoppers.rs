//! Clients that sell one unit after the other while something breaks, each with a key of its own, and the books they are
//! checked against: what was answered and is not known is counted by key, never silent.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use stockgate::proto::{
    ChannelStatus, DecrementResponse, ListChannelsRequest, stock_service_client::StockServiceClient,
};
use tokio::{task::JoinSet, time::Instant};
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{
    gateway::{Gateway, eventually, transport_to},
    gateway_calls::{reason, sale},
    gateway_receiver::Receiver,
    guarded::WITHIN,
};

pub(crate) const CLIENTS: usize = 4;
/// Units there are of each SKU at first: more than are ever sold.
pub(crate) const UNITS: i64 = 1_000_000;
/// How long a client thinks between two calls, and before it asks again.
const THINKS: Duration = Duration::from_millis(10);

/// What a client does with a status that says nothing of the sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Repeats after what a gateway says when its Redis goes or comes.
    Repeats,
    /// The same, also when the gateway itself is gone.
    Roams,
    /// Takes no status for an answer.
    None,
}

/// A sale that was answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sale {
    pub(crate) sku: String,
    pub(crate) key: String,
    /// Whether it is as durable as the gateway was asked for.
    pub(crate) is_durable: bool,
}

/// The clients, and what they were answered.
pub(crate) struct Shoppers {
    is_over: Arc<AtomicBool>,
    sales: Arc<Mutex<Vec<Sale>>>,
    clients: JoinSet<()>,
}

impl Shoppers {
    /// Clients of some gateways: each buys of every SKU in turn, and goes to the next gateway when one has no answer.
    pub(crate) fn start(gateways: &[SocketAddr], skus: &[String], patience: Patience) -> Self {
        let (is_over, sales) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<Sale>>>::default());
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            // A connection each, so that every thread of a gateway has some.
            let doors: Vec<_> =
                gateways.iter().map(|at| StockServiceClient::new(transport_to(*at))).collect();
            let (is_over, sales, skus) = (Arc::clone(&is_over), Arc::clone(&sales), skus.to_vec());
            clients.spawn(async move {
                for number in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let (key, sku) =
                        (format!("{client}/{number}"), skus[(client + number) % skus.len()].clone());
                    let answer = sell_at(&doors, &key, &sku, patience).await;
                    // Without a level asked for there is none to miss.
                    let is_durable = answer.durability.is_none_or(|achieved| achieved.reached);
                    sales.lock().unwrap().push(Sale { sku, key, is_durable });
                    tokio::time::sleep(THINKS).await; // why: shoppers think
                }
            });
        }
        Self { is_over, sales, clients }
    }

    /// How many sales of a SKU were answered.
    pub(crate) fn count(&self, sku: &str) -> usize {
        self.sales.lock().unwrap().iter().filter(|sale| sale.sku == sku).count()
    }

    /// How many of them are as durable as was asked for.
    pub(crate) fn durable_count(&self, sku: &str) -> usize {
        self.sales.lock().unwrap().iter().filter(|sale| sale.sku == sku && sale.is_durable).count()
    }

    /// Waits for so many more answers about a SKU. A client that was answered what it does not take ends the test.
    pub(crate) async fn goes_on(&mut self, sku: &str, answers: usize) {
        let before = self.count(sku);
        eventually("sales are answered", WITHIN, async || {
            if let Some(ended) = self.clients.try_join_next() {
                ended.unwrap();
            }
            (self.count(sku) >= before + answers).then_some(())
        })
        .await;
    }

    /// All answered sales.
    pub(crate) async fn stop(self) -> Vec<Sale> {
        self.is_over.store(true, Ordering::Relaxed);
        self.clients.join_all().await;
        self.sales.lock().unwrap().clone()
    }
}

/// Sells one unit, with the same key until there is an answer.
pub(crate) async fn sell(stock: &StockServiceClient<Channel>, key: &str, sku: &str) -> DecrementResponse {
    sell_at(std::slice::from_ref(stock), key, sku, Patience::Repeats).await
}

async fn sell_at(
    doors: &[StockServiceClient<Channel>],
    key: &str,
    sku: &str,
    patience: Patience,
) -> DecrementResponse {
    let deadline = Instant::now() + WITHIN;
    for attempt in 0.. {
        let status = match doors[attempt % doors.len()].clone().decrement(sale(key, sku, 1)).await {
            Ok(answer) => return answer.into_inner(),
            Err(status) => status,
        };
        assert!(is_passing(&status, patience), "{key}: {status:?}");
        assert!(Instant::now() < deadline, "{key} is not answered: {status:?}");
        tokio::time::sleep(THINKS).await; // why: a client waits before it asks again
    }
    unreachable!("the loop ends with an answer or a panic")
}

fn is_passing(status: &Status, patience: Patience) -> bool {
    // A gateway gives details: without them it is the client, whose gateway is gone.
    if status.details().is_empty() {
        return patience == Patience::Roams;
    }
    match (status.code(), reason(status).as_str()) {
        (Code::Unavailable, _) => patience != Patience::None && status.get_details_retry_info().is_some(),
        (Code::DeadlineExceeded, "OUTCOME_UNKNOWN") => patience != Patience::None,
        _ => false,
    }
}

impl Gateway {
    /// Waits until nobody has anything left to tell any channel.
    pub(crate) async fn comes_to_rest(&self) {
        let is_idle = |channel: &ChannelStatus| {
            let counts =
                [channel.due_count, channel.leased_count, channel.retrying_count, channel.dead_count];
            let has_no_lag = channel.sync_lag == Some(prost_types::Duration::default());
            let is_true = channel.exposed_units == 0 && channel.oldest_unconfirmed_time.is_none();
            counts == [0; 4] && has_no_lag && is_true
        };
        eventually("nothing is due, leased, dead or exposed", WITHIN, async || {
            let listed = self.channels().list_channels(ListChannelsRequest {}).await.unwrap().into_inner();
            listed.channels.iter().all(is_idle).then_some(())
        })
        .await;
    }
}

/// Waits until a channel shows what there is of every SKU.
pub(crate) async fn shows_the_truth(gateway: &Gateway, web: &Receiver, skus: &[String]) {
    for sku in skus {
        let on_hand = gateway.level(sku).await.on_hand;
        eventually("the channel shows what there is", WITHIN, async || {
            (web.shows(sku)?.quantity == on_hand).then_some(())
        })
        .await;
    }
}

/// Waits until a channel heard of a sale.
pub(crate) async fn shows_a_sale(web: &Receiver, sku: &str) {
    let is_sold = async || web.shows(sku).filter(|shown| shown.quantity < UNITS);
    eventually("the channel heard of a sale", WITHIN, is_sold).await;
}

/// Counts what was answered and is not known, repeats every key, and checks the books of every SKU before and after. Returns
/// the losses.
pub(crate) async fn check_books(gateway: &Gateway, skus: &[String], sales: &[Sale]) -> Vec<Sale> {
    let mut known = BTreeMap::new();
    for sku in skus {
        known.insert(sku.clone(), gateway.sales(sku).await);
        assert_eq!(
            gateway.level(sku).await.on_hand,
            UNITS - i64::try_from(known[sku].len()).unwrap(),
            "{sku}"
        );
    }
    assert!(gateway.findings(false).await.is_empty());
    let is_known = |sale: &Sale| known[&sale.sku].contains_key(&sale.key);
    let lost: Vec<Sale> = sales.iter().filter(|sale| !is_known(sale)).cloned().collect();
    for sale in sales {
        let answer = sell(&gateway.stock(), &sale.key, &sale.sku).await;
        assert_eq!(answer.replayed, is_known(sale), "{sale:?}");
    }
    for sku in skus {
        let all = gateway.sales(sku).await;
        let lost_count = lost.iter().filter(|sale| sale.sku == *sku).count();
        assert_eq!(all.len(), known[sku].len() + lost_count, "{sku}");
        assert_eq!(gateway.level(sku).await.on_hand, UNITS - i64::try_from(all.len()).unwrap(), "{sku}");
    }
    lost
}
