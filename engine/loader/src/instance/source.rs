//! A source of a library, in this process.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tidegate_abi::{self as abi, Buf, Status, Str};
use tidegate_sdk::erased::Promise;
use tidegate_sdk::{Cx, Outcome, Position, SourceBatch};

use crate::boundary::import_batch;
use crate::host_table::Slot;
use crate::instance::lifecycle::{Close, Open};
use crate::instance::{Call, Core, Instance};
use crate::link::{CommitLink, Fault, SourceLink, broke_contract};

/// How long a source that blocks may wait for its next event, so that its commits and the drain get their turn.
const WAIT: Duration = Duration::from_millis(100);

/// The source.
pub(crate) struct Source {
    instance: Arc<Instance>,
    event_size: usize,
    settles: bool,
}

impl Source {
    pub(crate) fn new(instance: Instance, event_size: usize, settles: bool) -> Self {
        Self { instance: Arc::new(instance), event_size, settles }
    }
}

impl SourceLink for Source {
    fn open<'a>(
        &'a mut self,
        cx: &'a Cx,
        resume: &'a BTreeMap<String, Position>,
    ) -> Promise<'a, Result<(), Fault>> {
        Box::pin(async move {
            self.instance.tell_progress_to(cx);
            let open = Open::of(&self.instance, resume).sink_acknowledges(cx.by_receipt());
            self.instance.perform(Slot::Work, cx, open).await.map(drop)
        })
    }

    fn next<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<Option<SourceBatch>, Fault>> {
        Box::pin(async move {
            if cx.is_stopping() {
                self.instance.drain();
            }
            let next = Next {
                event_size: self.event_size,
                function: self.instance.core().tables.source().next,
                read: None,
            };
            let (next, status) = self.instance.perform(Slot::Work, cx, next).await?;
            if status == Status::END {
                return Ok(None);
            }
            let read = next.read.unwrap_or_else(|| Err("`next` answered TG_OK without a batch".into()));
            let (batch, sequence) = read.map_err(broke_contract)?;
            Ok(Some(if self.settles { settling(batch, sequence, self.instance.core()) } else { batch }))
        })
    }

    fn close<'a>(&'a mut self, cx: &'a Cx) -> Promise<'a, Result<(), Fault>> {
        Box::pin(
            async move { self.instance.perform(Slot::Work, cx, Close::of(&self.instance)).await.map(drop) },
        )
    }

    fn committing(&self) -> Arc<dyn CommitLink> {
        Arc::new(Committing(Arc::downgrade(&self.instance)))
    }
}

/// Passes on how the batch ended. The source may be gone by then.
fn settling(batch: SourceBatch, sequence: u64, core: &Arc<Core>) -> SourceBatch {
    let core = Arc::downgrade(core);
    batch.on_settled(move |outcome| {
        let Some(core) = core.upgrade() else { return };
        match outcome {
            Outcome::Delivered => core.settled(sequence, abi::outcome::DELIVERED, ""),
            Outcome::Rejected(reason) => core.settled(sequence, abi::outcome::REJECTED, &reason),
            Outcome::Failed => core.settled(sequence, abi::outcome::FAILED, ""),
        }
    })
}

struct Committing(Weak<Instance>);

impl CommitLink for Committing {
    fn commit<'a>(&'a self, partition: &'a str, position: &'a Position) -> Promise<'a, Result<(), Fault>> {
        Box::pin(async move {
            let Some(instance) = self.0.upgrade() else { return Err(Fault::Broken("is gone".into())) };
            let Some(function) = instance.core().tables.source().commit else { return Ok(()) };
            // A commit goes on while the pipeline drains.
            let cx = Cx::new("", tokio_util::sync::CancellationToken::new());
            let call = Commit { function, partition: partition.to_owned(), position: position.clone() };
            instance.perform(Slot::Commit, &cx, call).await.map(drop)
        })
    }
}

struct Next {
    event_size: usize,
    function: Option<unsafe extern "C" fn(*mut c_void, u64, *mut abi::Batch, *mut abi::Error) -> Status>,
    read: Option<Result<(SourceBatch, u64), String>>,
}

impl Call for Next {
    const NAME: &'static str = "next";

    unsafe fn run(&mut self, this: *mut c_void, error: &mut abi::Error) -> Status {
        let function = self.function.expect("the handshake has seen it");
        // SAFETY: `Batch` begins with its size.
        let mut batch: abi::Batch = unsafe { abi::sized() };
        // SAFETY: as the caller promises.
        let status = unsafe { function(this, WAIT.as_nanos() as u64, &raw mut batch, error) };
        if status == Status::OK {
            batch.struct_size = size_of::<abi::Batch>() as u32;
            // SAFETY: the plugin has filled it in, and nothing else of it is called before this is over.
            self.read = Some(unsafe { import_batch::read_by_source(&raw const batch, self.event_size) });
        }
        status
    }
}

struct Commit {
    function: unsafe extern "C" fn(*mut c_void, Str, Buf, *mut abi::Error) -> Status,
    partition: String,
    position: Position,
}

impl Call for Commit {
    const NAME: &'static str = "commit";

    unsafe fn run(&mut self, this: *mut c_void, error: &mut abi::Error) -> Status {
        // SAFETY: as the caller promises, and what it is given is here until the operation ends.
        unsafe { (self.function)(this, Str::new(&self.partition), Buf::new(self.position.as_bytes()), error) }
    }
}
