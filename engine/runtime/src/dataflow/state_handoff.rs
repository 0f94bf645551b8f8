//! Filter states on their way from one graph to its successor.
//!
//! A state may be passed only if everything that the filter has seen was delivered. A `dedupe` that remembers an event
//! which is read again would drop it, and with it the only delivery. So a state counts only if the old graph has drained
//! to the last event, and only where the new one resumes there.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tidegate_config::Graph;
use tidegate_sdk::bytes::Bytes;
use tidegate_sdk::{Error, Kind, STATE_BYTES};
use tokio::sync::watch;

use crate::delivery::checkpoint::SourcePositions;

/// The names of a filter's component and plugin.
type Key = (String, String);

type Filters = BTreeMap<Key, Bytes>;

/// States of the filters of graphs that have drained, and the positions at which their sources stopped.
#[derive(Clone, Debug, Default)]
pub(crate) struct SavedStates {
    filters: Filters,
    positions: BTreeMap<String, SourcePositions>,
}

impl SavedStates {
    pub(crate) fn new(
        filters: Filters,
        positions: impl IntoIterator<Item = (String, SourcePositions)>,
    ) -> Self {
        Self { filters, positions: positions.into_iter().collect() }
    }

    /// Adds the states of another graph. No component is in both.
    pub(crate) fn extend(&mut self, other: Self) {
        self.filters.extend(other.filters);
        self.positions.extend(other.positions);
    }
}

/// States that the filters of a graph save for a successor, if one was announced.
#[derive(Default)]
pub(crate) struct StateOutbox {
    requested: Arc<AtomicBool>,
    filters: Mutex<Filters>,
}

impl StateOutbox {
    /// Announces a successor. Called before the graph drains.
    pub(crate) fn request(&self) {
        self.requested.store(true, Ordering::Release);
    }

    /// Flag that is set when a successor is announced.
    pub(crate) fn requested(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.requested)
    }

    pub(crate) fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Acquire)
    }

    /// Takes the states that were saved.
    pub(crate) fn take(&self) -> Filters {
        std::mem::take(&mut self.filters.lock())
    }
}

/// State handoff of one run: its filters restore inherited states at the start, and save theirs at the end.
pub(crate) struct StateHandoff {
    outbox: Arc<StateOutbox>,
    /// By index of the component.
    nodes: Vec<Node>,
    /// Inherited states that were not taken yet.
    inherited: Mutex<Filters>,
    /// The positions at which the predecessors' sources stopped.
    stopped_at: BTreeMap<String, SourcePositions>,
    /// By index of the source: whether it resumes at its predecessor's position, once that is known.
    resumes: BTreeMap<usize, watch::Sender<Option<bool>>>,
}

struct Node {
    key: Key,
    /// Indices of the sources upstream.
    sources: Vec<usize>,
}

impl StateHandoff {
    pub(crate) fn new(graph: &Graph, outbox: &Arc<StateOutbox>, inherited: Option<SavedStates>) -> Self {
        let mut nodes: Vec<Node> = Vec::new();
        // A node comes after those upstream of it, so their sources are known.
        for (index, node) in graph.nodes.iter().enumerate() {
            let mut sources: Vec<usize> = match node.kind() {
                Kind::Source => vec![index],
                _ => node.inputs.iter().flat_map(|input| nodes[input.node].sources.clone()).collect(),
            };
            sources.sort_unstable();
            sources.dedup();
            nodes.push(Node { key: (node.name.clone(), node.plugin.name().to_owned()), sources });
        }
        let SavedStates { mut filters, positions } = inherited.unwrap_or_default();
        filters.retain(|key, _| nodes.iter().any(|node| node.key == *key));
        let sources = (0..nodes.len()).filter(|index| graph.nodes[*index].kind() == Kind::Source);
        let resumes = sources.map(|index| (index, watch::Sender::new(None))).collect();
        Self {
            outbox: Arc::clone(outbox),
            nodes,
            inherited: Mutex::new(filters),
            stopped_at: positions,
            resumes,
        }
    }

    /// Records that a source resumes at these positions; `None` if it will not read at all.
    pub(crate) fn resumed(&self, source: usize, now: Option<&SourcePositions>) {
        let before = self.stopped_at.get(&self.nodes[source].key.0);
        let resumes = matches!((before, now), (Some(before), Some(now)) if is_at_least(now, before));
        if let Some(known) = self.resumes.get(&source) {
            known.send_replace(Some(resumes));
        }
    }

    /// Takes the state that a filter inherits, if it is valid. Waits until the sources upstream know where they resume.
    pub(crate) async fn inherited(&self, node: usize) -> Option<Bytes> {
        let Node { key, sources } = &self.nodes[node];
        if !self.inherited.lock().contains_key(key) {
            return None;
        }
        let mut elsewhere = None;
        for source in sources {
            let mut known = self.resumes.get(source)?.subscribe();
            let resumes = known.wait_for(Option::is_some).await.ok().and_then(|known| *known);
            if resumes != Some(true) {
                elsewhere = Some(&self.nodes[*source].key.0);
            }
        }
        let state = self.inherited.lock().remove(key)?;
        match elsewhere {
            None => Some(state),
            Some(source) => {
                tracing::info!(
                    component = key.0,
                    "starts without its state: its source `{source}` does not resume where the graph before the reload \
                     stopped"
                );
                None
            }
        }
    }

    /// Reports the result of restoring a state.
    pub(crate) fn restored(&self, node: usize, bytes: usize, result: Result<(), Error>) {
        let component = &self.nodes[node].key.0;
        match result {
            Ok(()) => tracing::debug!(component, "restored {bytes} bytes of state"),
            Err(reason) => tracing::warn!(
                component,
                "the state from before the reload cannot be restored: {reason}; it starts without state"
            ),
        }
    }

    /// Returns whether filters have to save their states when their input ends.
    pub(crate) fn is_requested(&self) -> bool {
        self.outbox.is_requested()
    }

    /// Saves the state of a filter.
    pub(crate) fn save(&self, node: usize, state: Option<Vec<u8>>) {
        let key = &self.nodes[node].key;
        match state {
            Some(state) if state.len() > STATE_BYTES => {
                let bytes = state.len();
                tracing::warn!(
                    component = key.0,
                    "its state is not kept over the reload: it has {bytes} bytes, the limit is {STATE_BYTES}"
                );
            }
            Some(state) => drop(self.outbox.filters.lock().insert(key.clone(), state.into())),
            None => {}
        }
    }

    /// Passes the inherited state of a filter that was never opened to the next graph, if it is valid.
    pub(crate) fn pass_on(&self, node: usize) {
        let Node { key, sources } = &self.nodes[node];
        let is_valid =
            |source: &usize| self.resumes.get(source).is_some_and(|known| *known.borrow() == Some(true));
        if self.is_requested()
            && sources.iter().all(is_valid)
            && let Some(state) = self.inherited.lock().remove(key)
        {
            self.outbox.filters.lock().insert(key.clone(), state);
        }
    }
}

/// Returns whether a source that resumes at `now` reads no event again that was done at `before`.
fn is_at_least(now: &SourcePositions, before: &SourcePositions) -> bool {
    before.iter().all(|(partition, before)| {
        now.get(partition).is_some_and(|now| now.record.done >= before.record.done)
    })
}

/// Calls `save`. An error or a panic in it costs the state, and no event.
pub(crate) async fn saved(
    component: &str,
    save: impl Future<Output = Result<Option<Vec<u8>>, Error>>,
) -> Option<Vec<u8>> {
    let saved = AssertUnwindSafe(save).catch_unwind().await;
    let reason = match saved {
        Ok(Ok(state)) => return state,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it panicked while it saved it".to_owned(),
    };
    tracing::warn!(component, "its state is not kept over the reload: {reason}");
    None
}

#[cfg(test)]
mod tests;
