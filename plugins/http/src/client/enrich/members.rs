//! The members of a JSON object, set and written without a tree. Each value keeps its bytes.

use std::borrow::Cow;

use tidegate_sdk::json;

/// The members of a JSON object in order, each value with its original bytes.
#[derive(Debug, Default)]
pub(crate) struct Members<'a>(Vec<(Cow<'a, str>, &'a [u8])>);

impl<'a> Members<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// If `json` is anything else.
    pub(crate) fn read(json: &'a [u8]) -> Result<Self, String> {
        json::members(json).map(Self)
    }

    /// Sets a member, and replaces one of the same name.
    pub(crate) fn set(&mut self, name: Cow<'a, str>, value: &'a [u8]) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some(member) => member.1 = value,
            None => self.0.push((name, value)),
        }
    }

    /// Sets all members of `other`.
    pub(crate) fn merge(&mut self, other: Members<'a>) {
        for (name, value) in other.0 {
            self.set(name, value);
        }
    }

    /// Writes the object as JSON.
    pub(crate) fn write(&self) -> Vec<u8> {
        let length: usize = self.0.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let mut object = Vec::with_capacity(length + 2);
        object.push(b'{');
        for (index, (name, value)) in self.0.iter().enumerate() {
            if index > 0 {
                object.push(b',');
            }
            json::write_text(&mut object, name);
            object.push(b':');
            object.extend_from_slice(value);
        }
        object.push(b'}');
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_as_they_were_written() {
        let mut members = Members::read(br#"{"a":1.50,"b":12345678901234567890123,"q\"":"\u0041"}"#).unwrap();
        members.merge(Members::read(br#"{"b": [ 1 ],"c":null}"#).unwrap());
        let expected = br#"{"a":1.50,"b":[ 1 ],"q\"":"\u0041","c":null}"#;
        assert_eq!(members.write(), expected);
        assert_eq!(Members::read(b" [1]").unwrap_err(), "it is not a JSON object");
        assert!(Members::read(b"{\"a\":").unwrap_err().contains("malformed"));
    }
}
