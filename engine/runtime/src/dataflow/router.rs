//! Where what leaves a component goes: to the edges that its outputs feed, or to the dead letters.

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
use crate::dead_letters::letter::DeadLetter;
use crate::delivery::tracked_batch::TrackedBatch;
use crate::metrics::component::ComponentMetrics;

/// What is known of one component by whoever sends on what leaves it.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) metrics: Arc<ComponentMetrics>,
    /// `None` if the pipeline file does not say.
    pub(crate) on_reject: Option<OnReject>,
    /// Whether a client may see why the component rejects an event. Only a filter that is a plain function has reasons
    /// that are about the event alone; those of other components name servers, files and commands.
    pub(crate) public_reasons: bool,
}

/// The ways out of the components of one segment.
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
    /// Sends on everything that leaves, in order. Waits for room where there is none.
    pub(crate) async fn send(&self, emissions: Vec<Emission>) -> Result<(), Failure> {
        for piece in emissions {
            match piece {
                Emission::Events { node, output, tracked } => self.events(node, output, tracked).await?,
                Emission::Rejected { node, tracked, reasons } => {
                    self.rejected(node, tracked, reasons, 1).await?;
                }
            }
        }
        Ok(())
    }

    async fn events(&self, node: usize, output: OutputName, tracked: TrackedBatch) -> Result<(), Failure> {
        // An output that nobody reads drops its events on purpose: `check` has warned of it.
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

    /// Does with rejected events what the component's `on_reject` says, or hands them to the reader of
    /// `NAME.rejected`. An event of a client never stops the graph: there is always another client.
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
            let onwards = tracked.derive(batch);
            tracked.done();
            return self.events(node, OutputName::Rejected, onwards).await;
        }
        let first = reasons.first().cloned().unwrap_or_default();
        route.metrics.log_rejected(reasons.len(), &first);
        let is_of_client = (0..reasons.len()).any(|event| tracked.batch().client(event).is_some());
        let on_reject = route.on_reject.unwrap_or_default();
        if on_reject != OnReject::Drop {
            let batch = tracked.batch();
            let (mut kept, mut offered) = (Vec::new(), Vec::new());
            for (event, reason) in reasons.into_iter().enumerate() {
                let letter = |reason| DeadLetter::of_event(batch, event, name, reason, attempts);
                match batch.client(event) {
                    None if on_reject == OnReject::Stop => {
                        let why = format!("rejected an event, and on_reject is \"stop\": {reason}");
                        return Err(Failure::fatal(name, why));
                    }
                    None => kept.push(letter(reason)),
                    // The client gets its event back, with the reason, so nothing is lost.
                    Some(client) if client.waits() && route.on_reject != Some(OnReject::DeadLetter) => {}
                    Some(_) => offered.push(letter(reason)),
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

    /// The same for what a source refused while reading; `parcel` answers for it.
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
                let letters =
                    refused.into_iter().map(|one| DeadLetter::of_input(one, name, origin)).collect();
                self.dead_letter_writer.keep(&route.metrics, letters, &self.hard_stop).await?;
            }
        }
        tracked.rejected(&first);
        Ok(())
    }
}
