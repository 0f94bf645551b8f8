//! Programs over values: each result is handed to a function as soon as it is there.
//!
//! A part that always has one result is evaluated directly (`single.rs`). The last part of a chain, of a branch and of a
//! function is evaluated in a loop rather than by a call, so that a definition that calls itself last runs long.

mod bind;
mod env;
mod matching;
mod paths;
mod single;
mod special;
mod update;

use std::cell::Cell;

pub(crate) use env::{Bound, Env};

use crate::exit::Exit;
use crate::meter;
use crate::natives::{access, math, strings};
use crate::program::{Kind, Node, Piece, Program};
use crate::value::{Array, Text, Val, shown};

pub(crate) type Outcome = Result<(), Exit>;

/// Receives values, or paths, one by one.
pub(crate) type Receiver<'a, T> = &'a mut dyn FnMut(T) -> Outcome;

/// Receives results, one by one.
pub(crate) type Out<'a> = Receiver<'a, Val>;

/// Runs `work`, and gives back an error of its own. An error of `out`, which takes its results, goes on.
pub(crate) fn guarded<T>(
    out: Receiver<'_, T>,
    work: &mut dyn FnMut(Receiver<'_, T>) -> Outcome,
) -> Result<Option<Val>, Exit> {
    let mut beyond = false;
    let outcome = work(&mut |result| {
        let outcome = out(result);
        beyond = outcome.is_err();
        outcome
    });
    match outcome {
        Ok(()) => Ok(None),
        Err(Exit::Error(error)) if !beyond => Ok(Some(*error)),
        Err(exit) => Err(exit),
    }
}

/// The evaluation of a program for one input.
pub(crate) struct Machine<'p> {
    pub(crate) program: &'p Program,
    /// Receives what `debug` and `stderr` are given.
    pub(crate) log: &'p dyn Fn(&Val),
    labels: Cell<u64>,
}

impl<'p> Machine<'p> {
    pub(crate) fn new(program: &'p Program, log: &'p dyn Fn(&Val)) -> Self {
        Self { program, log, labels: Cell::new(0) }
    }

    pub(crate) fn new_label(&self) -> u64 {
        let label = self.labels.get() + 1;
        self.labels.set(label);
        label
    }

    /// Hands each result of `node` for `input` to `out`.
    pub(crate) fn run(&self, node: &'p Node, env: &Env<'p>, input: Val, out: Out<'_>) -> Outcome {
        let (mut node, mut env, mut input) = (node, env.clone(), input);
        loop {
            meter::step()?;
            if node.single {
                return out(self.take(node, &env, input)?);
            }
            match &node.kind {
                Kind::Pipe(left, right) => {
                    if !self.is_single(left, &env) {
                        return self.run(left, &env, input, &mut |value| self.run(right, &env, value, out));
                    }
                    input = self.take(left, &env, input)?;
                    node = right;
                }
                Kind::Comma(left, right) => {
                    self.run(left, &env, input.clone(), out)?;
                    node = right;
                }
                Kind::If(condition, then, otherwise) => {
                    if !self.is_single(condition, &env) {
                        return self.run(condition, &env, input.clone(), &mut |value| {
                            let branch = if value.is_true() { then } else { otherwise };
                            self.run(branch, &env, input.clone(), out)
                        });
                    }
                    let holds = self.one(condition, &env, &input)?.is_true();
                    node = if holds { then } else { otherwise };
                }
                Kind::Bind(source, patterns, body)
                    if patterns.patterns.len() == 1 && self.is_single(source, &env) =>
                {
                    let value = self.one(source, &env, &input)?;
                    match self.bind_simple(patterns, &env, &value)? {
                        Some(bound) => {
                            env = bound;
                            node = body;
                        }
                        None => {
                            return self.bind(patterns, &env, &value, &mut |env| {
                                self.run(body, env, input.clone(), out)
                            });
                        }
                    }
                }
                Kind::Call(call) => match self.enter(call, &env, &input)? {
                    Some(entered) => {
                        env = entered;
                        node = &self.program.functions[call.function].body;
                    }
                    None => {
                        let body = &self.program.functions[call.function].body;
                        return self.enter_each(call, &env, &input, &mut |env| {
                            self.run(body, env, input.clone(), out)
                        });
                    }
                },
                Kind::Parameter(distance) => {
                    let (filter, around) = Self::filter(&env, *distance)?;
                    (node, env) = (filter, around);
                }
                _ => return self.run_other(node, &env, input, out),
            }
        }
    }

    /// The filter that a parameter stands for.
    pub(crate) fn filter(env: &Env<'p>, distance: usize) -> Result<(&'p Node, Env<'p>), Exit> {
        match env.get(distance) {
            Some(Bound::Filter(node, around)) => Ok((node, around.clone())),
            _ => Err(Exit::error("a parameter is not bound")),
        }
    }

    /// True if `node` has exactly one result with these bindings, or fails.
    pub(crate) fn is_single(&self, node: &'p Node, env: &Env<'p>) -> bool {
        let (mut node, mut around) = (node, None);
        while let Kind::Parameter(distance) = &node.kind {
            match around.as_ref().unwrap_or(env).get(*distance) {
                Some(Bound::Filter(filter, filter_env)) => {
                    node = filter;
                    around = Some(filter_env.clone());
                }
                _ => return false,
            }
        }
        node.single
    }

    /// The parts whose last part cannot be evaluated in a loop.
    fn run_other(&self, node: &'p Node, env: &Env<'p>, input: Val, out: Out<'_>) -> Outcome {
        match &node.kind {
            Kind::Each(base) => self.values(base, env, input, &mut |value| each(value, out)),
            Kind::Try(body, caught) => self.try_run(body, caught.as_deref(), env, &input, out),
            Kind::Object(members) => self.object(members, env, &input, crate::value::Object::default(), out),
            Kind::Index(base, key) => self.values(key, env, input.clone(), &mut |key| {
                self.values(base, env, input.clone(), &mut |value| out(access::index(&value, &key)?))
            }),
            Kind::Slice(base, from, until) => {
                self.slices(from.as_deref(), until.as_deref(), env, &input, &mut |range| {
                    self.values(base, env, input.clone(), &mut |value| out(access::index(&value, &range)?))
                })
            }
            Kind::Negate(part) => self.values(part, env, input, &mut |value| out(math::negate(value)?)),
            Kind::Calculate(operation, left, right) => self.values(right, env, input.clone(), &mut |right| {
                self.values(left, env, input.clone(), &mut |left| {
                    out(math::calculate(*operation, left, right.clone())?)
                })
            }),
            Kind::Compare(comparison, left, right) => self.values(right, env, input.clone(), &mut |right| {
                self.values(left, env, input.clone(), &mut |left| {
                    out(Val::Bool(math::compare(*comparison, &left, &right)))
                })
            }),
            Kind::And(left, right) => self.logic(false, (left, right), env, &input, out),
            Kind::Or(left, right) => self.logic(true, (left, right), env, &input, out),
            Kind::Alternative(left, right) => self.alternative((left, right), env, input, out),
            Kind::Bind(source, patterns, body) => self.values(source, env, input.clone(), &mut |value| {
                self.bind_any(patterns, env, &value, out, &mut |env, out| {
                    self.run(body, env, input.clone(), out)
                })
            }),
            Kind::Reduce(reduce) => self.values(&reduce.init, env, input.clone(), &mut |init| {
                out(self.reduce(reduce, env, &input, init)?)
            }),
            Kind::Foreach(foreach) => self.foreach(foreach, env, &input, out),
            Kind::Label(body) => {
                self.labelled(env, out, &mut |env, out| self.run(body, env, input.clone(), out))
            }
            Kind::Break(distance) => match env.get(*distance) {
                Some(Bound::Label(label)) => Err(Exit::Break(*label)),
                _ => Err(Exit::error("break")),
            },
            Kind::Interpolate(format, pieces) => {
                self.interpolate(*format, pieces, env, &input, String::new(), out)
            }
            Kind::Native(native, arguments) => {
                self.arguments_backwards(arguments, env, &input, &mut Vec::new(), &mut |arguments| {
                    out((native.function)(input.clone(), arguments)?)
                })
            }
            Kind::Special(special, arguments) => self.special(*special, arguments, env, input, out),
            Kind::Regex(special, matcher, arguments) => {
                self.matching(*special, Some(matcher), arguments, env, &input, out)
            }
            Kind::Assign(..) | Kind::Modify(..) | Kind::ModifyWith(..) | Kind::ModifyMissing(..) => {
                self.updates(node, env, input, out)
            }
            _ => out(self.take(node, env, input)?),
        }
    }

    /// Like [`Self::run`], with less to do where there is one result.
    pub(crate) fn values(&self, node: &'p Node, env: &Env<'p>, input: Val, out: Out<'_>) -> Outcome {
        if node.single { out(self.take(node, env, input)?) } else { self.run(node, env, input, out) }
    }

    /// The ranges that stand for slices.
    pub(crate) fn slices(
        &self,
        from: Option<&'p Node>,
        until: Option<&'p Node>,
        env: &Env<'p>,
        input: &Val,
        out: Out<'_>,
    ) -> Outcome {
        let with_until = |from: Val, out: Out<'_>| match until {
            Some(until) => {
                self.values(until, env, input.clone(), &mut |until| out(access::range(from.clone(), until)))
            }
            None => out(access::range(from, Val::Null)),
        };
        match from {
            Some(from) => self.values(from, env, input.clone(), &mut |from| with_until(from, out)),
            None => with_until(Val::Null, out),
        }
    }

    fn try_run(
        &self,
        body: &'p Node,
        caught: Option<&'p Node>,
        env: &Env<'p>,
        input: &Val,
        out: Out<'_>,
    ) -> Outcome {
        let error = match guarded(out, &mut |out| self.run(body, env, input.clone(), out))? {
            Some(error) => error,
            None => return Ok(()),
        };
        match caught {
            Some(caught) => self.run(caught, env, error, out),
            None => Ok(()),
        }
    }

    fn logic(
        &self,
        decides: bool,
        (left, right): (&'p Node, &'p Node),
        env: &Env<'p>,
        input: &Val,
        out: Out<'_>,
    ) -> Outcome {
        self.values(left, env, input.clone(), &mut |value| {
            if value.is_true() == decides {
                return out(Val::Bool(decides));
            }
            self.values(right, env, input.clone(), &mut |value| out(Val::Bool(value.is_true())))
        })
    }

    fn alternative(
        &self,
        (left, right): (&'p Node, &'p Node),
        env: &Env<'p>,
        input: Val,
        out: Out<'_>,
    ) -> Outcome {
        let mut found = false;
        self.run(left, env, input.clone(), &mut |value| {
            found |= value.is_true();
            if value.is_true() { out(value) } else { Ok(()) }
        })?;
        if found { Ok(()) } else { self.run(right, env, input, out) }
    }

    /// Runs `work` with a label bound, to which it may break.
    pub(crate) fn labelled(
        &self,
        env: &Env<'p>,
        out: Out<'_>,
        work: &mut dyn FnMut(&Env<'p>, Out<'_>) -> Outcome,
    ) -> Outcome {
        let label = self.new_label();
        match work(&env.with(Bound::Label(label)), out) {
            Err(Exit::Break(broken)) if broken == label => Ok(()),
            outcome => outcome,
        }
    }

    /// The objects of all combinations of names and values, the first varying last.
    fn object(
        &self,
        members: &'p [(Node, Node)],
        env: &Env<'p>,
        input: &Val,
        made: crate::value::Object,
        out: Out<'_>,
    ) -> Outcome {
        let Some(((name, value), rest)) = members.split_first() else { return out(Val::Object(made)) };
        self.values(name, env, input.clone(), &mut |name| {
            let name = name_of(name)?;
            self.values(value, env, input.clone(), &mut |value| {
                let mut made = made.clone();
                made.set(name.clone(), value)?;
                self.object(rest, env, input, made, out)
            })
        })
    }

    /// The texts of all combinations of values, the last varying last.
    fn interpolate(
        &self,
        format: crate::natives::format::Format,
        pieces: &'p [Piece],
        env: &Env<'p>,
        input: &Val,
        after: String,
        out: Out<'_>,
    ) -> Outcome {
        let joined = |front: &str, rest: &'p [Piece], out: Out<'_>| {
            let mut text = front.to_owned();
            strings::append(&mut text, &after)?;
            self.interpolate(format, rest, env, input, text, out)
        };
        match pieces.split_last() {
            None => out(Val::from(after)),
            Some((Piece::Plain(plain), rest)) => joined(plain, rest, out),
            Some((Piece::Value(node), rest)) => {
                self.values(node, env, input.clone(), &mut |value| joined(&format.apply(&value)?, rest, out))
            }
        }
    }

    /// All combinations of the values of arguments, the last varying last.
    fn arguments_backwards(
        &self,
        nodes: &'p [Node],
        env: &Env<'p>,
        input: &Val,
        after: &mut Vec<Val>,
        out: &mut dyn FnMut(&[Val]) -> Outcome,
    ) -> Outcome {
        let Some((last, rest)) = nodes.split_last() else {
            let arguments: Vec<Val> = after.iter().rev().cloned().collect();
            return out(&arguments);
        };
        self.values(last, env, input.clone(), &mut |value| {
            after.push(value);
            let outcome = self.arguments_backwards(rest, env, input, after, out);
            after.pop();
            outcome
        })
    }

    /// All combinations of the values of arguments, the first varying last.
    pub(crate) fn arguments(
        &self,
        nodes: &'p [Node],
        env: &Env<'p>,
        input: &Val,
        before: &mut Vec<Val>,
        out: &mut dyn FnMut(&[Val]) -> Outcome,
    ) -> Outcome {
        let Some((first, rest)) = nodes.split_first() else { return out(before) };
        self.values(first, env, input.clone(), &mut |value| {
            before.push(value);
            let outcome = self.arguments(rest, env, input, before, out);
            before.pop();
            outcome
        })
    }

    /// All results of `node` as an array.
    pub(crate) fn collect(&self, node: &'p Node, env: &Env<'p>, input: Val) -> Result<Array, Exit> {
        let mut elements = Array::default();
        self.run(node, env, input, &mut |value| elements.push(value))?;
        Ok(elements)
    }
}

/// The name of a member that is made.
pub(crate) fn name_of(name: Val) -> Result<Text, Exit> {
    match name {
        Val::Text(name) => Ok(name),
        other => Err(Exit::error(format!("Cannot use {} ({}) as object key", other.kind(), shown(&other)))),
    }
}

/// `.[]`
pub(crate) fn each(value: Val, out: Out<'_>) -> Outcome {
    match value {
        Val::Array(elements) => elements.iter().try_for_each(|element| out(element.clone())),
        Val::Object(members) => members.iter().try_for_each(|(_, value)| out(value.clone())),
        value => Err(strings::cannot_iterate(&value)),
    }
}
