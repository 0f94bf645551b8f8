//! Queries for clients that leave before their answer.

use serde_json::json;
use tidegate_sdk::{Class, Client, Output};
use tidegate_testkit as testkit;
use tokio_util::sync::CancellationToken;

use super::filter;

const ENDLESS: &str = "last(repeat(1))";

/// Without the interruption this test would not end: the limit of steps is far away.
#[test]
fn evaluation_ends_when_the_client_leaves() {
    let endless = json!({ "query": ENDLESS, "limit": { "steps": 1_000_000_000_000_000_u64 } });
    let route = json!({ "routes": { "a": ENDLESS }, "limit": { "steps": 1_000_000_000_000_000_u64 } });
    for (name, options) in [("jq", &endless), ("route", &route)] {
        let gone = CancellationToken::new();
        let client = Client::waiting(gone.clone());
        let batch = testkit::batch(["1", "2"]).with_origin(|origin| origin.client = Some(client.clone()));
        let mut filter = filter(name, options);
        let mut out = Output::new(&batch);
        let error = std::thread::scope(|scope| {
            scope.spawn(move || gone.cancel());
            filter.process(&batch, &mut out).unwrap_err()
        });
        assert_eq!(error.class(), Class::Retry, "the engine drops a cancelled batch in place of a retry");
        assert!(error.to_string().contains("are gone"), "{error}");
    }
}

#[test]
fn evaluation_goes_on_while_a_client_waits() {
    let client = Client::waiting(CancellationToken::new());
    let batch = testkit::batch(["1", "2"]).with_origin(|origin| origin.client = Some(client.clone()));
    let mut out = Output::new(&batch);
    filter("jq", &json!({ "query": "[range(.)] | length" })).process(&batch, &mut out).unwrap();
    assert_eq!(out.emitted()[0].1.texts(), ["1", "2"]);
}
