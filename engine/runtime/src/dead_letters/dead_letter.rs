//! A dead letter and its JSON form.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidegate_sdk::{AttributeValue, Batch, Origin, SourceRejection};

/// Dead letter: an event that could not be processed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Its number in the store, from 1, growing.
    pub id: u64,
    /// Time of the rejection, in milliseconds since 1970 (UTC).
    pub time: i64,
    /// The component that rejected it.
    pub component: String,
    /// The reason.
    pub reason: String,
    /// The source component.
    pub source: String,
    /// The partition of the source; empty if it has only one.
    pub partition: String,
    /// The number of its batch within the source.
    pub sequence: u64,
    /// Its index within that batch.
    pub index: u32,
    /// Number of tries.
    pub attempts: u32,
    /// Its length in bytes, which is more than the length of `payload` if it was over the limit.
    pub length: u64,
    /// The event's own time, in nanoseconds since 1970 (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
    /// The event's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Raw>,
    /// The event's attributes, its own and those of its batch.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Value>,
    /// The raw bytes.
    #[serde(flatten, with = "payload")]
    pub payload: Vec<u8>,
}

impl DeadLetter {
    /// Creates the dead letter of an event.
    pub(crate) fn of_event(
        batch: &Batch,
        event: usize,
        component: &str,
        reason: String,
        attempts: u32,
    ) -> Self {
        let origin = batch.origin(event);
        let own = batch.own_attributes(event).into_iter().flat_map(|own| own.iter());
        let attributes = origin.attributes.iter().chain(own);
        Self {
            length: batch.payload(event).len() as u64,
            payload: batch.payload(event).to_vec(),
            index: batch.source_index(event),
            attempts,
            timestamp: batch.timestamp(event),
            key: batch.key(event).map(|key| Raw(key.to_vec())),
            attributes: attributes
                .filter_map(|(name, value)| Some((name.to_owned(), stored(value)?)))
                .collect(),
            ..Self::new(component, reason, origin)
        }
    }

    /// Creates the dead letter of input that a source refused.
    pub(crate) fn of_input(refused: SourceRejection, component: &str, origin: &Origin) -> Self {
        Self {
            length: refused.length,
            payload: refused.payload.to_vec(),
            ..Self::new(component, refused.reason, origin)
        }
    }

    fn new(component: &str, reason: String, origin: &Origin) -> Self {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Self {
            id: 0,
            time: time as i64,
            component: component.to_owned(),
            reason,
            source: origin.source.to_string(),
            partition: origin.partition.to_string(),
            sequence: origin.sequence,
            index: 0,
            attempts: 1,
            length: 0,
            timestamp: None,
            key: None,
            attributes: BTreeMap::new(),
            payload: Vec::new(),
        }
    }

    /// Reason why no pipeline can replay it.
    pub fn unreplayable(&self) -> Option<&'static str> {
        let cut = self.length > self.payload.len() as u64;
        if cut {
            return Some("it was refused while it was read, and only its beginning is kept");
        }
        (self.component == self.source)
            .then_some("it was refused while it was read, so it never was an event")
    }
}

/// Bytes with a JSON form: text if they are UTF-8, else `{"base64": "..."}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "RawForm", try_from = "RawForm")]
pub struct Raw(pub Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum RawForm {
    Text(String),
    Base64 { base64: String },
}

impl From<Raw> for RawForm {
    fn from(raw: Raw) -> Self {
        use base64::{Engine, prelude::BASE64_STANDARD};
        match String::from_utf8(raw.0) {
            Ok(text) => Self::Text(text),
            Err(error) => Self::Base64 { base64: BASE64_STANDARD.encode(error.as_bytes()) },
        }
    }
}

impl TryFrom<RawForm> for Raw {
    type Error = base64::DecodeError;

    fn try_from(form: RawForm) -> Result<Self, Self::Error> {
        use base64::{Engine, prelude::BASE64_STANDARD};
        match form {
            RawForm::Text(text) => Ok(Self(text.into_bytes())),
            RawForm::Base64 { base64 } => BASE64_STANDARD.decode(base64).map(Self),
        }
    }
}

/// JSON form of the payload: `payload` if it is UTF-8, else `payload_base64`.
mod payload {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[derive(Serialize, Deserialize)]
    enum Stored {
        #[serde(rename = "payload")]
        Text(String),
        #[serde(rename = "payload_base64")]
        Base64(String),
    }

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let stored = match std::str::from_utf8(bytes) {
            Ok(text) => Stored::Text(text.to_owned()),
            Err(_) => Stored::Base64(BASE64_STANDARD.encode(bytes)),
        };
        stored.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        match Stored::deserialize(deserializer)? {
            Stored::Text(text) => Ok(text.into_bytes()),
            Stored::Base64(text) => BASE64_STANDARD.decode(text).map_err(D::Error::custom),
        }
    }
}

/// JSON form of an attribute; `None` for a number that JSON cannot represent.
fn stored(value: &AttributeValue) -> Option<Value> {
    match value {
        AttributeValue::Text(text) => Some(Value::from(text.as_str())),
        AttributeValue::Integer(number) => Some(Value::from(*number)),
        AttributeValue::Float(number) => serde_json::Number::from_f64(*number).map(Value::Number),
        AttributeValue::Boolean(value) => Some(Value::Bool(*value)),
    }
}
