//! The sink `file`.

mod confine;
mod options;
mod pack;
mod rotate;
mod target;
mod targets;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use options::{Compression, Mode, RotateOptions, SinkOptions};
use tidegate_sdk::{Batch, ConfigError, Cx, Delivery, Error, Sink};

use targets::Targets;

/// The sink: the open files, which travel to a blocking thread and back for each write.
pub(crate) struct FileSink {
    options: Arc<SinkOptions>,
    /// `None` while they are under way, and after a write that was given up.
    targets: Option<Box<Targets>>,
    /// What becomes of the file with the next write: it is emptied at most once.
    mode: Mode,
}

impl FileSink {
    pub(crate) fn new(options: SinkOptions) -> Result<Self, ConfigError> {
        options.check()?;
        let mode = options.mode;
        Ok(Self { options: Arc::new(options), targets: None, mode })
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

impl Sink for FileSink {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.with_targets(cx, Targets::open_literal).await?
    }

    async fn write(&mut self, batch: &Batch, cx: &Cx) -> Result<Delivery, Error> {
        let (events, mode) = (batch.clone(), self.mode);
        self.mode = Mode::Append;
        let delivery = self.with_targets(cx, move |targets| targets.write(&events, mode)).await?;
        let nothing_written = |(again, _): (&[usize], &Error)| again.len() == batch.len();
        if delivery.to_try_again().is_some_and(nothing_written) {
            self.mode = mode;
        }
        Ok(delivery)
    }
}
