//! Puts responses into events.

use std::borrow::Cow;

use bytes::Bytes;
use tidegate_sdk::framing::{elements_of, without_mark};
use tidegate_sdk::json::{self, Path, one_line};
use tidegate_sdk::{ConfigError, ConfigErrors, Output};

use super::members::Members;
use super::options::{EnrichDecode, EnrichOptions, Missing};

/// The place of the response in the event.
#[derive(Clone, Debug)]
pub(super) struct Placement {
    into: Target,
    items: Option<Path>,
    decode: EnrichDecode,
    pub(super) missing: Missing,
}

#[derive(Clone, Debug)]
enum Target {
    Member(String),
    Object,
    Whole { split: bool },
}

impl Placement {
    pub(super) fn new(options: &EnrichOptions) -> Result<Self, ConfigError> {
        let mut errors = ConfigErrors::default();
        let into = match (&options.into, options.merge, options.replace) {
            (Some(name), false, false) => Target::Member(name.clone()),
            (None, true, false) => Target::Object,
            (None, false, true) => Target::Whole { split: options.split },
            (into, ..) => {
                errors.push(
                    ConfigError::at(
                        "",
                        "say exactly one of `into`, `merge` and `replace`: where the response goes",
                    )
                    .help("for example `into = \"user\"`"),
                );
                Target::Member(into.clone().unwrap_or_default())
            }
        };
        if options.split && !options.replace {
            errors.push(
                ConfigError::at("/split", "only a response that takes the place of the event can be split")
                    .help("set `replace = true`"),
            );
        }
        let text = options.decode == EnrichDecode::Text;
        if text && (options.merge || options.split || options.items.is_some()) {
            errors.push(
                ConfigError::at("/decode", "text has no members, elements or `items`")
                    .help("use it with `into`, or with `replace` alone"),
            );
        }
        errors.finish(Self {
            into,
            items: options.items.clone(),
            decode: options.decode,
            missing: options.missing,
        })
    }

    /// Puts the response into event `event`, and writes the result to `out`.
    ///
    /// # Errors
    /// The reason why the event is rejected.
    pub(super) fn put(
        &self,
        out: &mut Output,
        event: usize,
        payload: &[u8],
        response: &Bytes,
    ) -> Result<(), String> {
        let response = &response.slice_ref(without_mark(response));
        if self.decode == EnrichDecode::Text {
            return self.put_text(out, event, payload, response);
        }
        let whole = json::trim(response);
        let value = match &self.items {
            _ if whole.is_empty() => return self.put_nothing(out, event, payload),
            None => whole,
            Some(path) => match path.find(whole).map_err(of_answer)? {
                Some(value) => value,
                None if self.missing == Missing::Pass => {
                    out.keep(event);
                    return Ok(());
                }
                None => return Err(format!("the response has no `{path}`")),
            },
        };
        match &self.into {
            Target::Member(name) => {
                let line = one_line(checked(value)?);
                put_member(out, event, payload, name, &line)?;
            }
            Target::Object => {
                let line = one_line(checked(value)?);
                let mut members = Members::read(payload)?;
                members.merge(Members::read(&line).map_err(of_answer)?);
                out.write(event, &members.write());
            }
            Target::Whole { split: true } if value.first() == Some(&b'[') => {
                for range in elements_of(value).map_err(of_answer)? {
                    write(out, event, response, &value[range]);
                }
            }
            Target::Whole { .. } => write(out, event, response, checked(value)?),
        }
        Ok(())
    }

    /// Handles a response without a body.
    fn put_nothing(&self, out: &mut Output, event: usize, payload: &[u8]) -> Result<(), String> {
        match &self.into {
            Target::Member(name) => put_member(out, event, payload, name, b"null"),
            Target::Object => {
                out.keep(event);
                Ok(())
            }
            Target::Whole { .. } => Ok(()),
        }
    }

    fn put_text(
        &self,
        out: &mut Output,
        event: usize,
        payload: &[u8],
        response: &Bytes,
    ) -> Result<(), String> {
        let Target::Member(name) = &self.into else {
            if !response.is_empty() {
                out.to(0).write_shared(event, response.clone());
            }
            return Ok(());
        };
        let text = String::from_utf8_lossy(response);
        let mut value = Vec::with_capacity(text.len() + 2);
        json::write_text(&mut value, &text);
        put_member(out, event, payload, name, &value)
    }
}

fn put_member(
    out: &mut Output,
    event: usize,
    payload: &[u8],
    name: &str,
    value: &[u8],
) -> Result<(), String> {
    let mut members = Members::read(payload)?;
    members.set(Cow::Borrowed(name), value);
    out.write(event, &members.write());
    Ok(())
}

/// Replaces the event by a part of the response. The part is copied only if it has several lines.
fn write(out: &mut Output, event: usize, response: &Bytes, value: &[u8]) {
    match one_line(value) {
        Cow::Borrowed(value) => out.to(0).write_shared(event, response.slice_ref(value)),
        Cow::Owned(line) => out.write(event, &line),
    }
}

fn checked(value: &[u8]) -> Result<&[u8], String> {
    json::check(value).map_err(of_answer)?;
    Ok(value)
}

fn of_answer(reason: impl std::fmt::Display) -> String {
    format!("the response is unusable: {reason}")
}
