//! Effectively once: a hash beside the data holds a record of each lane. One step stores events and record, or
//! neither. It is a transaction if its writes can be undone, and otherwise a function inside of Redis.
//!
//! The record in the server is the truth. After a lost reply, the next call finds the new record there. A server that
//! lost its newest data has an older record. Another process that took the sink over has left its name.

pub(crate) mod acknowledge;
pub(crate) mod procedure;
pub(crate) mod record;
pub(crate) mod transaction;
pub(crate) mod writes;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;

use tidegate_sdk::{Batch, Claim, Class, Cx, Delivery, Error, Lane, Record};

use crate::server::connection::Connection;
use crate::server::slot::slot;
use crate::server::{Servers, health, host_name};
use crate::sink::options::Command;
use crate::sink::setup::Setup;

use procedure::{Answer, Procedure, call};
use record::{Held, State, Stored};
use transaction::{Ended, Transactions};
use writes::{CALL_EVENTS, Item, Preface, Writes};

/// The buffer that is kept from one call to the next, in bytes.
const KEPT_BYTES: usize = 4 << 20;

/// The transactional side of a sink.
#[derive(Default)]
pub(crate) struct Transactional {
    claimed: Option<Claimed>,
    session: Option<Session>,
    request: Vec<u8>,
}

struct Claimed {
    /// The key of the hash with the records.
    state: String,
    /// The name of this claim. No other claim has it.
    owner: String,
    epoch: u64,
    lanes: BTreeMap<Lane, Held>,
}

/// A connection to a server that was checked.
struct Session {
    connection: Connection,
    /// The major version of the server.
    version: u64,
    procedure: Procedure,
    /// The script that ends a transaction. Empty if the server takes no transactions, `None` until that is known.
    seal: Option<String>,
}

/// The result of one call.
enum Called {
    Done,
    /// These keys of the call, by number, hold another type.
    Refused(Vec<(usize, String)>),
}

/// The key of the hash with the records of a sink. In a cluster it shares the slot of the data.
///
/// # Errors
/// The reason why there is none.
pub(crate) fn state_key(setup: &Setup, pipeline: &str, sink: &str) -> Result<String, Error> {
    if setup.options.command == Command::Publish {
        return Err(Error::fatal(
            "`publish` keeps nothing, so no position can be kept with it; write to a stream with `command = \"xadd\"`",
        ));
    }
    if !matches!(setup.target, crate::server::address::Target::Cluster(_)) {
        return Ok(format!("tidegate:{{{pipeline}/{sink}}}"));
    }
    let literal = setup.shape.key.as_literal();
    let key = literal.unwrap_or(setup.shape.key.prefix());
    let tag = tag(key).or(literal.filter(|key| !key.is_empty()));
    let state = tag.map(|tag| format!("tidegate:{{{tag}}}:{pipeline}/{sink}"));
    match state {
        Some(state) if slot(state.as_bytes()) == slot(key.as_bytes()) => Ok(state),
        _ => Err(Error::fatal(
            "in a cluster all keys must be in one slot, together with the position; begin `key` with a literal tag in \
                 braces, such as `key = \"{{users}}:{.id}\"`",
        )),
    }
}

/// The hash tag of a key.
fn tag(key: &str) -> Option<&str> {
    let (_, rest) = key.split_once('{')?;
    let (tag, _) = rest.split_once('}')?;
    (!tag.is_empty()).then_some(tag)
}

impl Transactional {
    /// Claims the sink.
    pub(crate) async fn claim(
        &mut self,
        (setup, servers): (&Setup, &mut Servers),
        claim: &Claim,
        cx: &Cx,
    ) -> Result<BTreeMap<Lane, Record>, Error> {
        let state = state_key(setup, &claim.pipeline, &claim.sink)?;
        self.claimed = None;
        self.session = None;
        // Two claims must never share a name, even if the server lost the first one.
        let token = RandomState::new().build_hasher().finish();
        let owner = format!("{}/{}/{token:016x}", host_name(), std::process::id());
        let mut found = None;
        for _ in 0..2 {
            let session = self.connect(servers, &state, cx).await?;
            let mut request = Vec::new();
            session.procedure.begin(&mut request, &[&state], 3);
            for word in ["claim", &owner, if claim.reset { "1" } else { "0" }] {
                crate::server::resp::argument(&mut request, word.as_bytes());
            }
            match call(&mut session.connection, &request).await {
                Ok(Answer::List(list)) => {
                    found = Some(State::new(list));
                    break;
                }
                other => self.give_up(other, servers)?,
            }
        }
        let found = found.ok_or_else(forgetful)?;
        let mut lanes = BTreeMap::new();
        for (field, text) in found.lanes {
            let lane = record::lane(&field).map_err(|error| error.context(&state))?;
            let stored = Stored::read(text).map_err(|error| error.context(&state))?;
            lanes.insert(lane, Held { stored, sent: Vec::new() });
        }
        let records = lanes.iter().map(|(lane, held)| (lane.clone(), held.stored.record.clone())).collect();
        self.claimed = Some(Claimed { state, owner, epoch: found.epoch.unwrap_or(0), lanes });
        Ok(records)
    }

    /// Stores a batch together with the record of its lane.
    pub(crate) async fn commit(
        &mut self,
        (setup, servers): (&Setup, &mut Servers),
        batch: &Batch,
        (lane, record): (&Lane, &Record),
        cx: &Cx,
    ) -> Result<Delivery, Error> {
        self.verify(servers, cx).await?;
        let held = self.lane(lane)?;
        let (known, done) = (held.stored.record.clone(), held.stored.record.done);
        let mut delivery = Delivery::complete();
        if known == *record || record.done < done {
            return Ok(delivery);
        }
        let writes = Writes::new(&setup.shape, batch, done, &mut delivery);
        if !delivery.rejected().is_empty() {
            return Ok(delivery);
        }
        if self.may_transact(setup).await? {
            return self.transact((setup, servers), &writes, (lane, record), delivery).await;
        }
        for items in writes.calls(CALL_EVENTS) {
            let next = match writes.items.get(items.end) {
                Some(item) => Record { done: item.number, ..known.clone() },
                None => record.clone(),
            };
            let called =
                self.call((setup, servers), &writes, items.clone(), (lane, Stored::new(next)), cx).await?;
            let Called::Refused(keys) = called else { continue };
            refuse(setup, &writes, writes.items[items].iter(), &keys, &mut delivery)?;
            return Ok(delivery);
        }
        if let Some(mut session) = self.session.take() {
            confirm(servers, &mut session).await?;
            self.session = Some(session);
        }
        Ok(delivery)
    }

    /// True if the server takes transactions with the writes of this sink. Asked once a connection.
    async fn may_transact(&mut self, setup: &Setup) -> Result<bool, Error> {
        let (Some(claimed), Some(session)) = (&self.claimed, &mut self.session) else {
            return Err(unclaimed());
        };
        if session.seal.is_none() {
            let may = transaction::can_be_taken_back(setup.options.command)
                && transaction::is_allowed(&mut session.connection, session.version, &claimed.state).await?;
            session.seal = Some(if may { transaction::script() } else { String::new() });
        }
        Ok(session.seal.as_ref().is_some_and(|seal| !seal.is_empty()))
    }

    /// Stores the writes by transactions.
    async fn transact(
        &mut self,
        (setup, servers): (&Setup, &mut Servers),
        writes: &Writes<'_>,
        (lane, record): (&Lane, &Record),
        mut delivery: Delivery,
    ) -> Result<Delivery, Error> {
        // The session is given back when all is answered. If this future is dropped before, the connection is dropped
        // with it.
        let (Some(claimed), Some(mut session)) = (&mut self.claimed, self.session.take()) else {
            return Err(unclaimed());
        };
        self.request.shrink_to(KEPT_BYTES);
        let (field, trim, ttl, owner) =
            (record::field(lane), setup.trim_after(), setup.ttl(), claimed.owner.clone());
        let preface = Preface { lane: &field, owner: &owner, kind: setup.kind(), trim: &trim, ttl: &ttl };
        let held = claimed.lanes.entry(lane.clone()).or_default();
        let names = (claimed.state.as_str(), session.seal.as_deref().unwrap_or_default());
        let what = (&setup.shape, writes, record);
        let (ended, result) = Transactions::new(what, held, names, preface, &mut self.request)
            .send(&mut session.connection)
            .await;
        for (sent, ended) in ended {
            let (words, failed) = match ended {
                Ended::Sealed(words, failed) => (words, failed),
                Ended::Refused(error) => {
                    servers.forget();
                    return Err(error);
                }
            };
            match (claimed.classify(lane, sent.next, &sent.keys, &words)?, failed) {
                (Called::Done, None) => {}
                (Called::Done, Some(problem)) => return Err(broken(&problem)),
                (Called::Refused(keys), _) => {
                    refuse(setup, writes, writes.items[sent.items].iter(), &keys, &mut delivery)?;
                    break;
                }
            }
        }
        result.inspect_err(|_| servers.forget())?;
        claimed.lanes.entry(lane.clone()).or_default().sent.clear();
        // A replaced master loses the record with the data. The new master's record says how far it is.
        confirm(servers, &mut session).await?;
        self.session = Some(session);
        Ok(delivery)
    }

    /// Sends one call, and once more if the server did not know the function: then nothing was done.
    async fn call(
        &mut self,
        (setup, servers): (&Setup, &mut Servers),
        writes: &Writes<'_>,
        items: Range<usize>,
        (lane, next): (&Lane, Stored),
        cx: &Cx,
    ) -> Result<Called, Error> {
        for _ in 0..2 {
            self.verify(servers, cx).await?;
            let (Some(claimed), Some(session)) = (&mut self.claimed, &mut self.session) else {
                return Err(unclaimed());
            };
            let held = claimed.lanes.entry(lane.clone()).or_default();
            if held.stored.text == next.text {
                return Ok(Called::Done);
            }
            let preface = Preface {
                lane: &record::field(lane),
                owner: &claimed.owner,
                kind: setup.kind(),
                trim: &setup.trim(),
                ttl: &setup.ttl(),
            };
            let records = (held.stored.text.as_str(), next.text.as_str());
            self.request.clear();
            self.request.shrink_to(KEPT_BYTES);
            let target = (&session.procedure, claimed.state.as_str());
            let keys =
                writes.encode(&setup.shape, items.clone(), (&preface, records), target, &mut self.request);
            // From here on the record may be in the server, until a reply says more.
            held.sent.push(next.clone());
            match call(&mut session.connection, &self.request).await {
                Ok(Answer::List(list)) => {
                    held.sent.clear();
                    return claimed.classify(lane, next, &keys, &list);
                }
                other => self.give_up(other, servers)?,
            }
        }
        Err(forgetful())
    }

    /// Closes the connection after a call that was not done, or may not have been.
    fn give_up(&mut self, answer: Result<Answer, Error>, servers: &mut Servers) -> Result<(), Error> {
        self.session = None;
        servers.forget();
        match answer {
            Ok(Answer::Refused(error)) => Err(error),
            Ok(Answer::Elsewhere) => Err(Error::retry("the key moves to another node of the cluster")),
            Ok(Answer::Unknown | Answer::List(_)) => Ok(()),
            // The record is read back before anything is sent again. It shows whether the call was done.
            Err(error) => Err(error),
        }
    }

    /// Ensures that there is a connection. On a new one, compares the records with those that are known.
    async fn verify(&mut self, servers: &mut Servers, cx: &Cx) -> Result<(), Error> {
        if self.session.as_mut().is_some_and(|session| !session.connection.is_closed()) {
            return Ok(());
        }
        self.session = None;
        let state = self.claimed.as_ref().ok_or_else(unclaimed)?.state.clone();
        let session = self.connect(servers, &state, cx).await?;
        let mut request = Vec::new();
        crate::server::resp::command(&mut request, &[b"HGETALL", state.as_bytes()]);
        match call(&mut session.connection, &request).await {
            Ok(Answer::List(list)) => {
                let claimed = self.claimed.as_mut().ok_or_else(unclaimed)?;
                let compared = claimed.compare(State::new(list));
                if compared.is_err() {
                    self.session = None;
                }
                compared
            }
            other => {
                self.give_up(other, servers)?;
                Err(Error::retry("the record could not be read back"))
            }
        }
    }

    async fn connect(&mut self, servers: &mut Servers, state: &str, cx: &Cx) -> Result<&mut Session, Error> {
        Ok(self.session.insert(Session::open(servers, state, cx).await?))
    }

    fn lane(&mut self, lane: &Lane) -> Result<&mut Held, Error> {
        let claimed = self.claimed.as_mut().ok_or_else(unclaimed)?;
        Ok(claimed.lanes.entry(lane.clone()).or_default())
    }

    /// Ends the connection.
    pub(crate) async fn close(&mut self) {
        if let Some(session) = self.session.take() {
            session.connection.close().await;
        }
    }
}

impl Session {
    /// Connects to the server that has `key`, checks it, and loads the function.
    async fn open(servers: &mut Servers, key: &str, cx: &Cx) -> Result<Self, Error> {
        let mut connection = servers.dial(key.as_bytes()).await?;
        let prepared = async {
            let version = health::prepare(&mut connection, cx).await?;
            Ok::<_, Error>((version, Procedure::load(&mut connection, version).await?))
        };
        let (version, procedure) = prepared.await.inspect_err(|_| servers.forget())?;
        Ok(Self { connection, version, procedure, seal: None })
    }
}

impl Claimed {
    fn compare(&mut self, found: State) -> Result<(), Error> {
        let compared = record::compare((&self.owner, self.epoch), &mut self.lanes, found);
        compared.map_err(|error| self.explain(error))
    }

    /// The meaning of the function's reply.
    fn classify(
        &mut self,
        lane: &Lane,
        next: Stored,
        keys: &[usize],
        list: &[String],
    ) -> Result<Called, Error> {
        let held = self.lanes.entry(lane.clone()).or_default();
        match (list.first().map(String::as_str), list.get(1)) {
            (Some("DONE"), _) => {
                held.stored = next;
                Ok(Called::Done)
            }
            (Some("REFUSED"), _) => {
                let pairs = list[1..].chunks_exact(2);
                let key =
                    |pair: &[String]| Some((*keys.get(pair[0].parse::<usize>().ok()?)?, pair[1].clone()));
                Ok(Called::Refused(pairs.filter_map(key).collect()))
            }
            (Some("RECORD"), Some(text)) => {
                let found =
                    if text.is_empty() { Record::default() } else { Stored::read(text.clone())?.record };
                Err(record::rolled_back(held.stored.record.done.saturating_sub(found.done)))
            }
            (Some("OWNER"), Some(epoch)) => {
                let ours = (self.owner.as_str(), self.epoch);
                let compared = record::compare_owner(ours, &self.lanes, epoch.parse().ok(), "");
                let error = compared.err().unwrap_or_else(|| record::rolled_back(0));
                Err(self.explain(error))
            }
            (Some("FORBIDDEN"), Some(name)) => {
                Err(Error::misconfigured(format!("the user has no right to {name} on the key")))
            }
            (Some("BROKEN"), Some(problem)) => Err(broken(problem)),
            _ => Err(Error::misconfigured("the server's answer does not fit; is it really Redis?")),
        }
    }

    fn explain(&self, error: Error) -> Error {
        match error.class() {
            Class::Fatal => error.context(format_args!("`{}`", self.state)),
            _ => error,
        }
    }
}

/// Rejects the events whose keys the server refused. With a literal key the component is misconfigured.
fn refuse<'w>(
    setup: &Setup,
    writes: &Writes<'_>,
    items: impl Iterator<Item = &'w Item>,
    keys: &[(usize, String)],
    delivery: &mut Delivery,
) -> Result<(), Error> {
    let reason = |key: usize, kind: &str| {
        let name = setup.options.command.option();
        format!("`{}` holds a {kind}, which `{name}` cannot write to", writes.keys[key])
    };
    if let (Some(_), Some((key, kind))) = (setup.shape.key.as_literal(), keys.first()) {
        return Err(Error::misconfigured(reason(*key, kind)));
    }
    for item in items {
        if let Some((key, kind)) = keys.iter().find(|(key, _)| *key == item.key) {
            delivery.reject(item.event, reason(*key, kind));
        }
    }
    Ok(())
}

/// Confirms a commit. If that fails, the record is read back before anything is sent again.
async fn confirm(servers: &mut Servers, session: &mut Session) -> Result<(), Error> {
    let confirmed = servers.confirm(&mut session.connection).await;
    confirmed.map_err(|error| {
        servers.forget();
        Error::retry(error.message())
    })
}

fn broken(problem: &str) -> Error {
    Error::fatal(format!(
        "the server refused a write in the middle of a transaction, so events and their record do not fit any \
         more: {problem}"
    ))
}

fn unclaimed() -> Error {
    Error::fatal("the sink was not claimed, so it has no record to commit to")
}

fn forgetful() -> Error {
    Error::retry("the server forgets the function as soon as it is loaded")
}
