//! Edge: the bounded queue between two segments.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use crate::dataflow::failure::Failure;
use crate::delivery::tracked_batch::TrackedBatch;
use crate::metrics::component::ComponentMetrics;
use crate::metrics::gauge::Gauge;

/// The largest number of batches in an edge.
const BATCHES: usize = 256;

/// The largest number of bytes in an edge. A larger batch enters when the edge is empty.
const BYTES: usize = 8 << 20;

/// The writing end of an edge. A clone is another writer; the edge ends when the last one is dropped.
#[derive(Clone)]
pub(crate) struct EdgeSender {
    queue: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    /// Metrics of the component downstream.
    reader: Arc<ComponentMetrics>,
    required: bool,
}

/// The reading end of an edge: a stream of batches.
pub(crate) struct EdgeReceiver {
    queue: ReceiverStream<Queued>,
}

struct Queued {
    tracked: TrackedBatch,
    _room: OwnedSemaphorePermit,
}

/// Error of an edge whose reader is gone: it failed, and the graph with it.
#[derive(Debug)]
pub(crate) struct Closed;

impl From<Closed> for Failure {
    fn from(_: Closed) -> Self {
        Self::Stopped
    }
}

/// Creates an edge to the component with the metrics `reader`. A full edge that is not `required` drops new batches.
pub(crate) fn edge(reader: Arc<ComponentMetrics>, required: bool) -> (EdgeSender, EdgeReceiver) {
    let (sender, receiver) = mpsc::channel(BATCHES);
    let room = Arc::new(Semaphore::new(BYTES));
    let sender = EdgeSender { queue: sender, room, reader, required };
    (sender, EdgeReceiver { queue: ReceiverStream::new(receiver) })
}

impl EdgeSender {
    /// Waits for room, and sends a batch.
    pub(crate) async fn send(&self, tracked: TrackedBatch) -> Result<(), Closed> {
        let cost = tracked.batch().cost().clamp(1, BYTES) as u32;
        let room = Arc::clone(&self.room);
        if self.required {
            let room = room.acquire_many_owned(cost).await.expect("the semaphore is never closed");
            return self.queue.send(Queued { tracked, _room: room }).await.map_err(|_| Closed);
        }
        let full = match (room.try_acquire_many_owned(cost), self.queue.try_reserve()) {
            (Ok(room), Ok(slot)) => {
                slot.send(Queued { tracked, _room: room });
                return Ok(());
            }
            (_, Err(mpsc::error::TrySendError::Closed(()))) => return Err(Closed),
            _ => tracked,
        };
        self.reader.skipped(full.batch().len());
        full.done();
        Ok(())
    }

    /// Gauge of the edge. It does not keep the edge open.
    pub(crate) fn gauge(&self) -> Gauge {
        Gauge::new(Arc::clone(&self.room), BYTES)
    }
}

impl Stream for EdgeReceiver {
    type Item = TrackedBatch;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<TrackedBatch>> {
        Poll::Ready(ready!(Pin::new(&mut self.queue).poll_next(cx)).map(|queued| queued.tracked))
    }
}

impl EdgeReceiver {
    /// The next batch, if there is one.
    pub(crate) fn ready(&mut self) -> Option<TrackedBatch> {
        self.queue.as_mut().try_recv().ok().map(|queued| queued.tracked)
    }
}
