//! Identity of a filter in its store: id, generation, epochs, fingerprint.

use crate::options::Fingerprint;

/// Id of a filter within its store. A filter that is reset gets another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilterId(pub(crate) u32);

/// An opening of the store: the events that were emitted until the next one have numbers from `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Random number, drawn and committed at the opening.
    pub epoch: u64,
    /// The number of the next event at the opening.
    pub first: u64,
}

/// Description of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterInfo {
    /// Name of the component.
    pub name: String,
    /// Random number, drawn with the store of the filter. Another generation is another lane for its sinks.
    pub generation: u64,
    /// The fingerprint that the stored bytes belong to.
    pub fingerprint: Fingerprint,
    /// Openings of the store, the newest last; at most 1,024.
    pub epochs: Vec<Epoch>,
}

impl FilterInfo {
    /// True if a sink's record of `epoch` that ends before event `next` can come from this store.
    ///
    /// Otherwise the store is older than the sink: a copied folder, or a disk that lost acknowledged writes. `end` is the
    /// number of the next event ([`Recovered::outbox`]).
    pub fn gave(&self, epoch: u64, next: u64, end: u64) -> bool {
        let Some(index) = self.epochs.iter().position(|known| known.epoch == epoch) else { return false };
        let limit = self.epochs.get(index + 1).map_or(end, |later| later.first);
        next <= limit
    }
}
