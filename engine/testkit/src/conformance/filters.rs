//! Rules of filters.

use std::collections::HashSet;

use serde_json::Value;
use tidegate_sdk::{AsyncFilter, Batch, Class, Cx, Error, Filter, Output, Plugin, STATE_BYTES};

use super::{Rules, batches, manual, numbered};
use crate::{build_async_filter, build_filter, context};

/// Number of times that a batch is passed again to an async filter that retries it.
const TRIES: usize = 50;

/// Tests a filter that is a plain function, with these options, on these payloads (of which it should let at
/// least some pass).
///
/// # Panics
/// If a rule is broken, with the name of the rule.
pub fn filter<P: AsRef<[u8]>>(plugin: &Plugin, options: &Value, samples: &[P]) {
    let rules = Rules::of(plugin);
    manual::with_options(plugin, options);
    let mut filter = build_filter(plugin, options);
    let ports = ports(rules, &filter.outputs());
    for batch in batches(samples) {
        let mut out = Output::new(&batch);
        let result = rules.no_panic("process", || filter.process(&batch, &mut out));
        let problem = result.err().map(|error| error.to_string()).unwrap_or_default();
        rules.keeps("a bad event is rejected, not the end", problem.is_empty(), problem);
        check(rules, ports, &batch, &mut out);
    }
    let saved = rules.no_panic("save", || filter.save());
    for (state, is_own) in states(rules, saved) {
        let mut next = build_filter(plugin, options);
        let restored = rules.no_panic("restore", || next.restore(&state));
        rules.keeps(RESTORABLE, restored.is_ok() || !is_own, format_args!("{restored:?}"));
        let batch = numbered(samples, 0);
        let result = rules.no_panic("process", || next.process(&batch, &mut Output::new(&batch)));
        rules.keeps("it works after a reload", result.is_ok(), format_args!("{result:?}"));
    }
    forks_agree(rules, build_filter(plugin, options), samples);
}

/// Tests a filter that waits, with these options, on these payloads.
///
/// # Panics
/// If a rule is broken, with the name of the rule.
pub async fn async_filter<P: AsRef<[u8]>>(plugin: &Plugin, options: &Value, samples: &[P]) {
    let rules = Rules::of(plugin);
    manual::with_options(plugin, options);
    let mut filter = build_async_filter(plugin, options);
    let (cx, stopping) = context();
    let opened = rules.ends("open", filter.open(&cx)).await;
    rules.keeps("it opens", opened.is_ok(), format_args!("{opened:?}"));
    let batches = batches(samples);
    for (number, batch) in batches.iter().enumerate() {
        if number + 1 == batches.len() {
            // Filters go on while the pipeline drains.
            stopping.cancel();
        }
        let mut rest = batch.clone();
        loop {
            let mut out = tried(rules, &mut *filter, &rest, &cx).await;
            check(rules, 0, &rest, &mut out);
            let Some(first) = out.take_deferred() else { break };
            let some = (1..rest.len()).contains(&first);
            rules.keeps("the deferred events are a part of the batch", some, first);
            rest = rest.select(first..rest.len());
        }
    }
    let saved = rules.ends("save", filter.save(&cx)).await;
    let closed = rules.ends("close", filter.close(&cx)).await;
    rules.keeps("it closes", closed.is_ok(), format_args!("{closed:?}"));
    rules.ends("its tasks", cx.tasks().joined()).await;
    for (state, is_own) in states(rules, saved) {
        let mut next = build_async_filter(plugin, options);
        let (cx, _stopping) = context();
        let opened = rules.ends("open", next.open(&cx)).await;
        rules.keeps("it opens again", opened.is_ok(), format_args!("{opened:?}"));
        let restored = rules.ends("restore", next.restore(&state, &cx)).await;
        rules.keeps(RESTORABLE, restored.is_ok() || !is_own, format_args!("{restored:?}"));
        let closed = rules.ends("close", next.close(&cx)).await;
        rules.keeps("it closes after a reload", closed.is_ok(), format_args!("{closed:?}"));
    }
}

const RESTORABLE: &str = "what one instance saves, another of the same options can restore";

/// States that a filter may get at a reload, each with true if the filter saved it. A filter may refuse any other state
/// and has to continue.
fn states(rules: Rules<'_>, saved: Result<Option<Vec<u8>>, Error>) -> Vec<(Vec<u8>, bool)> {
    rules.keeps("its state can be saved", saved.is_ok(), format_args!("{saved:?}"));
    let saved = saved.ok().flatten();
    let Some(saved) = saved else { return vec![(b"of another plugin".to_vec(), false)] };
    rules.keeps("a state has a limit", saved.len() <= STATE_BYTES, saved.len());
    let cut = saved[..saved.len() / 2].to_vec();
    vec![(Vec::new(), false), (cut, false), (vec![0xff; 100], false), (saved, true)]
}

/// Gives a batch to the filter until it goes through, as the engine does.
async fn tried(rules: Rules<'_>, filter: &mut dyn AsyncFilter, batch: &Batch, cx: &Cx) -> Output {
    let mut tries = 0;
    loop {
        let mut out = Output::resumable(batch);
        let result = rules.ends("process", filter.process(batch, &mut out, cx)).await;
        let Err(error) = result else { return out };
        tries += 1;
        rules.keeps("a bad event is rejected, not the end", error.class() != Class::Fatal, &error);
        rules.keeps("a batch goes through some time", tries < TRIES, &error);
    }
}

/// The highest port.
fn ports(rules: Rules<'_>, outputs: &[String]) -> usize {
    let distinct: HashSet<&String> = outputs.iter().collect();
    let named_well = distinct.len() == outputs.len()
        && outputs.iter().all(|name| !name.is_empty() && name != "rejected" && !name.contains('.'));
    rules.keeps("outputs have names of their own", named_well, format_args!("{outputs:?}"));
    outputs.len()
}

/// Checks the output against the input.
fn check(rules: Rules<'_>, ports: usize, batch: &Batch, out: &mut Output) {
    let checked = out.check();
    rules.keeps("an emitted batch is made of the input", checked.is_ok(), format_args!("{checked:?}"));
    let mut rejected = HashSet::new();
    for one in out.rejected() {
        rules.keeps("a rejected event is of the batch", one.event < batch.len(), one.event);
        rules.keeps("an event is rejected once", rejected.insert(identity(batch, one.event)), one.event);
        rules.keeps("a rejection has a reason", !one.reason.trim().is_empty(), one.event);
    }
    let known: HashSet<_> = (0..batch.len()).map(|event| identity(batch, event)).collect();
    let mut last = vec![(0, 0); ports + 1];
    for (port, emitted) in out.emitted() {
        let port = usize::from(*port);
        rules.keeps("an output that is used is named", port <= ports, port);
        let end = emitted.runs().last().map_or(0, |run| run.end as usize);
        rules.keeps("the runs cover the batch", end == emitted.len(), end);
        for event in 0..emitted.len() {
            let identity = identity(emitted, event);
            rules.keeps("an event comes from an event of the batch", known.contains(&identity), identity.1);
            rules.keeps(
                "an event is rejected or emitted, not both",
                !rejected.contains(&identity),
                identity.1,
            );
            rules.keeps("the order of the events is kept", last[port] <= identity, identity.1);
            last[port] = identity;
        }
    }
}

/// Which event of which source batch an event is, or was made from.
fn identity(batch: &Batch, event: usize) -> (u64, u32) {
    (batch.origin(event).sequence, batch.source_index(event))
}

/// A filter that can be forked makes the same of a batch whichever instance has it, whatever came before.
fn forks_agree<P: AsRef<[u8]>>(rules: Rules<'_>, mut first: Box<dyn Filter>, samples: &[P]) {
    let Some(mut second) = first.fork() else { return };
    let garbage = numbered(&super::garbage(), 0);
    // Only the effects on the instance matter.
    let _ = first.process(&garbage, &mut Output::new(&garbage));
    let earlier = numbered(samples, 1);
    let _ = first.process(&earlier, &mut Output::new(&earlier));
    let batch = numbered(samples, 2);
    let mut seen = [&mut first, &mut second].map(|filter| {
        let mut out = Output::new(&batch);
        let result = rules.no_panic("a forked instance", || filter.process(&batch, &mut out));
        rules.keeps("a forked instance works", result.is_ok(), format_args!("{result:?}"));
        let emitted = out.emitted().iter().map(|(port, batch)| (*port, batch.texts())).collect::<Vec<_>>();
        (emitted, out.rejected().to_vec())
    });
    let [one, other] = &mut seen;
    rules.keeps("forked instances agree", one == other, "the same batch gives something else");
}
