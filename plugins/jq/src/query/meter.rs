//! Evaluations that end: jaq has no limits of its own, but it asks for its lookup table at every step, and
//! that is where the steps are counted and the stack is measured.

use std::cell::Cell;
use std::panic::resume_unwind;

use jaq_core::{DataT, Lut, data::HasLut};
use jaq_json::Val;

use crate::room::Room;

/// What queries are evaluated over: JSON values, with a meter.
pub(crate) enum Jq {}

impl DataT for Jq {
    type V<'a> = Val;
    type Data<'a> = &'a Meter<'a>;
}

/// Which limit an evaluation came to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Exhausted {
    Steps,
    Stack,
}

/// Counts the steps of one evaluation.
pub(crate) struct Meter<'a> {
    lut: &'a Lut<Jq>,
    steps_left: Cell<u64>,
    /// Where the stack was when the evaluation began.
    base: usize,
    stack: usize,
}

impl<'a> Meter<'a> {
    pub(super) fn new(lut: &'a Lut<Jq>, room: Room) -> Self {
        Self { lut, steps_left: Cell::new(room.steps), base: stack_pointer(), stack: room.stack }
    }

    /// Counts one step. Over a limit it unwinds to where the evaluation began: an error would not do, since a
    /// query may catch errors. No panic hook runs and nothing is printed.
    #[inline]
    pub(super) fn step(&self) {
        let left = self.steps_left.get();
        if left == 0 {
            resume_unwind(Box::new(Exhausted::Steps));
        }
        self.steps_left.set(left - 1);
        if self.base.abs_diff(stack_pointer()) > self.stack {
            resume_unwind(Box::new(Exhausted::Stack));
        }
    }
}

impl<'a> HasLut<'a, Jq> for &'a Meter<'a> {
    #[inline]
    fn lut(&self) -> &'a Lut<Jq> {
        self.step();
        self.lut
    }
}

/// About where the stack is: the address of a local variable.
#[inline]
fn stack_pointer() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&here)).addr()
}
