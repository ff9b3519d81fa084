//! Requests as they come over the wire: compressed, in many pieces, too large.

use tonic::{Code, codec::CompressionEncoding};

use crate::{
    gateway::Setup,
    gateway_calls::{check_status, sale},
    gateway_redis::Redis,
};

/// Several HTTP/2 frames: those hold 16 KiB at most.
const LONG: usize = 50_000;

#[tokio::test]
async fn a_compressed_request_is_unimplemented() {
    let gateway = Setup::on(Redis::shared().await).serve().await;
    let mut compressing = gateway.stock().send_compressed(CompressionEncoding::Gzip);
    let refused = compressing.decrement(sale("k", "a", 1)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented, "{refused:?}");
}

#[tokio::test]
async fn a_request_in_many_frames_is_read_whole() {
    let gateway = Setup::on(Redis::shared().await).serve().await;
    let long = sale("k", &"x".repeat(LONG), 1);
    let refused = gateway.stock().decrement(long).await.unwrap_err();
    check_status(&refused, Code::InvalidArgument, "MALFORMED_REQUEST");
    assert!(refused.message().contains(&LONG.to_string()), "{refused:?}");
}

#[tokio::test]
async fn a_request_over_the_bound_is_not_read_on() {
    let setup = Setup::on(Redis::shared().await).set("grpc.message_bytes_max = 20000");
    let gateway = setup.serve().await;
    gateway.put(&[("a", 1)]).await;
    let long = sale("k", &"x".repeat(LONG), 1);
    let refused = gateway.stock().decrement(long).await.unwrap_err();
    check_status(&refused, Code::ResourceExhausted, "MESSAGE_TOO_LARGE");
    gateway.sell("k", "a", 1).await;
}
