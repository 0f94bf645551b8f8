//! An exported sink.

use std::collections::{BTreeMap, HashMap};
use std::ffi::c_void;

use tidegate_abi::{self as abi, Buf, Status, Str};
use tidegate_codec::Names;

use crate::batch::decode::{self, position};
use crate::call::{self, Answer, error_of};
use crate::capabilities::Capabilities;
use crate::lifecycle::{Life, Opening};
use crate::link::{Link, text};
use crate::operation::{Work, drive};
use tidegate_sdk::{AckHandles, Claim, Cx, Delivery, Error, Lane, Record, Rejection, Sink};

type Boxed = Box<dyn Sink>;
type Lanes = BTreeMap<Lane, Record>;

/// The state of a sink's instance.
pub(crate) struct State {
    sink: Option<Boxed>,
    cx: Cx,
    names: Names,
    opening: Option<Work<Boxed, Result<(), Error>>>,
    writing: Option<Work<Boxed, Result<Delivery, Error>>>,
    claiming: Option<Work<Boxed, Result<Lanes, Error>>>,
    committing: Option<Work<Boxed, Result<Delivery, Error>>>,
    acknowledging: Option<Work<Boxed, Result<Delivery, Error>>>,
    closing: Option<Work<Boxed, Result<(), Error>>>,
}

impl State {
    pub(crate) fn new(sink: Boxed, cx: Cx) -> Self {
        Self {
            sink: Some(sink),
            cx,
            names: Names::default(),
            opening: None,
            writing: None,
            claiming: None,
            committing: None,
            acknowledging: None,
            closing: None,
        }
    }

    /// # Safety
    /// As [`decode::batch`], until the operation has ended; `report` is valid for the call.
    unsafe fn write(&mut self, link: &Link, batch: *const abi::Batch, report: *const abi::Report) -> Answer {
        let (cx, names) = (&self.cx, &mut self.names);
        let delivery = drive(link, &mut self.sink, &mut self.writing, |mut sink| {
            // SAFETY: the caller guarantees it.
            let given = unsafe { decode::batch(batch, names) };
            let cx = cx.clone();
            Box::pin(async move {
                let written = match given {
                    Ok(given) => sink.write(&given, &cx).await,
                    Err(error) => Err(error),
                };
                (sink, written)
            })
        })??;
        // SAFETY: the caller guarantees it.
        unsafe { report_delivery(delivery, report) }
    }

    fn claim(&mut self, link: &Link, claim: impl FnOnce() -> Claim) -> Result<Lanes, call::Refusal> {
        let cx = &self.cx;
        let lanes = drive(link, &mut self.sink, &mut self.claiming, |mut sink| {
            let (cx, claim) = (cx.clone(), claim());
            Box::pin(async move {
                let claimed = match sink.transactional() {
                    Ok(transactional) => transactional.claim(&claim, &cx).await,
                    Err(error) => Err(error),
                };
                (sink, claimed)
            })
        })??;
        Ok(lanes)
    }

    /// # Safety
    /// As [`write`](Self::write).
    unsafe fn commit(
        &mut self,
        link: &Link,
        batch: *const abi::Batch,
        record: impl FnOnce() -> (Lane, Record),
        report: *const abi::Report,
    ) -> Answer {
        let (cx, names) = (&self.cx, &mut self.names);
        let delivery = drive(link, &mut self.sink, &mut self.committing, |mut sink| {
            // SAFETY: the caller guarantees it.
            let given = unsafe { decode::batch(batch, names) };
            let (cx, (lane, record)) = (cx.clone(), record());
            Box::pin(async move {
                let committed = match given.and_then(|given| Ok((given, sink.transactional()?))) {
                    Ok((given, sink)) => sink.commit(&given, &lane, &record, &cx).await,
                    Err(error) => Err(error),
                };
                (sink, committed)
            })
        })??;
        // SAFETY: the caller guarantees it.
        unsafe { report_delivery(delivery, report) }
    }

    /// # Safety
    /// As [`write`](Self::write).
    unsafe fn acknowledge(
        &mut self,
        link: &Link,
        batch: *const abi::Batch,
        handles: impl FnOnce() -> Result<AckHandles, Error>,
        report: *const abi::Report,
    ) -> Answer {
        let (cx, names) = (&self.cx, &mut self.names);
        let delivery = drive(link, &mut self.sink, &mut self.acknowledging, |mut sink| {
            // SAFETY: the caller guarantees it.
            let given = unsafe { decode::batch(batch, names) };
            let (cx, handles) = (cx.clone(), handles());
            Box::pin(async move {
                let decoded = given.and_then(|given| Ok((given, handles?, sink.acknowledging()?)));
                let written = match decoded {
                    Ok((given, handles, sink)) => sink.ack_and_write(&given, &handles, &cx).await,
                    Err(error) => Err(error),
                };
                (sink, written)
            })
        })??;
        // SAFETY: the caller guarantees it.
        unsafe {
            report_already_done(&delivery, report)?;
            report_delivery(delivery, report)
        }
    }
}

/// # Safety
/// `report` is valid for the call.
unsafe fn report_already_done(delivery: &Delivery, report: *const abi::Report) -> Result<(), Error> {
    // SAFETY: the caller guarantees it.
    let table = unsafe { abi::read(report) };
    let mut events = delivery.events_already_done().to_vec();
    events.sort_unstable();
    for event in events {
        // SAFETY: the function belongs to the report.
        taken(table.already_done.map(|already_done| unsafe { already_done(report, index(event)) }))?;
    }
    Ok(())
}

/// # Safety
/// `report` is valid for the call.
unsafe fn report_delivery(mut delivery: Delivery, report: *const abi::Report) -> Answer {
    let failed: HashMap<usize, String> = delivery.take_failed().into_iter().collect();
    let (rejected, again) = delivery.into_parts();
    // SAFETY: the caller guarantees it.
    let table = unsafe { abi::read(report) };
    for Rejection { event, reason } in rejected {
        let why = abi::Error::new(Status::REJECT, &reason);
        // SAFETY: the error lives until the call returns.
        taken(table.reject.map(|reject| unsafe { reject(report, index(event), &raw const why) }))?;
    }
    if let Some((events, error)) = again {
        let why = error_of(&error);
        for event in events {
            // SAFETY: the error lives until the call returns, here and below.
            let status = match (failed.get(&event), table.failed) {
                (Some(reason), Some(failed)) => {
                    let why = error_of(&error.clone().with_message(reason));
                    // SAFETY: as above.
                    Some(unsafe { failed(report, index(event), &raw const why) })
                }
                // SAFETY: as above.
                _ => table.retry.map(|retry| unsafe { retry(report, index(event), &raw const why) }),
            };
            taken(status)?;
        }
    }
    Ok(Status::OK)
}

/// The index for the engine, which refuses one that is out of range.
fn index(event: usize) -> u32 {
    u32::try_from(event).unwrap_or(u32::MAX)
}

/// Fails if the engine refused the report; it has recorded the reason.
fn taken(status: Option<Status>) -> Result<(), Error> {
    match status {
        Some(Status::OK) => Ok(()),
        _ => Err(Error::fatal("the engine refused the report of the sink")),
    }
}

impl Life for State {
    fn describe(&mut self, capabilities: &mut Capabilities) {
        if let Some(sink) = &mut self.sink {
            capabilities.transactional(sink.transactional().map(drop));
            capabilities.parallel(sink.fork().is_some());
            capabilities.transaction_domain(sink.acknowledging().map(|sink| sink.transaction_domain()));
            capabilities.exclusive(&sink.exclusive());
            capabilities.warnings(&sink.warnings());
        }
    }

    fn open(&mut self, link: &Link, _: Opening) -> Answer {
        let cx = &self.cx;
        drive(link, &mut self.sink, &mut self.opening, |mut sink| {
            let cx = cx.clone();
            Box::pin(async move {
                let opened = sink.open(&cx).await;
                (sink, opened)
            })
        })??;
        Ok(Status::OK)
    }

    fn close(&mut self, link: &Link) -> Answer {
        let cx = &self.cx;
        drive(link, &mut self.sink, &mut self.closing, |mut sink| {
            let cx = cx.clone();
            Box::pin(async move {
                let closed = sink.close(&cx).await;
                cx.tasks().joined().await;
                (sink, closed)
            })
        })??;
        Ok(Status::OK)
    }
}

/// The functions of sinks.
pub(crate) static OPS: abi::Sink = abi::Sink {
    struct_size: size_of::<abi::Sink>() as u32,
    reserved: 0,
    write: Some(write),
    claim: Some(claim),
    commit: Some(commit),
    ack_and_write: Some(ack_and_write),
};

// SAFETY, of all below: the engine passes an instance of a sink and valid arguments.

unsafe extern "C" fn write(
    this: *mut c_void,
    batch: *const abi::Batch,
    report: *const abi::Report,
    error: *mut abi::Error,
) -> Status {
    // SAFETY: as above.
    unsafe { call::call::<State>(this, error, |link, state| state.write(link, batch, report)) }
}

unsafe extern "C" fn claim(
    this: *mut c_void,
    claim: *const abi::Claim,
    records: *const abi::Records,
    error: *mut abi::Error,
) -> Status {
    // SAFETY: as above.
    unsafe {
        call::call::<State>(this, error, |link, state| {
            let claimed = || {
                let abi::Claim { reset, pipeline, sink, .. } = *claim;
                Claim { pipeline: text(pipeline).into(), sink: text(sink).into(), reset: reset != 0 }
            };
            for (lane, record) in state.claim(link, claimed)? {
                let record = encode_record(&lane, &record);
                taken((*records).found.map(|found| found(records, &raw const record)))?;
            }
            Ok(Status::OK)
        })
    }
}

fn encode_record(lane: &Lane, record: &Record) -> abi::Record {
    abi::Record {
        struct_size: size_of::<abi::Record>() as u32,
        reserved: 0,
        source: Str::new(&lane.source),
        partition: Str::new(&lane.partition),
        position: record.position.as_ref().map_or(Buf::NONE, |position| Buf::new(position.as_bytes())),
        base: record.base,
        done: record.done,
    }
}

unsafe extern "C" fn commit(
    this: *mut c_void,
    batch: *const abi::Batch,
    record: *const abi::Record,
    report: *const abi::Report,
    error: *mut abi::Error,
) -> Status {
    // SAFETY: as above.
    unsafe {
        call::call::<State>(this, error, |link, state| {
            let lane = || {
                let abi::Record { source, partition, position: place, base, done, .. } = *record;
                let lane = Lane { source: text(source).into(), partition: text(partition).into() };
                (lane, Record { position: position(place), base, done })
            };
            state.commit(link, batch, lane, report)
        })
    }
}

unsafe extern "C" fn ack_and_write(
    this: *mut c_void,
    batch: *const abi::Batch,
    handles: *const abi::AckHandles,
    report: *const abi::Report,
    error: *mut abi::Error,
) -> Status {
    // SAFETY: as above.
    unsafe {
        call::call::<State>(this, error, |link, state| {
            state.acknowledge(link, batch, || decode::ack_handles(handles), report)
        })
    }
}
