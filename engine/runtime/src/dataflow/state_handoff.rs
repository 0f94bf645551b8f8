//! What filters remember, on its way from one graph to the one that takes its place.
//!
//! It may be handed over only if nothing that a filter remembers is still to be delivered: a `dedupe` that remembered an
//! event which is read again would drop it, and with it the only delivery. So it counts only if the old graph has drained
//! to the last event, and only where the new one reads on from there.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use tidegate_config::Graph;
use tidegate_sdk::bytes::Bytes;
use tidegate_sdk::{Error, Kind, STATE_BYTES};
use tokio::sync::watch;

use crate::delivery::checkpoint::SourcePositions;

/// A filter, by the names of its component and its plugin.
type Key = (String, String);

type Filters = BTreeMap<Key, Bytes>;

/// What the filters of graphs that have drained remember, and where their sources stopped.
#[derive(Clone, Debug, Default)]
pub(crate) struct SavedStates {
    filters: Filters,
    places: BTreeMap<String, SourcePositions>,
}

impl SavedStates {
    pub(crate) fn new(filters: Filters, places: impl IntoIterator<Item = (String, SourcePositions)>) -> Self {
        Self { filters, places: places.into_iter().collect() }
    }

    /// Adds what another graph has left. No component is in two of them.
    pub(crate) fn extend(&mut self, other: Self) {
        self.filters.extend(other.filters);
        self.places.extend(other.places);
    }
}

/// Where the filters of a graph save what they remember, if that is wanted.
#[derive(Default)]
pub(crate) struct StateOutbox {
    wanted: Arc<AtomicBool>,
    filters: Mutex<Filters>,
}

impl StateOutbox {
    /// Another graph is to take the place of this one. To be told before the graph drains.
    pub(crate) fn want(&self) {
        self.wanted.store(true, Ordering::Release);
    }

    /// The flag that says whether another graph is to take the place of this one.
    pub(crate) fn wanted(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.wanted)
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Acquire)
    }

    /// What was saved, which is not here any more then.
    pub(crate) fn take(&self) -> Filters {
        std::mem::take(&mut lock(&self.filters))
    }
}

/// The side of one run: its filters begin with what was saved before it, and save what they remember at its end.
pub(crate) struct StateHandoff {
    outbox: Arc<StateOutbox>,
    /// By index of the component.
    nodes: Vec<Node>,
    /// What there is to begin with, until it is taken.
    filters: Mutex<Filters>,
    /// Where the sources before had stopped.
    places: BTreeMap<String, SourcePositions>,
    /// By index of the source: whether it reads on from there, once that is known.
    reads_on: BTreeMap<usize, watch::Sender<Option<bool>>>,
}

struct Node {
    key: Key,
    /// Indices of the sources whose events can reach it.
    sources: Vec<usize>,
}

impl StateHandoff {
    pub(crate) fn new(graph: &Graph, outbox: &Arc<StateOutbox>, before: Option<SavedStates>) -> Self {
        let mut nodes: Vec<Node> = Vec::new();
        // Nodes stand behind those that feed them, so each knows its sources when its turn comes.
        for (index, node) in graph.nodes.iter().enumerate() {
            let mut sources: Vec<usize> = match node.kind() {
                Kind::Source => vec![index],
                _ => node.inputs.iter().flat_map(|input| nodes[input.node].sources.clone()).collect(),
            };
            sources.sort_unstable();
            sources.dedup();
            nodes.push(Node { key: (node.name.clone(), node.plugin.name().to_owned()), sources });
        }
        let SavedStates { mut filters, places } = before.unwrap_or_default();
        filters.retain(|key, _| nodes.iter().any(|node| node.key == *key));
        let sources = (0..nodes.len()).filter(|index| graph.nodes[*index].kind() == Kind::Source);
        let reads_on = sources.map(|index| (index, watch::Sender::new(None))).collect();
        Self { outbox: Arc::clone(outbox), nodes, filters: Mutex::new(filters), places, reads_on }
    }

    /// A source reads on from these places; `None` if it will not read at all.
    pub(crate) fn resumed(&self, source: usize, now: Option<&SourcePositions>) {
        let before = self.places.get(&self.nodes[source].key.0);
        let reads_on = matches!((before, now), (Some(before), Some(now)) if is_at_least(now, before));
        if let Some(told) = self.reads_on.get(&source) {
            told.send_replace(Some(reads_on));
        }
    }

    /// What the filter is to begin with, if there is anything. Waits until it is known whether that holds.
    pub(crate) async fn before(&self, node: usize) -> Option<Bytes> {
        let Node { key, sources } = &self.nodes[node];
        if !self.filters().contains_key(key) {
            return None;
        }
        let mut elsewhere = None;
        for source in sources {
            let mut told = self.reads_on.get(source)?.subscribe();
            let reads_on = told.wait_for(Option::is_some).await.ok().and_then(|told| *told);
            if reads_on != Some(true) {
                elsewhere = Some(&self.nodes[*source].key.0);
            }
        }
        let state = self.filters().remove(key)?;
        match elsewhere {
            None => Some(state),
            Some(source) => {
                tracing::info!(
                    component = key.0,
                    "begins afresh: its source `{source}` does not read on where the graph before stopped"
                );
                None
            }
        }
    }

    /// What came of giving it back.
    pub(crate) fn restored(&self, node: usize, bytes: usize, result: Result<(), Error>) {
        let component = &self.nodes[node].key.0;
        match result {
            Ok(()) => tracing::debug!(component, "goes on with {bytes} bytes of state"),
            Err(reason) => {
                tracing::warn!(
                    component,
                    "does not take over the state from before the reload: {reason}; it begins afresh"
                );
            }
        }
    }

    /// Whether filters are to save what they remember when their input ends.
    pub(crate) fn are_wanted(&self) -> bool {
        self.outbox.is_wanted()
    }

    /// Saves what a filter remembers.
    pub(crate) fn save(&self, node: usize, state: Option<Vec<u8>>) {
        let key = &self.nodes[node].key;
        match state {
            Some(state) if state.len() > STATE_BYTES => {
                let bytes = state.len();
                tracing::warn!(
                    component = key.0,
                    "hands over no state: it has {bytes} bytes, and may have {STATE_BYTES}"
                );
            }
            Some(state) => drop(lock(&self.outbox.filters).insert(key.clone(), state.into())),
            None => {}
        }
    }

    /// A filter that never began leaves what it would have begun with, if that holds.
    pub(crate) fn pass_on(&self, node: usize) {
        let Node { key, sources } = &self.nodes[node];
        let holds =
            |source: &usize| self.reads_on.get(source).is_some_and(|told| *told.borrow() == Some(true));
        if self.are_wanted()
            && sources.iter().all(holds)
            && let Some(state) = self.filters().remove(key)
        {
            lock(&self.outbox.filters).insert(key.clone(), state);
        }
    }

    fn filters(&self) -> MutexGuard<'_, Filters> {
        lock(&self.filters)
    }
}

/// Whether a source that reads on from `now` gives no event again that was done with at `before`.
fn is_at_least(now: &SourcePositions, before: &SourcePositions) -> bool {
    before.iter().all(|(partition, before)| {
        now.get(partition).is_some_and(|now| now.record.done >= before.record.done)
    })
}

/// What `save` returns, called in whatever way: one that panics has nothing to hand over, and costs the graph no event.
pub(crate) async fn saved(
    component: &str,
    save: impl Future<Output = Result<Option<Vec<u8>>, Error>>,
) -> Option<Vec<u8>> {
    let saved = AssertUnwindSafe(save).catch_unwind().await;
    let reason = match saved {
        Ok(Ok(state)) => return state,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it panicked when it was to save it".to_owned(),
    };
    tracing::warn!(component, "hands over no state: {reason}");
    None
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
