//! A filter behind the border: a plain function, or one that waits.

mod state;

use std::ffi::{CStr, c_void};

use tidegate_abi::{self as abi, Status};

use super::call::{self, Answer, Refusal};
use super::capabilities::Capabilities;
use super::decode::{self, Lineage, Names};
use super::encode::Spelled;
use super::lifecycle::{Life, Opening};
use super::link::Link;
use super::operation::{Work, drive};
use tidegate_sdk::erased::ErasedAsyncFilter;
use tidegate_sdk::{Batch, Cx, Error, Filter, Output, Rejection};

type Boxed = Box<dyn ErasedAsyncFilter>;
type Processed = (Batch, Batch, Output, Result<(), Error>);

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
    saving: Option<Work<Boxed, Option<Vec<u8>>>>,
    restoring: Option<Work<Boxed, Result<(), String>>>,
    /// The batch at hand and what the filter has left of it, if that is to be dealt with in the same operation.
    rest: Option<(Batch, Batch)>,
}

impl State {
    pub(super) fn plain(filter: Box<dyn Filter>) -> Self {
        Self::new(Kind::Plain(filter))
    }

    pub(super) fn waiting(filter: Boxed, cx: Cx) -> Self {
        let filter = Some(filter);
        Self::new(Kind::Waiting(Waiting {
            filter,
            cx,
            opening: None,
            processing: None,
            closing: None,
            saving: None,
            restoring: None,
            rest: None,
        }))
    }

    fn new(kind: Kind) -> Self {
        Self { kind, names: Names::default(), spelled: Spelled::default() }
    }

    /// # Safety
    /// As [`decode::batch`], until the operation has ended; `out` is valid for the call.
    unsafe fn process(&mut self, link: &Link, batch: *const abi::Batch, out: &abi::Out) -> Answer {
        let Self { kind, names, spelled } = self;
        // SAFETY: the caller guarantees it; it is read when the operation begins.
        let mut given = || unsafe { decode::batch(batch, names, Lineage::AtHand) };
        match kind {
            Kind::Plain(filter) => {
                let (given, mut output) = (given(), Output::new());
                filter.process(&given, &mut output)?;
                put_out(&given, &given, output, spelled, out)?;
            }
            Kind::Waiting(waiting) => loop {
                let (given, part, output) = waiting.process(link, &mut given, out.defer_from.is_some())?;
                let Some(left) = put_out(&given, &part, output, spelled, out)? else { break };
                let rest = part.select(left..part.len());
                waiting.rest = Some((given, rest));
            },
        }
        Ok(Status::OK)
    }
}

/// Hands over what a filter made of `part`, which is all or the end of the batch that was given. Returns the first
/// event of `part` that the filter has left and the engine does not want to come back to.
fn put_out(
    given: &Batch,
    part: &Batch,
    mut output: Output,
    spelled: &mut Spelled,
    out: &abi::Out,
) -> Result<Option<usize>, Error> {
    let index = |event: usize| if event < part.len() { part.input_index(event) } else { u32::MAX };
    let left = output.take_left().filter(|left| (1..part.len()).contains(left));
    let (emitted, rejected) = output.take();
    for (port, batch) in emitted {
        let batch = spelled.emitted(&batch, given)?;
        // SAFETY: what the batch points to lives until the next one is spelled.
        taken(out.emit.map(|emit| unsafe { emit(out, u32::from(port), &raw const batch) }))?;
    }
    for Rejection { event, reason } in rejected {
        let why = abi::Error::new(Status::REJECT, &reason);
        // SAFETY: the error lives until the call returns.
        taken(out.reject.map(|reject| unsafe { reject(out, index(event), &raw const why) }))?;
    }
    let Some(event) = left else { return Ok(None) };
    // SAFETY: `out` is valid for the call, as all of the functions of the border are promised.
    match out.defer_from.map(|leave_from| unsafe { leave_from(out, index(event)) }) {
        Some(Status::UNSUPPORTED) => Ok(Some(event)),
        status => taken(status).map(|()| None),
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
    /// The batch that was given, the part of it that is dealt with now, and what came of that.
    fn process(
        &mut self,
        link: &Link,
        given: &mut impl FnMut() -> Batch,
        resumable: bool,
    ) -> Result<(Batch, Batch, Output), Refusal> {
        let Self { filter, cx, processing, rest, .. } = self;
        let (given, part, output, result) = drive(link, filter, processing, |mut filter| {
            let cx = cx.clone();
            let (given, part, mut output) = match rest.take() {
                Some((given, rest)) => (given, rest, Output::new()),
                None => {
                    let given = given();
                    let output = if resumable { Output::resumable() } else { Output::new() };
                    (given.clone(), given, output)
                }
            };
            Box::pin(async move {
                let result = filter.process(&part, &mut output, &cx).await;
                (filter, (given, part, output, result))
            })
        })?;
        result?;
        Ok((given, part, output))
    }
}

impl Life for State {
    fn describe(&mut self, capabilities: &mut Capabilities) {
        match &self.kind {
            Kind::Plain(filter) => {
                filter.outputs().iter().for_each(|name| capabilities.output(name));
                filter.explain().iter().for_each(|text| capabilities.explain(text));
                capabilities.exclusive(&filter.exclusive());
                capabilities.warnings(&filter.warnings());
                capabilities.parallel(filter.fork().is_some());
            }
            Kind::Waiting(Waiting { filter, .. }) => {
                capabilities.waits();
                if let Some(filter) = filter {
                    capabilities.parallel(filter.fork().is_some());
                    filter.outputs().iter().for_each(|name| capabilities.output(name));
                    filter.explain().iter().for_each(|text| capabilities.explain(text));
                    capabilities.exclusive(&filter.exclusive());
                    capabilities.warnings(&filter.warnings());
                }
            }
        }
    }

    fn open(&mut self, link: &Link, _: Opening) -> Answer {
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

    fn extension(id: &CStr) -> *const c_void {
        if id == abi::STATE { (&raw const state::OPS).cast() } else { std::ptr::null() }
    }
}

/// The functions of filters.
pub(super) static OPS: abi::Filter = abi::Filter {
    struct_size: size_of::<abi::Filter>() as u32,
    reserved: 0,
    route: None,
    process: Some(process),
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
