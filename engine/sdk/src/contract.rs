//! The traits that sources, filters and sinks implement.
//!
//! Write the methods as `async fn`, with [`async_trait`] above the implementation. Retries, batch limits, concurrency,
//! metrics and dead letters belong to the engine and work the same for every plugin. A plugin that needs a task starts it
//! with [`Cx::spawn`].

mod capabilities;
mod emit;
mod output;
mod record;

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

pub use capabilities::Capabilities;
pub use emit::{Attempt, Emitter, Output};
pub use output::{Delivery, Outcome, Port, Rejection, SourceBatch, SourceRejection};
pub use record::{AckHandles, Claim, Lane, Record, Replay};

use crate::{Batch, ConfigError, Cx, Error, Exclusive, Position, async_trait};

/// The error of a filter that does not restore a state.
const NO_STATE: &str = "the plugin does not restore a state";

/// A boxed future: one allocation for each call, and a call is for a batch.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Reads events from outside.
#[async_trait]
pub trait Source: Send + 'static {
    /// Makes connections, opens files. Called before the first [`next`](Self::next). If it fails with an error other than
    /// [`crate::Class::Fatal`], it is called again after a pause.
    async fn open(&mut self, _cx: &Cx) -> Result<(), Error> {
        Ok(())
    }

    /// Returns the next batch, or `None` at the end of the input. A batch is due as soon as no more events are ready.
    ///
    /// The engine drops this future only on a hard stop. When the pipeline drains, [`Cx::stopping`] resolves: return the
    /// events that were read so far, then `None`.
    ///
    /// # Errors
    /// After an error other than fatal, the engine waits and calls again: the source must be in the state before the call.
    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error>;

    /// The way in which the source can read its input again.
    fn replay(&self) -> Replay {
        Replay::Never
    }

    /// The server that keeps the acknowledgements of a source with [`Replay::Redelivery`], in words that hold no secret
    /// (`redis 10.0.0.1:6379/0`). An [acknowledging sink](AcknowledgingSink) of the same domain can acknowledge and write
    /// in one transaction. Under `delivery = "effectively_once"` the engine lets it, and [`Cx::sink_acknowledges`] is true
    /// for the source.
    ///
    /// # Errors
    /// The reason why no sink can do that.
    fn transaction_domain(&self) -> Result<String, Error> {
        Err(Error::fatal("no sink can acknowledge its events together with what it writes"))
    }

    /// Resources that other components of the process must not use at the same time, as the options name them: an
    /// address to listen on, a file to write. Files that are only read are named too. The engine refuses two components
    /// that cannot have a resource together, and warns of two that may meet.
    fn exclusive(&self) -> Vec<Exclusive> {
        Vec::new()
    }

    /// Warnings about options that are allowed and probably a mistake, each at its option. `tidegate check` and the start
    /// show them.
    fn warnings(&self) -> Vec<ConfigError> {
        Vec::new()
    }

    /// Returns true if the options still name the part of the input that a stored position is for. If they name none of the
    /// parts with a position, the engine warns that the whole input is read from its start.
    fn covers(&self, _partition: &str) -> bool {
        true
    }

    /// The plugin of the sinks that answer the requests of this source, such as `"http_response"`. The engine refuses a
    /// source whose events reach no such sink.
    fn answered_by(&self) -> Option<&'static str> {
        None
    }

    /// The half of the source that acknowledges to its input (XACK of a consumer group, a delete). Called once, after
    /// [`open`](Self::open).
    fn committer(&mut self) -> Option<Box<dyn Commit>> {
        None
    }

    /// Ends connections. Called once, after the last [`next`](Self::next), when every batch has ended.
    async fn close(&mut self, _cx: &Cx) -> Result<(), Error> {
        Ok(())
    }
}

/// Acknowledges positions to the input of a source. Runs beside the source, so a silent input does not delay it.
#[async_trait]
pub trait Commit: Send + 'static {
    /// Acknowledges all batches of `partition` up to `position`: the input may forget them.
    async fn commit(&mut self, partition: &str, position: &Position) -> Result<(), Error>;
}

/// Transforms events in a plain function: no waiting, no input or output.
pub trait Filter: Any + Send + 'static {
    /// Keeps, drops, changes or splits the events of one batch, in order. Rejects the events that it cannot process, each
    /// with the reason.
    ///
    /// # Errors
    /// The filter cannot process the batch now. After an error other than fatal the engine discards the output, pauses as
    /// the component's `retry` says, and calls again with the same batch. [`crate::Class::Reject`] rejects every event of
    /// the batch.
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error>;

    /// Another instance that may process other batches at the same time. `None` if the result for an event depends on
    /// earlier events.
    fn fork(&self) -> Option<Box<dyn Filter>> {
        None
    }

    /// Fuses this filter and some of those downstream into one step. `None` if that would save nothing. They are in the
    /// same task, each fed only by the main output of the one before. Filters of a kind that this one does not know (cast
    /// to [`Any`]) cannot be fused. Not part of the contract: only filters of the engine's own crates are fused.
    #[doc(hidden)]
    fn fuse(&self, _downstream: &[&dyn Filter]) -> Option<Box<dyn Fused>> {
        None
    }

    /// The state that depends on earlier events, for the filter that replaces this one when the pipeline is reloaded. The
    /// other has the same component name and plugin name, but perhaps another version or other options. `None` if there is
    /// no state.
    ///
    /// Called at most once, after the last batch. It is not called at the end of a run, nor where `workers` made several
    /// instances, because a filter that can [fork](Self::fork) has no state. A state longer than
    /// [`STATE_BYTES`](crate::STATE_BYTES) is discarded. Begin it with a version, so that a later one can recognize it. A
    /// filter with a state is not fused.
    ///
    /// # Errors
    /// The state could not be saved. The engine logs the reason, and the other filter begins without a state.
    fn save(&mut self) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }

    /// Restores a state that [`save`](Self::save) returned. Called at most once, before the first batch. The engine calls it
    /// only if every event in the state has been delivered, so an event that is dropped as a repeat is not lost.
    ///
    /// The bytes are not trusted: they may be of another version, of other options, or damaged.
    ///
    /// # Errors
    /// The state cannot be used. The filter is as before the call and begins without a state; the engine logs the reason.
    fn restore(&mut self, _state: &[u8]) -> Result<(), Error> {
        Err(Error::fatal(NO_STATE))
    }

    /// Names of the outputs 1 and up.
    fn outputs(&self) -> Vec<String> {
        Vec::new()
    }

    /// The way in which the filter does what its options ask for, where that makes a difference that a user can act upon:
    /// half a line without a full stop, for `tidegate check --explain`.
    fn explain(&self) -> Option<String> {
        None
    }

    /// As [`Source::exclusive`].
    fn exclusive(&self) -> Vec<Exclusive> {
        Vec::new()
    }

    /// As [`Source::warnings`].
    fn warnings(&self) -> Vec<ConfigError> {
        Vec::new()
    }
}

/// Several filters in a row as one step. Output and metrics are the same as without fusing.
#[doc(hidden)]
pub trait Fused: Send + 'static {
    /// The number of filters that it stands for, at least 2.
    fn filters(&self) -> usize;

    /// Emits the result of all filters for the batch through the main output, and sets in `passed` the events that each
    /// filter but the last passed on. Returns false if a filter may reject an event, or for any other reason: the engine
    /// then forgets both results, and calls the filters one by one.
    fn process(&mut self, batch: &Batch, out: &mut Output, passed: &mut [Passed]) -> bool;
}

/// The events that passed from one filter to the next.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Number of events.
    pub events: usize,
    /// The bytes of their payloads.
    pub bytes: usize,
}

/// Transforms events by waiting: for the response of a server, a command, a pause.
#[async_trait]
pub trait AsyncFilter: Send + 'static {
    /// As [`Source::open`].
    async fn open(&mut self, _cx: &Cx) -> Result<(), Error> {
        Ok(())
    }

    /// As [`Filter::process`]; the order of the events is kept.
    ///
    /// The engine drops this future only on a hard stop. A filter that may wait for long should return early when
    /// [`Batch::cancelled`] resolves: no client waits for the result any more.
    ///
    /// # Errors
    /// As [`Filter::process`].
    async fn process(&mut self, batch: &Batch, out: &mut Output, cx: &Cx) -> Result<(), Error>;

    /// As [`Filter::fork`]: another instance, not open yet, for `workers`. With several instances, no events can be
    /// deferred to the next call.
    fn fork(&self) -> Option<Box<dyn AsyncFilter>> {
        None
    }

    /// The number of events that the filter works on at once, in several batches if each has fewer. Over 1, the engine
    /// [forks](Self::fork) as many instances as there are such batches, and restores the order of their output, except for
    /// requests that wait for an answer of their own. The forks of one filter share what limits its requests.
    fn at_once(&self) -> usize {
        1
    }

    /// As [`Filter::outputs`].
    fn outputs(&self) -> Vec<String> {
        Vec::new()
    }

    /// As [`Filter::explain`].
    fn explain(&self) -> Option<String> {
        None
    }

    /// As [`Source::exclusive`].
    fn exclusive(&self) -> Vec<Exclusive> {
        Vec::new()
    }

    /// As [`Source::warnings`].
    fn warnings(&self) -> Vec<ConfigError> {
        Vec::new()
    }

    /// As [`Filter::save`]; called before [`close`](Self::close).
    ///
    /// # Errors
    /// As [`Filter::save`].
    async fn save(&mut self, _cx: &Cx) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }

    /// As [`Filter::restore`]; called after [`open`](Self::open).
    ///
    /// # Errors
    /// As [`Filter::restore`].
    async fn restore(&mut self, _state: &[u8], _cx: &Cx) -> Result<(), Error> {
        Err(Error::fatal(NO_STATE))
    }

    /// Ends connections. Called once, after the last batch.
    async fn close(&mut self, _cx: &Cx) -> Result<(), Error> {
        Ok(())
    }
}

/// Writes events to the outside.
#[async_trait]
pub trait Sink: Send + 'static {
    /// As [`Source::open`].
    async fn open(&mut self, _cx: &Cx) -> Result<(), Error> {
        Ok(())
    }

    /// Delivers a batch. An event that the answer does not name is delivered: from now on it survives a crash of this
    /// process.
    ///
    /// # Errors
    /// After an error none of the batch counts as delivered; the engine waits and calls again with the same events. Where a
    /// part is known to be delivered, name the rest in [`Delivery::retry`] instead.
    async fn write(&mut self, batch: &Batch, cx: &Cx) -> Result<Delivery, Error>;

    /// The sink as one that stores the record of a lane in one transaction with the events. This is what
    /// `delivery = "effectively_once"` needs; its methods are then called instead of [`write`](Self::write).
    ///
    /// # Errors
    /// The reason why the sink, as it is configured, cannot do that.
    fn transactional(&mut self) -> Result<&mut dyn TransactionalSink, Error> {
        Err(Error::fatal("it cannot store a position in one transaction with the events"))
    }

    /// The sink as one that acknowledges for a source of the same [domain](Source::transaction_domain) in one transaction
    /// with its writes. Its method is then called instead of [`write`](Self::write).
    ///
    /// # Errors
    /// The reason why the sink, as it is configured, cannot do that.
    fn acknowledging(&mut self) -> Result<&mut dyn AcknowledgingSink, Error> {
        Err(Error::fatal("it cannot acknowledge events in one transaction with what it writes"))
    }

    /// Returns true if the sink only answers the requests of a source. The engine refuses it downstream of a source that
    /// is not [answered by](Source::answered_by) its plugin.
    fn answers(&self) -> bool {
        false
    }

    /// As [`Source::exclusive`].
    fn exclusive(&self) -> Vec<Exclusive> {
        Vec::new()
    }

    /// As [`Source::warnings`].
    fn warnings(&self) -> Vec<ConfigError> {
        Vec::new()
    }

    /// Another instance that may write other batches at the same time, for `concurrency`. `None` if there can only be one.
    /// A sink that can be forked is also opened and closed once without a write, to try it before a reload while the
    /// current one still writes.
    fn fork(&self) -> Option<Box<dyn Sink>> {
        None
    }

    /// Makes buffered writes durable and ends connections. Called once, after the last batch.
    async fn close(&mut self, _cx: &Cx) -> Result<(), Error> {
        Ok(())
    }
}

/// A sink that stores the record of a lane in one transaction with the events: see [`Sink::transactional`].
#[async_trait]
pub trait TransactionalSink: Send {
    /// Claims every lane of this sink and returns their records. From now on a [`commit`](Self::commit) of an earlier
    /// claimant fails. Called once after [`open`](Sink::open).
    async fn claim(&mut self, claim: &Claim, cx: &Cx) -> Result<BTreeMap<Lane, Record>, Error>;

    /// Delivers a batch of one lane and stores the lane's record, both or neither. If the answer names any event, nothing
    /// was written. Called again with the same record because the answer was lost, it writes nothing twice. The batch may
    /// be empty: then only the record is stored.
    ///
    /// # Errors
    /// As [`Sink::write`]. Fatal if another process has claimed the lanes; [`crate::Class::Replay`] if the stored record is
    /// not the expected one.
    async fn commit(
        &mut self,
        batch: &Batch,
        lane: &Lane,
        record: &Record,
        cx: &Cx,
    ) -> Result<Delivery, Error>;
}

/// A sink that acknowledges for a source in one transaction with its writes: see [`Sink::acknowledging`].
#[async_trait]
pub trait AcknowledgingSink: Send {
    /// The server that keeps the writes, named as in [`Source::transaction_domain`].
    fn transaction_domain(&self) -> String;

    /// Acknowledges the entries of the handles and writes the events that were made of them, both or neither, entry by
    /// entry. If another process has acknowledged an entry before, nothing of it is written, and its events are named in
    /// [`Delivery::already_done`]. The acknowledgement is the fence, so there is no claim.
    ///
    /// `batch` holds all events that were made of these entries of one source batch, in their order: by
    /// [`Batch::source_index`], none, one or several of each. If the answer rejects an event, nothing was done for its
    /// entry, and the engine calls again with the rest. Called again because the answer was lost, it writes nothing twice.
    ///
    /// # Errors
    /// As [`Sink::write`].
    async fn ack_and_write(
        &mut self,
        batch: &Batch,
        handles: &AckHandles,
        cx: &Cx,
    ) -> Result<Delivery, Error>;
}
