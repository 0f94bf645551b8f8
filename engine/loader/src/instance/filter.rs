//! A filter of a library in this process.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::panic::AssertUnwindSafe;

use tidegate_abi::{self as abi, Out, PORT_DROP, PORT_REJECTED, Status};
use tidegate_sdk::{AsyncFilter, Attempt, Batch, Cx, Error, Filter, Output, Port, async_trait};

use crate::boundary::exported::ExportedBatch;
use crate::boundary::imported;
use crate::factory::broke_contract;
use crate::host_table::Slot;
use crate::instance::lifecycle::{Close, Open};
use crate::instance::state::{Restore, Save};
use crate::instance::{Call, Instance};

/// A filter whose calls are awaited.
pub(crate) struct LibraryFilter {
    instance: Instance,
    /// Number of its outputs, including the main output.
    outputs: usize,
}

impl LibraryFilter {
    pub(crate) fn new(instance: Instance, outputs: usize) -> Self {
        Self { instance, outputs: outputs + 1 }
    }

    fn call(&self, batch: &Batch, resumable: bool, attempt: Attempt) -> Result<Box<Process>, Error> {
        // SAFETY: the first field of `Out` is its size.
        let mut out: Out = unsafe { abi::sized() };
        (out.attempt, out.is_last_attempt) = (attempt.number, attempt.last.into());
        Ok(Box::new(Process {
            filter: *self.instance.core().tables.filter(),
            exported: ExportedBatch::new(batch)?,
            out,
            ports: Vec::new(),
            collected: Collected {
                output: Output::new(batch),
                resumable,
                deferred: None,
                broken: None,
                outputs: self.outputs,
            },
            rejected: vec![false; batch.len()],
        }))
    }
}

#[async_trait]
impl AsyncFilter for LibraryFilter {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        let open = Open::of(&self.instance, &BTreeMap::new());
        self.instance.perform(Slot::Work, cx, open).await.map(drop)
    }

    async fn process(&mut self, batch: &Batch, out: &mut Output, cx: &Cx) -> Result<(), Error> {
        let call = self.call(batch, out.is_resumable(), out.attempt())?;
        let (call, _) = self.instance.perform(Slot::Work, cx, call).await?;
        call.finish(out)
    }

    async fn save(&mut self, cx: &Cx) -> Result<Option<Vec<u8>>, Error> {
        let (call, _) = self.instance.perform(Slot::Work, cx, Save::of(&self.instance)).await?;
        call.result()
    }

    async fn restore(&mut self, state: &[u8], cx: &Cx) -> Result<(), Error> {
        let call = Restore::of(&self.instance, state);
        let (call, _) = self.instance.perform(Slot::Work, cx, call).await?;
        call.result()
    }

    async fn close(&mut self, cx: &Cx) -> Result<(), Error> {
        self.instance.perform(Slot::Work, cx, Close::of(&self.instance)).await.map(drop)
    }
}

/// A filter whose calls return at once.
pub(crate) struct LibraryPlainFilter(pub(crate) LibraryFilter);

impl Filter for LibraryPlainFilter {
    fn process(&mut self, batch: &Batch, out: &mut Output) -> Result<(), Error> {
        self.0.instance.call_plain(self.0.call(batch, false, out.attempt())?)?.finish(out)
    }

    fn save(&mut self) -> Result<Option<Vec<u8>>, Error> {
        self.0.instance.call_plain(Save::of(&self.0.instance))?.result()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Error> {
        self.0.instance.call_plain(Restore::of(&self.0.instance, state))?.result()
    }
}

/// `route`, or `process`.
struct Process {
    filter: abi::Filter,
    exported: ExportedBatch,
    out: Out,
    ports: Vec<u16>,
    collected: Collected,
    /// For `route`: which events were rejected through `out`.
    rejected: Vec<bool>,
}

// SAFETY: the pointers of `out` point to the call itself, which is boxed.
unsafe impl Send for Process {}

/// The output so far.
struct Collected {
    output: Output,
    resumable: bool,
    deferred: Option<u32>,
    broken: Option<String>,
    outputs: usize,
}

impl Call for Box<Process> {
    const NAME: &'static str = "process";

    unsafe fn run(&mut self, this: *mut c_void, error: &mut abi::Error) -> Status {
        self.out.ctx = (&raw mut **self).cast();
        self.out.emit = Some(emit);
        self.out.reject = Some(reject);
        self.out.defer_from = Some(defer_from);
        let (table, out) = (self.exported.table(), &raw const self.out);
        match (self.filter.route, self.filter.process) {
            (Some(route), _) => {
                self.ports = vec![PORT_DROP; self.rejected.len()];
                let ports = self.ports.as_mut_ptr();
                // SAFETY: the caller guarantees it; there is a port for each event.
                unsafe { route(this, table, ports, out, error) }
            }
            // SAFETY: the caller guarantees it, and the arguments live until the operation ends.
            (None, Some(process)) => unsafe { process(this, table, out, error) },
            (None, None) => Status::FATAL,
        }
    }
}

impl Process {
    /// Adds the result of the call to `out`.
    fn finish(mut self: Box<Self>, out: &mut Output) -> Result<(), Error> {
        if let Some(why) = self.collected.broken.take() {
            return Err(broke_contract(why));
        }
        self.exported.sound().map_err(broke_contract)?;
        if !self.ports.is_empty() {
            self.routed().map_err(broke_contract)?;
        }
        let Collected { mut output, deferred, .. } = self.collected;
        let (emitted, rejected) = output.take();
        emitted.into_iter().for_each(|(port, batch)| out.emit_to(port, batch));
        rejected.into_iter().for_each(|one| out.reject(one.event, one.reason));
        if let Some(deferred) = deferred {
            // The filter knows whether `out` is resumable.
            let _ = out.defer_from(deferred as usize);
        }
        Ok(())
    }

    /// Emits each event to the output that `route` has set.
    fn routed(&mut self) -> Result<(), String> {
        let batch = &self.exported.shared().batch;
        let mut first = None;
        for (event, port) in self.ports.iter().enumerate() {
            match *port {
                PORT_DROP => {}
                PORT_REJECTED if self.rejected[event] => {}
                PORT_REJECTED => return Err(format!("event {event} is rejected without a reason")),
                port if usize::from(port) >= self.collected.outputs => {
                    return Err(format!("there is no output {port} of {}", self.collected.outputs));
                }
                port => first = first.or(Some(port)),
            }
        }
        // All events go to one output, as in a filter that only keeps or drops.
        let Some(first) = first else { return Ok(()) };
        if self.ports.iter().all(|port| *port == first) {
            self.collected.output.emit_to(first, batch.clone());
            return Ok(());
        }
        for output in 0..self.collected.outputs as Port {
            let events = self.ports.iter().enumerate().filter(|(_, port)| **port == output);
            let chosen = batch.select(events.map(|(event, _)| event));
            self.collected.output.emit_to(output, chosen);
        }
        Ok(())
    }
}

/// Runs a callback: records its error, and keeps a panic from crossing the ABI.
///
/// # Safety
/// `out` is the argument of `process` or `route`, and the callback is made during that call.
unsafe fn back(out: *const Out, work: impl FnOnce(&mut Process) -> Result<(), String>) -> Status {
    // SAFETY: its context is the call, which no other code accesses meanwhile.
    let Some(process) = (unsafe { out.as_ref().and_then(|out| out.ctx.cast::<Process>().as_mut()) }) else {
        return Status::FATAL;
    };
    let answer = std::panic::catch_unwind(AssertUnwindSafe(|| work(process)));
    match answer.unwrap_or_else(|_| Err("the output could not be processed".into())) {
        Ok(()) => Status::OK,
        Err(why) => {
            process.collected.broken.get_or_insert(why);
            Status::FATAL
        }
    }
}

unsafe extern "C" fn emit(out: *const Out, port: u32, batch: *const abi::Batch) -> Status {
    // SAFETY: the plugin passes the struct that it received, and a batch of its own.
    unsafe {
        back(out, |process| {
            let imported = imported::emitted(process.exported.shared(), batch)?;
            let outputs = process.collected.outputs;
            if port as usize >= outputs {
                return Err(format!("there is no output {port} of {outputs}"));
            }
            process.collected.output.emit_to(port as Port, imported);
            Ok(())
        })
    }
}

unsafe extern "C" fn reject(out: *const Out, event: u32, why: *const abi::Error) -> Status {
    // SAFETY: the plugin passes the struct that it received, and an error of its own.
    unsafe {
        back(out, |process| {
            let reason = why.as_ref().map(abi::Error::message).unwrap_or_default();
            match process.rejected.get_mut(event as usize) {
                Some(rejected) if !*rejected => *rejected = true,
                Some(_) => return Err(format!("event {event} is rejected twice")),
                None => return Err(format!("there is no event {event} to reject")),
            }
            process.collected.output.reject(event as usize, reason);
            Ok(())
        })
    }
}

unsafe extern "C" fn defer_from(out: *const Out, event: u32) -> Status {
    let mut can = false;
    // SAFETY: the plugin passes the struct that it received.
    let status = unsafe {
        back(out, |process| {
            can = process.collected.resumable;
            if can && !(1..process.rejected.len()).contains(&(event as usize)) {
                return Err(format!("event {event} cannot be the first deferred event"));
            }
            process.collected.deferred = can.then_some(event);
            Ok(())
        })
    };
    match (status, can) {
        (Status::OK, false) => Status::UNSUPPORTED,
        (status, _) => status,
    }
}
