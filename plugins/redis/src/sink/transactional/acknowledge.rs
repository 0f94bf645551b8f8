//! Effectively once by acknowledgement: one function inside of Redis acknowledges entries of a stream and writes the
//! events that were made of them.
//!
//! Many processes may share the group, so there is no claim. The entry itself is the fence: it is pending until the
//! first process acknowledges it, and the events that others made of it are not written.

mod calls;

use std::collections::BTreeSet;

use tidegate_sdk::{AckHandles, Batch, Cx, Delivery, Error};

use super::procedure::{Answer, call};
use super::writes::{Item, Writes};
use super::{KEPT_BYTES, Session, forgetful, refuse, tag};
use crate::server::Servers;
use crate::server::address::Target;
use crate::server::slot::slot;
use crate::sink::options::Command;
use crate::sink::setup::Setup;

use calls::{Call, Preface, calls};

/// The acknowledging side of a sink.
#[derive(Default)]
pub(crate) struct Acknowledger {
    session: Option<Session>,
    request: Vec<u8>,
    progress: Progress,
}

/// The progress of the current entries. Some may be done when the others are retried.
#[derive(Default)]
struct Progress {
    /// The first handle of these entries, by which a retry is recognized.
    batch: Option<Vec<u8>>,
    /// The first entry that is not done.
    done: usize,
    /// Entries that other processes have done.
    elsewhere: BTreeSet<usize>,
    /// True if the next call was sent before without a reply: then it may have been done.
    sent: bool,
}

/// The names in the handles of the source.
struct Scope<'r> {
    stream: &'r str,
    group: &'r str,
    consumer: &'r str,
}

/// The transaction domain of the sink: see [`Target::domain`].
///
/// # Errors
/// The reason why the sink cannot acknowledge there.
pub(crate) fn transaction_domain(setup: &Setup) -> Result<String, Error> {
    if setup.options.command == Command::Publish {
        return Err(Error::fatal(
            "`publish` keeps nothing, so an entry cannot be acknowledged with it; write to a stream with \
             `command = \"xadd\"`",
        ));
    }
    let literal = setup.shape.key.as_literal();
    let slot = match &setup.target {
        Target::Cluster(_) => {
            let key = literal.or_else(|| tag(setup.shape.key.prefix()).map(|_| setup.shape.key.prefix()));
            slot(
                key.ok_or_else(|| {
                    Error::fatal(
                        "in a cluster all keys must be in one slot, together with the stream; begin `key` with a literal \
                         tag in braces, such as `key = \"{{users}}:{.id}\"`, and let the stream have the same tag",
                    )
                })?
                .as_bytes(),
            )
        }
        _ => 0,
    };
    Ok(setup.target.domain(setup.login.database, slot))
}

impl Acknowledger {
    /// Acknowledges the entries of the handles and writes the events that were made of them.
    pub(crate) async fn ack_and_write(
        &mut self,
        (setup, servers): (&Setup, &mut Servers),
        batch: &Batch,
        ack_handles: &AckHandles,
        cx: &Cx,
    ) -> Result<Delivery, Error> {
        let scope = Scope::of(ack_handles)?;
        self.progress.of(ack_handles);
        let mut delivery = Delivery::complete();
        let first = if batch.is_empty() { 0 } else { batch.origin(0).first };
        let mut writes = Writes::new(&setup.shape, batch, first + self.progress.done as u64, &mut delivery);
        if !delivery.rejected().is_empty() {
            return Ok(delivery);
        }
        writes.items.sort_by_key(|item| item.number);
        let number = |item: &Item| (item.number - first) as usize;
        for one in calls(&writes, number, self.progress.done..ack_handles.range().end) {
            let preface = Preface {
                scope: [scope.stream, scope.group, scope.consumer],
                kind: setup.kind(),
                trim: &setup.trim(),
                ttl: &setup.ttl(),
            };
            let items = one.items.clone();
            let refused = self.call((setup, servers), &writes, (&one, &preface), ack_handles, cx).await?;
            if let Some(keys) = refused {
                refuse(setup, &writes, writes.items[items].iter(), &keys, &mut delivery)?;
                return Ok(delivery);
            }
        }
        let Progress { elsewhere, .. } = std::mem::take(&mut self.progress);
        if !elsewhere.is_empty() {
            let is_elsewhere = |event: &usize| elsewhere.contains(&(batch.source_index(*event) as usize));
            (0..batch.len()).filter(is_elsewhere).for_each(|event| delivery.already_done(event));
        }
        Ok(delivery)
    }

    /// Sends one call, and once more if the server did not know the function: then nothing was done. Returns the keys
    /// that hold another type, if there are any.
    async fn call(
        &mut self,
        (setup, servers): (&Setup, &mut Servers),
        writes: &Writes<'_>,
        (one, preface): (&Call, &Preface<'_>),
        ack_handles: &AckHandles,
        cx: &Cx,
    ) -> Result<Option<Vec<(usize, String)>>, Error> {
        for _ in 0..2 {
            let session = connected(&mut self.session, servers, preface.scope[0], cx).await?;
            self.request.clear();
            self.request.shrink_to(KEPT_BYTES);
            let keys = one.encode(
                (&setup.shape, writes),
                ack_handles,
                preface,
                &session.procedure,
                &mut self.request,
            );
            let sent = std::mem::replace(&mut self.progress.sent, true);
            let answer = call(&mut session.connection, &self.request).await;
            if answer.is_ok() {
                self.progress.sent = false;
            }
            match answer {
                Ok(Answer::List(list)) => {
                    return match classify(&keys, &list)? {
                        Judged::Refused(keys) => Ok(Some(keys)),
                        Judged::Done(others) => {
                            self.progress.did(one.entries.clone(), others, sent);
                            Ok(None)
                        }
                    };
                }
                Ok(Answer::Unknown) => self.session = None,
                Ok(Answer::Elsewhere) => {
                    self.give_up(servers);
                    return Err(Error::retry("the key moves to another node of the cluster"));
                }
                Ok(Answer::Refused(error)) => {
                    self.give_up(servers);
                    return Err(explain(error, preface));
                }
                Err(error) => {
                    self.give_up(servers);
                    return Err(error);
                }
            }
        }
        Err(forgetful())
    }

    fn give_up(&mut self, servers: &mut Servers) {
        self.session = None;
        servers.forget();
    }

    /// Ends the connection.
    pub(crate) async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            session.connection.close().await;
        }
    }
}

impl Progress {
    /// Resets the progress, unless it is that of these entries.
    fn of(&mut self, ack_handles: &AckHandles) {
        let range = ack_handles.range();
        let batch = (!range.is_empty()).then(|| ack_handles.get(range.start).to_vec());
        if self.batch != batch {
            *self = Self { batch, done: range.start, ..Self::default() };
        }
    }

    /// Records that these entries are done. `others` among them were done by other processes, unless this call had been
    /// sent before.
    fn did(&mut self, entries: std::ops::Range<usize>, others: Vec<usize>, sent: bool) {
        if !sent {
            self.elsewhere.extend(others.into_iter().map(|number| entries.start + number));
        }
        self.done = entries.end;
    }
}

impl<'r> Scope<'r> {
    fn of(ack_handles: &'r AckHandles) -> Result<Self, Error> {
        match ack_handles.scope() {
            [stream, group, consumer] => Ok(Self { stream, group, consumer }),
            _ => Err(Error::fatal("the ack_handles are not those of a Redis stream")),
        }
    }
}

/// The result of a call with a reply.
enum Judged {
    /// The call is done. These of its entries had been done before.
    Done(Vec<usize>),
    /// Nothing was done. These of the sink's keys hold another type.
    Refused(Vec<(usize, String)>),
}

/// The meaning of the function's reply.
fn classify(keys: &[usize], list: &[String]) -> Result<Judged, Error> {
    match (list.first().map(String::as_str), list.get(1)) {
        (Some("DONE"), _) => {
            Ok(Judged::Done(list[1..].iter().filter_map(|text| text.parse().ok()).collect()))
        }
        (Some("REFUSED"), _) => {
            let pairs = list[1..].chunks_exact(2);
            let key = |pair: &[String]| Some((*keys.get(pair[0].parse::<usize>().ok()?)?, pair[1].clone()));
            Ok(Judged::Refused(pairs.filter_map(key).collect()))
        }
        (Some("FORBIDDEN"), Some(name)) => {
            Err(Error::misconfigured(format!("the user has no right to {name} on the key")))
        }
        (Some("BROKEN"), Some(problem)) => Err(Error::fatal(format!(
            "the server refused a write in the middle of a transaction, so a part of a batch is there and its \
             entries may come again: {problem}"
        ))),
        _ => Err(Error::misconfigured("the server's answer does not fit; is it really Redis?")),
    }
}

fn explain(error: Error, preface: &Preface<'_>) -> Error {
    let [stream, group, _] = preface.scope;
    match error.message().contains("NOGROUP") {
        true => Error::misconfigured(format!(
            "the consumer group `{group}` of `{stream}` is not on the server that the sink is connected to: it was \
             removed, or the source reads from another server"
        )),
        false => error,
    }
}

async fn connected<'s>(
    session: &'s mut Option<Session>,
    servers: &mut Servers,
    stream: &str,
    cx: &Cx,
) -> Result<&'s mut Session, Error> {
    if session.as_mut().is_some_and(|session| session.connection.is_closed()) {
        *session = None;
    }
    match session {
        Some(known) => Ok(known),
        None => Ok(session.insert(Session::open(servers, stream, cx).await?)),
    }
}
