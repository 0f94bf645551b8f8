//! The sink `file`.

mod confine;
mod encode;
mod ledger;
mod location;
mod options;
mod ownership;
mod restore;
mod rotate;
mod route;
mod special;
mod target;
mod targets;
mod transaction;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use options::{Compression, Mode, RotateOptions, SinkOptions};
use tidegate_sdk::{
    Batch, Claim, ConfigError, Cx, Delivery, Error, Exclusive, Lane, Record, Resource, Sink, async_trait,
};

use targets::Targets;
use transaction::Transactions;

/// The sink: the open files, which travel to a blocking thread and back for each write.
pub(crate) struct FileSink {
    options: Arc<SinkOptions>,
    /// `None` while they are under way, and after a write that was given up.
    targets: Option<Box<Targets>>,
    /// What becomes of the file with the next write: it is emptied at most once.
    mode: Mode,
    /// Whether a ledger that was left beside the files is out of the way.
    disowned: bool,
    /// The lanes, once they are claimed; `None` while a commit is under way.
    exact: Option<Box<Transactions>>,
}

impl FileSink {
    pub(crate) fn new(options: SinkOptions) -> Result<Self, ConfigError> {
        options.check()?;
        let mode = options.mode;
        Ok(Self { options: Arc::new(options), targets: None, mode, disowned: false, exact: None })
    }

    /// Does `work` with the open files on a thread that may block.
    async fn with_targets<T: Send + 'static>(
        &mut self,
        cx: &Cx,
        work: impl FnOnce(&mut Targets) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let options = Arc::clone(&self.options);
        let targets = self.targets.take();
        let done = cx.spawn_blocking(move || {
            let mut targets = targets.unwrap_or_else(|| Box::new(Targets::new(options)));
            let result = work(&mut targets);
            (targets, result)
        });
        let (targets, result) =
            done.await.map_err(|_| Error::fatal("the thread that writes the files failed"))?;
        self.targets = Some(targets);
        Ok(result)
    }
}

#[async_trait]
impl Sink for FileSink {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.with_targets(cx, Targets::probe_literal).await?
    }

    async fn write(&mut self, batch: &Batch, cx: &Cx) -> Result<Delivery, Error> {
        if !self.disowned {
            self.with_targets(cx, Targets::disown).await??;
            self.disowned = true;
        }
        let (events, mode) = (batch.clone(), self.mode);
        self.mode = Mode::Append;
        let delivery = self.with_targets(cx, move |targets| targets.write(&events, mode)).await?;
        let nothing_written = |(again, _): (&[usize], &Error)| again.len() == batch.len();
        if delivery.to_try_again().is_some_and(nothing_written) {
            self.mode = mode;
        }
        Ok(delivery)
    }

    fn transactional(&self) -> Result<(), String> {
        match (self.options.mode, self.options.sync) {
            (Mode::Truncate, _) => Err(
                "`mode = \"truncate\"` empties the file at each start, and with it what was delivered before"
                    .into(),
            ),
            (_, false) => Err("`sync = false` does not wait until the events are on the disk".into()),
            (Mode::Append, true) => Ok(()),
        }
    }

    /// Two writers would take each other's half-written lines back. Templates are compared by their text.
    fn exclusive(&self) -> Vec<Exclusive> {
        let path = self.options.path.as_str();
        let file = (path != "/dev/null").then(|| Exclusive::new("/path", Resource::file(path)));
        file.into_iter().collect()
    }

    async fn claim(&mut self, claim: &Claim, cx: &Cx) -> Result<BTreeMap<Lane, Record>, Error> {
        // Gives the lock back, if this sink has it from an earlier claim.
        self.exact = None;
        let (options, claim) = (Arc::clone(&self.options), claim.clone());
        let claimed = cx.spawn_blocking(move || Transactions::claim(options, &claim));
        let exact = claimed.await.map_err(|_| Error::fatal("the thread that claims the files failed"))??;
        let lanes = exact.lanes().clone();
        self.exact = Some(Box::new(exact));
        Ok(lanes)
    }

    async fn commit(
        &mut self,
        batch: &Batch,
        lane: &Lane,
        record: &Record,
        cx: &Cx,
    ) -> Result<Delivery, Error> {
        let Some(mut exact) = self.exact.take() else {
            return Err(Error::replay(
                "a commit was given up half way, so the files are to be claimed again",
            ));
        };
        let (batch, lane, record) = (batch.clone(), lane.clone(), record.clone());
        let done = cx.spawn_blocking(move || {
            let committed = exact.commit(&batch, &lane, &record);
            (exact, committed)
        });
        let (exact, committed) =
            done.await.map_err(|_| Error::fatal("the thread that writes the files failed"))?;
        self.exact = Some(exact);
        committed
    }
}
