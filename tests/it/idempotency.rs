//! Once: the same request with the same key changes stock once, and every repeat gets the first answer.

use stockgate::domain::{Action, Mutation, Refusal, Shortage};

use crate::{
    harness::{Shop, both},
    requests::*,
};

#[tokio::test]
async fn the_sale_of_the_last_unit_repeated_answers_success() {
    for partitions in both() {
        let shop = Shop::open(partitions).await;
        shop.stock(&[("A", 1)]).await;
        let sale = decrement("k", &[("A", 1)]);
        let first = shop.answer(&sale).await;
        let again = shop.answer(&sale).await;
        assert!(!first.replayed && again.replayed);
        assert_eq!(first.result, again.result);
        assert!(first.result.is_ok());
        assert_eq!(shop.units("A").await, (0, 0));
        assert!(matches!(shop.refused(&decrement("k2", &[("A", 1)])).await, Refusal::Insufficient(_)));
        shop.close().await;
    }
}
