//! Rules of sinks.

use std::collections::HashSet;

use serde_json::Value;
use tidegate_sdk::{Batch, Class, Cx, Delivery, Plugin, Sink};

use super::{Rules, batches, domain, manual, numbered};
use crate::{build_sink, context};

/// Tests a sink with these options, whose target is there and well, on these payloads, which it can deliver.
///
/// # Panics
/// If a rule is broken, with the name of the rule.
pub async fn sink<P: AsRef<[u8]>>(plugin: &Plugin, options: &Value, samples: &[P]) {
    let rules = Rules::of(plugin);
    manual::with_options(plugin, options);
    domain::domain(plugin, options);
    let mut sink = build_sink(plugin, options);
    let (cx, stopping) = context();
    let opened = rules.ends("open", sink.open(&cx)).await;
    rules.keeps("it opens", opened.is_ok(), format_args!("{opened:?}"));
    delivers_samples(rules, &mut *sink, samples, &cx).await;
    for batch in batches(samples) {
        match rules.ends("write", sink.write(&batch, &cx)).await {
            Ok(delivery) => check(rules, &batch, &delivery),
            Err(error) => {
                rules.keeps("a bad event is rejected, not the end", error.class() != Class::Fatal, error);
            }
        }
    }
    domain::acknowledges_no_unknown_entry(rules, &mut *sink, &cx).await;
    if let Some(mut fork) = sink.fork() {
        let opened = rules.ends("open of a forked instance", fork.open(&cx)).await;
        rules.keeps("a forked instance opens", opened.is_ok(), format_args!("{opened:?}"));
        delivers_samples(rules, &mut *fork, samples, &cx).await;
        let closed = rules.ends("close of a forked instance", fork.close(&cx)).await;
        rules.keeps("it closes", closed.is_ok(), format_args!("{closed:?}"));
    }
    // Events in flight must be delivered while the pipeline drains.
    stopping.cancel();
    delivers_samples(rules, &mut *sink, samples, &cx).await;
    let closed = rules.ends("close", sink.close(&cx)).await;
    rules.keeps("it closes", closed.is_ok(), format_args!("{closed:?}"));
    // The engine closes once. A second time may fail, but does not panic or hang.
    let _ = rules.ends("a second close", sink.close(&cx)).await;
    rules.ends("its tasks", cx.tasks().joined()).await;
}

async fn delivers_samples<P: AsRef<[u8]>>(rules: Rules<'_>, sink: &mut dyn Sink, samples: &[P], cx: &Cx) {
    let batch = numbered(samples, 100);
    match rules.ends("write", sink.write(&batch, cx)).await {
        Ok(delivery) => {
            let undelivered = delivery.rejected().len() + delivery.to_retry().map_or(0, |(e, _)| e.len());
            rules.keeps("good events are delivered", undelivered == 0, format_args!("{delivery:?}"));
        }
        Err(error) => rules.keeps("good events are delivered", false, error),
    }
}

fn check(rules: Rules<'_>, batch: &Batch, delivery: &Delivery) {
    let mut named = HashSet::new();
    for one in delivery.rejected() {
        rules.keeps("a rejected event is of the batch", one.event < batch.len(), one.event);
        rules.keeps("an event is rejected once", named.insert(one.event), one.event);
        rules.keeps("a rejection has a reason", !one.reason.trim().is_empty(), one.event);
    }
    let again = delivery.to_retry().map(|(events, _)| events).unwrap_or_default();
    rules.keeps(
        "events to try again are named in order",
        again.windows(2).all(|pair| pair[0] < pair[1]),
        format_args!("{again:?}"),
    );
    for event in again {
        rules.keeps("an event to try again is of the batch", *event < batch.len(), event);
        rules.keeps("an event is rejected or tried again, not both", !named.contains(event), event);
    }
}
