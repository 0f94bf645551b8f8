//! The filter `exec`: asks a long-running command, line by line.

mod exchange;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::{AsyncFilter, Batch, ConfigError, Cx, Duration, Error, Output, Plugin, Secret, Span};

use crate::process::{Command, Process};
use crate::source::kill_after;
use exchange::Answers;

/// After how many single events that each ended the command, with none answered, it is looked at whether it is
/// their fault at all.
const VICTIMS: usize = 10;

const SAMPLE: &str = r#"
[filter.enrich]
plugin = "exec"
command = ["python3", "enrich.py"]
"#;

/// Options of the filter `exec`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Options {
    /// The program and its arguments, such as `["python3", "enrich.py"]`. There is no shell; where one is
    /// wanted, say so: `["sh", "-c", "..."]`. It is started once, reads one event a line from its standard
    /// input, and answers each with exactly one line, in order: the new payload, or an empty line to drop the
    /// event. It must not hold its answers back in a buffer.
    #[schemars(length(min = 1))]
    command: Vec<String>,
    /// How long it may take to answer a batch, such as `"30s"`; then it is ended and started again.
    #[serde(default = "time_limit")]
    time_limit: Duration,
    /// How often the same batch is given to it in all, when it ends or does not answer. Then the batch is
    /// halved again and again to find the events that are to blame, which are rejected, with the reason.
    #[serde(default = "attempts")]
    #[schemars(range(min = 1))]
    attempts: u32,
    /// Environment variables of the command, such as `{ TOKEN = "${TOKEN}" }`. Beside these it has only
    /// `PATH`, `HOME`, `LANG` and `TZ` of Tidegate's own.
    #[serde(default)]
    environment: BTreeMap<String, Secret>,
    /// The folder that it runs in. Left out, it is the one that Tidegate was started in.
    folder: Option<PathBuf>,
    /// How long it may take to end when its standard input is closed, and again after SIGTERM; then it is
    /// killed, with all that it has started.
    #[serde(default = "kill_after")]
    kill_after: Duration,
}

fn time_limit() -> Duration {
    Duration::seconds(30)
}

fn attempts() -> u32 {
    3
}

pub(crate) fn plugin() -> Plugin {
    let summary = "Gives each event to a long-running command and goes on with its answer";
    Plugin::async_filter("exec", summary, SAMPLE, build)
}

fn build(options: Options) -> Result<ExecFilter, ConfigError> {
    if options.time_limit.is_zero() {
        return Err(ConfigError::at("/time_limit", "it is above 0"));
    }
    if options.attempts == 0 {
        return Err(ConfigError::at("/attempts", "it is at least 1"));
    }
    let kill_after = options.kill_after.0;
    Ok(ExecFilter {
        command: Command::new(options.command, options.environment, options.folder, kill_after)?,
        time_limit: options.time_limit.0,
        attempts: options.attempts,
        process: None,
        failures: 0,
        proven: false,
    })
}

struct ExecFilter {
    command: Command,
    time_limit: std::time::Duration,
    attempts: u32,
    process: Option<Process>,
    /// How often the batch at hand has failed.
    failures: u32,
    /// Whether the command has ever answered an event.
    proven: bool,
}

impl AsyncFilter for ExecFilter {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.process = Some(self.command.start(cx)?);
        Ok(())
    }

    async fn process(&mut self, batch: &Batch, out: &mut Output, cx: &Cx) -> Result<(), Error> {
        let mut sent = Vec::with_capacity(batch.len());
        for (event, payload) in batch.payloads().enumerate() {
            match payload.contains(&b'\n') {
                true => out.reject(event, "it holds a line break, which would make two lines of it"),
                false => sent.push(event),
            }
        }
        if sent.is_empty() {
            return Ok(());
        }
        let answers = match self.ask(batch, &sent, cx).await? {
            Ok(answers) => vec![(0..sent.len(), answers)],
            Err(reason) => {
                self.failures += 1;
                if self.failures < self.attempts {
                    return Err(Error::retry(reason));
                }
                self.halve(batch, &sent, out, cx).await?
            }
        };
        self.failures = 0;
        out.emit(replaced(batch, &sent, answers));
        Ok(())
    }

    async fn close(&mut self, _cx: &Cx) -> Result<(), Error> {
        if let Some(mut process) = self.process.take() {
            process.end(self.command.kill_after).await;
        }
        Ok(())
    }
}

impl ExecFilter {
    /// Gives these events to the command, which is started if it does not run. The inner error is why it did
    /// not answer them; it is ended then.
    async fn ask(
        &mut self,
        batch: &Batch,
        events: &[usize],
        cx: &Cx,
    ) -> Result<Result<Answers, String>, Error> {
        let mut process = match self.process.take() {
            Some(process) => process,
            None => self.command.start(cx)?,
        };
        let asked = exchange::ask(&mut process, batch, events, cx.event_size());
        let program = self.command.program();
        let reason = match tokio::time::timeout(self.time_limit, asked).await {
            Ok(Ok(answers)) => {
                self.proven = true;
                self.process = Some(process);
                return Ok(Ok(answers));
            }
            Ok(Err(exchange::Failure::Ended)) => {
                // It has closed its output; give it a moment to end by itself, so that its status is told.
                process.stdin = None;
                if tokio::time::timeout(self.command.kill_after, process.ended()).await.is_err() {
                    process.kill();
                    process.ended().await;
                }
                format!("`{program}` ended with {}", process.epitaph().await)
            }
            Ok(Err(exchange::Failure::Protocol(problem))) => {
                process.kill();
                process.ended().await;
                format!("`{program}` {problem}{}", process.last_words().await)
            }
            Err(_) => {
                process.kill();
                process.ended().await;
                let limit = Duration(self.time_limit);
                format!("`{program}` has not answered within {limit}{}", process.last_words().await)
            }
        };
        Ok(Err(reason))
    }

    /// Finds the events that the command does not survive, and rejects them. Returns the answers to the rest.
    async fn halve(
        &mut self,
        batch: &Batch,
        sent: &[usize],
        out: &mut Output,
        cx: &Cx,
    ) -> Result<Vec<(Range<usize>, Answers)>, Error> {
        let (mut answered, mut blamed) = (Vec::new(), Vec::new());
        // The whole has failed often enough. The left half is on top, so events are asked for in order.
        let mut waiting: Vec<Range<usize>> = Vec::new();
        push_halves(&mut waiting, 0..sent.len());
        while let Some(range) = waiting.pop() {
            match self.ask(batch, &sent[range.clone()], cx).await? {
                Ok(answers) => answered.push((range, answers)),
                Err(reason) if range.len() == 1 => {
                    blamed.push((sent[range.start], reason));
                    let suspicious = answered.is_empty() && blamed.len() == VICTIMS.min(sent.len());
                    if suspicious && !self.answers_another(batch, sent, cx).await? {
                        // It does this to every event, so no event is to blame.
                        return Err(Error::misconfigured(std::mem::take(&mut blamed[0].1)));
                    }
                }
                Err(_) => push_halves(&mut waiting, range),
            }
        }
        for (event, reason) in blamed {
            out.reject(event, reason);
        }
        Ok(answered)
    }

    /// Whether the command is well, as far as one can tell when the first few events of a batch have each
    /// ended it: a small batch is believed if the command has ever answered, and of a large one, events from
    /// all over are tried (and asked for again later).
    async fn answers_another(&mut self, batch: &Batch, sent: &[usize], cx: &Cx) -> Result<bool, Error> {
        if sent.len() <= VICTIMS {
            return Ok(self.proven);
        }
        for part in 1..=VICTIMS {
            let event = (sent.len() - 1) * part / VICTIMS;
            if self.ask(batch, &sent[event..=event], cx).await?.is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Pushes both halves of a range, the left one last; a range of one as it is.
fn push_halves(waiting: &mut Vec<Range<usize>>, range: Range<usize>) {
    let middle = range.start + range.len() / 2;
    waiting.extend([middle..range.end, range.start..middle].into_iter().filter(|half| !half.is_empty()));
}

/// The batch with the answers in the place of its events; empty answers drop them.
fn replaced(batch: &Batch, sent: &[usize], answers: Vec<(Range<usize>, Answers)>) -> Batch {
    let mut builder = batch.derive();
    for (range, Answers { bytes, lines }) in answers {
        let buffer = builder.add_buffer(Bytes::from(bytes));
        for (event, line) in sent[range].iter().zip(lines) {
            if !line.is_empty() {
                let (offset, length) = (line.start as u32, line.len() as u32);
                builder.write_span(*event, Span { buffer, offset, length });
            }
        }
    }
    builder.finish()
}
