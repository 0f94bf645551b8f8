//! What a plugin promises: the traits that sources, filters and sinks implement.
//!
//! Write the methods as `async fn`, with [`async_trait`] above the implementation. Retries, batching limits, concurrency, metrics and dead letters are the
//! engine's, around every plugin alike; a plugin holds only what is its own. A plugin that needs a task of
//! its own starts it with [`Cx::spawn`].

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use crate::{
    Batch, Claim, ConfigError, Cx, Delivery, Error, Exclusive, Lane, Output, Position, Receipts, Record,
    Replay, SourceBatch, async_trait,
};

/// Why a filter that hands nothing over does not take anything over either.
const NO_STATE: &str = "the plugin takes over no state";

/// A boxed future: one allocation for each call, and a call is for a batch.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where events come from.
#[async_trait]
pub trait Source: Send + 'static {
    /// Makes connections, opens files. Called before the first [`next`](Self::next), and again after a
    /// pause if it fails with anything but [`crate::Class::Fatal`].
    async fn open(&mut self, _cx: &Cx) -> Result<(), Error> {
        Ok(())
    }

    /// The next batch, or `None` when the input has ended. Hand over what there is as soon as nothing more
    /// is ready.
    ///
    /// The engine never drops this future but on a hard stop. When the pipeline drains, [`Cx::stopping`]
    /// resolves: return what was read so far, then `None`.
    ///
    /// # Errors
    /// After an error other than fatal the engine waits and calls again: stay as before the call.
    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error>;

    /// Whether the source can read again what it has read before.
    fn replay(&self) -> Replay {
        Replay::Never
    }

    /// For a source that [`Replay::Redelivery`] is true of: where its acknowledgements are kept, in words that
    /// hold no secret (`redis 10.0.0.1:6379/0`). A sink of the same [domain](Sink::domain) can acknowledge and
    /// write in one transaction. Under `delivery = "effectively_once"` it then does, and [`Cx::by_receipt`]
    /// tells the source to leave that to it.
    ///
    /// # Errors
    /// Why no sink can do that.
    fn domain(&self) -> Result<String, String> {
        Err("no sink can acknowledge its events together with what it writes".into())
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

    /// Whether its options still name the part of the input that a stored position is for. If they name none of those that
    /// have a position, the engine warns that all of the input is read from its start.
    fn covers(&self, _partition: &str) -> bool {
        true
    }

    /// The plugin of the sinks that answer what this source holds open, such as `"http_response"`. The engine refuses
    /// a source whose events reach no such sink.
    fn answered_by(&self) -> Option<&'static str> {
        None
    }

    /// For a source whose input forgets what was delivered (a consumer group's XACK, a delete): the half
    /// that tells it so. Called once, after [`open`](Self::open).
    fn committer(&mut self) -> Option<Box<dyn Commit>> {
        None
    }

    /// Ends connections. Called once, after the last [`next`](Self::next), when every batch has ended.
    async fn close(&mut self, _cx: &Cx) -> Result<(), Error> {
        Ok(())
    }
}

/// Tells a source's input that everything up to a position is safe. Runs beside the source, so an input that
/// is silent for long does not hold it up.
#[async_trait]
pub trait Commit: Send + 'static {
    /// All batches of `partition` up to `position` are safe: the input may forget them.
    async fn commit(&mut self, partition: &str, position: &Position) -> Result<(), Error>;
}

/// What happens to events, as a plain function: no waiting, no input or output.
pub trait Filter: Any + Send + 'static {
    /// Keeps, drops, changes or splits the events of one batch, in order, and rejects those it cannot
    /// process, one by one, with the reason.
    ///
    /// # Errors
    /// If the filter cannot process the batch now: after an error other than fatal the engine discards what was put
    /// out, pauses as the component's `retry` says, and calls again with the same batch. [`crate::Class::Reject`]
    /// rejects every event of the batch.
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error>;

    /// Another instance that may process other batches at the same time; `None` if what the filter does to
    /// an event depends on those before it.
    fn fork(&self) -> Option<Box<dyn Filter>> {
        None
    }

    /// This filter and as many of those behind it as can be done in one go; `None` if that would save nothing.
    /// They are in the same task, each fed by the main output of the one before it alone. Where they are not of
    /// a kind that this one knows (tell it by casting to [`Any`]), they cannot be fused.
    fn fuse(&self, _behind: &[&dyn Filter]) -> Option<Box<dyn Fused>> {
        None
    }

    /// What the filter remembers of the events before, for the filter that takes its place when the pipeline is
    /// reloaded: one of the same component name and the same plugin name, perhaps of another version or with
    /// other options. `None` if there is nothing to hand over.
    ///
    /// Called at most once, after the last batch, where the batches were processed; not at the end of a run, and
    /// not where `workers` made several of the filter, because one that can be [forked](Self::fork) remembers
    /// nothing. What is longer than [`STATE_BYTES`](crate::STATE_BYTES) is not handed over. Begin it with a
    /// version of your own, so that a later one can tell what it is given. A filter that has a state does not
    /// [fuse](Self::fuse).
    fn save(&mut self) -> Option<Vec<u8>> {
        None
    }

    /// Goes on with what [`save`](Self::save) returned. Called at most once, before the first batch. The engine calls it only
    /// if every event that is remembered there has been delivered, so what is dropped as a repeat is not lost.
    ///
    /// Nothing is known of the bytes: they may be of another version, of other options, or damaged.
    ///
    /// # Errors
    /// Why they cannot be used. The filter is as it was before the call and begins afresh; the engine logs the reason.
    fn restore(&mut self, _state: &[u8]) -> Result<(), String> {
        Err(NO_STATE.into())
    }

    /// Names of the outputs 1 and up.
    fn outputs(&self) -> Vec<String> {
        Vec::new()
    }

    /// How the filter will do what its options ask for, where that makes a difference that a user can do
    /// something about: half a line without a full stop, for `tidegate check --explain`.
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

/// Several filters in a row, done in one go. It is another way to the same results: nobody can tell by what comes
/// out, nor by what the engine counts, that they were fused.
pub trait Fused: Send + 'static {
    /// How many filters it stands for, at least 2.
    fn filters(&self) -> usize;

    /// What all of them together make of the batch, into the main output, and what passed from each to the next,
    /// into `passed`, which has an entry for each but the last. False if one of them may reject an event, or for
    /// any other reason: then the engine forgets both, and calls the filters one by one.
    fn process(&mut self, batch: &Batch, out: &mut Output, passed: &mut [Passed]) -> bool;
}

/// What passed from one filter to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Events.
    pub events: usize,
    /// The bytes of their payloads.
    pub bytes: usize,
}

/// What happens to events, where that means waiting: a question to a server, a command, a pause.
#[async_trait]
pub trait AsyncFilter: Send + 'static {
    /// As [`Source::open`].
    async fn open(&mut self, _cx: &Cx) -> Result<(), Error> {
        Ok(())
    }

    /// As [`Filter::process`]; the order of the events is kept.
    ///
    /// The engine never drops this future except on a hard stop. A filter that may wait for long should return early
    /// when [`Batch::cancelled`] resolves: nobody waits for the result any more.
    ///
    /// # Errors
    /// As [`Filter::process`].
    async fn process(&mut self, batch: &Batch, out: &mut Output, cx: &Cx) -> Result<(), Error>;

    /// As [`Filter::fork`]: another instance, not open yet, for `workers`. Where there are several, no events can be
    /// left for the next call.
    fn fork(&self) -> Option<Box<dyn AsyncFilter>> {
        None
    }

    /// The number of events that the filter works on at once, in several batches if each has fewer: over 1, the
    /// engine [forks](Self::fork) as many instances as there are such batches, and restores the order of what leaves
    /// them, except for requests that wait for an answer of their own. The forks of one filter share what limits
    /// its requests.
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
    async fn save(&mut self, _cx: &Cx) -> Option<Vec<u8>> {
        None
    }

    /// As [`Filter::restore`]; called after [`open`](Self::open).
    ///
    /// # Errors
    /// As [`Filter::restore`].
    async fn restore(&mut self, _state: &[u8], _cx: &Cx) -> Result<(), String> {
        Err(NO_STATE.into())
    }

    /// Ends connections. Called once, after the last batch.
    async fn close(&mut self, _cx: &Cx) -> Result<(), Error> {
        Ok(())
    }
}

/// Where events go.
#[async_trait]
pub trait Sink: Send + 'static {
    /// As [`Source::open`].
    async fn open(&mut self, _cx: &Cx) -> Result<(), Error> {
        Ok(())
    }

    /// Delivers a batch. What the answer does not name is delivered: it survives a crash of this process
    /// from now on.
    ///
    /// # Errors
    /// After an error none of the batch counts as delivered; the engine waits and calls again with the same
    /// events. Where a part is known to be delivered, name the rest in [`Delivery::again`] instead.
    async fn write(&mut self, batch: &Batch, cx: &Cx) -> Result<Delivery, Error>;

    /// Whether the sink, as it is configured, can store the record of a lane in one transaction with the
    /// events. This is what `delivery = "effectively_once"` needs; [`claim`](Self::claim) and
    /// [`commit`](Self::commit) are then called in place of [`write`](Self::write).
    ///
    /// # Errors
    /// Why it cannot.
    fn transactional(&self) -> Result<(), String> {
        Err("it cannot store a position in one transaction with the events".into())
    }

    /// Takes over every lane of this sink and returns how far each is. From now on a [`commit`](Self::commit)
    /// by whoever claimed before fails. Called once after [`open`](Self::open).
    async fn claim(&mut self, _claim: &Claim, _cx: &Cx) -> Result<BTreeMap<Lane, Record>, Error> {
        Err(Error::fatal("the sink is not transactional"))
    }

    /// Delivers a batch, which is of one lane, and stores the lane's record, both or neither. An answer that
    /// names any event means that nothing was written. Called again with the same record, because the answer
    /// was lost, it writes nothing twice. The batch may be empty: then only the record is stored.
    ///
    /// # Errors
    /// As [`write`](Self::write). Fatal if another process has claimed the lanes;
    /// [`crate::Class::Replay`] if the record is not where it was left.
    async fn commit(
        &mut self,
        _batch: &Batch,
        _lane: &Lane,
        _record: &Record,
        _cx: &Cx,
    ) -> Result<Delivery, Error> {
        Err(Error::fatal("the sink is not transactional"))
    }

    /// Whether the sink only answers what a source holds open: the engine refuses it downstream of a source that is
    /// not [answered by](Source::answered_by) its plugin.
    fn answers(&self) -> bool {
        false
    }

    /// Where what the sink writes is kept, if it can acknowledge there the entries of a source of the same
    /// [domain](Source::domain) in one transaction with its writes. [`settle`](Self::settle) is then called in
    /// place of [`write`](Self::write).
    ///
    /// # Errors
    /// Why it cannot.
    fn domain(&self) -> Result<String, String> {
        Err("it cannot acknowledge events in one transaction with what it writes".into())
    }

    /// Acknowledges the entries that the receipts stand for and writes what was made of them, both or neither,
    /// entry by entry: where an entry was not there to be acknowledged any more, because another process has
    /// done that, nothing of it is written, and its events are named in
    /// [`Delivery::done_elsewhere`]. The acknowledgement is what fences, so there is no claim.
    ///
    /// `batch` is all that became of these entries of one source batch, in their order; by
    /// [`Batch::source_index`], it holds none, one or several events of each. An answer that rejects an event means that nothing was done for its
    /// entry; it is called again with the rest. Called again because the answer was lost, it writes nothing
    /// twice.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    async fn settle(&mut self, _batch: &Batch, _receipts: &Receipts, _cx: &Cx) -> Result<Delivery, Error> {
        Err(Error::fatal("the sink cannot acknowledge for a source"))
    }

    /// As [`Source::exclusive`].
    fn exclusive(&self) -> Vec<Exclusive> {
        Vec::new()
    }

    /// As [`Source::warnings`].
    fn warnings(&self) -> Vec<ConfigError> {
        Vec::new()
    }

    /// Another instance that may write other batches at the same time, for `concurrency`; `None` if there
    /// can only be one. A sink that can be forked is also opened and closed once, without a write, to try it
    /// before a reload, while the one before it still writes.
    fn fork(&self) -> Option<Box<dyn Sink>> {
        None
    }

    /// Makes durable what is buffered and ends connections. Called once, after the last batch.
    async fn close(&mut self, _cx: &Cx) -> Result<(), Error> {
        Ok(())
    }
}
