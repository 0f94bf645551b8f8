//! An exported filter: a plain function, or one that waits.

mod state;

use std::ffi::{CStr, c_void};

use tidegate_abi::{self as abi, Status};
use tidegate_codec::Names;

use crate::batch::decode;
use crate::batch::encode::Encoded;
use crate::call::{self, Answer, Refusal};
use crate::capabilities::Capabilities;
use crate::lifecycle::{Life, Opening};
use crate::link::Link;
use crate::operation::{Work, drive};
use tidegate_sdk::{AsyncFilter, Attempt, Batch, Cx, Error, Filter, Output, Rejection};

type Boxed = Box<dyn AsyncFilter>;
/// The state of a filter, if it has one.
type Saved = Result<Option<Vec<u8>>, Error>;
type Processed = Result<(Batch, Batch, Output), Error>;

/// The state of a filter's instance.
pub(crate) struct State {
    kind: Kind,
    names: Names,
    encoder: Encoded,
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
    saving: Option<Work<Boxed, Saved>>,
    restoring: Option<Work<Boxed, Result<(), Error>>>,
    /// The input and its deferred part, if that is processed in the same operation.
    rest: Option<(Batch, Batch)>,
}

impl State {
    pub(crate) fn plain(filter: Box<dyn Filter>) -> Self {
        Self::new(Kind::Plain(filter))
    }

    pub(crate) fn waiting(filter: Boxed, cx: Cx) -> Self {
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
        Self { kind, names: Names::default(), encoder: Encoded::default() }
    }

    /// # Safety
    /// As [`decode::batch`], until the operation has ended; `out` is valid for the call.
    unsafe fn process(&mut self, link: &Link, batch: *const abi::Batch, out: &abi::Out) -> Answer {
        let Self { kind, names, encoder } = self;
        // SAFETY: the caller guarantees it; it is read when the operation begins.
        let mut given = || unsafe { decode::batch(batch, names) };
        match kind {
            Kind::Plain(filter) => {
                let given = given()?;
                let mut output = Output::new(&given).in_attempt(attempt(out));
                filter.process(&given, &mut output)?;
                output.check()?;
                emit(&given, &given, output, encoder, out)?;
            }
            Kind::Waiting(waiting) => loop {
                let (given, part, output) = waiting.process(link, &mut given, out)?;
                let Some(left) = emit(&given, &part, output, encoder, out)? else { break };
                let rest = part.select(left..part.len());
                waiting.rest = Some((given, rest));
            },
        }
        Ok(Status::OK)
    }
}

/// Emits the output of a filter for `part`, which is all or the end of the input. Returns the first deferred event of
/// `part` if the engine does not support deferring.
fn emit(
    given: &Batch,
    part: &Batch,
    mut output: Output,
    encoder: &mut Encoded,
    out: &abi::Out,
) -> Result<Option<usize>, Error> {
    let index = |event: usize| if event < part.len() { part.input_index(event) } else { u32::MAX };
    let left = output.take_deferred().filter(|left| (1..part.len()).contains(left));
    let (emitted, rejected) = output.take();
    for (port, batch) in emitted {
        let batch = encoder.filter_batch(&batch, given)?;
        // SAFETY: the memory of the batch lives until the next batch is encoded.
        taken(out.emit.map(|emit| unsafe { emit(out, u32::from(port), &raw const batch) }))?;
    }
    for Rejection { event, reason } in rejected {
        let why = abi::Error::new(Status::REJECT, &reason);
        // SAFETY: the error lives until the call returns.
        taken(out.reject.map(|reject| unsafe { reject(out, index(event), &raw const why) }))?;
    }
    let Some(event) = left else { return Ok(None) };
    // SAFETY: `out` is valid for the call.
    match out.defer_from.map(|defer_from| unsafe { defer_from(out, index(event)) }) {
        Some(Status::UNSUPPORTED) => Ok(Some(event)),
        status => taken(status).map(|()| None),
    }
}

/// The number of this operation with its batch.
fn attempt(out: &abi::Out) -> Attempt {
    Attempt { number: out.attempt.max(1), last: out.is_last_attempt != 0 }
}

/// Fails if the engine refused the output; it has recorded the reason.
fn taken(status: Option<Status>) -> Result<(), Error> {
    match status {
        Some(Status::OK) => Ok(()),
        _ => Err(Error::fatal("the engine refused the output of the filter")),
    }
}

impl Waiting {
    /// Returns the input, the part of it that is processed now, and the output.
    fn process(
        &mut self,
        link: &Link,
        given: &mut impl FnMut() -> Result<Batch, Error>,
        out: &abi::Out,
    ) -> Result<(Batch, Batch, Output), Refusal> {
        let (resumable, attempt) = (out.defer_from.is_some(), attempt(out));
        let Self { filter, cx, processing, rest, .. } = self;
        let processed = drive(link, filter, processing, |mut filter| {
            let cx = cx.clone();
            let input = match rest.take() {
                Some((given, rest)) => {
                    let output = Output::new(&rest).in_attempt(attempt);
                    Ok((given, rest, output))
                }
                None => given().map(|given| {
                    let output = Output::new(&given).resumable_if(resumable).in_attempt(attempt);
                    (given.clone(), given, output)
                }),
            };
            Box::pin(async move {
                let processed = match input {
                    Ok((given, part, mut output)) => {
                        let result = filter.process(&part, &mut output, &cx).await;
                        result.and_then(|()| output.check()).map(|()| (given, part, output))
                    }
                    Err(error) => Err(error),
                };
                (filter, processed)
            })
        })?;
        Ok(processed?)
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
pub(crate) static OPS: abi::Filter = abi::Filter {
    struct_size: size_of::<abi::Filter>() as u32,
    reserved: 0,
    route: None,
    process: Some(process),
};

// SAFETY, of all below: the engine passes an instance of a filter and valid arguments.

unsafe extern "C" fn process(
    this: *mut c_void,
    batch: *const abi::Batch,
    out: *const abi::Out,
    error: *mut abi::Error,
) -> Status {
    // SAFETY: as above.
    unsafe { call::call::<State>(this, error, |link, state| state.process(link, batch, &*out)) }
}
