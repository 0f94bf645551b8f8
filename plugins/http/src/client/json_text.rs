//! JSON text as text: written anew without a tree, so that every value stays as it was written.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// `json` in one line. Most JSON is, and is returned as it is; an answer that is set for people to read is
/// not, and would break lines wherever events are written as lines.
///
/// `json` must be well-formed.
pub(crate) fn one_line(json: &[u8]) -> Cow<'_, [u8]> {
    // A line break cannot stand within a string, so any there is lies between values.
    if !json.contains(&b'\n') && !json.contains(&b'\r') {
        return Cow::Borrowed(json);
    }
    let mut line = Vec::with_capacity(json.len());
    let (mut quoted, mut escaped) = (false, false);
    for byte in json.iter().copied() {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' if !quoted => continue,
            b'"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = quoted && byte == b'\\' && !escaped;
        line.push(byte);
    }
    Cow::Owned(line)
}

/// The members of a JSON object in order, their values as they were written.
#[derive(Debug, Default)]
pub(crate) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// If `json` is anything else.
    pub(crate) fn read(json: &'a [u8]) -> Result<Self, String> {
        match json.trim_ascii_start().first() {
            Some(b'{') => serde_json::from_slice(json).map_err(|error| format!("malformed JSON: {error}")),
            _ => {
                tidegate_sdk::json::check(json)?;
                Err("it is not a JSON object".into())
            }
        }
    }

    /// Sets a member, in place of one of that name.
    pub(crate) fn set(&mut self, name: Cow<'a, str>, value: &'a RawValue) {
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

    /// The object as JSON.
    pub(crate) fn write(&self) -> Vec<u8> {
        let length: usize = self.0.iter().map(|(name, value)| name.len() + value.get().len() + 4).sum();
        let mut json = Vec::with_capacity(length + 2);
        json.push(b'{');
        for (index, (name, value)) in self.0.iter().enumerate() {
            if index > 0 {
                json.push(b',');
            }
            serde_json::to_writer(&mut json, name).expect("text is written to memory");
            json.push(b':');
            json.extend_from_slice(value.get().as_bytes());
        }
        json.push(b'}');
        json
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Members::default();
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.0.push((name, value));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_line_breaks_is_written_anew() {
        let line = br#"{ "a" : 1 }"#;
        assert!(matches!(one_line(line), Cow::Borrowed(same) if same == line));
        let pretty = "{\n  \"a b\": \"x \\\" y \\\\\",\r\n  \"c\": [ 1.50 ]\n}";
        assert_eq!(one_line(pretty.as_bytes()).as_ref(), br#"{"a b":"x \" y \\","c":[1.50]}"#);
    }

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
