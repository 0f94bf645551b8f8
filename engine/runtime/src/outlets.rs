//! Where what leaves a component goes: to the edges that its outputs feed, or to the dead letters.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tidegate_config::{OnReject, OutputName};
use tidegate_sdk::{Attributes, SourceRejection};
use tokio_util::sync::CancellationToken;

use crate::chain::Leaving;
use crate::dead_letters::{DeadLetter, Letterbox};
use crate::edge::EdgeSender;
use crate::failure::Failure;
use crate::meter::Meter;
use crate::parcel::Parcel;

/// What is known of one component by whoever sends on what leaves it.
#[derive(Clone)]
pub(crate) struct Exit {
    pub(crate) meter: Arc<Meter>,
    /// `None` if the pipeline file does not say.
    pub(crate) on_reject: Option<OnReject>,
}

/// The ways out of the components of one segment.
#[derive(Clone)]
pub(crate) struct Outlets {
    /// By component.
    pub(crate) exits: HashMap<usize, Exit>,
    pub(crate) edges: HashMap<(usize, OutputName), Vec<EdgeSender>>,
    pub(crate) letterbox: Letterbox,
    /// Ends every wait at once.
    pub(crate) hard_stop: CancellationToken,
}

impl Outlets {
    /// Sends on everything that leaves, in order. Waits for room where there is none.
    pub(crate) async fn send(&self, leaving: Vec<Leaving>) -> Result<(), Failure> {
        for piece in leaving {
            match piece {
                Leaving::Events { node, output, parcel } => self.events(node, output, parcel).await?,
                Leaving::Rejected { node, parcel, reasons } => {
                    self.rejected(node, parcel, reasons, 1).await?;
                }
            }
        }
        Ok(())
    }

    async fn events(&self, node: usize, output: OutputName, parcel: Parcel) -> Result<(), Failure> {
        // An output that nobody reads drops its events on purpose: `check` has warned of it.
        let Some((last, others)) = self.edges.get(&(node, output)).and_then(|edges| edges.split_last())
        else {
            parcel.done();
            return Ok(());
        };
        let since = Instant::now();
        let sending = async {
            for edge in others {
                edge.send(parcel.share()).await?;
            }
            last.send(parcel).await
        };
        tokio::select! {
            sent = sending => sent?,
            () = self.hard_stop.cancelled() => return Err(Failure::Stopped),
        }
        if let Some(exit) = self.exits.get(&node) {
            exit.meter.waited_downstream(since);
        }
        Ok(())
    }

    /// Does with rejected events what the component's `on_reject` says, or hands them to the reader of
    /// `NAME.rejected`. An event of a client never stops the graph: there is always another client.
    pub(crate) async fn rejected(
        &self,
        node: usize,
        parcel: Parcel,
        reasons: Vec<String>,
        attempts: u32,
    ) -> Result<(), Failure> {
        let exit = &self.exits[&node];
        let name = exit.meter.name();
        if self.edges.contains_key(&(node, OutputName::Rejected)) {
            let own = reasons.iter().enumerate().map(|(event, reason)| {
                let own = parcel.batch().own_attributes(event).map(|own| (**own).clone());
                let own = own.unwrap_or_default().with(Attributes::REASON, reason.as_str());
                Some(Arc::new(own.with(Attributes::COMPONENT, name)))
            });
            let batch = parcel.batch().clone().with_own_attributes(own.collect());
            let onwards = parcel.derive(batch);
            parcel.done();
            return self.events(node, OutputName::Rejected, onwards).await;
        }
        let first = reasons.first().cloned().unwrap_or_default();
        exit.meter.tell_rejected(reasons.len(), &first);
        let on_reject = exit.on_reject.unwrap_or_default();
        if on_reject != OnReject::Drop {
            let batch = parcel.batch();
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
                    Some(client) if client.waits() && exit.on_reject != Some(OnReject::DeadLetter) => {}
                    Some(_) => offered.push(letter(reason)),
                }
            }
            if !kept.is_empty() {
                self.letterbox.keep(&exit.meter, kept, &self.hard_stop).await?;
            }
            if !offered.is_empty() {
                self.letterbox.offer(&exit.meter, offered).await?;
            }
        }
        parcel.rejected(&first);
        Ok(())
    }

    /// The same for what a source refused while reading; `parcel` answers for it.
    pub(crate) async fn refused(
        &self,
        node: usize,
        parcel: Parcel,
        refused: Vec<SourceRejection>,
    ) -> Result<(), Failure> {
        let exit = &self.exits[&node];
        let name = exit.meter.name();
        let first = refused.first().map(|one| one.reason.clone()).unwrap_or_default();
        exit.meter.rejected(refused.len());
        exit.meter.tell_rejected(refused.len(), &first);
        match exit.on_reject.unwrap_or_default() {
            OnReject::Drop => {}
            OnReject::Stop => {
                return Err(Failure::fatal(
                    name,
                    format!("refused input, and on_reject is \"stop\": {first}"),
                ));
            }
            OnReject::DeadLetter => {
                let origin = &parcel.batch().runs()[0].origin;
                let letters =
                    refused.into_iter().map(|one| DeadLetter::of_input(one, name, origin)).collect();
                self.letterbox.keep(&exit.meter, letters, &self.hard_stop).await?;
            }
        }
        parcel.rejected(&first);
        Ok(())
    }
}
