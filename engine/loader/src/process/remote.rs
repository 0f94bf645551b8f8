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
    Batch, BoxFuture, Claim, Cx, Delivery, Lane, Outcome, Output, Port, Position, Receipts, Record,
    STATE_BYTES, SourceBatch, SourceRejection,
};

use crate::link::broke_contract;
use crate::link::{CommitLink, Fault, FilterLink, SinkLink, SourceLink};
use crate::process::connection::Connection;
use crate::process::frame::{Area, BESIDE, ENDED, Frame, Topic, WANTS_BATCH_DONE};
use crate::process::message::{
    ClaimMessage, CommitMessage, FilterResult, LaneRecord, ResumeMessage, SinkResult,
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
}

impl Remote {
    pub(crate) fn new(
        guard: ChildGuard,
        socket: UnixStream,
        given: Writer,
        made: File,
        call_time: Duration,
        event_size: usize,
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
        }
    }

    async fn start(&mut self, cx: &Cx, resume: &BTreeMap<String, Position>) -> Result<(), Fault> {
        if let Some(socket) = self.socket.take() {
            let watch = self.guard.child.watch();
            let connection = Connection::start(socket, watch, self.call_time, cx);
            self.connection =
                Some(connection.map_err(|error| Fault::Broken(format!("cannot be reached: {error}")))?);
        }
        let frame = Frame { number: cx.by_receipt().into(), ..Frame::new(Topic::Open) };
        self.request(frame.with(&ResumeMessage::of(resume))).await.map(drop)
    }

    async fn request(&mut self, frame: Frame) -> Result<Frame, Fault> {
        let Some(connection) = &self.connection else { return Err(Fault::Broken("was not opened".into())) };
        let answer = connection.request(&frame).await?;
        self.held = answer.held;
        if self.held.end > HELD {
            return Err(Fault::Broken("retains more than it may".into()));
        }
        Ok(answer)
    }

    /// Writes a batch into the region, followed by the acknowledgement handles of its entries. Returns the places of its
    /// bytes as well.
    fn send(&mut self, batch: &Batch, receipts: Option<&Receipts>) -> Result<(Area, CopyRanges), Fault> {
        let mut packer = Packer::new(std::mem::take(&mut self.scratch));
        let packed = packer.batch(batch).and_then(|ranges| {
            receipts.iter().for_each(|receipts| packer.handles(receipts));
            let (area, scratch) = put(packer, &mut self.given, self.held)?;
            self.scratch = scratch;
            Ok((area, ranges))
        });
        packed.map_err(|error| Fault::Broken(format!("cannot be given a batch: {error}")))
    }

    /// Copies an area of the child's region.
    fn take(&self, area: Area) -> Result<Bytes, Fault> {
        copy_out(&self.made, area, ANSWER).map_err(broke_contract)
    }

    async fn delivered(
        &mut self,
        mut frame: Frame,
        batch: &Batch,
        receipts: Option<&Receipts>,
    ) -> Result<Delivery, Fault> {
        (frame.area, _) = self.send(batch, receipts)?;
        let answer = self.request(frame).await?;
        if answer.body.is_empty() {
            return Ok(Delivery::complete());
        }
        let delivery =
            answer.read::<SinkResult>().and_then(|result| result.delivery(batch.len(), receipts.is_some()));
        delivery.map_err(broke_contract)
    }

    async fn filtered(&mut self, batch: &Batch, resumable: bool) -> Result<Output, Fault> {
        let (area, ranges) = self.send(batch, None)?;
        let frame = Frame { area, number: resumable.into(), ..Frame::new(Topic::Process) };
        let answer = self.request(frame).await?;
        let mut output = if resumable { Output::resumable() } else { Output::new() };
        if !answer.area.is_empty() {
            emitted(&self.take(answer.area)?, batch, &ranges, &mut output).map_err(broke_contract)?;
        }
        if !answer.body.is_empty() {
            let made = answer.read::<FilterResult>().and_then(|made| made.put(&mut output, batch.len()));
            made.map_err(broke_contract)?;
        }
        Ok(output)
    }

    async fn saved(&mut self) -> Result<Option<Vec<u8>>, Fault> {
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

    async fn restored(&mut self, state: &[u8]) -> Result<(), Fault> {
        let mut packer = Packer::new(std::mem::take(&mut self.scratch));
        packer.piece(state);
        let written = put(packer, &mut self.given, self.held);
        let (area, scratch) =
            written.map_err(|error| Fault::Broken(format!("cannot be given its state: {error}")))?;
        self.scratch = scratch;
        self.request(Frame { area, ..Frame::new(Topic::Restore) }).await.map(drop)
    }

    async fn read(&mut self) -> Result<Option<SourceBatch>, Fault> {
        let answer = self.request(Frame::new(Topic::Next)).await?;
        if answer.number & ENDED != 0 {
            return Ok(None);
        }
        let (batch, number) = read(&self.take(answer.area)?, self.event_size).map_err(broke_contract)?;
        let Some(connection) = self.connection.clone().filter(|_| answer.number & WANTS_BATCH_DONE != 0)
        else {
            return Ok(Some(batch));
        };
        Ok(Some(batch.on_settled(move |outcome| {
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

impl SourceLink for Remote {
    fn open<'a>(
        &'a mut self,
        cx: &'a Cx,
        resume: &'a BTreeMap<String, Position>,
    ) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(self.start(cx, resume))
    }

    fn next<'a>(&'a mut self, _cx: &'a Cx) -> BoxFuture<'a, Result<Option<SourceBatch>, Fault>> {
        Box::pin(self.read())
    }

    fn close<'a>(&'a mut self, _cx: &'a Cx) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move { self.request(Frame::new(Topic::Close)).await.map(drop) })
    }

    fn committing(&self) -> Arc<dyn CommitLink> {
        Arc::new(Committing(self.connection.clone()))
    }
}

/// The commit half of a source. It does not keep the child.
struct Committing(Option<Arc<Connection>>);

impl CommitLink for Committing {
    fn commit<'a>(&'a self, partition: &'a str, position: &'a Position) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move {
            let Some(connection) = &self.0 else { return Err(Fault::Broken("is gone".into())) };
            let safe = CommitMessage { partition: partition.to_owned(), position: Some(position).into() };
            let frame = Frame { slot: BESIDE, ..Frame::new(Topic::CommitPosition).with(&safe) };
            connection.request(&frame).await.map(drop)
        })
    }
}

impl FilterLink for Remote {
    fn open<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move { self.start(cx, &BTreeMap::new()).await })
    }

    fn process<'a>(
        &'a mut self,
        batch: &'a Batch,
        resumable: bool,
        _cx: &'a Cx,
    ) -> BoxFuture<'a, Result<Output, Fault>> {
        Box::pin(self.filtered(batch, resumable))
    }

    fn save<'a>(&'a mut self, _cx: &'a Cx) -> BoxFuture<'a, Result<Option<Vec<u8>>, Fault>> {
        Box::pin(self.saved())
    }

    fn restore<'a>(&'a mut self, state: &'a [u8], _cx: &'a Cx) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(self.restored(state))
    }

    fn close<'a>(&'a mut self, _cx: &'a Cx) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move { self.request(Frame::new(Topic::Close)).await.map(drop) })
    }
}

impl SinkLink for Remote {
    fn open<'a>(&'a mut self, cx: &'a Cx) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move { self.start(cx, &BTreeMap::new()).await })
    }

    fn write<'a>(&'a mut self, batch: &'a Batch, _cx: &'a Cx) -> BoxFuture<'a, Result<Delivery, Fault>> {
        Box::pin(self.delivered(Frame::new(Topic::Write), batch, None))
    }

    fn claim<'a>(
        &'a mut self,
        claim: &'a Claim,
        _cx: &'a Cx,
    ) -> BoxFuture<'a, Result<BTreeMap<Lane, Record>, Fault>> {
        Box::pin(async move {
            let answer = self.request(Frame::new(Topic::Claim).with(&ClaimMessage::from(claim))).await?;
            let marks = answer.read::<Vec<LaneRecord>>().map_err(broke_contract)?;
            marks.into_iter().map(LaneRecord::record).collect::<Result<_, _>>().map_err(broke_contract)
        })
    }

    fn commit<'a>(
        &'a mut self,
        batch: &'a Batch,
        lane: &'a Lane,
        record: &'a Record,
        _cx: &'a Cx,
    ) -> BoxFuture<'a, Result<Delivery, Fault>> {
        Box::pin(self.delivered(Frame::new(Topic::Commit).with(&LaneRecord::of(lane, record)), batch, None))
    }

    fn settle<'a>(
        &'a mut self,
        batch: &'a Batch,
        receipts: &'a Receipts,
        _cx: &'a Cx,
    ) -> BoxFuture<'a, Result<Delivery, Fault>> {
        Box::pin(self.delivered(Frame::new(Topic::AckAndWrite), batch, Some(receipts)))
    }

    fn close<'a>(&'a mut self, _cx: &'a Cx) -> BoxFuture<'a, Result<(), Fault>> {
        Box::pin(async move { self.request(Frame::new(Topic::Close)).await.map(drop) })
    }
}
