//! Executes operations in the child, one at a time.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tidegate_codec::{MetadataLimit, Names, Packer, Scratch, Unpacker};
use tidegate_sdk::{Batch, Claim, Cx, Outcome, SourceBatch};

use super::answer::answer;
use crate::link::{CommitLink, Fault, Link};
use crate::process::frame::{Area, ENDED, Frame, Topic, WANTS_BATCH_DONE};
use crate::process::message::{ClaimMessage, FilterResult, LaneRecord, ResumeMessage, SinkResult};
use crate::process::region::{Reader, Writer, put};

type Settle = Box<dyn FnOnce(Outcome) + Send>;

/// Callbacks of a source for the outcomes of its batches, by number. The engine's budget limits their count.
#[derive(Clone, Default)]
pub(crate) struct PendingBatches(Arc<Mutex<(u64, HashMap<u64, Settle>)>>);

impl PendingBatches {
    fn add(&self, settle: Settle) -> u64 {
        let mut all = self.0.lock();
        let number = all.0;
        all.0 += 1;
        all.1.insert(number, settle);
        number
    }

    /// Calls the callback of a batch.
    pub(crate) fn settle(&self, number: u64, outcome: Outcome) {
        let settle = self.0.lock().1.remove(&number);
        if let Some(settle) = settle {
            settle(outcome);
        }
    }
}

/// The instance with its regions.
pub(crate) struct Dispatcher {
    link: Link,
    given: Reader,
    made: Writer,
    scratch: Scratch,
    names: Names,
    pending: PendingBatches,
}

impl Dispatcher {
    pub(crate) fn new(link: Link, given: Reader, made: Writer) -> Self {
        Self {
            link,
            given,
            made,
            scratch: Scratch::default(),
            names: Names::default(),
            pending: PendingBatches::default(),
        }
    }

    pub(crate) fn committing(&self) -> Option<Arc<dyn CommitLink>> {
        match &self.link {
            Link::Source(link) => Some(link.committing()),
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

    async fn work(&mut self, frame: &Frame, cx: &Cx) -> Result<Frame, Fault> {
        match frame.topic {
            Topic::Open => {
                let resume = frame
                    .read::<ResumeMessage>()
                    .and_then(ResumeMessage::positions)
                    .map_err(Fault::Broken)?;
                let cx = &if frame.number == 0 { cx.clone() } else { cx.clone().with_receipts() };
                match &mut self.link {
                    Link::Source(link) => link.open(cx, &resume).await?,
                    Link::Filter(link) => link.open(cx).await?,
                    Link::Sink(link) => link.open(cx).await?,
                }
                Ok(Frame::new(Topic::Done))
            }
            Topic::Close => {
                match &mut self.link {
                    Link::Source(link) => link.close(cx).await?,
                    Link::Filter(link) => link.close(cx).await?,
                    Link::Sink(link) => link.close(cx).await?,
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

    async fn next(&mut self, cx: &Cx) -> Result<Frame, Fault> {
        let Link::Source(link) = &mut self.link else { return Err(misplaced()) };
        let Some(read) = link.next(cx).await? else {
            return Ok(Frame { number: ENDED, ..Frame::new(Topic::Done) });
        };
        let SourceBatch { batch, rejected, settled, receipts, .. } = read;
        let (settles, number) = match settled {
            Some(settle) => (WANTS_BATCH_DONE, self.pending.add(settle)),
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
        packer.number(receipts.is_some().into());
        receipts.iter().for_each(|receipts| packer.handles(receipts));
        packer.batch(&batch).map_err(system)?;
        let area = self.put(packer)?;
        Ok(Frame { number: settles, area, ..Frame::new(Topic::Done) })
    }

    async fn process(&mut self, frame: &Frame, cx: &Cx) -> Result<Frame, Fault> {
        let (batch, _) = self.batch(frame.area)?;
        let Link::Filter(link) = &mut self.link else { return Err(misplaced()) };
        let mut output = match link.plain() {
            Some(link) => link.process(&batch)?,
            None => link.process(&batch, frame.number != 0, cx).await?,
        };
        let mut done = Frame::new(Topic::Done);
        let made = FilterResult::of(&mut output);
        if !made.rejected.is_empty() || made.left.is_some() {
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

    async fn write(&mut self, frame: &Frame, cx: &Cx) -> Result<Frame, Fault> {
        let (batch, mut rest) = self.batch(frame.area)?;
        let Link::Sink(link) = &mut self.link else { return Err(misplaced()) };
        let delivery = match frame.topic {
            Topic::Write => link.write(&batch, cx).await?,
            Topic::AckAndWrite => {
                let receipts = rest.handles().map_err(Fault::Broken)?;
                link.settle(&batch, &receipts, cx).await?
            }
            _ => {
                let (lane, record) =
                    frame.read::<LaneRecord>().and_then(LaneRecord::record).map_err(Fault::Broken)?;
                link.commit(&batch, &lane, &record, cx).await?
            }
        };
        let done = Frame::new(Topic::Done);
        Ok(match SinkResult::of(delivery) {
            None => done,
            Some(result) => done.with(&result),
        })
    }

    async fn claim(&mut self, frame: &Frame, cx: &Cx) -> Result<Frame, Fault> {
        let claim = Claim::from(frame.read::<ClaimMessage>().map_err(Fault::Broken)?);
        let Link::Sink(link) = &mut self.link else { return Err(misplaced()) };
        let records = link.claim(&claim, cx).await?;
        let marks: Vec<LaneRecord> =
            records.iter().map(|(lane, record)| LaneRecord::of(lane, record)).collect();
        Ok(Frame::new(Topic::Done).with(&marks))
    }

    /// The area of the answer is empty if there is no state.
    async fn save(&mut self, cx: &Cx) -> Result<Frame, Fault> {
        let Link::Filter(link) = &mut self.link else { return Err(misplaced()) };
        let mut done = Frame::new(Topic::Done);
        if let Some(state) = link.save(cx).await? {
            let mut packer = Packer::new(std::mem::take(&mut self.scratch));
            packer.piece(&state);
            done.area = self.put(packer)?;
        }
        Ok(done)
    }

    async fn restore(&mut self, frame: &Frame, cx: &Cx) -> Result<Frame, Fault> {
        let bytes = self.given.area(frame.area).map_err(system)?;
        let state = unpacker(&bytes).and_then(|mut unpacker| unpacker.piece()).map_err(Fault::Broken)?;
        let Link::Filter(link) = &mut self.link else { return Err(misplaced()) };
        link.restore(&state, cx).await?;
        Ok(Frame::new(Topic::Done))
    }

    /// The batch of an area, and the reader for the bytes after it.
    fn batch(&mut self, area: Area) -> Result<(Batch, Unpacker), Fault> {
        let bytes = self.given.area(area).map_err(system)?;
        let unpacked =
            unpacker(&bytes).and_then(|mut unpacker| Ok((unpacker.batch(&mut self.names)?, unpacker)));
        unpacked.map_err(Fault::Broken)
    }

    /// Writes the output into the region. The engine has copied the earlier output.
    fn put(&mut self, packer: Packer<'_>) -> Result<Area, Fault> {
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
fn system(error: io::Error) -> Fault {
    Fault::Broken(format!("cannot exchange a batch with the engine: {error}"))
}

fn misplaced() -> Fault {
    Fault::Broken("received an operation of another kind".into())
}
