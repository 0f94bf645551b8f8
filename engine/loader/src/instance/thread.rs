//! A thread of an instance's own, for calls that may block.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};

/// Calls that may wait for the thread: the work, a commit, and the end.
const QUEUE: usize = 8;

type Job = Box<dyn FnOnce() + Send>;

/// A thread that makes calls, one after the other, until its handle is dropped.
pub(crate) struct Thread(SyncSender<Job>);

impl Thread {
    /// Starts it. It is not joined: it may be in a call that never returns, and then has to be left behind.
    pub(crate) fn start(name: &str) -> io::Result<Self> {
        let (jobs, queue) = sync_channel::<Job>(QUEUE);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            for job in queue {
                job();
            }
        })?;
        Ok(Self(jobs))
    }

    /// Hands it a call. False if it has too many, which means that it hangs.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) -> bool {
        self.0.try_send(Box::new(job)).is_ok()
    }
}
