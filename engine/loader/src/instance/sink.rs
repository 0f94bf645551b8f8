//! A sink of a library in this process.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::panic::AssertUnwindSafe;

use bytes::Bytes;
use tidegate_abi::{self as abi, Buf, Report, Status, Str};
use tidegate_codec::{EncodedHandles, text};
use tidegate_sdk::{
    AckHandles, AcknowledgingSink, Batch, Claim, Cx, Delivery, Error, Lane, Position, Record, Sink,
    TransactionalSink, async_trait,
};

use crate::boundary::exported::ExportedBatch;
use crate::factory::{Capabilities, broke_contract};
use crate::host_table::Slot;
use crate::instance::lifecycle::{Close, Open};
use crate::instance::{Call, Instance, passed_error};

/// The limit for the position of a record, in bytes.
const POSITION: u64 = 64 << 10;
/// The limit for records of a sink.
const LANES: usize = 1 << 20;

/// A sink.
pub(crate) struct LibrarySink {
    instance: Instance,
    capabilities: Capabilities,
}

impl LibrarySink {
    pub(crate) fn new(instance: Instance, capabilities: Capabilities) -> Self {
        Self { instance, capabilities }
    }
}

#[async_trait]
impl Sink for LibrarySink {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        let open = Open::of(&self.instance, &BTreeMap::new());
        self.instance.perform(Slot::Work, cx, open).await.map(drop)
    }

    async fn write(&mut self, batch: &Batch, cx: &Cx) -> Result<Delivery, Error> {
        let write = Write(Reported::new(batch, self.instance.core().tables.sink())?);
        let (call, _) = self.instance.perform(Slot::Work, cx, write).await?;
        call.0.delivery()
    }

    fn transactional(&mut self) -> Result<&mut dyn TransactionalSink, Error> {
        self.capabilities.is_transactional()?;
        Ok(self)
    }

    fn acknowledging(&mut self) -> Result<&mut dyn AcknowledgingSink, Error> {
        self.capabilities.is_acknowledging()?;
        Ok(self)
    }

    async fn close(&mut self, cx: &Cx) -> Result<(), Error> {
        self.instance.perform(Slot::Work, cx, Close::of(&self.instance)).await.map(drop)
    }
}

#[async_trait]
impl TransactionalSink for LibrarySink {
    async fn claim(&mut self, claim: &Claim, cx: &Cx) -> Result<BTreeMap<Lane, Record>, Error> {
        let call = Box::new(Claiming {
            function: self.instance.core().tables.sink().claim,
            claim: claim.clone(),
            // SAFETY: these begin with their size.
            claim_table: unsafe { abi::sized() },
            // SAFETY: as above.
            records: unsafe { abi::sized() },
            found: BTreeMap::new(),
            broken: None,
        });
        let (call, _) = self.instance.perform(Slot::Work, cx, call).await?;
        match call.broken {
            Some(why) => Err(broke_contract(why)),
            None => Ok(call.found),
        }
    }

    async fn commit(
        &mut self,
        batch: &Batch,
        lane: &Lane,
        record: &Record,
        cx: &Cx,
    ) -> Result<Delivery, Error> {
        let reported = Reported::new(batch, self.instance.core().tables.sink())?;
        // SAFETY: the first field of `Record` is its size.
        let table = unsafe { abi::sized() };
        let call = Commit { reported, lane: lane.clone(), record: record.clone(), table };
        let (call, _) = self.instance.perform(Slot::Work, cx, call).await?;
        call.reported.delivery()
    }
}

#[async_trait]
impl AcknowledgingSink for LibrarySink {
    fn transaction_domain(&self) -> String {
        self.capabilities.transaction_domain.clone().unwrap_or_default()
    }

    async fn ack_and_write(
        &mut self,
        batch: &Batch,
        handles: &AckHandles,
        cx: &Cx,
    ) -> Result<Delivery, Error> {
        let mut reported = Reported::new(batch, self.instance.core().tables.sink())?;
        reported.state.acknowledges = true;
        let call = AckAndWrite { reported, handles: EncodedHandles::new(handles) };
        let (call, _) = self.instance.perform(Slot::Work, cx, call).await?;
        call.reported.delivery()
    }
}

/// A batch for a sink, and the sink's report on it.
struct Reported {
    sink: abi::Sink,
    exported: ExportedBatch,
    state: Box<SinkReport>,
    report: Report,
}

// SAFETY: the pointers of `report` point to `state`, which is boxed.
unsafe impl Send for Reported {}

struct SinkReport {
    events: usize,
    delivery: Delivery,
    last: Option<u32>,
    last_done: Option<u32>,
    /// True if the operation is `ack_and_write`.
    acknowledges: bool,
    broken: Option<String>,
}

impl Reported {
    fn new(batch: &Batch, sink: &abi::Sink) -> Result<Self, Error> {
        let state = SinkReport {
            events: batch.len(),
            delivery: Delivery::complete(),
            last: None,
            last_done: None,
            acknowledges: false,
            broken: None,
        };
        // SAFETY: the first field of `Report` is its size.
        let report = unsafe { abi::sized() };
        Ok(Self { sink: *sink, exported: ExportedBatch::new(batch)?, state: Box::new(state), report })
    }

    fn report(&mut self) -> *const Report {
        self.report.ctx = (&raw mut *self.state).cast();
        self.report.reject = Some(reject);
        self.report.retry = Some(retry);
        self.report.failed = Some(failed);
        self.report.already_done = Some(already_done);
        &raw const self.report
    }

    fn delivery(self) -> Result<Delivery, Error> {
        self.exported.sound().map_err(broke_contract)?;
        match self.state.broken {
            Some(why) => Err(broke_contract(why)),
            None => Ok(self.state.delivery),
        }
    }
}

struct Write(Reported);

impl Call for Write {
    const NAME: &'static str = "write";

    unsafe fn run(&mut self, this: *mut c_void, error: &mut abi::Error) -> Status {
        let report = self.0.report();
        let function = self.0.sink.write.expect("the handshake has checked it");
        // SAFETY: the caller guarantees it, and the arguments live until the operation ends.
        unsafe { function(this, self.0.exported.table(), report, error) }
    }
}

struct Commit {
    reported: Reported,
    lane: Lane,
    record: Record,
    table: abi::Record,
}

// SAFETY: the pointers of `table` point to what the call itself holds.
unsafe impl Send for Commit {}

impl Call for Commit {
    const NAME: &'static str = "commit";

    unsafe fn run(&mut self, this: *mut c_void, error: &mut abi::Error) -> Status {
        let Some(function) = self.reported.sink.commit else { return Status::UNSUPPORTED };
        let report = self.reported.report();
        let position = self.record.position.as_ref();
        self.table = abi::Record {
            struct_size: size_of::<abi::Record>() as u32,
            reserved: 0,
            source: Str::new(&self.lane.source),
            partition: Str::new(&self.lane.partition),
            position: position.map_or(Buf::NONE, |position| Buf::new(position.as_bytes())),
            base: self.record.base,
            done: self.record.done,
        };
        let table = self.reported.exported.table();
        // SAFETY: the caller guarantees it, and the arguments live until the operation ends.
        unsafe { function(this, table, &raw const self.table, report, error) }
    }
}

struct AckAndWrite {
    reported: Reported,
    handles: EncodedHandles,
}

impl Call for AckAndWrite {
    const NAME: &'static str = "ack_and_write";

    unsafe fn run(&mut self, this: *mut c_void, error: &mut abi::Error) -> Status {
        let Some(function) = self.reported.sink.ack_and_write else { return Status::UNSUPPORTED };
        let report = self.reported.report();
        let (batch, handles) = (self.reported.exported.table(), self.handles.table());
        // SAFETY: the caller guarantees it, and the arguments live until the operation ends.
        unsafe { function(this, batch, handles, report, error) }
    }
}

struct Claiming {
    function: Option<
        unsafe extern "C" fn(*mut c_void, *const abi::Claim, *const abi::Records, *mut abi::Error) -> Status,
    >,
    claim: Claim,
    claim_table: abi::Claim,
    records: abi::Records,
    found: BTreeMap<Lane, Record>,
    broken: Option<String>,
}

// SAFETY: the pointers of the tables point to what the call itself holds, which is boxed.
unsafe impl Send for Claiming {}

impl Call for Box<Claiming> {
    const NAME: &'static str = "claim";

    unsafe fn run(&mut self, this: *mut c_void, error: &mut abi::Error) -> Status {
        let Some(function) = self.function else { return Status::UNSUPPORTED };
        self.records.ctx = (&raw mut **self).cast();
        self.records.found = Some(found);
        self.claim_table.reset = self.claim.reset.into();
        self.claim_table.pipeline = Str::new(&self.claim.pipeline);
        self.claim_table.sink = Str::new(&self.claim.sink);
        // SAFETY: the caller guarantees it, and the arguments live until the operation ends.
        unsafe { function(this, &raw const self.claim_table, &raw const self.records, error) }
    }
}

/// Runs a callback: records how it breaks the contract, and keeps a panic from crossing the ABI.
fn note(broken: &mut Option<String>, work: impl FnOnce() -> Result<(), String>) -> Status {
    let answer = std::panic::catch_unwind(AssertUnwindSafe(work));
    match answer.unwrap_or_else(|_| Err("the report could not be processed".into())) {
        Ok(()) => Status::OK,
        Err(why) => {
            broken.get_or_insert(why);
            Status::FATAL
        }
    }
}

/// The state of a report.
///
/// # Safety
/// `report` is the struct that the sink received. Its context is not accessed otherwise meanwhile.
unsafe fn state<'a>(report: *const Report) -> Option<&'a mut SinkReport> {
    // SAFETY: the caller guarantees it.
    unsafe { report.as_ref().and_then(|report| report.ctx.cast::<SinkReport>().as_mut()) }
}

unsafe extern "C" fn reject(report: *const Report, event: u32, why: *const abi::Error) -> Status {
    // SAFETY: the plugin passes the struct that it received, and an error of its own.
    let (state, why) = unsafe { (state(report), why.as_ref()) };
    let Some(SinkReport { events, delivery, broken, .. }) = state else { return Status::FATAL };
    note(broken, || {
        if event as usize >= *events {
            return Err(format!("there is no event {event} to reject"));
        }
        delivery.reject(event as usize, why.map(abi::Error::message).unwrap_or_default());
        Ok(())
    })
}

unsafe extern "C" fn retry(report: *const Report, event: u32, why: *const abi::Error) -> Status {
    // SAFETY: as above.
    unsafe { undelivered(report, event, why, |delivery, event, error| delivery.retry([event], error)) }
}

unsafe extern "C" fn failed(report: *const Report, event: u32, why: *const abi::Error) -> Status {
    // SAFETY: as above.
    unsafe { undelivered(report, event, why, Delivery::failed) }
}

/// Adds an event that was not written to the delivery.
///
/// # Safety
/// As [`state`]; `why` is NULL or an error of the plugin.
unsafe fn undelivered(
    report: *const Report,
    event: u32,
    why: *const abi::Error,
    add: impl FnOnce(&mut Delivery, usize, Error),
) -> Status {
    // SAFETY: the caller guarantees it.
    let (Some(state), Some(why)) = (unsafe { (state(report), why.as_ref()) }) else { return Status::FATAL };
    let SinkReport { events, delivery, broken, last, acknowledges, .. } = state;
    note(broken, || {
        if *acknowledges {
            return Err(format!("event {event} cannot be retried alone: `ack_and_write` fails as a whole"));
        }
        if event as usize >= *events || last.is_some_and(|last| last >= event) {
            return Err(format!("event {event} cannot be retried, or is named out of order"));
        }
        if why.code.0 >= 0 || why.code == Status::REJECT {
            return Err(format!("{} is not a reason to retry event {event}", why.code.0));
        }
        *last = Some(event);
        add(delivery, event as usize, passed_error(why));
        Ok(())
    })
}

unsafe extern "C" fn already_done(report: *const Report, event: u32) -> Status {
    // SAFETY: as above.
    let Some(state) = (unsafe { state(report) }) else { return Status::FATAL };
    let SinkReport { events, delivery, broken, last_done: last, acknowledges, .. } = state;
    note(broken, || {
        if !*acknowledges || event as usize >= *events || last.is_some_and(|last| last >= event) {
            return Err(format!("event {event} cannot be done already, or is named out of order"));
        }
        *last = Some(event);
        delivery.already_done(event as usize);
        Ok(())
    })
}

unsafe extern "C" fn found(records: *const abi::Records, record: *const abi::Record) -> Status {
    // SAFETY: the plugin passes the struct that it received, and a record of its own.
    let claiming = unsafe { records.as_ref().and_then(|records| records.ctx.cast::<Claiming>().as_mut()) };
    let Some(Claiming { found, broken, .. }) = claiming else { return Status::FATAL };
    note(broken, || {
        // SAFETY: as above, here and below.
        let record = unsafe { abi::read_checked(record, size_of::<abi::Record>(), "a record")? };
        // SAFETY: as above.
        let (source, partition) =
            unsafe { (text(record.source, "a source")?, text(record.partition, "a partition")?) };
        let position = match record.position {
            position if position.p.is_null() => None,
            position if position.n > POSITION => return Err("a position is too long".into()),
            // SAFETY: as above.
            position => Some(Position::from_bytes(Bytes::copy_from_slice(unsafe { position.bytes() }))),
        };
        if found.len() >= LANES || record.done < record.base {
            return Err(format!(
                "the record of `{source}` is not one: {} is before {}",
                record.done, record.base
            ));
        }
        let lane = Lane { source: source.into(), partition: partition.into() };
        found.insert(lane, Record { position, base: record.base, done: record.done });
        Ok(())
    })
}
