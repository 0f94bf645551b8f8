//! The bodies of frames, as JSON: everything that is not per event. Positions are bytes, encoded as base64.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_sdk::{
    Attempt, Claim, Class, ConfigError, Delivery, Error, Exclusive, Kind, Lane, Output, Position, Record,
    Rejection, Replay,
};

use crate::factory::Capabilities;

/// [`crate::process::frame::Topic::Create`]
#[derive(Serialize, Deserialize)]
pub(crate) struct CreateMessage {
    /// `source`, `filter` or `sink`.
    pub(crate) kind: String,
    pub(crate) plugin: String,
    pub(crate) component: String,
    pub(crate) event_size: usize,
    pub(crate) options: Value,
    pub(crate) call_time: Duration,
    /// The most verbose level that is logged: `INFO`.
    pub(crate) level: String,
}

impl CreateMessage {
    pub(crate) fn kind(&self) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == self.kind)
    }
}

/// The capabilities of an instance.
#[derive(Serialize, Deserialize)]
pub(crate) struct CapabilitiesMessage {
    replay: u8,
    wants_commit: bool,
    wants_batch_done: bool,
    waits: bool,
    parallel: bool,
    why_not: Option<String>,
    transaction_domain: Result<String, String>,
    outputs: Vec<String>,
    explain: Option<String>,
    exclusive: Vec<ExclusiveMessage>,
    warnings: Vec<ConfigErrorMessage>,
}

/// A resource that no other component can use.
#[derive(Serialize, Deserialize)]
struct ExclusiveMessage {
    pointer: String,
    resource: String,
    of_same_name: bool,
    help: Option<String>,
}

impl From<Exclusive> for ExclusiveMessage {
    fn from(claim: Exclusive) -> Self {
        let resource = claim.encode();
        Self { pointer: claim.pointer, resource, of_same_name: claim.of_same_name, help: claim.help }
    }
}

impl From<ExclusiveMessage> for Exclusive {
    fn from(claim: ExclusiveMessage) -> Self {
        let ExclusiveMessage { pointer, resource, of_same_name, help } = claim;
        Self { of_same_name, help, ..Self::decode(pointer, &resource) }
    }
}

impl From<Capabilities> for CapabilitiesMessage {
    fn from(capabilities: Capabilities) -> Self {
        Self {
            replay: match capabilities.replay {
                Replay::Never => 0,
                Replay::Redelivery => 1,
                Replay::Position => 2,
            },
            wants_commit: capabilities.wants_commit,
            wants_batch_done: capabilities.wants_batch_done,
            waits: capabilities.waits,
            parallel: capabilities.parallel,
            why_not: capabilities.transactional.err(),
            transaction_domain: capabilities.transaction_domain,
            outputs: capabilities.outputs,
            explain: capabilities.explain,
            exclusive: capabilities.exclusive.into_iter().map(Into::into).collect(),
            warnings: capabilities.warnings.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<CapabilitiesMessage> for Capabilities {
    fn from(created: CapabilitiesMessage) -> Self {
        Self {
            replay: match created.replay {
                1 => Replay::Redelivery,
                2 => Replay::Position,
                _ => Replay::Never,
            },
            wants_commit: created.wants_commit,
            wants_batch_done: created.wants_batch_done,
            waits: created.waits,
            parallel: created.parallel,
            transactional: created.why_not.map_or(Ok(()), Err),
            transaction_domain: created.transaction_domain,
            outputs: created.outputs,
            explain: created.explain,
            exclusive: created.exclusive.into_iter().map(Into::into).collect(),
            warnings: created.warnings.into_iter().map(Into::into).collect(),
        }
    }
}

/// An error in the options.
#[derive(Serialize, Deserialize)]
pub(crate) struct ConfigErrorMessage {
    pointer: String,
    range: Option<(usize, usize)>,
    message: String,
    help: Option<String>,
    more: Vec<ConfigErrorMessage>,
}

impl From<ConfigError> for ConfigErrorMessage {
    fn from(error: ConfigError) -> Self {
        let ConfigError { pointer, range, message, help, more } = error;
        let more = more.into_iter().map(Self::from).collect();
        Self { pointer, range: range.map(|range| (range.start, range.end)), message, help, more }
    }
}

impl From<ConfigErrorMessage> for ConfigError {
    fn from(misfit: ConfigErrorMessage) -> Self {
        let ConfigErrorMessage { pointer, range, message, help, more } = misfit;
        let more = more.into_iter().map(Self::from).collect();
        Self { pointer, range: range.map(|(start, end)| start..end), message, help, more }
    }
}

const CLASSES: [Class; 7] = [
    Class::Retry,
    Class::Busy,
    Class::Ambiguous,
    Class::Misconfigured,
    Class::Reject,
    Class::Replay,
    Class::Fatal,
];

/// The error of an operation.
#[derive(Serialize, Deserialize)]
pub(crate) struct ErrorMessage {
    class: usize,
    message: String,
    after: Option<Duration>,
}

impl From<&Error> for ErrorMessage {
    fn from(error: &Error) -> Self {
        let class = CLASSES.iter().position(|class| *class == error.class());
        let class =
            class.expect("every class is in the list, and a broken instance has an answer of its own");
        Self { class, message: error.message().to_owned(), after: error.retry_after() }
    }
}

impl From<ErrorMessage> for Error {
    fn from(failure: ErrorMessage) -> Self {
        let class = CLASSES.get(failure.class).copied().unwrap_or(Class::Fatal);
        let error = Self::new(class, failure.message);
        match failure.after {
            Some(after) => error.after(after),
            None => error,
        }
    }
}

/// A position, or no position.
#[derive(Serialize, Deserialize)]
pub(crate) struct EncodedPosition(Option<String>);

impl From<Option<&Position>> for EncodedPosition {
    fn from(position: Option<&Position>) -> Self {
        Self(position.map(|position| STANDARD.encode(position.as_bytes())))
    }
}

impl EncodedPosition {
    pub(crate) fn position(self) -> Result<Option<Position>, String> {
        let decode =
            |text: String| STANDARD.decode(text).map(|bytes| Position::from_bytes(Bytes::from(bytes)));
        self.0.map(decode).transpose().map_err(|error| format!("a position is not readable: {error}"))
    }
}

/// [`crate::process::frame::Topic::Open`]: where to resume.
#[derive(Serialize, Deserialize)]
pub(crate) struct ResumeMessage(Vec<(String, EncodedPosition)>);

impl ResumeMessage {
    pub(crate) fn of(resume: &BTreeMap<String, Position>) -> Self {
        Self(resume.iter().map(|(name, place)| (name.clone(), Some(place).into())).collect())
    }

    pub(crate) fn positions(self) -> Result<BTreeMap<String, Position>, String> {
        let place =
            |(name, place): (String, EncodedPosition)| Ok(place.position()?.map(|place| (name, place)));
        self.0.into_iter().filter_map(|entry| place(entry).transpose()).collect()
    }
}

/// [`crate::process::frame::Topic::CommitPosition`]
#[derive(Serialize, Deserialize)]
pub(crate) struct CommitMessage {
    pub(crate) partition: String,
    pub(crate) position: EncodedPosition,
}

/// The number of a frame that calls a filter: whether it may defer events, and the attempt.
pub(crate) fn call_number(resumable: bool, attempt: Attempt) -> u32 {
    u32::from(resumable) | u32::from(attempt.last) << 1 | attempt.number.min(u32::MAX >> 2) << 2
}

/// The inverse of [`call_number`].
pub(crate) fn of_call_number(number: u32) -> (bool, Attempt) {
    (number & 1 != 0, Attempt { number: number >> 2, last: number & 2 != 0 })
}

/// The result of a filter, without the batches.
#[derive(Serialize, Deserialize)]
pub(crate) struct FilterResult {
    pub(crate) rejected: Vec<(usize, String)>,
    pub(crate) deferred: Option<usize>,
}

impl FilterResult {
    pub(crate) fn of(output: &mut Output) -> Self {
        let rejected = output.rejected().iter().map(|one| (one.event, one.reason.clone()));
        Self { rejected: rejected.collect(), deferred: output.take_deferred() }
    }

    /// Adds the rejections and the deferred events to `output`.
    pub(crate) fn put(self, output: &mut Output, events: usize) -> Result<(), String> {
        let mut seen = vec![false; events];
        for (event, reason) in self.rejected {
            match seen.get_mut(event) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(format!("event {event} cannot be rejected")),
            }
            output.reject(event, reason);
        }
        match self.deferred {
            Some(event) if !(1..events).contains(&event) || !output.defer_from(event) => {
                Err(format!("event {event} cannot be the first deferred event"))
            }
            _ => Ok(()),
        }
    }
}

/// The result of a sink. An empty body is a complete delivery.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct SinkResult {
    rejected: Vec<(usize, String)>,
    retry: Option<(Vec<usize>, ErrorMessage)>,
    /// The events among these that failed alone, with their reasons.
    failed: Vec<(usize, String)>,
    /// Only of `ack_and_write`.
    already_done: Vec<usize>,
}

impl SinkResult {
    /// `None` if every event is delivered.
    pub(crate) fn of(mut delivery: Delivery) -> Option<Self> {
        let already_done = delivery.events_already_done().to_vec();
        let failed = delivery.take_failed();
        let (rejected, retry) = delivery.into_parts();
        let pair = |Rejection { event, reason }| (event, reason);
        let retry = retry.map(|(events, error)| (events, ErrorMessage::from(&error)));
        let rejected = rejected.into_iter().map(pair).collect();
        let result = Self { rejected, retry, failed, already_done };
        let complete = result.rejected.is_empty() && result.retry.is_none() && result.already_done.is_empty();
        (!complete).then_some(result)
    }

    /// The delivery of a batch with this number of events; `acknowledges` if the operation was `ack_and_write`.
    pub(crate) fn delivery(self, events: usize, acknowledges: bool) -> Result<Delivery, String> {
        let mut delivery = Delivery::complete();
        let ascending = self.already_done.is_sorted_by(|one, next| one < next);
        let within = self.already_done.last().is_none_or(|last| acknowledges && *last < events);
        if !ascending || !within || (acknowledges && self.retry.is_some()) {
            return Err(
                "the events that are already done are not events of the batch, in order, or the operation cannot report them".into()
            );
        }
        self.already_done.into_iter().for_each(|event| delivery.already_done(event));
        for (event, reason) in self.rejected {
            if event >= events {
                return Err(format!("there is no event {event} to reject"));
            }
            delivery.reject(event, reason);
        }
        if let Some((events_to_retry, failure)) = self.retry {
            let error = Error::from(failure);
            let ascending = events_to_retry.is_sorted_by(|one, next| one < next);
            if !ascending
                || events_to_retry.last().is_some_and(|last| *last >= events)
                || error.class() == Class::Reject
            {
                return Err("the events to retry are not events of the batch, in order".into());
            }
            let mut failed: BTreeMap<usize, String> = self.failed.into_iter().collect();
            for event in events_to_retry {
                match failed.remove(&event) {
                    Some(reason) => delivery.failed(event, error.clone().with_message(reason)),
                    None => delivery.retry([event], error.clone()),
                }
            }
        }
        Ok(delivery)
    }
}

/// [`crate::process::frame::Topic::Claim`]
#[derive(Serialize, Deserialize)]
pub(crate) struct ClaimMessage {
    pipeline: String,
    sink: String,
    reset: bool,
}

impl From<&Claim> for ClaimMessage {
    fn from(claim: &Claim) -> Self {
        let Claim { pipeline, sink, reset } = claim;
        Self { pipeline: pipeline.to_string(), sink: sink.to_string(), reset: *reset }
    }
}

impl From<ClaimMessage> for Claim {
    fn from(claiming: ClaimMessage) -> Self {
        let ClaimMessage { pipeline, sink, reset } = claiming;
        Self { pipeline: pipeline.into(), sink: sink.into(), reset }
    }
}

/// The record of one lane.
#[derive(Serialize, Deserialize)]
pub(crate) struct LaneRecord {
    source: String,
    partition: String,
    position: EncodedPosition,
    base: u64,
    done: u64,
}

impl LaneRecord {
    pub(crate) fn of(lane: &Lane, record: &Record) -> Self {
        Self {
            source: lane.source.to_string(),
            partition: lane.partition.to_string(),
            position: record.position.as_ref().into(),
            base: record.base,
            done: record.done,
        }
    }

    pub(crate) fn record(self) -> Result<(Lane, Record), String> {
        let Self { source, partition, position, base, done } = self;
        if done < base {
            return Err(format!("the record of `{source}` is not one: {done} is before {base}"));
        }
        let lane = Lane { source: source.into(), partition: partition.into() };
        Ok((lane, Record { position: position.position()?, base, done }))
    }
}

/// A line of the log of the child.
#[derive(Serialize, Deserialize)]
pub(crate) struct LogMessage {
    /// `INFO`
    pub(crate) level: String,
    pub(crate) message: String,
}

/// The progress of a source in the child.
#[derive(Serialize, Deserialize)]
pub(crate) struct ProgressMessage {
    pub(crate) done: u64,
    pub(crate) total: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_filters_survive() {
        for (resumable, number, last) in
            [(false, 1, false), (true, 1, true), (true, 7, false), (false, u32::MAX >> 2, true)]
        {
            let attempt = Attempt { number, last };
            assert_eq!(of_call_number(call_number(resumable, attempt)), (resumable, attempt));
        }
    }

    #[test]
    fn positions_of_any_bytes_survive() {
        let position = Position::from_bytes(Bytes::from_static(&[0, 255, b'"', 10, 128]));
        let resume = BTreeMap::from([("a\u{e4}".to_owned(), position)]);
        let text = serde_json::to_string(&ResumeMessage::of(&resume)).unwrap();
        let back: ResumeMessage = serde_json::from_str(&text).unwrap();
        assert_eq!(back.positions().unwrap(), resume);
        let none: EncodedPosition =
            serde_json::from_str(&serde_json::to_string(&EncodedPosition::from(None)).unwrap()).unwrap();
        assert_eq!(none.position().unwrap(), None);
    }

    #[test]
    fn results_with_events_outside_of_the_batch_are_refused() {
        let retry = |events: &[usize]| SinkResult {
            rejected: vec![],
            retry: Some((events.to_vec(), ErrorMessage::from(&Error::busy("later", Duration::from_secs(3))))),
            failed: vec![],
            already_done: vec![],
        };
        let delivery = retry(&[1, 2]).delivery(3, false).unwrap();
        let (events, error) = delivery.to_retry().unwrap();
        assert_eq!((events, error.class()), (&[1, 2][..], Class::Busy));
        assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
        assert!(retry(&[2, 1]).delivery(3, false).is_err() && retry(&[3]).delivery(3, false).is_err());
        assert!(retry(&[1, 2]).delivery(3, true).is_err(), "`ack_and_write` fails as a whole");
        let already_done =
            |events: &[usize]| SinkResult { already_done: events.to_vec(), ..SinkResult::default() };
        assert_eq!(already_done(&[0, 2]).delivery(3, true).unwrap().events_already_done(), [0, 2]);
        assert!(already_done(&[0, 2]).delivery(3, false).is_err(), "other operations cannot report it");
        assert!(
            already_done(&[3]).delivery(3, true).is_err() && already_done(&[2, 2]).delivery(3, true).is_err()
        );
        let mut failed = Delivery::complete();
        failed.failed(0, Error::retry("too long"));
        failed.retry([1], Error::retry("no answer"));
        failed.failed(2, Error::busy("full", Duration::from_secs(9)));
        let mut back = SinkResult::of(failed).unwrap().delivery(3, false).unwrap();
        assert_eq!(back.take_failed(), [(0, "too long".to_owned()), (2, "full".to_owned())]);
        let (events, error) = back.to_retry().unwrap();
        assert_eq!((events, error.retry_after()), (&[0, 1, 2][..], Some(Duration::from_secs(9))));
        let none = &tidegate_sdk::Batch::builder().finish();
        let made = |rejected: &[usize], deferred| FilterResult {
            rejected: rejected.iter().map(|event| (*event, String::new())).collect(),
            deferred,
        };
        assert!(made(&[0, 2], Some(1)).put(&mut Output::resumable(none), 3).is_ok());
        assert!(made(&[0, 0], None).put(&mut Output::new(none), 3).is_err());
        assert!(made(&[3], None).put(&mut Output::new(none), 3).is_err());
        assert!(made(&[], Some(3)).put(&mut Output::resumable(none), 3).is_err());
        assert!(made(&[], Some(1)).put(&mut Output::new(none), 3).is_err());
    }
}
