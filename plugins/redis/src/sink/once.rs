//! Effectively once: each lane's record lives in a hash beside the data, and one function inside of Redis
//! stores the events and the record, or neither.
//!
//! Whatever happens between here and the server, the record says what is there. So nothing is guessed: after
//! a lost answer the next call finds the record it wants to write there already, a server that lost its
//! newest data is noticed because the record is not what it was, and another process that took the sink over
//! has left its name.

pub(crate) mod health;
pub(crate) mod procedure;
pub(crate) mod record;
pub(crate) mod writes;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;

use tidegate_sdk::{Batch, Claim, Class, Cx, Delivery, Error, Lane, Record};

use crate::server::cluster::slot;
use crate::server::wire::Wire;
use crate::server::{Servers, host_name};
use crate::sink::Setup;
use crate::sink::options::Command;

use procedure::{Answer, Procedure, call};
use record::{Held, State, Stored};
use writes::{Preface, Writes};

/// How much buffer is kept from one call to the next.
const KEPT_BYTES: usize = 4 << 20;

/// What a sink holds of its lanes. There is one for each lane, as there is in the server.
#[derive(Default)]
pub(crate) struct Once {
    claimed: Option<Claimed>,
    session: Option<Session>,
    request: Vec<u8>,
}

struct Claimed {
    /// The key of the hash.
    state: String,
    /// Ours alone: no other claim has it.
    owner: String,
    epoch: u64,
    lanes: BTreeMap<Lane, Held>,
}

/// A connection to a server that was looked at.
struct Session {
    wire: Wire,
    procedure: Procedure,
}

/// What came of one call.
enum Called {
    Done,
    /// The server holds the key with this number of the call as another type.
    Refused(Vec<(usize, String)>),
}

/// The key of the hash with the records of a sink. In a cluster it shares the slot of what is written to.
///
/// # Errors
/// Why there is none.
pub(crate) fn state_key(setup: &Setup, pipeline: &str, sink: &str) -> Result<String, String> {
    if setup.options.command == Command::Publish {
        return Err("`publish` keeps nothing, so no position can be kept with it; write to a stream with \
                    `command = \"xadd\"`"
            .to_owned());
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

/// Blames the events whose keys the server refused, or the component if it has but one key.
fn refuse(
    setup: &Setup,
    writes: &Writes<'_>,
    items: Range<usize>,
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
    for item in &writes.items[items] {
        if let Some((key, kind)) = keys.iter().find(|(key, _)| *key == item.key) {
            delivery.reject(item.event, reason(*key, kind));
        }
    }
    Ok(())
}

fn unclaimed() -> Error {
    Error::fatal("the sink was not claimed, so it has no record to commit to")
}

fn forgetful() -> Error {
    Error::retry("the server forgets the function as soon as it is loaded")
}
