//! The thread of an instance whose calls may block.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};

/// The limit for calls that wait for the thread.
const QUEUE: usize = 8;

type Job = Box<dyn FnOnce() + Send>;

/// A thread that makes calls one after the other until its handle is dropped.
pub(crate) struct Thread(SyncSender<Job>);

impl Thread {
    /// Starts the thread. It is not joined: it may be in a call that never returns, and is then abandoned.
    pub(crate) fn start(name: &str) -> io::Result<Self> {
        let (jobs, queue) = sync_channel::<Job>(QUEUE);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            for job in queue {
                job();
            }
        })?;
        Ok(Self(jobs))
    }

    /// Queues a call. False if the queue is full, which means that the thread hangs.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) -> bool {
        self.0.try_send(Box::new(job)).is_ok()
    }
}
