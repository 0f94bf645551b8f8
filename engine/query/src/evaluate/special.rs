//! Functions that do more with their arguments than to take their values.

use super::paths::{Place, count_of, ended, is_each_or_nothing};
use super::{Env, Exit, Machine, Out, Outcome, Receiver};
use crate::meter;
use crate::natives::{access, arrays, math, paths};
use crate::program::{Node, Special};
use crate::value::{Array, Val};

/// An error that the compiler rules out.
const WRONG_NUMBER: &str = "a function has the wrong number of arguments";

impl<'p> Machine<'p> {
    pub(super) fn special(
        &self,
        special: Special,
        arguments: &'p [Node],
        env: &Env<'p>,
        input: Val,
        out: Out<'_>,
    ) -> Outcome {
        match (special, arguments) {
            (Special::Path, [filter]) => {
                self.paths(filter, env, Place::root(input), &mut |place| out(Val::from(place.keys()?)))
            }
            (Special::Delete, [filter]) => {
                let mut found = Array::default();
                self.paths(filter, env, Place::root(input.clone()), &mut |place| {
                    found.push(Val::from(place.keys()?))
                })?;
                out(paths::delete(input, &found)?)
            }
            (Special::GetPath, [path]) => self.values(path, env, input.clone(), &mut |path| {
                out(access::get_path(&input, paths::path_of(&path)?)?)
            }),
            (Special::Recurse, [filter]) => self.recurse(filter, env, input, out),
            (Special::Range | Special::RangeBy, bounds) => {
                self.arguments(bounds, env, &input, &mut Vec::new(), &mut |bounds| range(bounds, out))
            }
            (Special::Add, [filter]) => {
                let mut sum = Val::Null;
                self.run(filter, env, input, &mut |value| {
                    sum = math::add(std::mem::take(&mut sum), value)?;
                    Ok(())
                })?;
                out(sum)
            }
            (Special::Walk, [filter]) => self.walk(filter, env, input, out),
            (Special::Repeat, [filter]) => loop {
                meter::step()?;
                self.run(filter, env, input.clone(), out)?;
            },
            (Special::Log, _) => {
                (self.log)(&input);
                out(input)
            }
            (Special::Input, _) => Err(Exit::error("break")),
            (Special::Halt, _) => Err(Exit::Halt),
            (Special::Empty, _) => Ok(()),
            (
                Special::SortBy | Special::GroupBy | Special::UniqueBy | Special::MinBy | Special::MaxBy,
                [filter],
            ) => out(self.by(special, filter, env, &input)?),
            (
                Special::Test
                | Special::Match
                | Special::Capture
                | Special::Scan
                | Special::Split
                | Special::Splits
                | Special::Sub
                | Special::Gsub,
                arguments,
            ) => self.matching(special, None, arguments, env, &input, out),
            (special, arguments) => self.chosen(special, arguments, env, input, out),
        }
    }

    /// Functions that give some of the results of another.
    fn chosen(
        &self,
        special: Special,
        arguments: &'p [Node],
        env: &Env<'p>,
        input: Val,
        out: Out<'_>,
    ) -> Outcome {
        match (special, arguments) {
            (Special::First | Special::Last, [filter]) => {
                self.some_of(special, 1.0, out, &mut |out| self.run(filter, env, input.clone(), out))
            }
            (Special::Limit | Special::Skip, [count, filter]) => {
                self.values(count, env, input.clone(), &mut |count| {
                    let count = count_of(special, &count)?;
                    self.some_of(special, count, out, &mut |out| self.run(filter, env, input.clone(), out))
                })
            }
            (Special::IsEmpty | Special::Any | Special::All, _) => {
                self.decided(special, arguments, env, input, out)
            }
            (Special::Until | Special::While, [condition, update]) => {
                self.repeat(special == Special::Until, (condition, update), env, input, out)
            }
            _ => Err(Exit::error(WRONG_NUMBER)),
        }
    }

    /// Functions that look at the results of another only until the answer is known.
    fn decided(
        &self,
        special: Special,
        arguments: &'p [Node],
        env: &Env<'p>,
        input: Val,
        out: Out<'_>,
    ) -> Outcome {
        let label = self.new_label();
        match (special, arguments) {
            (Special::IsEmpty, [filter]) => {
                let mut empty = true;
                ended(
                    label,
                    self.run(filter, env, input, &mut |_| {
                        empty = false;
                        Err(Exit::Break(label))
                    }),
                )?;
                out(Val::Bool(empty))
            }
            (Special::Any | Special::All, [source, condition]) => {
                let decides = special == Special::Any;
                let mut decided = false;
                ended(
                    label,
                    self.run(source, env, input, &mut |value| {
                        self.values(condition, env, value, &mut |holds| {
                            decided = holds.is_true() == decides;
                            if decided { Err(Exit::Break(label)) } else { Ok(()) }
                        })
                    }),
                )?;
                out(Val::Bool(decided == decides))
            }
            _ => Err(Exit::error(WRONG_NUMBER)),
        }
    }

    fn recurse(&self, filter: &'p Node, env: &Env<'p>, value: Val, out: Out<'_>) -> Outcome {
        if is_each_or_nothing(filter) {
            return descend(&value, out);
        }
        let mut value = value;
        // One that has one result goes on in a loop.
        while self.is_single(filter, env) {
            meter::step()?;
            out(value.clone())?;
            value = self.take(filter, env, value)?;
        }
        meter::step()?;
        out(value.clone())?;
        self.run(filter, env, value, &mut |value| self.recurse(filter, env, value, out))
    }

    /// `until`, which gives the first value that meets the condition, and `while`, which gives those before the first that
    /// does not.
    fn repeat(
        &self,
        is_until: bool,
        (condition, update): (&'p Node, &'p Node),
        env: &Env<'p>,
        value: Val,
        out: Out<'_>,
    ) -> Outcome {
        let mut value = value;
        while self.is_single(condition, env) && self.is_single(update, env) {
            meter::step()?;
            if self.one(condition, env, &value)?.is_true() == is_until {
                return if is_until { out(value) } else { Ok(()) };
            }
            if !is_until {
                out(value.clone())?;
            }
            value = self.take(update, env, value)?;
        }
        self.run(condition, env, value.clone(), &mut |holds| {
            if holds.is_true() == is_until {
                return if is_until { out(value.clone()) } else { Ok(()) };
            }
            if !is_until {
                out(value.clone())?;
            }
            self.run(update, env, value.clone(), &mut |value| {
                self.repeat(is_until, (condition, update), env, value, out)
            })
        })
    }

    /// Passes some of the results of `work`, which are values or paths, to `out`: the first, the last, the first `count`,
    /// or those after them.
    pub(super) fn some_of<T>(
        &self,
        special: Special,
        count: f64,
        out: Receiver<'_, T>,
        work: &mut dyn FnMut(Receiver<'_, T>) -> Outcome,
    ) -> Outcome {
        let mut left = count;
        match special {
            Special::Last => {
                let mut last = None;
                work(&mut |result| {
                    last = Some(result);
                    Ok(())
                })?;
                last.map_or(Ok(()), out)
            }
            Special::Skip => work(&mut |result| {
                left -= 1.0;
                if left < 0.0 { out(result) } else { Ok(()) }
            }),
            _ if left <= 0.0 => Ok(()),
            _ => {
                let label = self.new_label();
                let outcome = work(&mut |result| {
                    left -= 1.0;
                    out(result)?;
                    if left <= 0.0 { Err(Exit::Break(label)) } else { Ok(()) }
                });
                ended(label, outcome)
            }
        }
    }

    fn walk(&self, filter: &'p Node, env: &Env<'p>, value: Val, out: Out<'_>) -> Outcome {
        meter::step()?;
        let walked = match value {
            Val::Array(elements) => {
                let mut walked = Array::default();
                for element in elements.into_items() {
                    self.walk(filter, env, element, &mut |value| walked.push(value))?;
                }
                Val::Array(walked)
            }
            Val::Object(mut members) => {
                members.change_each(|value| {
                    let label = self.new_label();
                    let mut first = None;
                    ended(
                        label,
                        self.walk(filter, env, value, &mut |value| {
                            first = Some(value);
                            Err(Exit::Break(label))
                        }),
                    )?;
                    Ok(first)
                })?;
                Val::Object(members)
            }
            other => other,
        };
        self.values(filter, env, walked, out)
    }

    /// Sorts, groups and the like by the results of `filter`.
    fn by(&self, special: Special, filter: &'p Node, env: &Env<'p>, input: &Val) -> Result<Val, Exit> {
        let elements = match input {
            Val::Array(elements) => elements,
            Val::Object(members) => {
                // The members are iterated over, and then the object is found to be no array.
                let keys =
                    members.iter().map(|(_, value)| self.collect(filter, env, value.clone()).map(Val::Array));
                return arrays::not_both_arrays(special, input, keys.collect::<Result<Vec<_>, Exit>>()?);
            }
            _ => return arrays::sort_by(input, special, Some(&[])),
        };
        meter::reserve(elements.len() * size_of::<Val>())?;
        let mut keys = Vec::with_capacity(elements.len());
        for element in elements.iter() {
            keys.push(if self.is_single(filter, env) {
                self.one(filter, env, element)?
            } else {
                Val::Array(self.collect(filter, env, element.clone())?)
            });
        }
        arrays::sort_by(input, special, Some(&keys))
    }
}

/// `..`
fn descend(value: &Val, out: Out<'_>) -> Outcome {
    meter::step()?;
    out(value.clone())?;
    match value {
        Val::Array(elements) => elements.iter().try_for_each(|element| descend(element, out)),
        Val::Object(members) => members.iter().try_for_each(|(_, value)| descend(value, out)),
        _ => Ok(()),
    }
}

fn range(bounds: &[Val], out: Out<'_>) -> Outcome {
    let number = |place: usize| match bounds.get(place) {
        None => Ok(1.0),
        Some(bound) => bound.as_number().ok_or_else(|| Exit::error("Range bounds must be numeric")),
    };
    let (mut at, until, by) = (number(0)?, number(1)?, number(2)?);
    while (by > 0.0 && at < until) || (by < 0.0 && at > until) {
        meter::step()?;
        out(Val::Float(at))?;
        at += by;
    }
    Ok(())
}
