//! Paths: where in the input the results of a query are.

use std::mem::size_of;
use std::rc::Rc;

use super::{Env, Exit, Machine, Outcome, Receiver, guarded};
use crate::meter;
use crate::natives::{access, math, strings};
use crate::program::{Kind, Node, Special};
use crate::value::{Text, Val, shown, shown_long};

/// A value, and where it is.
#[derive(Clone)]
pub(super) struct Place {
    /// Nothing if the value is not a part of the input.
    route: Option<Route>,
    pub(super) value: Val,
}

/// A path, the last key first.
#[derive(Clone, Default)]
struct Route(Option<Rc<Link>>);

struct Link {
    key: Val,
    before: Route,
    length: usize,
}

impl Drop for Link {
    /// A long path is dropped link by link.
    fn drop(&mut self) {
        meter::release(size_of::<Self>() + 16);
        let mut before = self.before.0.take();
        while let Some(mut link) = before {
            before = Rc::get_mut(&mut link).and_then(|link| link.before.0.take());
        }
    }
}

impl Route {
    fn with(&self, key: Val) -> Self {
        meter::hold(size_of::<Link>() + 16);
        let length = self.0.as_ref().map_or(0, |link| link.length) + 1;
        Self(Some(Rc::new(Link { key, before: self.clone(), length })))
    }

    fn keys(&self) -> Result<Vec<Val>, Exit> {
        let mut keys = vec![Val::Null; self.0.as_ref().map_or(0, |link| link.length)];
        meter::steps(keys.len() / 8)?;
        let mut route = self;
        for slot in keys.iter_mut().rev() {
            if let Some(link) = &route.0 {
                *slot = link.key.clone();
                route = &link.before;
            }
        }
        Ok(keys)
    }
}

impl Place {
    /// The input itself.
    pub(super) fn root(value: Val) -> Self {
        Self { route: Some(Route::default()), value }
    }

    /// The keys that lead to it.
    pub(super) fn keys(&self) -> Result<Vec<Val>, Exit> {
        match &self.route {
            Some(route) => route.keys(),
            None => {
                Err(Exit::error(format!("Invalid path expression with result {}", shown_long(&self.value))))
            }
        }
    }

    /// The place of what `key` stands for in it.
    fn at(&self, key: Val) -> Result<Self, Exit> {
        let Some(route) = &self.route else {
            let (key, value) = (shown(&key), shown_long(&self.value));
            return Err(Exit::error(format!(
                "Invalid path expression near attempt to access element {key} of {value}"
            )));
        };
        let value = access::index(&self.value, &key)?;
        Ok(Self { route: Some(route.with(key)), value })
    }

    /// A value that was calculated. It is where the input is, if it is `null` like that, or one and the same.
    fn calculated(&self, value: Val) -> Self {
        let same = match (&self.value, &value) {
            (Val::Null, Val::Null) => true,
            (Val::Bool(left), Val::Bool(right)) => left == right,
            (Val::Array(left), Val::Array(right)) => left.is_same(right),
            (Val::Object(left), Val::Object(right)) => left.is_same(right),
            _ => false,
        };
        Self { route: if same { self.route.clone() } else { None }, value }
    }

    fn each(&self, out: Places<'_>) -> Outcome {
        let Some(route) = &self.route else {
            let value = shown_long(&self.value);
            return Err(Exit::error(format!(
                "Invalid path expression near attempt to iterate through {value}"
            )));
        };
        match &self.value {
            Val::Array(elements) => elements.iter().enumerate().try_for_each(|(place, value)| {
                meter::step()?;
                out(Self { route: Some(route.with(Val::from(place))), value: value.clone() })
            }),
            Val::Object(members) => members.iter().try_for_each(|(name, value)| {
                meter::step()?;
                out(Self { route: Some(route.with(Val::Text(name.clone()))), value: value.clone() })
            }),
            value => Err(strings::cannot_iterate(value)),
        }
    }
}

/// Receives places, one by one.
pub(super) type Places<'a> = Receiver<'a, Place>;

impl<'p> Machine<'p> {
    /// Hands the place of each result of `node` to `out`.
    pub(super) fn paths(&self, node: &'p Node, env: &Env<'p>, place: Place, out: Places<'_>) -> Outcome {
        let (mut node, mut env) = (node, env.clone());
        loop {
            meter::step()?;
            match &node.kind {
                Kind::Comma(left, right) => {
                    self.paths(left, &env, place.clone(), out)?;
                    node = right;
                }
                Kind::If(condition, then, otherwise) if condition.single => {
                    let holds = self.one(condition, &env, &place.value)?.is_true();
                    node = if holds { then } else { otherwise };
                }
                Kind::Call(call) => {
                    let body = &self.program.functions[call.function].body;
                    let Some(entered) = self.enter(call, &env, &place.value)? else {
                        return self.enter_each(call, &env, &place.value, &mut |env| {
                            self.paths(body, env, place.clone(), out)
                        });
                    };
                    (node, env) = (body, entered);
                }
                Kind::Parameter(distance) => (node, env) = Self::filter(&env, *distance)?,
                _ => return self.paths_of(node, &env, place, out),
            }
        }
    }

    fn paths_of(&self, node: &'p Node, env: &Env<'p>, place: Place, out: Places<'_>) -> Outcome {
        let input = place.value.clone();
        match &node.kind {
            Kind::Identity => out(place),
            Kind::Fields(names) => {
                let at = |place: Place, name: &Text| place.at(Val::Text(name.clone()));
                out(names.iter().try_fold(place, at)?)
            }
            Kind::Index(base, key) => self.values(key, env, input, &mut |key| {
                self.paths(base, env, place.clone(), &mut |place| out(place.at(key.clone())?))
            }),
            Kind::Slice(base, from, until) => {
                self.slices(from.as_deref(), until.as_deref(), env, &input, &mut |range| {
                    self.paths(base, env, place.clone(), &mut |place| out(place.at(range.clone())?))
                })
            }
            Kind::Each(base) => self.paths(base, env, place, &mut |place| place.each(out)),
            Kind::Pipe(left, right) => {
                self.paths(left, env, place, &mut |place| self.paths(right, env, place, out))
            }
            Kind::If(condition, then, otherwise) => self.values(condition, env, input, &mut |value| {
                self.paths(if value.is_true() { then } else { otherwise }, env, place.clone(), out)
            }),
            Kind::Try(body, caught) => self.try_paths(body, caught.as_deref(), env, &place, out),
            Kind::Alternative(left, right) => {
                let mut found = false;
                self.paths(left, env, place.clone(), &mut |place| {
                    found |= place.value.is_true();
                    if place.value.is_true() { out(place) } else { Ok(()) }
                })?;
                if found { Ok(()) } else { self.paths(right, env, place, out) }
            }
            Kind::Bind(source, patterns, body) => self.values(source, env, input, &mut |value| {
                self.bind_any(patterns, env, &value, &mut |_| Ok(()), &mut |env, _| {
                    self.paths(body, env, place.clone(), out)
                })
            }),
            Kind::Reduce(_) | Kind::Foreach(_) => self.fold_paths(node, env, &place, out),
            Kind::Label(body) => {
                self.labelled(env, &mut |_| Ok(()), &mut |env, _| self.paths(body, env, place.clone(), out))
            }
            Kind::Special(special, arguments) => {
                self.special_paths((node, *special), arguments, env, place, out)
            }
            _ => self.values(node, env, input, &mut |value| out(place.calculated(value))),
        }
    }

    fn fold_paths(&self, node: &'p Node, env: &Env<'p>, place: &Place, out: Places<'_>) -> Outcome {
        let input = place.value.clone();
        match &node.kind {
            Kind::Reduce(reduce) => self.paths(&reduce.init, env, place.clone(), &mut |init| {
                let mut state = init;
                self.values(&reduce.source, env, input.clone(), &mut |value| {
                    self.bind_any(&reduce.patterns, env, &value, &mut |_| Ok(()), &mut |env, _| {
                        let old = std::mem::replace(&mut state, place.calculated(Val::Null));
                        self.paths(&reduce.update, env, old, &mut |new| {
                            state = new;
                            Ok(())
                        })
                    })
                })?;
                out(state)
            }),
            Kind::Foreach(foreach) => self.paths(&foreach.init, env, place.clone(), &mut |init| {
                let mut state = init;
                self.values(&foreach.source, env, input.clone(), &mut |value| {
                    self.bind_any(&foreach.patterns, env, &value, &mut |_| Ok(()), &mut |env, _| {
                        let old = std::mem::replace(&mut state, place.calculated(Val::Null));
                        self.paths(&foreach.update, env, old, &mut |new| {
                            state = new.clone();
                            match &foreach.extract {
                                Some(extract) => self.paths(extract, env, new, out),
                                None => out(new),
                            }
                        })
                    })
                })
            }),
            _ => Ok(()),
        }
    }

    fn try_paths(
        &self,
        body: &'p Node,
        caught: Option<&'p Node>,
        env: &Env<'p>,
        place: &Place,
        out: Places<'_>,
    ) -> Outcome {
        let error = guarded(out, &mut |out| self.paths(body, env, place.clone(), out))?;
        match (error, caught) {
            (Some(error), Some(caught)) => self.paths(caught, env, place.calculated(error), out),
            _ => Ok(()),
        }
    }

    fn special_paths(
        &self,
        (node, special): (&'p Node, Special),
        arguments: &'p [Node],
        env: &Env<'p>,
        place: Place,
        out: Places<'_>,
    ) -> Outcome {
        let input = place.value.clone();
        match (special, arguments) {
            (Special::Empty, _) => Ok(()),
            (Special::Recurse, [filter]) => self.recurse_paths(filter, env, place, out),
            (Special::First | Special::Last, [filter]) => {
                self.some_of(special, 1.0, out, &mut |out| self.paths(filter, env, place.clone(), out))
            }
            (Special::Limit | Special::Skip, [count, filter]) => {
                self.values(count, env, input, &mut |count| {
                    let count = count_of(special, &count)?;
                    self.some_of(special, count, out, &mut |out| self.paths(filter, env, place.clone(), out))
                })
            }
            (Special::Until, [condition, update]) => self.until_paths(condition, update, env, &place, out),
            (Special::GetPath, [path]) => self.values(path, env, input, &mut |path| {
                let keys = crate::natives::paths::path_of(&path)?;
                let value = access::get_path(&place.value, keys);
                let Some(route) = &place.route else {
                    return place.at(path.clone()).and_then(&mut *out);
                };
                let route = keys.iter().fold(route.clone(), |route, key| route.with(key.clone()));
                out(Place { route: Some(route), value: value? })
            }),
            _ => self.values(node, env, input, &mut |value| out(place.calculated(value))),
        }
    }

    fn recurse_paths(&self, filter: &'p Node, env: &Env<'p>, place: Place, out: Places<'_>) -> Outcome {
        meter::step()?;
        out(place.clone())?;
        if is_each_or_nothing(filter) {
            return match &place.value {
                Val::Array(_) | Val::Object(_) => {
                    place.each(&mut |place| self.recurse_paths(filter, env, place, out))
                }
                _ => Ok(()),
            };
        }
        self.paths(filter, env, place, &mut |place| self.recurse_paths(filter, env, place, out))
    }

    fn until_paths(
        &self,
        condition: &'p Node,
        update: &'p Node,
        env: &Env<'p>,
        place: &Place,
        out: Places<'_>,
    ) -> Outcome {
        meter::step()?;
        self.values(condition, env, place.value.clone(), &mut |holds| {
            if holds.is_true() {
                return out(place.clone());
            }
            self.paths(update, env, place.clone(), &mut |place| {
                self.until_paths(condition, update, env, &place, out)
            })
        })
    }
}

/// The number of results that `limit` and `skip` are given.
pub(super) fn count_of(special: Special, count: &Val) -> Result<f64, Exit> {
    math::count_of(count, if special == Special::Skip { "skip" } else { "limit" })
}

/// True if it is `.[]?`, as in `..`.
pub(super) fn is_each_or_nothing(filter: &Node) -> bool {
    match &filter.kind {
        Kind::Try(body, None) => {
            matches!(&body.kind, Kind::Each(base) if matches!(base.kind, Kind::Identity))
        }
        _ => false,
    }
}

/// Ends a break at its label.
pub(super) fn ended(label: u64, outcome: Outcome) -> Outcome {
    match outcome {
        Err(Exit::Break(broken)) if broken == label => Ok(()),
        outcome => outcome,
    }
}
