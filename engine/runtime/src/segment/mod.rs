//! What runs in one task: a source with the filters behind it, filters between edges, or a sink.

mod commit;
pub(crate) mod crowd;
pub(crate) mod cutter;
pub(crate) mod filters;
pub(crate) mod settle;
mod share;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod waiting;

use std::sync::Arc;

use tidegate_sdk::Cx;
use tokio_util::sync::CancellationToken;

use crate::chain::Leaving;
use crate::claims::Claims;
use crate::failure::Failure;
use crate::graph_tasks::GraphTasks;
use crate::meter::Meter;
use crate::outlets::Outlets;
use crate::state::States;

/// What every segment's first component has.
#[derive(Clone)]
pub(crate) struct Head {
    /// Index of the component in its graph.
    pub(crate) node: usize,
    pub(crate) cx: Cx,
    pub(crate) meter: Arc<Meter>,
    pub(crate) outlets: Outlets,
    /// Cancelled when nothing more will come: the sources are over and everything they read has ended.
    pub(crate) idle: CancellationToken,
    /// What the sinks of an effectively-once graph say of its lanes; `None` also for components whose entries a
    /// sink acknowledges.
    pub(crate) claims: Option<Arc<Claims>>,
    /// What filters remember from one graph to the next.
    pub(crate) states: Arc<States>,
    /// The tasks of the run.
    pub(crate) tasks: GraphTasks,
}

impl Head {
    pub(crate) fn hard_stop(&self) -> &CancellationToken {
        &self.outlets.hard_stop
    }

    /// Sends on what leaves the segment.
    async fn send(&self, leaving: Vec<Leaving>) -> Result<(), Failure> {
        self.outlets.send(leaving).await.map_err(|failure| self.fail(failure))
    }

    /// Records why this segment cannot go on, if the run is not to be restarted for it. What has left the segment is
    /// delivered before the run ends. Returns the failure of this task.
    fn fail(&self, failure: Failure) -> Failure {
        if matches!(failure, Failure::Fatal(_)) {
            self.tasks.wind_down_in_time(failure);
            return Failure::Stopped;
        }
        failure
    }
}
