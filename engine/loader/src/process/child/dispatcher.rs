//! Executes operations in the child, one at a time.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_codec::{MetadataLimit, Names, Packer, Scratch, Unpacker};
use tidegate_sdk::{Batch, Claim, Commit, Component, Cx, Error, Outcome, Output, SourceBatch};

use super::answer::answer;
use crate::process::frame::{Area, ENDED, Frame, Topic, WANTS_BATCH_DONE};
use crate::process::message::{
    ClaimMessage, FilterResult, LaneRecord, ResumeMessage, SinkResult, of_call_number,
};
use crate::process::region::{Reader, Writer, put};

type BatchDone = Box<dyn FnOnce(Outcome) + Send>;

/// Callbacks of a source for the outcomes of its batches, by number. The engine's budget limits their count.
#[derive(Clone, Default)]
pub(crate) struct PendingBatches(Arc<Mutex<(u64, HashMap<u64, BatchDone>)>>);

impl PendingBatches {
    fn add(&self, done: BatchDone) -> u64 {
        let mut all = self.0.lock();
        let number = all.0;
        all.0 += 1;
        all.1.insert(number, done);
        number
    }

    /// Calls the callback of a batch.
    pub(crate) fn finish(&self, number: u64, outcome: Outcome) {
        let done = self.0.lock().1.remove(&number);
        if let Some(done) = done {
            done(outcome);
        }
    }
}

/// The instance with its regions.
pub(crate) struct Dispatcher {
    component: Component,
    given: Reader,
    made: Writer,
    scratch: Scratch,
    names: Names,
    pending: PendingBatches,
}

impl Dispatcher {
    pub(crate) fn new(component: Component, given: Reader, made: Writer) -> Self {
        Self {
            component,
            given,
            made,
            scratch: Scratch::default(),
            names: Names::default(),
            pending: PendingBatches::default(),
        }
    }

    /// The commit half of a source.
    pub(crate) fn committer(&mut self) -> Option<Box<dyn Commit>> {
        match &mut self.component {
            Component::Source(source) => source.committer(),
            _ => None,
        }
    }

    pub(crate) fn pending(&self) -> PendingBatches {
        self.pending.clone()
    }

    /// Executes the operation of a frame and returns the answer.
    pub(crate) async fn perform(&mut self, frame: Frame, cx: &Cx) -> Frame {
        let done = self.work(&frame, cx).await;
        // This side has dropped all its references to the batch, so the plugin holds those that are left.
        Frame { held: self.given.held(), ..answer(done) }
    }

    async fn work(&mut self, frame: &Frame, cx: &Cx) -> Result<Frame, Error> {
        match frame.topic {
            Topic::Open => {
                let resume = frame
                    .read::<ResumeMessage>()
                    .and_then(ResumeMessage::positions)
                    .map_err(Error::broken)?;
                let cx = cx.clone().with_resume(resume);
                let cx = &if frame.number == 0 { cx } else { cx.with_acknowledging_sink() };
                match &mut self.component {
                    Component::Source(source) => source.open(cx).await?,
                    Component::Filter(_) => {}
                    Component::AsyncFilter(filter) => filter.open(cx).await?,
                    Component::Sink(sink) => sink.open(cx).await?,
                }
                Ok(Frame::new(Topic::Done))
            }
            Topic::Close => {
                match &mut self.component {
                    Component::Source(source) => source.close(cx).await?,
                    Component::Filter(_) => {}
                    Component::AsyncFilter(filter) => filter.close(cx).await?,
                    Component::Sink(sink) => sink.close(cx).await?,
                }
                Ok(Frame::new(Topic::Done))
            }
            Topic::Next => self.next(cx).await,
            Topic::Process => self.process(frame, cx).await,
            Topic::Write | Topic::Commit | Topic::AckAndWrite => self.write(frame, cx).await,
            Topic::Claim => self.claim(frame, cx).await,
            Topic::Save => self.save(cx).await,
            Topic::Restore => self.restore(frame, cx).await,
            _ => Err(misplaced()),
        }
    }

    async fn next(&mut self, cx: &Cx) -> Result<Frame, Error> {
        let Component::Source(source) = &mut self.component else { return Err(misplaced()) };
        let Some(read) = source.next(cx).await? else {
            return Ok(Frame { number: ENDED, ..Frame::new(Topic::Done) });
        };
        let SourceBatch { batch, rejected, done, ack_handles, .. } = read;
        let (wants, number) = match done {
            Some(done) => (WANTS_BATCH_DONE, self.pending.add(done)),
            None => (0, 0),
        };
        let mut packer = Packer::new(std::mem::take(&mut self.scratch));
        packer.long(number);
        packer.number(rejected.len() as u32);
        for one in &rejected {
            packer.piece(&one.payload);
            packer.long(one.length);
            packer.bytes(one.reason.as_bytes());
        }
        packer.number(ack_handles.is_some().into());
        ack_handles.iter().for_each(|ack_handles| packer.handles(ack_handles));
        packer.batch(&batch).map_err(system)?;
        let area = self.put(packer)?;
        Ok(Frame { number: wants, area, ..Frame::new(Topic::Done) })
    }

    async fn process(&mut self, frame: &Frame, cx: &Cx) -> Result<Frame, Error> {
        let (batch, _) = self.batch(frame.area)?;
        let (resumable, attempt) = of_call_number(frame.number);
        let mut output = Output::new(&batch).resumable_if(resumable).in_attempt(attempt);
        match &mut self.component {
            Component::Filter(filter) => filter.process(&batch, &mut output)?,
            Component::AsyncFilter(filter) => filter.process(&batch, &mut output, cx).await?,
            _ => return Err(misplaced()),
        }
        let mut done = Frame::new(Topic::Done);
        let made = FilterResult::of(&mut output);
        if !made.rejected.is_empty() || made.deferred.is_some() {
            done = done.with(&made);
        }
        let (emitted, _) = output.take();
        if !emitted.is_empty() {
            let mut packer = Packer::new(std::mem::take(&mut self.scratch));
            packer.number(emitted.len() as u32);
            for (port, made) in &emitted {
                packer.number((*port).into());
                packer.derived(made, &batch).map_err(system)?;
            }
            done.area = self.put(packer)?;
        }
        Ok(done)
    }

    async fn write(&mut self, frame: &Frame, cx: &Cx) -> Result<Frame, Error> {
        let (batch, mut rest) = self.batch(frame.area)?;
        let Component::Sink(sink) = &mut self.component else { return Err(misplaced()) };
        let delivery = match frame.topic {
            Topic::Write => sink.write(&batch, cx).await?,
            Topic::AckAndWrite => {
                let handles = rest.handles().map_err(Error::broken)?;
                sink.acknowledging()?.ack_and_write(&batch, &handles, cx).await?
            }
            _ => {
                let (lane, record) =
                    frame.read::<LaneRecord>().and_then(LaneRecord::record).map_err(Error::broken)?;
                sink.transactional()?.commit(&batch, &lane, &record, cx).await?
            }
        };
        let done = Frame::new(Topic::Done);
        Ok(match SinkResult::of(delivery) {
            None => done,
            Some(result) => done.with(&result),
        })
    }

    async fn claim(&mut self, frame: &Frame, cx: &Cx) -> Result<Frame, Error> {
        let claim = Claim::from(frame.read::<ClaimMessage>().map_err(Error::broken)?);
        let Component::Sink(sink) = &mut self.component else { return Err(misplaced()) };
        let records = sink.transactional()?.claim(&claim, cx).await?;
        let records: Vec<LaneRecord> =
            records.iter().map(|(lane, record)| LaneRecord::of(lane, record)).collect();
        Ok(Frame::new(Topic::Done).with(&records))
    }

    /// The area of the answer is empty if there is no state.
    async fn save(&mut self, cx: &Cx) -> Result<Frame, Error> {
        let saved = match &mut self.component {
            Component::Filter(filter) => filter.save()?,
            Component::AsyncFilter(filter) => filter.save(cx).await?,
            _ => return Err(misplaced()),
        };
        let mut done = Frame::new(Topic::Done);
        if let Some(state) = saved {
            let mut packer = Packer::new(std::mem::take(&mut self.scratch));
            packer.piece(&state);
            done.area = self.put(packer)?;
        }
        Ok(done)
    }

    async fn restore(&mut self, frame: &Frame, cx: &Cx) -> Result<Frame, Error> {
        let bytes = self.given.area(frame.area).map_err(system)?;
        let state = unpacker(&bytes).and_then(|mut unpacker| unpacker.piece()).map_err(Error::broken)?;
        match &mut self.component {
            Component::Filter(filter) => filter.restore(&state)?,
            Component::AsyncFilter(filter) => filter.restore(&state, cx).await?,
            _ => return Err(misplaced()),
        }
        Ok(Frame::new(Topic::Done))
    }

    /// The batch of an area, and the reader for the bytes after it.
    fn batch(&mut self, area: Area) -> Result<(Batch, Unpacker), Error> {
        let bytes = self.given.area(area).map_err(system)?;
        let unpacked =
            unpacker(&bytes).and_then(|mut unpacker| Ok((unpacker.batch(&mut self.names)?, unpacker)));
        unpacked.map_err(Error::broken)
    }

    /// Writes the output into the region. The engine has copied the earlier output.
    fn put(&mut self, packer: Packer<'_>) -> Result<Area, Error> {
        let (area, scratch) = put(packer, &mut self.made, Area::default()).map_err(system)?;
        self.scratch = scratch;
        Ok(area)
    }
}

/// Reads an area of the engine, which is trusted.
fn unpacker(area: &Bytes) -> Result<Unpacker, String> {
    Unpacker::new(area, MetadataLimit::none())
}

#[allow(clippy::needless_pass_by_value, reason = "used in `map_err`")]
fn system(error: io::Error) -> Error {
    Error::broken(format!("cannot exchange a batch with the engine: {error}"))
}

fn misplaced() -> Error {
    Error::broken("received an operation of another kind")
}
