//! Bindings of names during an evaluation.

use std::mem::size_of;
use std::rc::Rc;

use crate::meter;
use crate::program::Node;
use crate::value::Val;

/// Bindings, the innermost first.
#[derive(Clone, Default)]
pub(crate) struct Env<'p>(Option<Rc<Binding<'p>>>);

struct Binding<'p> {
    bound: Bound<'p>,
    outer: Env<'p>,
}

/// The meaning of a name.
#[derive(Clone)]
pub(crate) enum Bound<'p> {
    Value(Val),
    /// A filter, with the bindings at the place where it is written.
    Filter(&'p Node, Env<'p>),
    Label(u64),
}

impl<'p> Env<'p> {
    /// These bindings and one more.
    pub(crate) fn with(&self, bound: Bound<'p>) -> Self {
        meter::hold(size_of::<Binding<'p>>() + 32);
        Self(Some(Rc::new(Binding { bound, outer: self.clone() })))
    }

    /// The bindings that are left without the innermost `count`.
    pub(crate) fn without(&self, count: usize) -> Self {
        let mut env = self;
        for _ in 0..count {
            match &env.0 {
                Some(binding) => env = &binding.outer,
                None => break,
            }
        }
        env.clone()
    }

    /// The meaning of the name that was bound `distance` bindings before the innermost.
    pub(crate) fn get(&self, distance: usize) -> Option<&Bound<'p>> {
        let mut binding = self.0.as_ref();
        for _ in 0..distance {
            binding = binding?.outer.0.as_ref();
        }
        binding.map(|binding| &binding.bound)
    }
}

impl<'p> Binding<'p> {
    /// Takes out the chains that no other binding shares.
    fn separate(&mut self, chains: &mut Vec<Rc<Binding<'p>>>) {
        let filter = match &mut self.bound {
            Bound::Filter(_, env) => env.0.take(),
            _ => None,
        };
        let outer = self.outer.0.take();
        chains.extend(outer.into_iter().chain(filter).filter(|chain| Rc::strong_count(chain) == 1));
    }
}

impl Drop for Binding<'_> {
    /// A long chain is dropped link by link, because dropping it by recursion would overflow the stack.
    fn drop(&mut self) {
        meter::release(size_of::<Self>() + 32);
        let mut chains = Vec::new();
        self.separate(&mut chains);
        while let Some(mut chain) = chains.pop() {
            if let Some(binding) = Rc::get_mut(&mut chain) {
                binding.separate(&mut chains);
            }
        }
    }
}
