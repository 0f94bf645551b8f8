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

/// Context of a segment, which belongs to its first component.
#[derive(Clone)]
pub(crate) struct SegmentContext {
    /// Index of the component in its graph.
    pub(crate) node: usize,
    pub(crate) cx: Cx,
    pub(crate) metrics: Arc<ComponentMetrics>,
    pub(crate) router: Router,
    /// Cancelled when the sources are over and everything that they read has ended.
    pub(crate) idle: CancellationToken,
    /// Records of the sinks of an effectively-once graph; `None` for components whose entries a sink acknowledges.
    pub(crate) sink_progress: Option<Arc<SinkProgress>>,
    /// Filter states that are passed from one graph to the next.
    pub(crate) state_handoff: Arc<StateHandoff>,
    /// The tasks of the run.
    pub(crate) tasks: GraphTasks,
}

impl SegmentContext {
    pub(crate) fn hard_stop(&self) -> &CancellationToken {
        &self.router.hard_stop
    }

    /// Sends emissions of the segment downstream.
    pub(crate) async fn send(&self, emissions: Vec<Emission>) -> Result<(), Failure> {
        self.router.send(emissions).await.map_err(|failure| self.fail(failure))
    }

    /// Records a failure of this segment that does not restart the run. Everything that has left the segment is delivered
    /// before the run ends. Returns the failure of this task.
    pub(crate) fn fail(&self, failure: Failure) -> Failure {
        if matches!(failure, Failure::Fatal(_) | Failure::Undeliverable(_)) {
            self.tasks.wind_down_in_time(failure);
            return Failure::Stopped;
        }
        failure
    }
}
