//! The filter `exec`: a long-running command that answers each event, line by line.

mod exchange;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Deserialize;
use tidegate_sdk::{
    AsyncFilter, Batch, ConfigError, ConfigErrors, Cx, Duration, Emitter, Error, Output, Plugin, Secret,
    Span, async_trait,
};

use crate::process::Command;
use crate::source::kill_after;
use exchange::{Answers, Conversation, Failure};

/// The number of events in a row that may each end the command, with none answered, before the command itself is
/// suspected.
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
    /// The program and its arguments, such as `["python3", "enrich.py"]`. There is no shell. To use one, name
    /// it: `["sh", "-c", "..."]`. The command is started once. It reads one event a line from its standard input,
    /// and answers each with exactly one line, in order: the new payload, or an empty line to drop the event. It
    /// must flush each answer, and write nothing else to its standard output.
    #[schemars(length(min = 1))]
    command: Vec<String>,
    /// The longest time to answer a batch, such as `"30s"`. After it the command is killed and started again.
    #[serde(default = "time_limit")]
    time_limit: Duration,
    /// The number of times that a batch is given to the command in all, if the command ends, does not answer, or
    /// breaks the protocol. Then the batch is halved again and again to find the events at fault. These are
    /// rejected, with the reason.
    #[serde(default = "attempts")]
    #[schemars(range(min = 1))]
    attempts: u32,
    /// Environment variables of the command, such as `{ TOKEN = "${TOKEN}" }`. Of Tidegate's own variables it
    /// has only `PATH`, `HOME`, `LANG` and `TZ`.
    #[serde(default)]
    environment: BTreeMap<String, Secret>,
    /// The working folder of the command. Default: the folder that Tidegate was started in.
    folder: Option<PathBuf>,
    /// The time that the command has to end when its standard input is closed, and again after SIGTERM. Then its
    /// whole process group is killed.
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
    let summary = "Replaces each event by the answer of a long-running command";
    Plugin::async_filter("exec", summary, SAMPLE, build)
}

fn build(options: Options) -> Result<ExecFilter, ConfigError> {
    let mut errors = ConfigErrors::default();
    if options.time_limit.is_zero() {
        errors.push(ConfigError::at("/time_limit", "it is above 0"));
    }
    if options.attempts == 0 {
        errors.push(ConfigError::at("/attempts", "it is at least 1"));
    }
    let kill_after = options.kill_after.0;
    let command = Command::new(options.command, options.environment, options.folder, kill_after);
    let Some(command) = errors.keep(command) else { return Err(errors.into_error()) };
    errors.finish(ExecFilter {
        command,
        time_limit: options.time_limit.0,
        attempts: options.attempts,
        conversation: None,
        failures: 0,
        proven: false,
    })
}

struct ExecFilter {
    command: Command,
    time_limit: std::time::Duration,
    attempts: u32,
    conversation: Option<Conversation>,
    /// The failures of the current batch.
    failures: u32,
    /// Tells whether the command has ever answered an event.
    proven: bool,
}

/// The reason why the command gave no answers. The command was ended.
enum Unanswered {
    /// The command wrote a line too many for the batch before.
    Early,
    /// Anything else, in words.
    Failed(String),
}

#[async_trait]
impl AsyncFilter for ExecFilter {
    async fn open(&mut self, cx: &Cx) -> Result<(), Error> {
        self.conversation = Some(Conversation::new(self.command.start(cx)?));
        Ok(())
    }

    async fn process(&mut self, batch: &Batch, out: &mut Output, cx: &Cx) -> Result<(), Error> {
        let mut sent = Vec::with_capacity(batch.len());
        for (event, payload) in batch.payloads().enumerate() {
            if payload.contains(&b'\n') {
                out.reject(event, "it holds a line break, which would make two lines of it");
            } else {
                sent.push(event);
            }
        }
        if sent.is_empty() {
            return Ok(());
        }
        let mut asked = self.ask(batch, &sent, cx).await?;
        if let Err(Unanswered::Early) = asked {
            let program = self.command.program();
            tracing::error!(
                component = cx.component(),
                "`{program}` answered the last event of the batch before with more than one line; the first of \
                 them was taken, and the command is started again"
            );
            asked = self.ask(batch, &sent, cx).await?;
        }
        let answers = match asked {
            Ok(answers) => vec![(0..sent.len(), answers)],
            Err(unanswered) => {
                self.failures += 1;
                if self.failures < self.attempts {
                    return Err(Error::retry(self.reason(unanswered)));
                }
                self.bisect(batch, &sent, out, cx).await?
            }
        };
        self.failures = 0;
        emit_answers(out.to(0), &sent, answers);
        Ok(())
    }

    async fn close(&mut self, _cx: &Cx) -> Result<(), Error> {
        let Some(mut conversation) = self.conversation.take() else { return Ok(()) };
        if !conversation.finish(self.command.kill_after).await {
            return Ok(());
        }
        let program = self.command.program();
        Err(Error::fatal(format!(
            "`{program}` wrote more lines than it was given: what it wrote after its answer to the last event is \
             lost; it must answer each line with exactly one"
        )))
    }
}

impl ExecFilter {
    /// Gives these events to the command, which is started if it does not run. The inner error says why there is
    /// no answer.
    async fn ask(
        &mut self,
        batch: &Batch,
        events: &[usize],
        cx: &Cx,
    ) -> Result<Result<Answers, Unanswered>, Error> {
        let mut conversation = match self.conversation.take() {
            Some(conversation) => conversation,
            None => Conversation::new(self.command.start(cx)?),
        };
        let is_new = !conversation.was_asked();
        let asked = conversation.ask(batch, events, cx.event_size());
        let asked = tokio::time::timeout(self.time_limit, asked).await;
        let program = self.command.program();
        if let Ok(Err(Failure::Ended)) = asked {
            // The command closed its output. Wait for its exit status.
            conversation.close_input();
        }
        let process = &mut conversation.process;
        if matches!(asked, Ok(Err(Failure::Ended)))
            && tokio::time::timeout(self.command.kill_after, process.ended()).await.is_ok()
        {
            let reason = format!("`{program}` ended with {}", process.exit_message().await);
            return Ok(Err(Unanswered::Failed(reason)));
        }
        if !matches!(asked, Ok(Ok(_))) {
            process.kill();
            process.ended().await;
        }
        let reason = match asked {
            Ok(Ok(answers)) => {
                self.proven = true;
                self.conversation = Some(conversation);
                return Ok(Ok(answers));
            }
            Ok(Err(Failure::Early)) if is_new => {
                // The command does this each time it is started, so no event is at fault.
                let clause = process.stderr_clause().await;
                return Err(Error::misconfigured(format!(
                    "`{program}` wrote to its standard output before it was given a line{clause}; it may only \
                     write answers there, so send anything else to standard error"
                )));
            }
            Ok(Err(Failure::Early)) => return Ok(Err(Unanswered::Early)),
            Ok(Err(Failure::Ended)) => format!("`{program}` ended with {}", process.exit_message().await),
            Ok(Err(Failure::Protocol(problem))) => {
                format!("`{program}` {problem}{}", process.stderr_clause().await)
            }
            Err(_) => {
                let limit = Duration(self.time_limit);
                format!("`{program}` has not answered within {limit}{}", process.stderr_clause().await)
            }
        };
        Ok(Err(Unanswered::Failed(reason)))
    }

    fn reason(&self, unanswered: Unanswered) -> String {
        match unanswered {
            Unanswered::Early => {
                format!("`{}` answered with more lines than it was given", self.command.program())
            }
            Unanswered::Failed(reason) => reason,
        }
    }

    /// Finds the events at fault by halving, and rejects them. Returns the answers to the others.
    async fn bisect(
        &mut self,
        batch: &Batch,
        sent: &[usize],
        out: &mut Output,
        cx: &Cx,
    ) -> Result<Vec<(Range<usize>, Answers)>, Error> {
        let (mut answered, mut blamed) = (Vec::new(), Vec::new());
        // The whole batch has failed often enough. The left half is on top, so events keep their order.
        let mut waiting: Vec<Range<usize>> = Vec::new();
        push_halves(&mut waiting, 0..sent.len());
        while let Some(range) = waiting.pop() {
            match self.ask(batch, &sent[range.clone()], cx).await? {
                Ok(answers) => answered.push((range, answers)),
                Err(Unanswered::Early) => {
                    blamed.extend(self.blame_last(sent, &mut answered));
                    waiting.push(range);
                }
                Err(Unanswered::Failed(reason)) if range.len() == 1 => {
                    blamed.push((sent[range.start], reason));
                    let suspicious = answered.is_empty() && blamed.len() == VICTIMS.min(sent.len());
                    if suspicious && !self.answers_another(batch, sent, cx).await? {
                        // The command fails on every event, so no event is at fault.
                        return Err(Error::misconfigured(std::mem::take(&mut blamed[0].1)));
                    }
                }
                Err(Unanswered::Failed(_)) => push_halves(&mut waiting, range),
            }
        }
        // The answer to the last event of all can only be checked at the end of the output.
        if let Some(mut conversation) = self.conversation.take()
            && conversation.finish(self.command.kill_after).await
        {
            blamed.extend(self.blame_last(sent, &mut answered));
        }
        for (event, reason) in blamed {
            out.reject(event, reason);
        }
        Ok(answered)
    }

    /// Takes back the answer to the event that was asked for last: it has more than one line.
    fn blame_last(
        &self,
        sent: &[usize],
        answered: &mut [(Range<usize>, Answers)],
    ) -> Option<(usize, String)> {
        let (range, answers) = answered.last_mut().filter(|(range, _)| !range.is_empty())?;
        answers.lines.pop();
        range.end -= 1;
        Some((sent[range.end], self.reason(Unanswered::Early)))
    }

    /// Tells whether the command works, although the first events of a batch have each ended it. A small batch is at fault
    /// if the command has ever answered. Of a large batch, a sample of its events is tried; they are tried again later.
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

/// Pushes both halves of a range, the left one last. A range of one is pushed as it is.
fn push_halves(waiting: &mut Vec<Range<usize>>, range: Range<usize>) {
    let middle = range.start + range.len() / 2;
    waiting.extend([middle..range.end, range.start..middle].into_iter().filter(|half| !half.is_empty()));
}

/// The batch with each event replaced by its answer. An empty answer drops the event.
fn emit_answers(mut out: Emitter<'_>, sent: &[usize], answers: Vec<(Range<usize>, Answers)>) {
    for (range, Answers { bytes, lines }) in answers {
        let buffer = out.add_buffer(Bytes::from(bytes));
        for (event, line) in sent[range].iter().zip(lines) {
            if !line.is_empty() {
                let (offset, length) = (line.start as u32, line.len() as u32);
                out.write_span(*event, Span { buffer, offset, length });
            }
        }
    }
}
