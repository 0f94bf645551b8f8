//! Context that the components of one segment share.

use std::sync::Arc;

use tidegate_sdk::Cx;
use tokio_util::sync::CancellationToken;

use crate::dataflow::emission::Emission;
use crate::dataflow::failure::Failure;
use crate::dataflow::router::Router;
use crate::dataflow::state_handoff::StateHandoff;
use crate::dataflow::tasks::GraphTasks;
use crate::delivery::sink_progress::SinkProgress;
use crate::metrics::component::ComponentMetrics;

/// What every segment's first component has.
#[derive(Clone)]
pub(crate) struct SegmentContext {
    /// Index of the component in its graph.
    pub(crate) node: usize,
    pub(crate) cx: Cx,
    pub(crate) metrics: Arc<ComponentMetrics>,
    pub(crate) router: Router,
    /// Cancelled when nothing more will come: the sources are over and everything they read has ended.
    pub(crate) idle: CancellationToken,
    /// What the sinks of an effectively-once graph say of its lanes; `None` also for components whose entries a
    /// sink acknowledges.
    pub(crate) sink_progress: Option<Arc<SinkProgress>>,
    /// What filters remember from one graph to the next.
    pub(crate) state_handoff: Arc<StateHandoff>,
    /// The tasks of the run.
    pub(crate) tasks: GraphTasks,
}

impl SegmentContext {
    pub(crate) fn hard_stop(&self) -> &CancellationToken {
        &self.router.hard_stop
    }

    /// Sends on what leaves the segment.
    pub(crate) async fn send(&self, emissions: Vec<Emission>) -> Result<(), Failure> {
        self.router.send(emissions).await.map_err(|failure| self.fail(failure))
    }

    /// Records why this segment cannot go on, if the run is not to be restarted for it. What has left the segment is
    /// delivered before the run ends. Returns the failure of this task.
    pub(crate) fn fail(&self, failure: Failure) -> Failure {
        if matches!(failure, Failure::Fatal(_)) {
            self.tasks.wind_down_in_time(failure);
            return Failure::Stopped;
        }
        failure
    }
}
