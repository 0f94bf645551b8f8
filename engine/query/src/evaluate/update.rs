//! Operators that change what is at the paths on their left.

use super::paths::{Place, ended};
use super::{Env, Exit, Machine, Out, Outcome};
use crate::meter;
use crate::natives::{access, math, paths};
use crate::program::{Kind, Node, Special};
use crate::value::{Array, Text, Val};

use crate::natives::access::Change;

impl<'p> Machine<'p> {
    /// The results of an operator whose right side may have any number of values.
    pub(super) fn updates(&self, node: &'p Node, env: &Env<'p>, input: Val, out: Out<'_>) -> Outcome {
        let (Kind::Assign(_, right) | Kind::ModifyWith(_, _, right) | Kind::ModifyMissing(_, right)) =
            &node.kind
        else {
            return out(self.update(node, env, input)?);
        };
        self.values(right, env, input.clone(), &mut |value| {
            out(self.update_with(node, env, input.clone(), &value)?)
        })
    }

    /// The result of an operator.
    pub(super) fn update(&self, node: &'p Node, env: &Env<'p>, input: Val) -> Result<Val, Exit> {
        match &node.kind {
            Kind::Modify(at, update) => self.change(at, env, input, &mut |value| {
                if update.single {
                    return self.take(update, env, value).map(Some);
                }
                let mut first = None;
                let label = self.new_label();
                let outcome = self.run(update, env, value, &mut |value| {
                    first = Some(value);
                    Err(Exit::Break(label))
                });
                ended(label, outcome)?;
                Ok(first)
            }),
            Kind::Assign(_, right) | Kind::ModifyWith(_, _, right) | Kind::ModifyMissing(_, right) => {
                let value = self.one(right, env, &input)?;
                self.update_with(node, env, input, &value)
            }
            _ => Ok(input),
        }
    }

    fn update_with(&self, node: &'p Node, env: &Env<'p>, input: Val, value: &Val) -> Result<Val, Exit> {
        match &node.kind {
            Kind::Assign(at, _) => self.change(at, env, input, &mut |_| Ok(Some(value.clone()))),
            Kind::ModifyWith(operation, at, _) => self
                .change(at, env, input, &mut |old| math::calculate(*operation, old, value.clone()).map(Some)),
            Kind::ModifyMissing(at, _) => self
                .change(at, env, input, &mut |old| Ok(Some(if old.is_true() { old } else { value.clone() }))),
            _ => Ok(input),
        }
    }

    /// Changes what is at each path of `at`; what becomes nothing is removed.
    fn change(&self, at: &'p Node, env: &Env<'p>, input: Val, change: Change<'_>) -> Result<Val, Exit> {
        if is_direct(at) {
            return Ok(self.descend(at, env, input, change)?.unwrap_or_default());
        }
        let mut changed = input.clone();
        let mut gone = Array::default();
        self.paths(at, env, Place::root(input), &mut |place| {
            let keys = place.keys()?;
            drop(place);
            if matches!(access::get_path(&changed, &keys)?, Val::Null) {
                // Where nothing is, nothing must be made that is removed at the end.
                return match change(Val::Null)? {
                    Some(new) => access::update_path(&mut changed, &keys, &mut |_| Ok(Some(new.clone()))),
                    None => gone.push(Val::from(keys)),
                };
            }
            let mut removed = false;
            access::update_path(&mut changed, &keys, &mut |old| {
                let kept = old.clone();
                let new = change(old)?;
                removed = new.is_none();
                // It is removed at the end, because that moves the elements after it.
                Ok(Some(new.unwrap_or(kept)))
            })?;
            if removed { gone.push(Val::from(keys)) } else { Ok(()) }
        })?;
        if gone.is_empty() { Ok(changed) } else { paths::delete(changed, &gone) }
    }

    fn descend(
        &self,
        at: &'p Node,
        env: &Env<'p>,
        value: Val,
        change: Change<'_>,
    ) -> Result<Option<Val>, Exit> {
        meter::step()?;
        match &at.kind {
            Kind::Identity => change(value),
            Kind::Fields(names) => change_fields(value, names, change),
            Kind::Each(base) => {
                self.descend(base, env, value, &mut |value| change_each(value, change).map(Some))
            }
            Kind::Index(base, key) => {
                let key = self.one(key, env, &value)?;
                self.descend(base, env, value, &mut |mut value| {
                    access::update(&mut value, &key, change)?;
                    Ok(Some(value))
                })
            }
            Kind::Pipe(left, right) => {
                self.descend(left, env, value, &mut |value| self.descend(right, env, value, change))
            }
            Kind::If(condition, then, otherwise) => {
                let holds = self.one(condition, env, &value)?.is_true();
                self.descend(if holds { then } else { otherwise }, env, value, change)
            }
            _ => Ok(Some(value)),
        }
    }
}

fn change_fields(value: Val, names: &[Text], change: Change<'_>) -> Result<Option<Val>, Exit> {
    let Some((name, rest)) = names.split_first() else { return change(value) };
    let mut value = value;
    access::update(&mut value, &Val::Text(name.clone()), &mut |part| change_fields(part, rest, change))?;
    Ok(Some(value))
}

fn change_each(value: Val, change: Change<'_>) -> Result<Val, Exit> {
    match value {
        Val::Array(mut elements) => {
            let mut items = elements.items_mut()?;
            let mut kept = 0;
            for place in 0..items.raw().len() {
                meter::step()?;
                if let Some(new) = change(items.take(place))? {
                    items.deepen(&new);
                    items.raw()[kept] = new;
                    kept += 1;
                }
            }
            items.raw().truncate(kept);
            drop(items);
            Ok(Val::Array(elements))
        }
        Val::Object(mut members) => {
            members.change_each(|value| {
                meter::step()?;
                change(value)
            })?;
            Ok(Val::Object(members))
        }
        value => Err(crate::natives::strings::cannot_iterate(&value)),
    }
}

/// True if the paths of `node` never overlap, so that each can be changed where it is found.
fn is_direct(node: &Node) -> bool {
    match &node.kind {
        Kind::Identity | Kind::Fields(_) => true,
        Kind::Each(base) => is_direct(base),
        Kind::Index(base, key) => key.single && is_direct(base),
        Kind::Pipe(left, right) => is_direct(left) && is_direct(right),
        Kind::If(condition, then, otherwise) => condition.single && is_direct(then) && is_direct(otherwise),
        Kind::Special(Special::Empty, _) => true,
        _ => false,
    }
}
