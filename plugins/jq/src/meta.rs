//! `$meta`: what an event has beside its payload.

use jaq_json::{Map, Num, Rc, Val};
use tidegate_sdk::{AttributeValue, Batch};

/// The value of `$meta` for event `event`: `{key, timestamp, attributes}`. The timestamp is in seconds since
/// 1970, as in jq's own functions of time.
pub(crate) fn meta(batch: &Batch, event: usize) -> Val {
    let key = batch.key(event).map_or(Val::Null, text);
    let timestamp = batch.timestamp(event).map_or(Val::Null, seconds);
    let mut attributes = Map::default();
    let own = batch.own_attributes(event);
    let shared = &batch.origin(event).attributes;
    for (name, value) in shared.iter().chain(own.iter().flat_map(|own| own.iter())) {
        attributes.insert(text(name.as_bytes()), attribute(value));
    }
    let members = [("key", key), ("timestamp", timestamp), ("attributes", Val::obj(attributes))];
    Val::obj(members.into_iter().map(|(name, value)| (text(name.as_bytes()), value)).collect())
}

/// Nanoseconds to seconds: a whole number where it is one, so that it prints as one.
fn seconds(nanoseconds: i64) -> Val {
    match nanoseconds % 1_000_000_000 {
        0 => Val::from((nanoseconds / 1_000_000_000) as isize),
        _ => Val::from(nanoseconds as f64 / 1e9),
    }
}

fn attribute(value: &AttributeValue) -> Val {
    match value {
        AttributeValue::Text(value) => text(value.as_bytes()),
        AttributeValue::Integer(number) => Val::Num(Num::from_integral(*number)),
        AttributeValue::Float(number) => Val::from(*number),
        AttributeValue::Boolean(value) => Val::Bool(*value),
    }
}

fn text(bytes: &[u8]) -> Val {
    Val::utf8_str(bytes.to_vec())
}

/// An object without members.
pub(crate) fn empty_object() -> Val {
    Val::Obj(Rc::new(Map::default()))
}
