//! Routing of emissions: to the edges downstream, or to the dead letters.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tidegate_config::{OnReject, OutputName};
use tidegate_sdk::{Attributes, SourceRejection};
use tokio_util::sync::CancellationToken;

use crate::dataflow::dead_letter_writer::DeadLetterWriter;
use crate::dataflow::edge::EdgeSender;
use crate::dataflow::emission::Emission;
use crate::dataflow::failure::Failure;
use crate::dead_letters::dead_letter::DeadLetter;
use crate::delivery::tracked_batch::TrackedBatch;
use crate::metrics::component::ComponentMetrics;

/// Routing context of one component.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) metrics: Arc<ComponentMetrics>,
    /// `None` if the pipeline file does not say.
    pub(crate) on_reject: Option<OnReject>,
    /// True if clients receive the component's reasons for a rejection. The reasons of plain filters are about the event
    /// alone; those of other components name servers, files and commands.
    pub(crate) public_reasons: bool,
}

/// Routes of the components of one segment.
#[derive(Clone)]
pub(crate) struct Router {
    /// By component.
    pub(crate) routes: HashMap<usize, Route>,
    pub(crate) edges: HashMap<(usize, OutputName), Vec<EdgeSender>>,
    pub(crate) dead_letter_writer: DeadLetterWriter,
    /// Ends every wait at once.
    pub(crate) hard_stop: CancellationToken,
}

impl Router {
    /// Sends emissions downstream, and waits for room there. Rejected events are handled first: if they stop the graph, the
    /// other events of their batch have not left, and the next run does not deliver them twice.
    pub(crate) async fn send(&self, emissions: Vec<Emission>) -> Result<(), Failure> {
        let mut accepted = Vec::with_capacity(emissions.len());
        for emission in emissions {
            match emission {
                Emission::Events { node, output, tracked } => accepted.push((node, output, tracked)),
                Emission::Rejected { node, tracked, reasons } => {
                    self.rejected(node, tracked, reasons, 1).await?;
                }
            }
        }
        for (node, output, tracked) in accepted {
            self.events(node, output, tracked).await?;
        }
        Ok(())
    }

    async fn events(&self, node: usize, output: OutputName, tracked: TrackedBatch) -> Result<(), Failure> {
        // An output without a reader drops its events on purpose: `check` has warned of it.
        let Some((last, others)) = self.edges.get(&(node, output)).and_then(|edges| edges.split_last())
        else {
            tracked.done();
            return Ok(());
        };
        let since = Instant::now();
        let sending = async {
            for edge in others {
                edge.send(tracked.share()).await?;
            }
            last.send(tracked).await
        };
        tokio::select! {
            sent = sending => sent?,
            () = self.hard_stop.cancelled() => return Err(Failure::Stopped),
        }
        if let Some(route) = self.routes.get(&node) {
            route.metrics.waited_downstream(since);
        }
        Ok(())
    }

    /// Handles rejected events by the component's `on_reject`, or sends them to the readers of `NAME.rejected`. An event of a
    /// client never stops the graph, because there is always another client.
    pub(crate) async fn rejected(
        &self,
        node: usize,
        tracked: TrackedBatch,
        reasons: Vec<String>,
        attempts: u32,
    ) -> Result<(), Failure> {
        let route = &self.routes[&node];
        let name = route.metrics.name();
        if self.edges.contains_key(&(node, OutputName::Rejected)) {
            let own = reasons.iter().enumerate().map(|(event, reason)| {
                let own = tracked.batch().own_attributes(event).map(|own| (**own).clone());
                let own = own.unwrap_or_default().with(Attributes::REASON, reason.as_str());
                Some(Arc::new(own.with(Attributes::COMPONENT, name)))
            });
            let batch = tracked.batch().clone().with_own_attributes(own.collect());
            let routed = tracked.derive(batch);
            tracked.done();
            return self.events(node, OutputName::Rejected, routed).await;
        }
        let first = reasons.first().cloned().unwrap_or_default();
        route.metrics.log_rejected(reasons.len(), &first);
        let is_of_client = (0..reasons.len()).any(|event| tracked.batch().client(event).is_some());
        let on_reject = route.on_reject.unwrap_or_default();
        if on_reject != OnReject::Drop {
            let batch = tracked.batch();
            let (mut kept, mut offered) = (Vec::new(), Vec::new());
            for (event, reason) in reasons.into_iter().enumerate() {
                let dead_letter = |reason| DeadLetter::of_event(batch, event, name, reason, attempts);
                match batch.client(event) {
                    None if on_reject == OnReject::Stop => {
                        let why = format!("rejected an event, and on_reject is \"stop\": {reason}");
                        return Err(Failure::fatal(name, why));
                    }
                    None => kept.push(dead_letter(reason)),
                    // The client gets its event back, with the reason, so nothing is lost.
                    Some(client) if client.waits() && route.on_reject != Some(OnReject::DeadLetter) => {}
                    Some(_) => offered.push(dead_letter(reason)),
                }
            }
            if !kept.is_empty() {
                self.dead_letter_writer.keep(&route.metrics, kept, &self.hard_stop).await?;
            }
            if !offered.is_empty() {
                self.dead_letter_writer.offer(&route.metrics, offered).await?;
            }
        }
        if is_of_client && !route.public_reasons {
            tracked.rejected(&format!("`{name}` could not process it; the log of the server has the reason"));
        } else {
            tracked.rejected(&first);
        }
        Ok(())
    }

    /// Handles input that a source refused while reading; `tracked` answers for it.
    pub(crate) async fn refused(
        &self,
        node: usize,
        tracked: TrackedBatch,
        refused: Vec<SourceRejection>,
    ) -> Result<(), Failure> {
        let route = &self.routes[&node];
        let name = route.metrics.name();
        let first = refused.first().map(|one| one.reason.clone()).unwrap_or_default();
        route.metrics.rejected(refused.len());
        route.metrics.log_rejected(refused.len(), &first);
        match route.on_reject.unwrap_or_default() {
            OnReject::Drop => {}
            OnReject::Stop => {
                return Err(Failure::fatal(
                    name,
                    format!("refused input, and on_reject is \"stop\": {first}"),
                ));
            }
            OnReject::DeadLetter => {
                let origin = &tracked.batch().runs()[0].origin;
                let dead_letters =
                    refused.into_iter().map(|one| DeadLetter::of_input(one, name, origin)).collect();
                self.dead_letter_writer.keep(&route.metrics, dead_letters, &self.hard_stop).await?;
            }
        }
        tracked.rejected(&first);
        Ok(())
    }
}
