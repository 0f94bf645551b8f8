//! Functions of regular expressions.

use super::{Env, Exit, Machine, Out, Outcome};
use crate::meter;
use crate::natives::regex::{Matcher, Places, captures_value, match_value, named_captures};
use crate::natives::{math, strings, type_error};
use crate::program::{Node, Special};
use crate::value::{Array, Text, Val};

impl<'p> Machine<'p> {
    /// The results of such a function. `known` is its regular expression, if that is a literal.
    pub(super) fn matching(
        &self,
        special: Special,
        known: Option<&Matcher>,
        arguments: &'p [Node],
        env: &Env<'p>,
        input: &Val,
        out: Out<'_>,
    ) -> Outcome {
        let (replacement, pattern): (Option<&'p Node>, Vec<&'p Node>) = match arguments {
            [pattern, replacement, flags] => (Some(replacement), vec![pattern, flags]),
            arguments => (None, arguments.iter().collect()),
        };
        if let Some(matcher) = known {
            return self.matched(special, matcher, replacement, env, input, out);
        }
        let [pattern, flags] = pattern[..] else { return Ok(()) };
        self.values(pattern, env, input.clone(), &mut |pattern| {
            self.values(flags, env, input.clone(), &mut |flags| {
                let (pattern, flags) = unpacked(&pattern, flags)?;
                if !matches!(input, Val::Text(_)) {
                    return type_error(input, "cannot be matched, as it is not a string");
                }
                let matcher = Matcher::remembered(&pattern, &flags)?;
                self.matched(special, &matcher, replacement, env, input, out)
            })
        })
    }

    fn matched(
        &self,
        special: Special,
        matcher: &Matcher,
        replacement: Option<&'p Node>,
        env: &Env<'p>,
        input: &Val,
        out: Out<'_>,
    ) -> Outcome {
        let Val::Text(text) = input else {
            return type_error(input, "cannot be matched, as it is not a string");
        };
        let global = matcher.global;
        match special {
            Special::Test => out(Val::Bool(matcher.is_match(text)?)),
            Special::Match => {
                let mut places = Places::new(text);
                matcher.each(text, global, &mut |groups| out(match_value(matcher, text, groups, &mut places)))
            }
            Special::Capture => {
                matcher.each(text, global, &mut |groups| out(named_captures(matcher, text, groups)))
            }
            Special::Scan => matcher.each(text, true, &mut |groups| out(captures_value(text, groups))),
            Special::Split => {
                let mut parts = Array::default();
                pieces(matcher, text, &mut |part| parts.push(part))?;
                out(Val::Array(parts))
            }
            Special::Splits => pieces(matcher, text, out),
            _ => {
                let Some(replacement) = replacement else { return Ok(()) };
                self.substitute(matcher, global || special == Special::Gsub, replacement, env, text, out)
            }
        }
    }

    /// `sub` and `gsub`: the n-th result has the n-th text of the replacement for each match.
    fn substitute(
        &self,
        matcher: &Matcher,
        global: bool,
        replacement: &'p Node,
        env: &Env<'p>,
        text: &Text,
        out: Out<'_>,
    ) -> Outcome {
        // Each is a text that grows; the bytes before `copied` are in all that are to have them.
        let mut results: Vec<String> = Vec::new();
        let mut copied = 0;
        matcher.each(text, global, &mut |groups| {
            let whole = groups[0].clone().unwrap_or(copied..copied);
            let gap = &text[copied.min(whole.start)..whole.start];
            let captures = named_captures(matcher, text, groups);
            let mut number = 0;
            self.values(replacement, env, captures, &mut |value| {
                meter::step()?;
                let Val::Text(value) = value else {
                    let gap = Val::from(gap);
                    return math::add(gap, value).map(drop);
                };
                if number == results.len() {
                    results.push(String::new());
                }
                strings::append(&mut results[number], gap)?;
                strings::append(&mut results[number], &value)?;
                // What grows is not yet a value, so that its size is held against the limit here.
                meter::reserve(results.iter().map(String::capacity).sum())?;
                number += 1;
                Ok(())
            })?;
            copied = whole.end;
            Ok(())
        })?;
        if results.is_empty() {
            return out(Val::Text(text.clone()));
        }
        for mut result in results {
            strings::append(&mut result, &text[copied..])?;
            out(Val::from(result))?;
        }
        Ok(())
    }
}

/// The regular expression and its flags, which may be an array in the place of the first.
fn unpacked(pattern: &Val, flags: Val) -> Result<(Val, Val), Exit> {
    match pattern {
        Val::Array(both) if matches!(flags, Val::Null) => match &both[..] {
            [] => Err(Exit::error("array not a string or array")),
            [pattern] => Ok((pattern.clone(), Val::Null)),
            [pattern, flags, ..] => Ok((pattern.clone(), flags.clone())),
        },
        Val::Text(_) => Ok((pattern.clone(), flags)),
        other if matches!(flags, Val::Null) => {
            Err(Exit::error(format!("{} not a string or array", other.kind())))
        }
        other => type_error(other, "cannot be matched, as it is not a string"),
    }
}

/// The parts of `text` between matches.
fn pieces(matcher: &Matcher, text: &Text, out: Out<'_>) -> Outcome {
    let mut start = 0;
    matcher.each(text, true, &mut |groups| {
        let whole = groups[0].clone().unwrap_or(start..start);
        let part = text.slice(start.min(whole.start)..whole.start);
        start = whole.end;
        out(Val::Text(part))
    })?;
    out(Val::Text(text.slice(start..text.len())))
}
