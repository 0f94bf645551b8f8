//! Display of progress: live lines, log lines, or nothing.

pub(crate) mod heartbeat;
mod live;
mod rates;

use std::time::Duration;

use tidegate_config::Pipeline;
use tidegate_runtime::status::GraphStatus;

use crate::terminal;
use crate::terminal::console;
use heartbeat::Heartbeat;
use live::Live;

/// A display of progress.
#[derive(Debug)]
pub(crate) struct Display {
    view: View,
}

#[derive(Debug)]
enum View {
    Live(Live),
    Heartbeat(Heartbeat),
    Nothing,
}

impl Display {
    /// Chooses the display that suits standard error.
    pub(crate) fn choose(quiet: bool, pipelines: &[Pipeline]) -> Self {
        let view = if quiet {
            View::Nothing
        } else if terminal::stderr_is_terminal() && !shares_terminal(pipelines) {
            View::Live(Live::new())
        } else {
            View::Heartbeat(Heartbeat::default())
        };
        Self { view }
    }

    /// Returns the interval between calls of [`show`](Self::show).
    pub(crate) fn period(&self) -> Duration {
        match self.view {
            View::Live(_) => live::PERIOD,
            View::Heartbeat(_) | View::Nothing => heartbeat::PERIOD,
        }
    }

    /// Shows the current status.
    pub(crate) fn show(&mut self, graphs: &[GraphStatus]) {
        match &mut self.view {
            View::Live(live) => live.show(graphs),
            View::Heartbeat(heartbeat) => heartbeat.beat(graphs, heartbeat::PERIOD),
            View::Nothing => {}
        }
    }

    /// Clears the display.
    pub(crate) fn clear(&self) {
        if let View::Live(_) = &self.view {
            console::display(Vec::new());
        }
    }
}

/// Returns true if a sink writes events to the same terminal, where live lines would tear them.
fn shares_terminal(pipelines: &[Pipeline]) -> bool {
    let mut nodes = pipelines.iter().flat_map(|pipeline| &pipeline.graphs).flat_map(|graph| &graph.nodes);
    terminal::stdout_is_terminal() && nodes.any(|node| node.plugin.name() == "stdout")
}
