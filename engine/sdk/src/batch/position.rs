//! A source's place in its input.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

use crate::Error;

/// A source's place in one partition of its input: opaque to the engine, JSON by convention, at most 64 KiB.
///
/// The engine keeps the newest position up to which everything is delivered, and hands it back to the source
/// when the pipeline starts again ([`crate::Cx::resume`]).
#[derive(Clone, PartialEq, Eq)]
pub struct Position(Bytes);

impl Position {
    /// A position from its JSON form.
    ///
    /// # Panics
    /// If `place` cannot be written as JSON (a map with keys that are not text).
    pub fn new(place: &impl Serialize) -> Self {
        Self(serde_json::to_vec(place).expect("a position is plain data").into())
    }

    /// A position from the bytes that [`as_bytes`](Self::as_bytes) gave.
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The position as it is stored.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The place, read back.
    ///
    /// # Errors
    /// Fatal if it is not of this form: it was written by another plugin, or another version of it.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.0)
            .map_err(|error| Error::fatal(format!("the stored position {self:?} is not readable: {error}")))
    }
}

impl std::fmt::Debug for Position {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// As text, so that a record of positions is JSON a person can read. Only for positions that are text, which
/// those made by [`Position::new`] are.
impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&String::from_utf8_lossy(&self.0))
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}
