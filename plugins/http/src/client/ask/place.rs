//! Where the answer goes: into the event, beside its members, or in its place.

use std::borrow::Cow;

use bytes::Bytes;
use tidegate_sdk::framing::{elements_of, without_mark};
use tidegate_sdk::json::{self, Path, one_line};
use tidegate_sdk::{BatchBuilder, ConfigError};

use super::options::{AskDecode, AskOptions, Missing};
use crate::client::json_text::Members;

/// Where the answer goes.
#[derive(Clone, Debug)]
pub(super) struct Place {
    into: Into,
    items: Option<Path>,
    decode: AskDecode,
    pub(super) missing: Missing,
}

#[derive(Clone, Debug)]
enum Into {
    Member(String),
    Object,
    Whole { split: bool },
}

impl Place {
    pub(super) fn new(options: &AskOptions) -> Result<Self, ConfigError> {
        let into = match (&options.into, options.merge, options.replace) {
            (Some(name), false, false) => Into::Member(name.clone()),
            (None, true, false) => Into::Object,
            (None, false, true) => Into::Whole { split: options.split },
            _ => {
                return Err(ConfigError::at(
                    "",
                    "say exactly one of `into`, `merge` and `replace`: where the answer goes",
                )
                .help("for example `into = \"user\"`"));
            }
        };
        if options.split && !options.replace {
            return Err(ConfigError::at(
                "/split",
                "only an answer that takes the place of the event can be split",
            )
            .help("set `replace = true`"));
        }
        let text = options.decode == AskDecode::Text;
        if text && (options.merge || options.split || options.items.is_some()) {
            return Err(ConfigError::at("/decode", "text has no members, elements or `items`")
                .help("use it with `into`, or with `replace` alone"));
        }
        Ok(Self { into, items: options.items.clone(), decode: options.decode, missing: options.missing })
    }

    /// Puts the answer where it belongs: writes what becomes of event `event` to `builder`.
    ///
    /// # Errors
    /// Why the event is rejected.
    pub(super) fn put(
        &self,
        builder: &mut BatchBuilder,
        event: usize,
        payload: &[u8],
        answer: &Bytes,
    ) -> Result<(), String> {
        let answer = &answer.slice_ref(without_mark(answer));
        if self.decode == AskDecode::Text {
            return self.put_text(builder, event, payload, answer);
        }
        let whole = json::trim(answer);
        let value = match &self.items {
            _ if whole.is_empty() => return self.put_nothing(builder, event, payload),
            None => whole,
            Some(path) => match path.find(whole).map_err(of_answer)? {
                Some(value) => value,
                None if self.missing == Missing::Pass => {
                    builder.keep(event);
                    return Ok(());
                }
                None => return Err(format!("the answer has no `{path}`")),
            },
        };
        match &self.into {
            Into::Member(name) => {
                let line = one_line(checked(value)?);
                put_member(builder, event, payload, name, &line)?;
            }
            Into::Object => {
                let line = one_line(checked(value)?);
                let mut members = Members::read(payload)?;
                members.merge(Members::read(&line).map_err(of_answer)?);
                builder.write(event, &members.write());
            }
            Into::Whole { split: true } if value.first() == Some(&b'[') => {
                for range in elements_of(value).map_err(of_answer)? {
                    write(builder, event, answer, &value[range]);
                }
            }
            Into::Whole { .. } => write(builder, event, answer, checked(value)?),
        }
        Ok(())
    }

    /// An answer without a body.
    fn put_nothing(&self, builder: &mut BatchBuilder, event: usize, payload: &[u8]) -> Result<(), String> {
        match &self.into {
            Into::Member(name) => put_member(builder, event, payload, name, b"null"),
            Into::Object => {
                builder.keep(event);
                Ok(())
            }
            Into::Whole { .. } => Ok(()),
        }
    }

    fn put_text(
        &self,
        builder: &mut BatchBuilder,
        event: usize,
        payload: &[u8],
        answer: &Bytes,
    ) -> Result<(), String> {
        let Into::Member(name) = &self.into else {
            if !answer.is_empty() {
                builder.write_shared(event, answer.clone());
            }
            return Ok(());
        };
        let text = String::from_utf8_lossy(answer);
        let mut value = Vec::with_capacity(text.len() + 2);
        json::write_text(&mut value, &text);
        put_member(builder, event, payload, name, &value)
    }
}

fn put_member(
    builder: &mut BatchBuilder,
    event: usize,
    payload: &[u8],
    name: &str,
    value: &[u8],
) -> Result<(), String> {
    let mut members = Members::read(payload)?;
    members.set(Cow::Borrowed(name), value);
    builder.write(event, &members.write());
    Ok(())
}

/// A part of the answer in the place of the event: without a copy, unless it must be brought into one line.
fn write(builder: &mut BatchBuilder, event: usize, answer: &Bytes, value: &[u8]) {
    match one_line(value) {
        Cow::Borrowed(value) => builder.write_shared(event, answer.slice_ref(value)),
        Cow::Owned(line) => builder.write(event, &line),
    }
}

fn checked(value: &[u8]) -> Result<&[u8], String> {
    json::check(value).map_err(of_answer)?;
    Ok(value)
}

fn of_answer(reason: impl std::fmt::Display) -> String {
    format!("the answer is of no use: {reason}")
}
