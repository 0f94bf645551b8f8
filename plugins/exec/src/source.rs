//! The source `exec`: what a command writes, line by line.

mod run;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::framing::Lines;
use tidegate_sdk::{
    Batch, BatchBuilder, ConfigError, Cx, Duration, Error, Plugin, Secret, Source, SourceBatch,
    SourceRejection,
};
use tokio::time::Instant;

use crate::process::Command;
use run::{Cause, Run, Step};

/// The longest `interval`; over it, it is more likely a slip of the pen.
const LONGEST_INTERVAL: std::time::Duration = std::time::Duration::from_secs(365 * 86_400);

const SAMPLE: &str = r#"
# How full the disks are, every minute, one line each.
[source.disks]
plugin = "exec"
command = ["df", "-P"]
mode = "interval"
interval = "60s"
"#;

/// Options of the source `exec`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The program and its arguments, such as `["journalctl", "-f", "-o", "json"]`. There is no shell, so
    /// nothing is expanded or split; where one is wanted, say so: `["sh", "-c", "ls *.log | wc -l"]`.
    #[schemars(length(min = 1))]
    command: Vec<String>,
    /// When it runs.
    #[serde(default)]
    mode: Mode,
    /// With `mode = "interval"`, the time from one start to the next, such as `"5m"`. A run that takes longer
    /// is not overlapped: the next one starts when it ends. Left out, it is `"60s"`.
    interval: Option<Duration>,
    /// How long one run may take, such as `"30s"`; then it is ended, and counts as failed. Left out, there is
    /// no limit. Not for `mode = "keep_running"`.
    time_limit: Option<Duration>,
    /// Environment variables of the command, such as `{ TOKEN = "${TOKEN}" }`. Beside these it has only
    /// `PATH`, `HOME`, `LANG` and `TZ` of Tidegate's own.
    #[serde(default)]
    environment: BTreeMap<String, Secret>,
    /// The folder that it runs in. Left out, it is the one that Tidegate was started in.
    folder: Option<PathBuf>,
    /// How long it may take to end after SIGTERM, when the pipeline stops or its time is over; then it is
    /// killed, with all that it has started.
    #[serde(default = "kill_after")]
    kill_after: Duration,
}

/// When a command runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// Once: when it has ended, so has the source. If it fails, so does the pipeline.
    #[default]
    Once,
    /// Again and again, at each `interval`. If it fails, it is tried again, with growing pauses.
    Interval,
    /// All the time: when it ends, for whatever reason, it is started again, with growing pauses.
    KeepRunning,
}

pub(crate) fn kill_after() -> Duration {
    Duration::seconds(5)
}

pub(crate) fn plugin() -> Plugin {
    Plugin::source("exec", "What a command writes to its standard output, line by line", SAMPLE, build)
}

fn build(options: Options) -> Result<ExecSource, ConfigError> {
    if options.interval.is_some() && options.mode != Mode::Interval {
        return Err(ConfigError::at("/interval", "it counts only with `mode = \"interval\"`"));
    }
    if options.interval.is_some_and(|interval| interval.is_zero()) {
        return Err(ConfigError::at("/interval", "it is above 0")
            .help("for a command that is started again at once, set `mode = \"keep_running\"`"));
    }
    if options.interval.is_some_and(|interval| *interval > LONGEST_INTERVAL) {
        return Err(ConfigError::at("/interval", "it is at most 365 days"));
    }
    if options.time_limit.is_some() && options.mode == Mode::KeepRunning {
        return Err(ConfigError::at("/time_limit", "a command that is kept running has no time limit"));
    }
    let kill_after = options.kill_after.0;
    Ok(ExecSource {
        command: Command::new(options.command, options.environment, options.folder, kill_after)?,
        mode: options.mode,
        interval: options.interval.unwrap_or(Duration::seconds(60)).0,
        time_limit: options.time_limit.map(|limit| limit.0),
        lines: Lines::new(Cx::EVENT_SIZE.as_usize()),
        run: None,
        due: None,
        last: None,
        failure: None,
        ended: false,
    })
}

struct ExecSource {
    command: Command,
    mode: Mode,
    interval: std::time::Duration,
    time_limit: Option<std::time::Duration>,
    lines: Lines,
    run: Option<Run>,
    /// When the next run of an interval starts.
    due: Option<Instant>,
    /// What is left when a run has ended: its last line.
    last: Option<SourceBatch>,
    /// Told when all that was read before has been handed over.
    failure: Option<Error>,
    ended: bool,
}

impl Source for ExecSource {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.lines = Lines::new(cx.event_size());
        Ok(())
    }

    async fn next(&mut self, cx: &Cx) -> Result<Option<SourceBatch>, Error> {
        loop {
            if let Some(batch) = self.cut().or_else(|| self.last.take()) {
                return Ok(Some(batch));
            }
            if let Some(error) = self.failure.take() {
                return Err(error);
            }
            if self.ended {
                return Ok(None);
            }
            let Some(run) = &mut self.run else {
                self.start(cx).await?;
                continue;
            };
            if let Step::Ended = run.step(self.lines.buffer(), cx).await {
                self.settle(cx).await;
            }
        }
    }

    async fn close(&mut self, _cx: &Cx) -> Result<(), Error> {
        if let Some(mut run) = self.run.take() {
            run.process.terminate();
            run.process.end(self.command.kill_after).await;
        }
        Ok(())
    }
}

impl ExecSource {
    /// Waits until a run is due, and starts it.
    async fn start(&mut self, cx: &Cx) -> Result<(), Error> {
        if let Some(due) = self.due {
            cx.sleep(due.saturating_duration_since(Instant::now())).await;
        }
        if cx.is_stopping() {
            self.ended = true;
            return Ok(());
        }
        let process = self.command.start(cx).map_err(|error| match self.mode {
            Mode::Once => Error::fatal(error.message()),
            _ => error,
        })?;
        let now = Instant::now();
        // From start to start, without catching up on what was missed.
        let next = self.due.map_or(now, |due| due + self.interval);
        self.due = (self.mode == Mode::Interval)
            .then(|| if self.due.is_none() { now + self.interval } else { next.max(now) });
        self.run = Some(Run::new(process, self.time_limit, self.command.kill_after));
        Ok(())
    }

    /// The whole lines that were read; `None` if there are none.
    fn cut(&mut self) -> Option<SourceBatch> {
        let (mut builder, mut rejected) = (Batch::builder(), Vec::new());
        self.lines.cut(&mut builder, &mut rejected);
        batch(builder, rejected)
    }

    /// A run has ended and all that it wrote is read: what about its last line, and what next?
    async fn settle(&mut self, cx: &Cx) {
        let Some(mut run) = self.run.take() else { return };
        let (mut builder, mut rejected) = (Batch::builder(), Vec::new());
        self.lines.finish(&mut builder, &mut rejected);
        if run.cause.is_some() {
            // It was not given the time to end this line, so nobody knows whether it is whole.
            let torn = std::mem::replace(&mut builder, Batch::builder()).finish();
            rejected.extend((0..torn.len()).map(|event| SourceRejection {
                payload: torn.shared_payload(event),
                length: torn.payload(event).len() as u64,
                reason: "the command was ended before it ended this line".to_owned(),
            }));
        }
        self.last = batch(builder, rejected);
        if run.cause == Some(Cause::Stop) || cx.is_stopping() {
            self.ended = true;
            return;
        }
        let failed = run.cause.is_some() || !run.process.status().is_some_and(|status| status.success());
        if self.mode == Mode::Once && !failed {
            self.ended = true;
        } else if failed || self.mode == Mode::KeepRunning {
            let message = self.obituary(&mut run).await;
            self.failure = Some(match self.mode {
                Mode::Once => Error::fatal(message),
                Mode::Interval | Mode::KeepRunning => Error::retry(message),
            });
            // The engine pauses; then it is started at once.
            self.due = None;
            self.ended = self.mode == Mode::Once;
        }
    }

    async fn obituary(&mut self, run: &mut Run) -> String {
        let program = self.command.program();
        match (run.cause, self.time_limit) {
            (Some(Cause::TimeLimit), Some(limit)) => {
                let last_words = run.process.last_words().await;
                format!("`{program}` took longer than its time limit of {}{last_words}", Duration(limit))
            }
            _ => format!("`{program}` ended with {}", run.process.epitaph().await),
        }
    }
}

fn batch(builder: BatchBuilder, rejected: Vec<SourceRejection>) -> Option<SourceBatch> {
    let some = !builder.is_empty() || !rejected.is_empty();
    some.then(|| SourceBatch::from(builder.finish()).with_rejected(rejected))
}
