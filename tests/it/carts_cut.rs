//! Carts that are left in the middle: whatever script the gateway dies at, all lines come true or none, and the repeat says which.

use stockgate::{
    domain::{Answer, HoldId, Mutation, Refusal},
    store::StoreError,
};

use crate::{
    carts::{apart, shop_apart, sweep_all},
    carts_scissors::{Cut, Scissors},
    harness::{CART_TTL_MS, Shop, both},
    requests::*,
    server::Server,
};

/// More scripts than any flow takes.
const SCRIPTS_MAX: usize = 40;

/// On hand and held of the three SKUs.
type Units = [(i64, i64); 3];

/// A request, what there must be before it, and what it comes to.
struct Flow {
    name: &'static str,
    before: fn(&[&str]) -> Vec<Mutation>,
    /// Passes between what was before and the request.
    pass_ms: i64,
    asked: fn(&[&str]) -> Mutation,
    none: Units,
    all: Units,
}

fn cart<'a>(names: &[&'a str]) -> [(&'a str, i64); 3] {
    [(names[1], 2), (names[0], 1), (names[2], 3)]
}

fn held(names: &[&str]) -> Mutation {
    reserve("held", &cart(names), 50_000)
}

fn short_lived(names: &[&str]) -> Mutation {
    reserve("held", &cart(names), 1000)
}

fn hold_in(made: &Mutation) -> HoldId {
    hold_of(made, both()[1])
}

const FULL: Units = [(10, 0), (10, 0), (10, 0)];
const HELD: Units = [(10, 1), (10, 2), (10, 3)];
const SOLD: Units = [(9, 0), (8, 0), (7, 0)];

const FLOWS: [Flow; 9] = [
    Flow {
        name: "decrement",
        before: |_| vec![],
        pass_ms: 0,
        asked: |names| decrement("k", &cart(names)),
        none: FULL,
        all: SOLD,
    },
    Flow {
        name: "reserve",
        before: |_| vec![],
        pass_ms: 0,
        asked: |names| reserve("k", &cart(names), 50_000),
        none: FULL,
        all: HELD,
    },
    Flow {
        name: "restock",
        before: |_| vec![],
        pass_ms: 0,
        asked: |names| restock("k", &cart(names)),
        none: FULL,
        all: [(11, 0), (12, 0), (13, 0)],
    },
    Flow {
        name: "a decrement of too much",
        before: |_| vec![],
        pass_ms: 0,
        asked: |names| decrement("k", &[(names[0], 1), (names[1], 1), (names[2], 11)]),
        none: FULL,
        all: FULL,
    },
    Flow {
        name: "commit",
        before: |names| vec![held(names)],
        pass_ms: 0,
        asked: |names| commit("k", &hold_in(&held(names))),
        none: HELD,
        all: SOLD,
    },
    Flow {
        name: "a commit of some",
        before: |names| vec![held(names)],
        pass_ms: 0,
        asked: |names| commit_some("k", &hold_in(&held(names)), &[(names[1], 1)], true),
        none: HELD,
        all: [(10, 1), (9, 1), (10, 3)],
    },
    Flow {
        name: "release",
        before: |names| vec![held(names)],
        pass_ms: 0,
        asked: |names| release("k", &hold_in(&held(names))),
        none: HELD,
        all: FULL,
    },
    Flow {
        name: "extend",
        before: |names| vec![held(names)],
        pass_ms: 0,
        asked: |names| extend("k", &hold_in(&held(names)), 60_000),
        none: HELD,
        all: HELD,
    },
    Flow {
        name: "reacquire",
        before: |names| vec![short_lived(names)],
        pass_ms: 1000,
        asked: |names| reacquire("k", &hold_in(&short_lived(names)), &[]),
        none: FULL,
        all: SOLD,
    },
];

/// A flow in a shop of its own, through scissors.
struct Run {
    shop: Shop,
    names: Vec<String>,
    asked: Mutation,
    scissors: Scissors,
    gateway: Option<Shop>,
}

impl Run {
    async fn begin(flow: &Flow, first: usize, cut: Cut) -> Self {
        let names = apart(3);
        let own: Vec<&str> = names.iter().map(String::as_str).collect();
        let shop = shop_apart().await;
        shop.stock(&own.iter().map(|name| (*name, 10)).collect::<Vec<_>>()).await;
        for made in (flow.before)(&own) {
            shop.applied(&made).await;
        }
        shop.pass(flow.pass_ms);
        let asked = (flow.asked)(&own);
        let scissors = Scissors::new(&Server::shared().url, first, cut);
        let gateway = Some(shop.another_gateway_at(scissors.address.clone()));
        Self { shop, names, asked, scissors, gateway }
    }

    /// Asks through the scissors.
    async fn ask(&self) -> Result<Answer, StoreError> {
        self.gateway.as_ref().unwrap().store.mutate(&self.asked, None).await
    }

    /// The gateway is gone.
    async fn close_gateway(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            gateway.close().await;
        }
    }

    async fn units(&self) -> Units {
        let mut units = [(0, 0); 3];
        for (name, units) in self.names.iter().zip(&mut units) {
            *units = self.shop.units(name).await;
        }
        units
    }

    /// Passes what an undecided cart may take, and ends it.
    async fn sweep(&self) {
        self.shop.pass(CART_TTL_MS);
        sweep_all(&self.shop).await;
    }

    /// What the client hears when he repeats: always the same, and true.
    async fn repeat(&self, what: &str) -> Result<(), Refusal> {
        let first = self.shop.answer(&self.asked).await;
        let again = self.shop.answer(&self.asked).await;
        assert_eq!(first.result, again.result, "{what}");
        assert!(again.replayed, "{what}");
        first.result.map(drop)
    }

    async fn end(self, flow: &Flow, what: &str) {
        self.sweep().await;
        assert_eq!(self.units().await, flow.all, "{what}");
        self.repeat(what).await.ok();
        assert_eq!(self.units().await, flow.all, "{what}");
        let report = self.shop.store.verify(&[], false).await.unwrap();
        assert_eq!((report.findings, report.unreadable.len()), (vec![], 0), "{what}");
        self.shop.close().await;
    }
}

/// Cuts a flow at each of its scripts, until it goes through.
async fn cut_everywhere(cut: Cut, recover: impl AsyncFn(&Flow, &Run, &Result<(), StoreError>, &str)) {
    for flow in &FLOWS {
        for first in 0.. {
            assert!(first < SCRIPTS_MAX, "{} never ends", flow.name);
            let what = format!("{} cut {cut:?} script {first}", flow.name);
            let mut run = Run::begin(flow, first, cut).await;
            let answered = run.ask().await.map(drop);
            run.close_gateway().await;
            let was_cut = run.scissors.was_used();
            recover(flow, &run, &answered, &what).await;
            run.end(flow, &what).await;
            if !was_cut {
                break;
            }
        }
    }
}

async fn sweeper_first(flow: &Flow, run: &Run, answered: &Result<(), StoreError>, what: &str) {
    run.sweep().await;
    let units = run.units().await;
    assert!(units == flow.none || units == flow.all, "{what}: {units:?}");
    assert!(answered.is_err() || units == flow.all, "{what}: {units:?}");
    let report = run.shop.store.verify(&[], false).await.unwrap();
    assert_eq!((report.findings, report.unreadable.len()), (vec![], 0), "{what}");
    run.repeat(what).await.ok();
    assert_eq!(run.units().await, flow.all, "{what}");
}

async fn client_first(flow: &Flow, run: &Run, _: &Result<(), StoreError>, what: &str) {
    // What a refused one had taken goes back when its time is over.
    if run.repeat(what).await.is_ok() {
        assert_eq!(run.units().await, flow.all, "{what}");
    }
}

#[tokio::test]
async fn a_cart_cut_before_any_script_is_ended_by_the_sweeper() {
    cut_everywhere(Cut::Before, sweeper_first).await;
}

#[tokio::test]
async fn a_cart_cut_after_any_script_is_ended_by_the_sweeper() {
    cut_everywhere(Cut::After, sweeper_first).await;
}

#[tokio::test]
async fn a_cart_cut_before_any_script_is_ended_by_its_repeat() {
    cut_everywhere(Cut::Before, client_first).await;
}

#[tokio::test]
async fn a_cart_cut_after_any_script_is_ended_by_its_repeat() {
    cut_everywhere(Cut::After, client_first).await;
}

/// Stands still at each script of a flow while something happens, then goes on.
async fn pause_everywhere(meanwhile: impl AsyncFn(&Flow, &Run)) {
    for flow in &FLOWS {
        for first in 0.. {
            assert!(first < SCRIPTS_MAX, "{} never ends", flow.name);
            let what = format!("{} stood still at script {first}", flow.name);
            let mut run = Run::begin(flow, first, Cut::Pause).await;
            let late = {
                let late = run.ask();
                let meanwhile = async {
                    run.scissors.arrived().await;
                    meanwhile(flow, &run).await;
                    run.scissors.go_on();
                };
                tokio::pin!(late, meanwhile);
                tokio::select! {
                    late = &mut late => late,
                    () = &mut meanwhile => late.await,
                }
            };
            let late = late.unwrap_or_else(|fault| panic!("{what}: {fault}"));
            let now = run.shop.answer(&run.asked).await;
            assert_eq!(late.result, now.result, "{what}");
            let was_used = run.scissors.was_used();
            // What still stands in the background.
            run.scissors.go_on();
            run.close_gateway().await;
            if late.result.is_ok() {
                assert_eq!(run.units().await, flow.all, "{what}");
            }
            run.end(flow, &what).await;
            if !was_used {
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_cart_that_comes_late_finds_what_the_sweeper_did() {
    pause_everywhere(async |_, run| run.sweep().await).await;
}

#[tokio::test]
async fn a_cart_that_comes_late_finds_what_its_repeat_did() {
    pause_everywhere(async |flow, run| {
        run.repeat(flow.name).await.ok();
    })
    .await;
}

/// The repeat is left in the middle of its second attempt while the first one stands still.
#[tokio::test]
async fn a_cart_that_comes_late_finds_a_newer_attempt_half_done() {
    pause_everywhere(async |_, run| {
        for first in 0..3 {
            run.sweep().await;
            let scissors = Scissors::new(&Server::shared().url, first, Cut::After);
            let other = run.shop.another_gateway_at(scissors.address.clone());
            let _ = other.store.mutate(&run.asked, None).await;
            other.close().await;
        }
    })
    .await;
}
