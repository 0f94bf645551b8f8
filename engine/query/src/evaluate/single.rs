//! Parts that always have one result, which needs no receiver.

use super::{Bound, Env, Exit, Machine, name_of};
use crate::meter;
use crate::natives::format::Format;
use crate::natives::{access, math, strings};
use crate::program::{Call, Kind, Node, Parameter, Piece};
use crate::value::{Object, Text, Val};

impl<'p> Machine<'p> {
    /// The result of `node` for `input`, which stays as it is.
    pub(crate) fn one(&self, node: &'p Node, env: &Env<'p>, input: &Val) -> Result<Val, Exit> {
        match &node.kind {
            Kind::Identity => Ok(input.clone()),
            Kind::Constant(value) => Ok(value.clone()),
            Kind::Fields(names) => fields(input, names),
            Kind::Index(base, key) => {
                let key = self.one(key, env, input)?;
                match &base.kind {
                    Kind::Identity => access::index(input, &key),
                    _ => access::index(&self.one(base, env, input)?, &key),
                }
            }
            Kind::Compare(comparison, left, right) => {
                let right = self.one(right, env, input)?;
                let left = self.one(left, env, input)?;
                Ok(Val::Bool(math::compare(*comparison, &left, &right)))
            }
            Kind::And(left, right) => {
                Ok(Val::Bool(self.one(left, env, input)?.is_true() && self.one(right, env, input)?.is_true()))
            }
            Kind::Or(left, right) => {
                Ok(Val::Bool(self.one(left, env, input)?.is_true() || self.one(right, env, input)?.is_true()))
            }
            Kind::Variable(distance) => match env.get(*distance) {
                Some(Bound::Value(value)) => Ok(value.clone()),
                _ => Err(Exit::error("a variable is not bound")),
            },
            Kind::Object(members) => {
                let mut made = Object::with_capacity(members.len());
                for (name, value) in members {
                    let name = match &name.kind {
                        Kind::Constant(Val::Text(name)) => name.clone(),
                        _ => name_of(self.one(name, env, input)?)?,
                    };
                    made.set(name, self.one(value, env, input)?)?;
                }
                Ok(Val::Object(made))
            }
            _ => self.take(node, env, input.clone()),
        }
    }

    /// The result of `node` for `input`, which may be changed in place if no other value shares it.
    pub(crate) fn take(&self, node: &'p Node, env: &Env<'p>, input: Val) -> Result<Val, Exit> {
        let (mut node, mut env, mut input) = (node, env.clone(), input);
        loop {
            meter::step()?;
            match &node.kind {
                Kind::Identity => return Ok(input),
                Kind::Pipe(left, right) => {
                    input = self.take(left, &env, input)?;
                    node = right;
                }
                Kind::If(condition, then, otherwise) => {
                    let holds = self.one(condition, &env, &input)?.is_true();
                    node = if holds { then } else { otherwise };
                }
                Kind::Bind(source, patterns, body) => {
                    let value = self.one(source, &env, &input)?;
                    let Some(bound) = self.bind_simple(patterns, &env, &value)? else {
                        return self.last(&mut |out| {
                            self.bind(patterns, &env, &value, &mut |env| {
                                self.run(body, env, input.clone(), out)
                            })
                        });
                    };
                    env = bound;
                    node = body;
                }
                Kind::Call(call) => {
                    let Some(entered) = self.enter(call, &env, &input)? else {
                        let body = &self.program.functions[call.function].body;
                        return self.last(&mut |out| {
                            self.enter_each(call, &env, &input, &mut |env| {
                                self.run(body, env, input.clone(), out)
                            })
                        });
                    };
                    env = entered;
                    node = &self.program.functions[call.function].body;
                }
                Kind::Parameter(distance) => (node, env) = Self::filter(&env, *distance)?,
                _ => return self.take_other(node, &env, input),
            }
        }
    }

    /// The result of something that was found to have one.
    pub(crate) fn last(&self, work: &mut dyn FnMut(super::Out<'_>) -> super::Outcome) -> Result<Val, Exit> {
        let mut result = Val::Null;
        work(&mut |value| {
            result = value;
            Ok(())
        })?;
        Ok(result)
    }

    fn take_other(&self, node: &'p Node, env: &Env<'p>, input: Val) -> Result<Val, Exit> {
        match &node.kind {
            Kind::Collect(elements) => self.collect(elements, env, input).map(Val::Array),
            Kind::Calculate(operation, left, right) => {
                let right = self.one(right, env, &input)?;
                math::calculate(*operation, self.take(left, env, input)?, right)
            }
            Kind::Negate(part) => math::negate(self.take(part, env, input)?),
            Kind::Slice(base, from, until) => {
                let bound = |node: &'p Option<Box<Node>>| match node {
                    Some(node) => self.one(node, env, &input),
                    None => Ok(Val::Null),
                };
                let range = access::range(bound(from)?, bound(until)?);
                access::index(&self.take(base, env, input)?, &range)
            }
            Kind::Alternative(left, right) => {
                let value = self.one(left, env, &input)?;
                if value.is_true() { Ok(value) } else { self.take(right, env, input) }
            }
            Kind::Format(format) => format.apply(&input).map(Val::Text),
            Kind::Interpolate(format, pieces) => self.text(*format, pieces, env, &input),
            Kind::Native(native, arguments) => match &arguments[..] {
                [] => (native.function)(input, &[]),
                [argument] => {
                    let argument = self.one(argument, env, &input)?;
                    (native.function)(input, &[argument])
                }
                arguments => {
                    let mut values = Vec::with_capacity(arguments.len());
                    for argument in arguments {
                        values.push(self.one(argument, env, &input)?);
                    }
                    (native.function)(input, &values)
                }
            },
            Kind::Reduce(reduce) => {
                let init = self.one(&reduce.init, env, &input)?;
                self.reduce(reduce, env, &input, init)
            }
            Kind::Assign(..) | Kind::Modify(..) | Kind::ModifyWith(..) | Kind::ModifyMissing(..) => {
                self.update(node, env, input)
            }
            Kind::Special(special, arguments) => {
                self.last(&mut |out| self.special(*special, arguments, env, input.clone(), out))
            }
            Kind::Regex(special, matcher, arguments) => {
                self.last(&mut |out| self.matching(*special, Some(matcher), arguments, env, &input, out))
            }
            Kind::Each(_)
            | Kind::Try(..)
            | Kind::Comma(..)
            | Kind::Foreach(_)
            | Kind::Label(_)
            | Kind::Break(_) => self.last(&mut |out| self.run(node, env, input.clone(), out)),
            _ => self.one(node, env, &input),
        }
    }

    fn text(&self, format: Format, pieces: &'p [Piece], env: &Env<'p>, input: &Val) -> Result<Val, Exit> {
        let mut text = String::new();
        // The last value is evaluated first, so that of several errors it is the one that is seen.
        let mut values: Vec<Val> = Vec::new();
        for piece in pieces.iter().rev() {
            if let Piece::Value(node) = piece {
                values.push(self.one(node, env, input)?);
            }
        }
        for piece in pieces {
            match piece {
                Piece::Plain(plain) => strings::append(&mut text, plain)?,
                Piece::Value(_) => match values.pop().unwrap_or_default() {
                    Val::Text(value) if format == Format::Text => strings::append(&mut text, &value)?,
                    value => strings::append(&mut text, &format.apply(&value)?)?,
                },
            }
        }
        Ok(Val::from(text))
    }

    /// The bindings inside of a function, unless an argument may have any number of values.
    pub(crate) fn enter(&self, call: &'p Call, env: &Env<'p>, input: &Val) -> Result<Option<Env<'p>>, Exit> {
        let function = &self.program.functions[call.function];
        let parameters = || function.parameters.iter().zip(&call.arguments);
        let single = |(parameter, argument): (&Parameter, &'p Node)| {
            *parameter == Parameter::Filter || self.is_single(argument, env)
        };
        if !parameters().all(single) {
            return Ok(None);
        }
        let mut inside = env.without(call.skip);
        for (parameter, argument) in parameters() {
            inside = inside.with(match parameter {
                Parameter::Value => Bound::Value(self.one(argument, env, input)?),
                Parameter::Filter => Self::passed(argument, env),
            });
        }
        Ok(Some(inside))
    }

    /// A filter as an argument; a parameter is passed on.
    fn passed(argument: &'p Node, env: &Env<'p>) -> Bound<'p> {
        if let Kind::Parameter(distance) = &argument.kind
            && let Some(bound) = env.get(*distance)
        {
            return bound.clone();
        }
        Bound::Filter(argument, env.clone())
    }

    /// The bindings inside of a function, for each combination of the values of its arguments.
    pub(crate) fn enter_each(
        &self,
        call: &'p Call,
        env: &Env<'p>,
        input: &Val,
        out: &mut dyn FnMut(&Env<'p>) -> super::Outcome,
    ) -> super::Outcome {
        let function = &self.program.functions[call.function];
        self.enter_rest(&function.parameters, &call.arguments, (env, input), &env.without(call.skip), out)
    }

    fn enter_rest(
        &self,
        parameters: &'p [Parameter],
        arguments: &'p [Node],
        (env, input): (&Env<'p>, &Val),
        inside: &Env<'p>,
        out: &mut dyn FnMut(&Env<'p>) -> super::Outcome,
    ) -> super::Outcome {
        let (Some((parameter, parameters)), Some((argument, arguments))) =
            (parameters.split_first(), arguments.split_first())
        else {
            return out(inside);
        };
        match parameter {
            Parameter::Filter => {
                let inside = inside.with(Self::passed(argument, env));
                self.enter_rest(parameters, arguments, (env, input), &inside, out)
            }
            Parameter::Value => self.values(argument, env, input.clone(), &mut |value| {
                let inside = inside.with(Bound::Value(value));
                self.enter_rest(parameters, arguments, (env, input), &inside, out)
            }),
        }
    }
}

/// `.a.b.c`
pub(crate) fn fields(value: &Val, names: &[Text]) -> Result<Val, Exit> {
    let mut found: Option<Val> = None;
    for name in names {
        let next = access::member(found.as_ref().unwrap_or(value), name)?;
        if matches!(next, Val::Null) {
            return Ok(next);
        }
        found = Some(next);
    }
    Ok(found.unwrap_or_else(|| value.clone()))
}
