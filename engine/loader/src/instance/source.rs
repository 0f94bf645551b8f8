//! A source of a library in this process.

use std::ffi::c_void;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tidegate_abi::{self as abi, Buf, Status, Str};
use tidegate_sdk::{Cx, Error, Outcome, Position, Source, SourceBatch, async_trait};

use crate::boundary::imported;
use crate::factory::broke_contract;
use crate::host_table::Slot;
use crate::instance::lifecycle::{Close, Open};
use crate::instance::{Call, Core, Instance};

/// The longest wait of a source that blocks, after which commits and the drain are handled.
const WAIT: Duration = Duration::from_millis(100);

/// A source.
pub(crate) struct LibrarySource {
    instance: Arc<Instance>,
    event_size: usize,
    wants_batch_done: bool,
}

impl LibrarySource {
    pub(crate) fn new(instance: Instance, event_size: usize, wants_batch_done: bool) -> Self {
        Self { instance: Arc::new(instance), event_size, wants_batch_done }
    }
}

#[async_trait]
impl Source for LibrarySource {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.instance.report_progress_to(cx);
        let open = Open::of(&self.instance, cx.resume_all()).sink_acknowledges(cx.sink_acknowledges());
        self.instance.perform(Slot::Work, cx, open).await.map(drop)
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
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
        let read = next.read.unwrap_or_else(|| Err("`next` returned TG_OK without a batch".into()));
        let (batch, sequence) = read.map_err(broke_contract)?;
        Ok(Some(if self.wants_batch_done {
            with_batch_done(batch, sequence, self.instance.core())
        } else {
            batch
        }))
    }

    fn committer(&mut self) -> Option<Box<dyn tidegate_sdk::Commit>> {
        Some(Box::new(Committer(Arc::downgrade(&self.instance))))
    }

    async fn close(&mut self, cx: &Cx) -> Result<(), Error> {
        self.instance.perform(Slot::Work, cx, Close::of(&self.instance)).await.map(drop)
    }
}

/// Reports the end of the batch to the source, if that still exists.
fn with_batch_done(batch: SourceBatch, sequence: u64, core: &Arc<Core>) -> SourceBatch {
    let core = Arc::downgrade(core);
    batch.on_done(move |outcome| {
        let Some(core) = core.upgrade() else { return };
        match outcome {
            Outcome::Delivered => core.batch_done(sequence, abi::outcome::DELIVERED, ""),
            Outcome::Rejected(reason) => core.batch_done(sequence, abi::outcome::REJECTED, &reason),
            Outcome::Failed => core.batch_done(sequence, abi::outcome::FAILED, ""),
        }
    })
}

/// The commit half of a source. It does not keep the instance.
struct Committer(Weak<Instance>);

#[async_trait]
impl tidegate_sdk::Commit for Committer {
    async fn commit(&mut self, partition: &str, position: &Position) -> Result<(), Error> {
        let Some(instance) = self.0.upgrade() else { return Err(Error::broken("is gone")) };
        let Some(function) = instance.core().tables.source().commit else { return Ok(()) };
        // Commits continue while the pipeline drains.
        let cx = Cx::new("", tokio_util::sync::CancellationToken::new());
        let call = Commit { function, partition: partition.to_owned(), position: position.clone() };
        instance.perform(Slot::Commit, &cx, call).await.map(drop)
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
        let function = self.function.expect("the handshake has checked it");
        // SAFETY: the first field of `Batch` is its size.
        let mut batch: abi::Batch = unsafe { abi::sized() };
        // SAFETY: the caller guarantees it.
        let status = unsafe { function(this, WAIT.as_nanos() as u64, &raw mut batch, error) };
        if status == Status::OK {
            batch.struct_size = size_of::<abi::Batch>() as u32;
            // SAFETY: the plugin has filled it in, and no other call is made before it is read.
            self.read = Some(unsafe { imported::read_by_source(&raw const batch, self.event_size) });
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
        // SAFETY: the caller guarantees it, and the arguments live until the operation ends.
        unsafe { (self.function)(this, Str::new(&self.partition), Buf::new(self.position.as_bytes()), error) }
    }
}
