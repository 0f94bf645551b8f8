//! What runs in one task: a source with the filters behind it, filters between edges, or a sink.

mod commit;
pub(crate) mod cutter;
pub(crate) mod filters;
pub(crate) mod settle;
pub(crate) mod sink;
pub(crate) mod source;
pub(crate) mod waiting;

use std::sync::Arc;

use tidegate_sdk::Cx;
use tokio_util::sync::CancellationToken;

use crate::claims::Claims;
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
}

impl Head {
    fn hard_stop(&self) -> &CancellationToken {
        &self.outlets.hard_stop
    }
}
