//! A filter behind the border: a plain function, or one that waits.

use std::collections::BTreeMap;
use std::ffi::c_void;

use tidegate_abi::{self as abi, Status};

use super::call::{self, Answer, Instance, Refusal};
use super::describe::Facts;
use super::given::{self, Lineage, Names};
use super::life::Life;
use super::link::Link;
use super::spelled::Spelled;
use super::work::{Work, drive};
use crate::erased::ErasedAsyncFilter;
use crate::{Batch, Cx, Error, Filter, Output, Position};

type Boxed = Box<dyn ErasedAsyncFilter>;
type Processed = (Batch, Output, Result<(), Error>);

/// A filter, and what it is about.
pub(super) struct State {
    kind: Kind,
    names: Names,
    spelled: Spelled,
}

enum Kind {
    Plain(Box<dyn Filter>),
    Waiting(Waiting),
}

struct Waiting {
    filter: Option<Boxed>,
    cx: Cx,
    opening: Option<Work<Boxed, Result<(), Error>>>,
    processing: Option<Work<Boxed, Processed>>,
    closing: Option<Work<Boxed, Result<(), Error>>>,
}

impl State {
    pub(super) fn plain(filter: Box<dyn Filter>) -> Self {
        Self::new(Kind::Plain(filter))
    }

    pub(super) fn waiting(filter: Boxed, cx: Cx) -> Self {
        let filter = Some(filter);
        Self::new(Kind::Waiting(Waiting { filter, cx, opening: None, processing: None, closing: None }))
    }

    fn new(kind: Kind) -> Self {
        Self { kind, names: Names::default(), spelled: Spelled::default() }
    }

    /// # Safety
    /// As [`given::batch`], until the operation has ended; `out` is valid for the call.
    unsafe fn process(&mut self, link: &Link, batch: *const abi::Batch, out: &abi::Out) -> Answer {
        let (given, output) = match &mut self.kind {
            Kind::Plain(filter) => {
                // SAFETY: as the caller promises.
                let given = unsafe { given::batch(batch, &mut self.names, Lineage::AtHand) };
                let mut output = Output::new();
                filter.process(&given, &mut output)?;
                (given, output)
            }
            Kind::Waiting(waiting) => {
                let resumable = out.leave_from.is_some();
                // SAFETY: as the caller promises; it is read when the operation begins.
                let given = || unsafe { given::batch(batch, &mut self.names, Lineage::AtHand) };
                waiting.process(link, given, resumable)?
            }
        };
        // SAFETY: as the caller promises.
        unsafe { self.put_out(&given, output, out) }
    }

    /// # Safety
    /// `out` is valid for the call.
    unsafe fn put_out(&mut self, given: &Batch, mut output: Output, out: &abi::Out) -> Answer {
        let left = output.take_left();
        let (emitted, rejected) = output.take();
        for (port, batch) in emitted {
            let spelled = self.spelled.emitted(&batch, given)?;
            // SAFETY: what the batch points to lives until the next one is spelled.
            taken(out.emit.map(|emit| unsafe { emit(out, u32::from(port), &raw const spelled) }))?;
        }
        for rejection in rejected {
            let event = u32::try_from(rejection.event).unwrap_or(u32::MAX);
            let why = abi::Error::new(Status::REJECT, &rejection.reason);
            // SAFETY: the error lives until the call returns.
            taken(out.reject.map(|reject| unsafe { reject(out, event, &raw const why) }))?;
        }
        if let Some(event) = left {
            // SAFETY: as the caller promises.
            taken(out.leave_from.map(|leave_from| unsafe { leave_from(out, event as u32) }))?;
        }
        Ok(Status::OK)
    }

    fn fork(&self) -> Option<Self> {
        match &self.kind {
            Kind::Plain(filter) => filter.fork().map(Self::plain),
            Kind::Waiting(_) => None,
        }
    }
}

/// The engine has said what is wrong with what it was given; the operation fails.
fn taken(status: Option<Status>) -> Result<(), Error> {
    match status {
        Some(Status::OK) => Ok(()),
        _ => Err(Error::fatal("the engine refused what the filter put out")),
    }
}

impl Waiting {
    fn process(
        &mut self,
        link: &Link,
        given: impl FnOnce() -> Batch,
        resumable: bool,
    ) -> Result<(Batch, Output), Refusal> {
        let cx = &self.cx;
        let (given, output, result) = drive(link, &mut self.filter, &mut self.processing, |mut filter| {
            let (cx, given) = (cx.clone(), given());
            let mut output = if resumable { Output::resumable() } else { Output::new() };
            Box::pin(async move {
                let result = filter.process(&given, &mut output, &cx).await;
                (filter, (given, output, result))
            })
        })?;
        result?;
        Ok((given, output))
    }
}

impl Life for State {
    fn describe(&mut self, facts: &mut Facts) {
        match &self.kind {
            Kind::Plain(filter) => {
                filter.outputs().iter().for_each(|name| facts.output(name));
                filter.explain().iter().for_each(|text| facts.explain(text));
            }
            Kind::Waiting(_) => facts.waits(),
        }
    }

    fn open(&mut self, link: &Link, _resume: BTreeMap<String, Position>) -> Answer {
        let Kind::Waiting(Waiting { filter, cx, opening, .. }) = &mut self.kind else {
            return Ok(Status::OK);
        };
        drive(link, filter, opening, |mut filter| {
            let cx = cx.clone();
            Box::pin(async move {
                let opened = filter.open(&cx).await;
                (filter, opened)
            })
        })??;
        Ok(Status::OK)
    }

    fn close(&mut self, link: &Link) -> Answer {
        let Kind::Waiting(Waiting { filter, cx, closing, .. }) = &mut self.kind else {
            return Ok(Status::OK);
        };
        drive(link, filter, closing, |mut filter| {
            let cx = cx.clone();
            Box::pin(async move {
                let closed = filter.close(&cx).await;
                cx.tasks().joined().await;
                (filter, closed)
            })
        })??;
        Ok(Status::OK)
    }
}

/// The functions of filters.
pub(super) static OPS: abi::Filter = abi::Filter {
    struct_size: size_of::<abi::Filter>() as u32,
    reserved: 0,
    route: None,
    process: Some(process),
    fork: Some(fork),
};

// SAFETY, of all below: the engine calls them with an instance of a filter, and with what the header says.

unsafe extern "C" fn process(
    this: *mut c_void,
    batch: *const abi::Batch,
    out: *const abi::Out,
    error: *mut abi::Error,
) -> Status {
    // SAFETY: as above.
    unsafe { call::call::<State>(this, error, |link, state| state.process(link, batch, &*out)) }
}

unsafe extern "C" fn fork(
    this: *mut c_void,
    inst: u64,
    other: *mut *mut c_void,
    error: *mut abi::Error,
) -> Status {
    // SAFETY: as above.
    unsafe {
        call::call::<State>(this, error, |link, state| {
            let forked = state.fork().ok_or(Status::UNSUPPORTED)?;
            *other = Instance::hand_over(link.fork(inst), forked);
            Ok(Status::OK)
        })
    }
}
