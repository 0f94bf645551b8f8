//! The engine's side of an instance in a child process.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidegate_codec::{CopyRanges, MetadataLimit, Packer, Scratch, Unpacker};
use tidegate_sdk::{
    AckHandles, AcknowledgingSink, AsyncFilter, Batch, Claim, Commit, Cx, Delivery, Error, Lane, Outcome,
    Output, Port, Position, Record, STATE_BYTES, Sink, Source, SourceBatch, SourceRejection,
    TransactionalSink, async_trait,
};

use crate::factory::{Capabilities, broke_contract};
use crate::process::connection::Connection;
use crate::process::frame::{Area, BESIDE, ENDED, Frame, Topic, WANTS_BATCH_DONE};
use crate::process::message::{
    ClaimMessage, CommitMessage, FilterResult, LaneRecord, ResumeMessage, SinkResult, call_number,
};
use crate::process::region::{Writer, copy_out, put};
use crate::process::supervisor::ChildHandle;

/// The limit for the batches of an answer, in bytes.
const ANSWER: u64 = 4 << 30;
/// The limit for the area of a state, in bytes: the state and its table.
const STATE: u64 = STATE_BYTES as u64 + 4096;
/// The limit for the end of the retained part, in bytes.
const HELD: u64 = 4 << 30;

/// Guards a child. Dropping it tells the child to end, and kills it if it does not.
pub(crate) struct ChildGuard {
    child: ChildHandle,
    socket: UnixStream,
}

impl ChildGuard {
    pub(crate) fn new(child: ChildHandle, socket: UnixStream) -> Self {
        Self { child, socket }
    }
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        // After an error, the child has ended already.
        let _ = self.socket.shutdown(Shutdown::Write);
    }
}

/// An instance in a child process.
pub(crate) struct Remote {
    guard: ChildGuard,
    /// The socket until the instance is opened.
    socket: Option<UnixStream>,
    connection: Option<Arc<Connection>>,
    /// The region with the batches for the child.
    given: Writer,
    /// The region with the batches of the child.
    made: File,
    /// The part of the first region that the plugin retains.
    held: Area,
    scratch: Scratch,
    call_time: Duration,
    event_size: usize,
    capabilities: Capabilities,
}

impl Remote {
    pub(crate) fn new(
        guard: ChildGuard,
        socket: UnixStream,
        given: Writer,
        made: File,
        call_time: Duration,
        event_size: usize,
        capabilities: Capabilities,
    ) -> Self {
        Self {
            guard,
            socket: Some(socket),
            connection: None,
            given,
            made,
            held: Area::default(),
            scratch: Scratch::default(),
            call_time,
            event_size,
            capabilities,
        }
    }

    async fn start(&mut self, cx: &Cx) -> Result<(), Error> {
        if let Some(socket) = self.socket.take() {
            let watch = self.guard.child.watch();
            let connection = Connection::start(socket, watch, self.call_time, cx);
            self.connection =
                Some(connection.map_err(|error| Error::broken(format!("cannot be reached: {error}")))?);
        }
        let frame = Frame { number: cx.sink_acknowledges().into(), ..Frame::new(Topic::Open) };
        self.request(frame.with(&ResumeMessage::of(cx.resume_all()))).await.map(drop)
    }

    async fn request(&mut self, frame: Frame) -> Result<Frame, Error> {
        let Some(connection) = &self.connection else { return Err(Error::broken("was not opened")) };
        let answer = connection.request(&frame).await?;
        self.held = answer.held;
        if self.held.end > HELD {
            return Err(Error::broken("retains more than it may"));
        }
        Ok(answer)
    }

    /// Writes a batch into the region, followed by the acknowledgement handles of its entries. Returns the places of its
    /// bytes as well.
    fn send(&mut self, batch: &Batch, ack_handles: Option<&AckHandles>) -> Result<(Area, CopyRanges), Error> {
        let mut packer = Packer::new(std::mem::take(&mut self.scratch));
        let packed = packer.batch(batch).and_then(|ranges| {
            ack_handles.iter().for_each(|ack_handles| packer.handles(ack_handles));
            let (area, scratch) = put(packer, &mut self.given, self.held)?;
            self.scratch = scratch;
            Ok((area, ranges))
        });
        packed.map_err(|error| Error::broken(format!("cannot be given a batch: {error}")))
    }

    /// Copies an area of the child's region.
    fn take(&self, area: Area) -> Result<Bytes, Error> {
        copy_out(&self.made, area, ANSWER).map_err(broke_contract)
    }

    async fn delivered(
        &mut self,
        mut frame: Frame,
        batch: &Batch,
        ack_handles: Option<&AckHandles>,
    ) -> Result<Delivery, Error> {
        (frame.area, _) = self.send(batch, ack_handles)?;
        let answer = self.request(frame).await?;
        if answer.body.is_empty() {
            return Ok(Delivery::complete());
        }
        let delivery = answer
            .read::<SinkResult>()
            .and_then(|result| result.delivery(batch.len(), ack_handles.is_some()));
        delivery.map_err(broke_contract)
    }

    async fn filtered(&mut self, batch: &Batch, output: &mut Output) -> Result<(), Error> {
        let (area, ranges) = self.send(batch, None)?;
        let number = call_number(output.is_resumable(), output.attempt());
        let frame = Frame { area, number, ..Frame::new(Topic::Process) };
        let answer = self.request(frame).await?;
        if !answer.area.is_empty() {
            emitted(&self.take(answer.area)?, batch, &ranges, output).map_err(broke_contract)?;
        }
        if !answer.body.is_empty() {
            let made = answer.read::<FilterResult>().and_then(|made| made.put(output, batch.len()));
            made.map_err(broke_contract)?;
        }
        Ok(())
    }

    async fn saved(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let answer = self.request(Frame::new(Topic::Save)).await?;
        if answer.area.is_empty() {
            return Ok(None);
        }
        let bytes = copy_out(&self.made, answer.area, STATE).map_err(broke_contract)?;
        let state = unpacker(&bytes).and_then(|mut unpacker| unpacker.piece()).map_err(broke_contract)?;
        if state.len() > STATE_BYTES {
            return Err(broke_contract(format!("its state has more than {STATE_BYTES} bytes")));
        }
        Ok(Some(state.to_vec()))
    }

    async fn restored(&mut self, state: &[u8]) -> Result<(), Error> {
        let mut packer = Packer::new(std::mem::take(&mut self.scratch));
        packer.piece(state);
        let written = put(packer, &mut self.given, self.held);
        let (area, scratch) =
            written.map_err(|error| Error::broken(format!("cannot be given its state: {error}")))?;
        self.scratch = scratch;
        self.request(Frame { area, ..Frame::new(Topic::Restore) }).await.map(drop)
    }

    async fn read(&mut self) -> Result<Option<SourceBatch>, Error> {
        let answer = self.request(Frame::new(Topic::Next)).await?;
        if answer.number & ENDED != 0 {
            return Ok(None);
        }
        let (batch, number) = read(&self.take(answer.area)?, self.event_size).map_err(broke_contract)?;
        let Some(connection) = self.connection.clone().filter(|_| answer.number & WANTS_BATCH_DONE != 0)
        else {
            return Ok(Some(batch));
        };
        Ok(Some(batch.on_done(move |outcome| {
            let (outcome, reason) = match outcome {
                Outcome::Delivered => (0, String::new()),
                Outcome::Rejected(reason) => (1, reason),
                Outcome::Failed => (2, String::new()),
            };
            let area = Area { start: number, end: 0 };
            connection.send(&Frame {
                number: outcome,
                area,
                ..Frame::new(Topic::BatchDone).with_text(&reason)
            });
        })))
    }
}

/// Reads the batches that a filter has emitted.
fn emitted(area: &Bytes, input: &Batch, ranges: &CopyRanges, output: &mut Output) -> Result<(), String> {
    let mut unpacker = unpacker(area)?;
    for _ in 0..unpacker.number()? {
        unpacker.count::<(Port, Batch)>()?;
        let port = unpacker.number()?;
        let port = Port::try_from(port).map_err(|_| format!("there is no output {port}"))?;
        output.emit_to(port, unpacker.derived(input, ranges)?);
    }
    Ok(())
}

/// Reads the batch of a source and the child's number for it.
fn read(area: &Bytes, event_size: usize) -> Result<(SourceBatch, u64), String> {
    let mut unpacker = unpacker(area)?;
    let number = unpacker.long()?;
    let mut rejected = Vec::new();
    for _ in 0..unpacker.number()? {
        unpacker.count::<SourceRejection>()?;
        let (payload, length) = (unpacker.piece()?, unpacker.long()?);
        rejected.push(SourceRejection { payload, length, reason: unpacker.text("a reason")? });
    }
    let handles = if unpacker.number()? == 0 { None } else { Some(unpacker.handles()?) };
    Ok((unpacker.source_batch(rejected, handles, event_size)?, number))
}

/// Reads an area of the child, within the limits for a library.
fn unpacker(area: &Bytes) -> Result<Unpacker, String> {
    Unpacker::new(area, MetadataLimit::default())
}

#[async_trait]
impl Source for Remote {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.start(cx).await
    }

    async fn next(&mut self, _cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        self.read().await
    }

    fn committer(&mut self) -> Option<Box<dyn Commit>> {
        Some(Box::new(Committer(self.connection.clone())))
    }

    async fn close(&mut self, _cx: &Cx) -> Result<(), Error> {
        self.request(Frame::new(Topic::Close)).await.map(drop)
    }
}

/// The commit half of a source. It does not keep the child.
struct Committer(Option<Arc<Connection>>);

#[async_trait]
impl Commit for Committer {
    async fn commit(&mut self, partition: &str, position: &Position) -> Result<(), Error> {
        let Some(connection) = &self.0 else { return Err(Error::broken("is gone")) };
        let safe = CommitMessage { partition: partition.to_owned(), position: Some(position).into() };
        let frame = Frame { slot: BESIDE, ..Frame::new(Topic::CommitPosition).with(&safe) };
        connection.request(&frame).await.map(drop)
    }
}

#[async_trait]
impl AsyncFilter for Remote {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.start(cx).await
    }

    async fn process(&mut self, batch: &Batch, out: &mut Output, _cx: &Cx) -> Result<(), Error> {
        self.filtered(batch, out).await
    }

    async fn save(&mut self, _cx: &Cx) -> Result<Option<Vec<u8>>, Error> {
        self.saved().await
    }

    async fn restore(&mut self, state: &[u8], _cx: &Cx) -> Result<(), Error> {
        self.restored(state).await
    }

    async fn close(&mut self, _cx: &Cx) -> Result<(), Error> {
        self.request(Frame::new(Topic::Close)).await.map(drop)
    }
}

#[async_trait]
impl Sink for Remote {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.start(cx).await
    }

    async fn write(&mut self, batch: &Batch, _cx: &Cx) -> Result<Delivery, Error> {
        self.delivered(Frame::new(Topic::Write), batch, None).await
    }

    fn transactional(&mut self) -> Result<&mut dyn TransactionalSink, Error> {
        self.capabilities.is_transactional()?;
        Ok(self)
    }

    fn acknowledging(&mut self) -> Result<&mut dyn AcknowledgingSink, Error> {
        self.capabilities.is_acknowledging()?;
        Ok(self)
    }

    async fn close(&mut self, _cx: &Cx) -> Result<(), Error> {
        self.request(Frame::new(Topic::Close)).await.map(drop)
    }
}

#[async_trait]
impl TransactionalSink for Remote {
    async fn claim(&mut self, claim: &Claim, _cx: &Cx) -> Result<BTreeMap<Lane, Record>, Error> {
        let answer = self.request(Frame::new(Topic::Claim).with(&ClaimMessage::from(claim))).await?;
        let records = answer.read::<Vec<LaneRecord>>().map_err(broke_contract)?;
        records.into_iter().map(LaneRecord::record).collect::<Result<_, _>>().map_err(broke_contract)
    }

    async fn commit(
        &mut self,
        batch: &Batch,
        lane: &Lane,
        record: &Record,
        _cx: &Cx,
    ) -> Result<Delivery, Error> {
        let frame = Frame::new(Topic::Commit).with(&LaneRecord::of(lane, record));
        self.delivered(frame, batch, None).await
    }
}

#[async_trait]
impl AcknowledgingSink for Remote {
    fn transaction_domain(&self) -> String {
        self.capabilities.transaction_domain.clone().unwrap_or_default()
    }

    async fn ack_and_write(
        &mut self,
        batch: &Batch,
        handles: &AckHandles,
        _cx: &Cx,
    ) -> Result<Delivery, Error> {
        self.delivered(Frame::new(Topic::AckAndWrite), batch, Some(handles)).await
    }
}
