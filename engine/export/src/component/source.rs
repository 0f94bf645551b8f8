//! An exported source.

use std::ffi::c_void;

use tidegate_abi::{self as abi, Buf, Status, Str, outcome};

use crate::batch::decode::position;
use crate::batch::encode::Encoded;
use crate::call::{self, Answer};
use crate::capabilities::Capabilities;
use crate::lifecycle::{Life, Opening};
use crate::link::{Link, text};
use crate::operation::{Work, drive};
use tidegate_sdk::{Commit, Cx, Error, Outcome, Position, Source, SourceBatch};

type Boxed = Box<dyn Source>;

/// The state of a source's instance.
pub(crate) struct State {
    source: Option<Boxed>,
    cx: Cx,
    opening: Option<Work<Boxed, Result<(), Error>>>,
    reading: Option<Work<Boxed, Result<Option<SourceBatch>, Error>>>,
    closing: Option<Work<Boxed, Result<(), Error>>>,
    committer: Option<Box<dyn Commit>>,
    committing: Option<Work<Box<dyn Commit>, Result<(), Error>>>,
    /// The number of the next batch.
    seq: u64,
    encoder: Encoded,
    /// The progress that was reported last.
    progress: Option<(u64, u64)>,
}

impl State {
    pub(crate) fn new(source: Boxed, cx: Cx) -> Self {
        Self {
            source: Some(source),
            cx,
            opening: None,
            reading: None,
            closing: None,
            committer: None,
            committing: None,
            seq: 0,
            encoder: Encoded::default(),
            progress: None,
        }
    }

    fn next(&mut self, link: &Link) -> Result<Option<abi::Batch>, call::Refusal> {
        if self.reading.is_none() && link.pending.is_full() {
            return Err(Status::PENDING.into());
        }
        let cx = &self.cx;
        let read = drive(link, &mut self.source, &mut self.reading, |mut source| {
            let cx = cx.clone();
            Box::pin(async move {
                let read = source.next(&cx).await;
                (source, read)
            })
        });
        self.report_progress(link);
        let Some(mut read) = read?? else { return Ok(None) };
        let done = read.done.take();
        let batch = self.encoder.source_batch(read, self.seq)?;
        if let Some(done) = done {
            link.pending.add(self.seq, done);
        }
        self.seq += 1;
        Ok(Some(batch))
    }

    fn report_progress(&mut self, link: &Link) {
        let now = self.cx.progress().get();
        if let (Some((done, total)), true) = (now, now != self.progress) {
            link.progress(done, total);
            self.progress = now;
        }
    }

    fn commit(&mut self, link: &Link, partition: String, position: Position) -> Answer {
        if self.committer.is_none() && self.committing.is_none() {
            return Ok(Status::OK);
        }
        drive(link, &mut self.committer, &mut self.committing, |mut committer| {
            Box::pin(async move {
                let committed = committer.commit(&partition, &position).await;
                (committer, committed)
            })
        })??;
        Ok(Status::OK)
    }
}

impl Life for State {
    fn describe(&mut self, capabilities: &mut Capabilities) {
        if let Some(source) = &self.source {
            capabilities.source(source.replay());
            capabilities.transaction_domain(source.transaction_domain());
            capabilities.exclusive(&source.exclusive());
            capabilities.warnings(&source.warnings());
        }
    }

    fn open(&mut self, link: &Link, Opening { resume, sink_acknowledges }: Opening) -> Answer {
        if self.opening.is_none() {
            let cx = self.cx.clone().with_resume(resume);
            self.cx = if sink_acknowledges { cx.with_acknowledging_sink() } else { cx };
        }
        let cx = &self.cx;
        drive(link, &mut self.source, &mut self.opening, |mut source| {
            let cx = cx.clone();
            Box::pin(async move {
                let opened = source.open(&cx).await;
                (source, opened)
            })
        })??;
        self.committer = self.source.as_mut().and_then(|source| source.committer());
        Ok(Status::OK)
    }

    fn close(&mut self, link: &Link) -> Answer {
        let cx = &self.cx;
        drive(link, &mut self.source, &mut self.closing, |mut source| {
            let cx = cx.clone();
            Box::pin(async move {
                let closed = source.close(&cx).await;
                cx.tasks().joined().await;
                (source, closed)
            })
        })??;
        Ok(Status::OK)
    }
}

/// The functions of sources.
pub(crate) static OPS: abi::Source = abi::Source {
    struct_size: size_of::<abi::Source>() as u32,
    reserved: 0,
    next: Some(next),
    commit: Some(commit),
    batch_done: Some(batch_done),
};

// SAFETY, of all below: the engine passes an instance of a source and valid arguments.

unsafe extern "C" fn next(
    this: *mut c_void,
    _max_wait_ns: u64,
    batch: *mut abi::Batch,
    error: *mut abi::Error,
) -> Status {
    // SAFETY: as above.
    unsafe {
        call::call::<State>(this, error, |link, state| match state.next(link)? {
            Some(read) => {
                abi::write(batch, &read);
                Ok(Status::OK)
            }
            None => Ok(Status::END),
        })
    }
}

unsafe extern "C" fn commit(this: *mut c_void, partition: Str, place: Buf, error: *mut abi::Error) -> Status {
    // SAFETY: as above.
    unsafe {
        call::call::<State>(this, error, |link, state| match position(place) {
            Some(place) => state.commit(link, text(partition), place),
            None => Ok(Status::OK),
        })
    }
}

unsafe extern "C" fn batch_done(this: *mut c_void, seq: u64, outcome: u32, reason: Str) {
    // SAFETY: as above.
    unsafe {
        call::signal::<State>(this, |link| {
            let outcome = match outcome {
                outcome::DELIVERED => Outcome::Delivered,
                outcome::REJECTED => Outcome::Rejected(text(reason)),
                _ => Outcome::Failed,
            };
            link.pending.finish(seq, outcome, &link.waker);
        });
    }
}
