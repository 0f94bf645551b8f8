//! `as`, `reduce` and `foreach`.

use super::{Bound, Env, Exit, Machine, Out, Outcome, guarded};
use crate::meter;
use crate::natives::access;
use crate::program::{Foreach, Pattern, Patterns, Reduce};
use crate::value::Val;

/// Receives bindings, one after the other.
type Bindings<'a, 'p> = &'a mut dyn FnMut(&Env<'p>) -> Outcome;

impl<'p> Machine<'p> {
    /// The bindings of a pattern in which nothing can have several values; `None` for others.
    pub(crate) fn bind_simple(
        &self,
        patterns: &'p Patterns,
        env: &Env<'p>,
        value: &Val,
    ) -> Result<Option<Env<'p>>, Exit> {
        match &patterns.patterns[..] {
            [Pattern::Variable] => Ok(Some(env.with(Bound::Value(value.clone())))),
            [pattern] if pattern.is_simple() => {
                let mut bound = env.clone();
                self.bind_in_place(pattern, &mut bound, value)?;
                Ok(Some(bound))
            }
            _ => Ok(None),
        }
    }

    fn bind_in_place(&self, pattern: &'p Pattern, env: &mut Env<'p>, value: &Val) -> Outcome {
        meter::step()?;
        match pattern {
            Pattern::Variable => *env = env.with(Bound::Value(value.clone())),
            Pattern::Array(elements) => {
                for (place, element) in elements.iter().enumerate() {
                    let part = access::index(value, &Val::from(place))?;
                    self.bind_in_place(element, env, &part)?;
                }
            }
            Pattern::Object(members) => {
                for member in members {
                    let name = self.one(&member.name, env, value)?;
                    let part = access::index(value, &name)?;
                    if member.bound {
                        *env = env.with(Bound::Value(part.clone()));
                    }
                    if let Some(pattern) = &member.pattern {
                        self.bind_in_place(pattern, env, &part)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The bindings of the one pattern.
    pub(crate) fn bind(
        &self,
        patterns: &'p Patterns,
        env: &Env<'p>,
        value: &Val,
        out: Bindings<'_, 'p>,
    ) -> Outcome {
        match &patterns.patterns[..] {
            [pattern] => self.bind_pattern(pattern, env, value, out),
            _ => Err(Exit::error("a pattern has alternatives")),
        }
    }

    /// Runs `body` with the bindings of a pattern: of the first one with which nothing fails.
    pub(crate) fn bind_any(
        &self,
        patterns: &'p Patterns,
        env: &Env<'p>,
        value: &Val,
        out: Out<'_>,
        body: &mut dyn FnMut(&Env<'p>, Out<'_>) -> Outcome,
    ) -> Outcome {
        if let [pattern] = &patterns.patterns[..] {
            return self.bind_pattern(pattern, env, value, &mut |env| body(env, out));
        }
        for (place, pattern) in patterns.patterns.iter().enumerate() {
            let names = &patterns.names[place];
            let mut work = |out: Out<'_>| {
                self.bind_pattern(pattern, env, value, &mut |inner| {
                    let mut values = vec![Val::Null; patterns.count];
                    for (distance, name) in names.iter().rev().enumerate() {
                        if let Some(Bound::Value(value)) = inner.get(distance) {
                            values[*name] = value.clone();
                        }
                    }
                    let bound =
                        values.into_iter().fold(env.clone(), |env, value| env.with(Bound::Value(value)));
                    body(&bound, out)
                })
            };
            if place + 1 == patterns.patterns.len() {
                return work(out);
            }
            if guarded(out, &mut work)?.is_none() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn bind_pattern(
        &self,
        pattern: &'p Pattern,
        env: &Env<'p>,
        value: &Val,
        out: Bindings<'_, 'p>,
    ) -> Outcome {
        meter::step()?;
        match pattern {
            Pattern::Variable => out(&env.with(Bound::Value(value.clone()))),
            Pattern::Array(elements) => self.bind_elements(elements, 0, env, value, out),
            Pattern::Object(members) => self.bind_members(members, env, value, out),
        }
    }

    fn bind_elements(
        &self,
        elements: &'p [Pattern],
        place: usize,
        env: &Env<'p>,
        value: &Val,
        out: Bindings<'_, 'p>,
    ) -> Outcome {
        let Some((first, rest)) = elements.split_first() else { return out(env) };
        let part = access::index(value, &Val::from(place))?;
        self.bind_pattern(first, env, &part, &mut |env| self.bind_elements(rest, place + 1, env, value, out))
    }

    fn bind_members(
        &self,
        members: &'p [crate::program::Member],
        env: &Env<'p>,
        value: &Val,
        out: Bindings<'_, 'p>,
    ) -> Outcome {
        let Some((member, rest)) = members.split_first() else { return out(env) };
        self.values(&member.name, env, value.clone(), &mut |name| {
            if !matches!(name, Val::Text(_)) {
                return Err(access_with(value, &name));
            }
            let part = access::index(value, &name)?;
            let bound = if member.bound { env.with(Bound::Value(part.clone())) } else { env.clone() };
            match &member.pattern {
                None => self.bind_members(rest, &bound, value, out),
                Some(pattern) => self.bind_pattern(pattern, &bound, &part, &mut |env| {
                    self.bind_members(rest, env, value, out)
                }),
            }
        })
    }

    /// The result of `reduce` from one initial state.
    pub(crate) fn reduce(
        &self,
        reduce: &'p Reduce,
        env: &Env<'p>,
        input: &Val,
        init: Val,
    ) -> Result<Val, Exit> {
        let mut state = init;
        let mut update = |env: &Env<'p>| {
            let old = std::mem::take(&mut state);
            if reduce.update.single {
                state = self.take(&reduce.update, env, old)?;
                return Ok(());
            }
            self.run(&reduce.update, env, old, &mut |value| {
                state = value;
                Ok(())
            })
        };
        self.values(&reduce.source, env, input.clone(), &mut |value| {
            if let Some(bound) = self.bind_simple(&reduce.patterns, env, &value)? {
                drop(value);
                return update(&bound);
            }
            self.bind_any(&reduce.patterns, env, &value, &mut |_| Ok(()), &mut |env, _| update(env))
        })?;
        Ok(state)
    }

    /// The results of `foreach`.
    pub(crate) fn foreach(&self, foreach: &'p Foreach, env: &Env<'p>, input: &Val, out: Out<'_>) -> Outcome {
        self.values(&foreach.init, env, input.clone(), &mut |init| {
            let mut state = init;
            self.values(&foreach.source, env, input.clone(), &mut |value| {
                self.bind_any(&foreach.patterns, env, &value, out, &mut |env, out| {
                    let old = std::mem::take(&mut state);
                    self.run(&foreach.update, env, old, &mut |new| {
                        state = new.clone();
                        match &foreach.extract {
                            Some(extract) => self.run(extract, env, new, out),
                            None => out(new),
                        }
                    })
                })
            })
        })
    }
}

fn access_with(value: &Val, name: &Val) -> Exit {
    Exit::error(format!("Cannot index {} with {}", value.kind(), name.kind()))
}

impl Pattern {
    /// True if nothing in it can have several values.
    fn is_simple(&self) -> bool {
        match self {
            Self::Variable => true,
            Self::Array(elements) => elements.iter().all(Self::is_simple),
            Self::Object(members) => members.iter().all(|member| {
                matches!(member.name.kind, crate::program::Kind::Constant(Val::Text(_)))
                    && member.pattern.as_ref().is_none_or(Self::is_simple)
            }),
        }
    }
}
