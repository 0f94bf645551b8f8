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
    Batch, Claim, ConfigError, Cx, Delivery, Error, Exclusive, Lane, Record, Resource, Sink,
    TransactionalSink, async_trait,
};

use targets::Targets;
use transaction::Transactions;

/// Sink that writes files. The open files move to a blocking thread and back for each write.
pub(crate) struct FileSink {
    options: Arc<SinkOptions>,
    /// Open files. `None` while a write has them, and after a write that was cancelled.
    targets: Option<Box<Targets>>,
    /// Mode of the next write: the file is emptied at most once.
    mode: Mode,
    /// Tells whether a ledger from an earlier effectively-once run is removed.
    ledger_removed: bool,
    /// Claimed lanes; `None` before the claim, and while a commit runs.
    transactions: Option<Box<Transactions>>,
}

impl FileSink {
    pub(crate) fn new(options: SinkOptions) -> Result<Self, ConfigError> {
        options.check()?;
        let mode = options.mode;
        Ok(Self {
            options: Arc::new(options),
            targets: None,
            mode,
            ledger_removed: false,
            transactions: None,
        })
    }

    /// Calls `work` with the open files, on a thread that may block.
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
        if !self.ledger_removed {
            self.with_targets(cx, Targets::remove_ledger).await??;
            self.ledger_removed = true;
        }
        let (events, mode) = (batch.clone(), self.mode);
        self.mode = Mode::Append;
        let delivery = self.with_targets(cx, move |targets| targets.write(&events, mode)).await?;
        let nothing_written = |(again, _): (&[usize], &Error)| again.len() == batch.len();
        if delivery.to_retry().is_some_and(nothing_written) {
            self.mode = mode;
        }
        Ok(delivery)
    }

    fn transactional(&mut self) -> Result<&mut dyn TransactionalSink, Error> {
        let truncate = (self.options.mode == Mode::Truncate).then_some(
            "`mode = \"truncate\"` empties the file at each start, with the events that were delivered before",
        );
        let unsynced =
            (!self.options.sync).then_some("`sync = false` does not wait until the events are on the disk");
        let reasons: Vec<&str> = truncate.into_iter().chain(unsynced).collect();
        if reasons.is_empty() { Ok(self) } else { Err(Error::fatal(reasons.join("; "))) }
    }

    /// Claims the files, because two writers would remove each other's half-written lines.
    fn exclusive(&self) -> Vec<Exclusive> {
        let path = &self.options.path;
        if path.as_str() == "/dev/null" {
            return Vec::new();
        }
        let mut claims = vec![Exclusive::new("/path", Resource::template(path))];
        if self.options.rotate.is_some()
            && let Some(sealed) = path.as_literal().and_then(rotate::sealed_glob)
        {
            claims.push(Exclusive::new("/rotate", Resource::glob(&sealed)));
        }
        claims
    }
}

#[async_trait]
impl TransactionalSink for FileSink {
    async fn claim(&mut self, claim: &Claim, cx: &Cx) -> Result<BTreeMap<Lane, Record>, Error> {
        // Releases the lock of an earlier claim of this sink.
        self.transactions = None;
        let (options, claim) = (Arc::clone(&self.options), claim.clone());
        let claimed = cx.spawn_blocking(move || Transactions::claim(options, &claim));
        let transactions =
            claimed.await.map_err(|_| Error::fatal("the thread that claims the files failed"))??;
        let lanes = transactions.lanes().clone();
        self.transactions = Some(Box::new(transactions));
        Ok(lanes)
    }

    async fn commit(
        &mut self,
        batch: &Batch,
        lane: &Lane,
        record: &Record,
        cx: &Cx,
    ) -> Result<Delivery, Error> {
        let Some(mut transactions) = self.transactions.take() else {
            return Err(Error::replay("a commit was cancelled, so the files must be claimed again"));
        };
        let (batch, lane, record) = (batch.clone(), lane.clone(), record.clone());
        let done = cx.spawn_blocking(move || {
            let committed = transactions.commit(&batch, &lane, &record);
            (transactions, committed)
        });
        let (transactions, committed) =
            done.await.map_err(|_| Error::fatal("the thread that writes the files failed"))?;
        self.transactions = Some(transactions);
        committed
    }
}
