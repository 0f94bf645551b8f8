use std::time::Duration;

use serde_json::json;
use tidegate_testkit::{batch, build_sink, conformance, context};

use tokio::time::Instant;

use super::plugin;

#[tokio::test]
async fn conforms() {
    conformance::sink(&plugin(), &json!({}), &["a", "b"]).await;
    conformance::sink(&plugin(), &json!({ "rate": 1_000_000 }), &["a", "b"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_also_while_the_pipeline_drains() {
    let mut sink = build_sink(&plugin(), &json!({ "rate": 50 }));
    let (cx, stopping) = context();
    stopping.cancel();
    let started = Instant::now();
    let delivery = sink.write(&batch(["x"; 5]), &cx).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(80), "{:?}", started.elapsed());
    assert!(delivery.rejected().is_empty() && delivery.to_retry().is_none());
}
