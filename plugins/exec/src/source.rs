//! The source `exec`: the lines that a command writes.

mod restarts;
mod run;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_sdk::framing::Lines;
use tidegate_sdk::{
    Batch, BatchBuilder, ConfigError, ConfigErrors, Cx, Duration, Error, Plugin, Secret, Source, SourceBatch,
    SourceRejection, async_trait,
};
use tokio::time::Instant;

use crate::process::Command;
use restarts::Restarts;
use run::{Cause, Run, Step};

/// The longest `interval`. A longer one is more likely a slip.
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
    /// nothing is expanded or split. To use one, name it: `["sh", "-c", "ls *.log | wc -l"]`.
    #[schemars(length(min = 1))]
    command: Vec<String>,
    /// When the command runs.
    #[serde(default)]
    mode: Mode,
    /// With `mode = "interval"`, the time from one start to the next, such as `"5m"`. Runs do not overlap: a
    /// start that is due during a run waits for its end. Default: `"60s"`.
    interval: Option<Duration>,
    /// The longest time of one run, such as `"30s"`. A run that takes longer is ended and counts as failed.
    /// Default: no limit. Not for `mode = "keep_running"`.
    time_limit: Option<Duration>,
    /// Environment variables of the command, such as `{ TOKEN = "${TOKEN}" }`. Of Tidegate's own variables it
    /// has only `PATH`, `HOME`, `LANG` and `TZ`.
    #[serde(default)]
    environment: BTreeMap<String, Secret>,
    /// The working folder of the command. Default: the folder that Tidegate was started in.
    folder: Option<PathBuf>,
    /// The time that the command has to end after SIGTERM, when the pipeline stops or `time_limit` is over.
    /// Then its whole process group is killed.
    #[serde(default = "kill_after")]
    kill_after: Duration,
}

/// When a command runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// Once. The source ends with the command. If the command fails, the pipeline fails.
    #[default]
    Once,
    /// At each `interval`. A run that fails is retried, with growing pauses.
    Interval,
    /// All the time. A command that ends is started again, with growing pauses.
    KeepRunning,
}

pub(crate) fn kill_after() -> Duration {
    Duration::seconds(5)
}

pub(crate) fn plugin() -> Plugin {
    Plugin::source("exec", "Reads the lines that a command writes to its standard output", SAMPLE, build)
}

fn build(options: Options) -> Result<ExecSource, ConfigError> {
    let mut errors = ConfigErrors::default();
    if options.interval.is_some() && options.mode != Mode::Interval {
        errors.push(ConfigError::at("/interval", "it counts only with `mode = \"interval\"`"));
    }
    if options.interval.is_some_and(|interval| interval.is_zero()) {
        errors.push(
            ConfigError::at("/interval", "it is above 0")
                .help("for a command that is started again at once, set `mode = \"keep_running\"`"),
        );
    }
    if options.interval.is_some_and(|interval| *interval > LONGEST_INTERVAL) {
        errors.push(ConfigError::at("/interval", "it is at most 365 days"));
    }
    if options.time_limit.is_some() && options.mode == Mode::KeepRunning {
        errors.push(ConfigError::at("/time_limit", "a command that is kept running has no time limit"));
    }
    let kill_after = options.kill_after.0;
    let command = Command::new(options.command, options.environment, options.folder, kill_after);
    let Some(command) = errors.keep(command) else { return Err(errors.into_error()) };
    errors.finish(ExecSource {
        command,
        mode: options.mode,
        interval: options.interval.unwrap_or(Duration::seconds(60)).0,
        time_limit: options.time_limit.map(|limit| limit.0),
        lines: Lines::new(Cx::EVENT_SIZE.as_usize()),
        run: None,
        restarts: Restarts::default(),
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
    restarts: Restarts,
    /// The next start in interval mode.
    due: Option<Instant>,
    /// The last line of a run that has ended.
    last: Option<SourceBatch>,
    /// The failure of a run, returned after everything that the run wrote.
    failure: Option<Error>,
    ended: bool,
}

#[async_trait]
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
                self.finish_run(cx).await;
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
    /// Waits until the next run is due, and starts it.
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
        // The interval counts from start to start. Starts that were missed are skipped.
        let next = self.due.map_or(now, |due| due + self.interval);
        self.due = (self.mode == Mode::Interval)
            .then(|| if self.due.is_none() { now + self.interval } else { next.max(now) });
        self.lines.begin_input();
        self.run = Some(Run::new(process, self.time_limit, self.command.kill_after));
        Ok(())
    }

    /// The complete lines that were read, if there are any.
    fn cut(&mut self) -> Option<SourceBatch> {
        let (mut builder, mut rejected) = (Batch::builder(), Vec::new());
        self.lines.cut(&mut builder, &mut rejected);
        batch(builder, rejected)
    }

    /// Ends a run whose output is read: cuts its last line, and decides what happens next.
    async fn finish_run(&mut self, cx: &Cx) {
        let Some(mut run) = self.run.take() else { return };
        let (mut builder, mut rejected) = (Batch::builder(), Vec::new());
        self.lines.finish(&mut builder, &mut rejected);
        if run.cause.is_some() {
            // The command was ended in the middle of this line, so the line may be incomplete.
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
        match self.mode {
            Mode::Once => {
                self.ended = true;
                if failed {
                    self.failure = Some(Error::fatal(self.failure_message(&mut run).await));
                }
            }
            Mode::Interval if !failed => self.restarts.succeeded(),
            Mode::Interval | Mode::KeepRunning => {
                // A run that reached its time limit was not healthy, however long it took.
                let ran = if run.cause.is_none() { run.started.elapsed() } else { std::time::Duration::ZERO };
                let pause = self.restarts.failed(ran);
                self.failure = Some(Error::retry(self.failure_message(&mut run).await).after(pause));
                // The engine pauses before it calls again. Then the command starts at once.
                self.due = None;
            }
        }
    }

    async fn failure_message(&mut self, run: &mut Run) -> String {
        let program = self.command.program();
        match (run.cause, self.time_limit) {
            (Some(Cause::TimeLimit), Some(limit)) => {
                let clause = run.process.stderr_clause().await;
                format!("`{program}` took longer than its time limit of {}{clause}", Duration(limit))
            }
            _ => format!("`{program}` ended with {}", run.process.exit_message().await),
        }
    }
}

fn batch(builder: BatchBuilder, rejected: Vec<SourceRejection>) -> Option<SourceBatch> {
    let some = !builder.is_empty() || !rejected.is_empty();
    some.then(|| SourceBatch::from(builder.finish()).with_rejected(rejected))
}
