//! `$meta`: what an event has beside its payload.

use tidegate_query::{Object, Text, Val};
use tidegate_sdk::{AttributeValue, Batch};

/// The value of `$meta` for event `event`: `{key, timestamp, attributes}`. The timestamp is in seconds since
/// 1970, as in jq's own functions of time.
pub(crate) fn meta(batch: &Batch, event: usize) -> Val {
    let key = batch.key(event).map_or(Val::Null, |key| Val::from(String::from_utf8_lossy(key).into_owned()));
    let timestamp = batch.timestamp(event).map_or(Val::Null, seconds);
    let own = batch.own_attributes(event);
    let shared = &batch.origin(event).attributes;
    let all = shared.iter().chain(own.iter().flat_map(|own| own.iter()));
    let attributes: Object = all.map(|(name, value)| (Text::from(name), attribute(value))).collect();
    object([("key", key), ("timestamp", timestamp), ("attributes", Val::Object(attributes))])
}

fn object<const COUNT: usize>(members: [(&str, Val); COUNT]) -> Val {
    Val::Object(members.into_iter().map(|(name, value)| (Text::from(name), value)).collect())
}

/// Nanoseconds to seconds.
fn seconds(nanoseconds: i64) -> Val {
    Val::from(nanoseconds as f64 / 1e9)
}

fn attribute(value: &AttributeValue) -> Val {
    match value {
        AttributeValue::Text(value) => Val::from(&**value),
        AttributeValue::Integer(number) => integer(*number),
        AttributeValue::Float(number) => Val::from(*number),
        AttributeValue::Boolean(value) => Val::from(*value),
    }
}

/// A whole number, exactly.
pub(crate) fn integer(number: impl std::fmt::Display) -> Val {
    tidegate_query::number(&number.to_string())
}
