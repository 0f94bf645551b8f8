//! The client that sent a batch. A source that serves requests knows if the client still waits for the outcome.

use tokio_util::sync::CancellationToken;

use crate::Batch;

/// The client that sent the events of a batch, as a source that serves requests knows it.
#[derive(Clone, Debug)]
pub struct Client {
    /// Cancelled when the client no longer waits; `None` if the client was answered before.
    gone: Option<CancellationToken>,
}

impl Client {
    /// A client that waits for the outcome of these events until `gone` is cancelled: it was answered, it left, or
    /// its time was up. The order of its events relative to those of other clients is not kept, and what is left
    /// to do for it when it is gone is cancelled.
    pub fn waiting(gone: CancellationToken) -> Self {
        Self { gone: Some(gone) }
    }

    /// A client that was answered when its events were accepted.
    pub fn answered() -> Self {
        Self { gone: None }
    }

    /// Returns true if the client receives the outcome of its events.
    pub fn waits(&self) -> bool {
        self.gone.is_some()
    }

    /// Returns true if the client no longer waits for the outcome. Never true of a client that was answered before.
    pub fn is_gone(&self) -> bool {
        self.gone.as_ref().is_some_and(CancellationToken::is_cancelled)
    }
}

impl Batch {
    /// The client that sent event `event`, if a client did.
    pub fn client(&self, event: usize) -> Option<&Client> {
        self.origin(event).client.as_ref()
    }

    /// Returns true if every event is of a client that waits for its outcome.
    pub fn is_awaited(&self) -> bool {
        let awaited = |client: Option<&Client>| client.is_some_and(Client::waits);
        self.runs().iter().all(|run| awaited(run.origin.client.as_ref()))
    }

    /// Returns true if the work on this batch is cancelled: each of its events is of a client that is gone. The engine
    /// drops such a batch at the next opportunity.
    pub fn is_cancelled(&self) -> bool {
        self.runs().iter().all(|run| run.origin.client.as_ref().is_some_and(Client::is_gone))
    }

    /// The events of clients that are not gone, if some are gone.
    #[doc(hidden)]
    pub fn without_cancelled(&self) -> Option<Vec<usize>> {
        let gone = |client: Option<&Client>| client.is_some_and(Client::is_gone);
        if !self.runs().iter().any(|run| gone(run.origin.client.as_ref())) {
            return None;
        }
        let (mut left, mut start) = (Vec::new(), 0);
        for run in self.runs() {
            if !gone(run.origin.client.as_ref()) {
                left.extend(start..run.end as usize);
            }
            start = run.end as usize;
        }
        Some(left)
    }

    /// Resolves when the work on this batch is [cancelled](Self::is_cancelled); never for events that no client
    /// waits for. A filter that waits may return early then, with any error.
    pub async fn cancelled(&self) {
        for run in self.runs() {
            match run.origin.client.as_ref().and_then(|client| client.gone.as_ref()) {
                Some(gone) => gone.cancelled().await,
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn resolves(future: impl Future<Output = ()>) -> bool {
        pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    fn batch(client: Option<&Client>) -> Batch {
        let mut builder = Batch::builder();
        ["a", "b"].iter().for_each(|text| builder.push_copy(text.as_bytes()));
        builder.finish().with_origin(|origin| origin.client = client.cloned())
    }

    #[test]
    fn a_batch_is_cancelled_when_each_of_its_clients_is_gone() {
        let (one, two) = (CancellationToken::new(), CancellationToken::new());
        let both = [&one, &two].map(|gone| batch(Some(&Client::waiting(gone.clone()))));
        let both = Batch::concat(&both);
        assert!(both.is_awaited() && !both.is_cancelled() && both.without_cancelled().is_none());
        one.cancel();
        assert!(!both.is_cancelled() && !resolves(both.cancelled()));
        assert_eq!(both.without_cancelled().unwrap(), [2, 3]);
        two.cancel();
        assert!(both.is_cancelled() && resolves(both.cancelled()));
        assert_eq!(both.without_cancelled().unwrap(), [0_usize; 0]);
    }

    #[test]
    fn events_without_a_waiting_client_are_never_cancelled() {
        for client in [None, Some(Client::answered())] {
            let gone = CancellationToken::new();
            gone.cancel();
            let alone = batch(client.as_ref());
            let mixed = Batch::concat(&[alone.clone(), batch(Some(&Client::waiting(gone)))]);
            for batch in [&alone, &mixed] {
                assert!(!batch.is_awaited() && !batch.is_cancelled());
                assert!(!resolves(batch.cancelled()));
            }
            assert!(alone.without_cancelled().is_none());
            assert_eq!(mixed.without_cancelled().unwrap(), [0, 1]);
        }
    }
}
