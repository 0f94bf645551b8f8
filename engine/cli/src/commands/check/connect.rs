//! Opens and closes every source and sink, for `tidegate check --connect`.

use std::time::Duration;

use tidegate_config::{Node, Pipeline};
use tidegate_sdk::{Component, Cx, Error, Kind, Tasks};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;
use crate::threads::multi_thread;

/// Time limit for opening a component, and for closing it.
const LIMIT: Duration = Duration::from_secs(5);

/// Result of opening one source or sink.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The pipeline's name.
    pub(crate) pipeline: String,
    /// The component's name.
    pub(crate) component: String,
    /// Source or sink.
    pub(crate) kind: Kind,
    /// The plugin's name.
    pub(crate) plugin: String,
    /// Result, with the reason of a failure.
    pub(crate) result: Result<(), String>,
}

/// Opens every source and sink of these pipelines, all at the same time.
pub(crate) fn connect_all<'a>(
    pipelines: impl Iterator<Item = &'a Pipeline>,
) -> Result<Vec<Connection>, Failure> {
    let runtime = multi_thread()?;
    let connections = runtime.block_on(async {
        let tasks = Tasks::new();
        let mut started = Vec::new();
        for pipeline in pipelines {
            for node in pipeline.graphs.iter().flat_map(|graph| &graph.nodes) {
                if node.kind() != Kind::Filter {
                    let built = node.build().map_err(|error| error.to_string());
                    let opening = tasks.spawn(open_and_close(node.name.clone(), built, LIMIT));
                    started.push((pipeline, node, opening));
                }
            }
        }
        let mut connections = Vec::new();
        for (pipeline, node, opening) in started {
            let result = opening.await.unwrap_or_else(|_| Err("the plugin panicked".to_owned()));
            connections.push(connection(pipeline, node, result));
        }
        connections
    });
    // A plugin may have left a thread that never ends.
    runtime.shutdown_background();
    Ok(connections)
}

fn connection(pipeline: &Pipeline, node: &Node, result: Result<(), String>) -> Connection {
    Connection {
        pipeline: pipeline.name.clone(),
        component: node.name.clone(),
        kind: node.kind(),
        plugin: node.plugin.name().to_owned(),
        result,
    }
}

async fn open_and_close(
    name: String,
    built: Result<Component, String>,
    limit: Duration,
) -> Result<(), String> {
    let stopping = CancellationToken::new();
    let cx = Cx::new(&name, stopping.clone());
    let reason = |error: Error| error.message().to_owned();
    let late = |_| format!("no answer within {}", tidegate_sdk::Duration(limit));
    match built? {
        Component::Source(mut source) => {
            timeout(limit, source.open(&cx)).await.map_err(late)?.map_err(reason)?;
            stopping.cancel();
            timeout(limit, source.close(&cx)).await.map_err(late)?.map_err(reason)
        }
        Component::Sink(mut sink) => {
            timeout(limit, sink.open(&cx)).await.map_err(late)?.map_err(reason)?;
            stopping.cancel();
            timeout(limit, sink.close(&cx)).await.map_err(late)?.map_err(reason)
        }
        Component::Filter(_) | Component::AsyncFilter(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
