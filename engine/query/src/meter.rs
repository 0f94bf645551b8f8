//! Limits of one evaluation: steps, memory, nesting of values and native stack.
//!
//! The counters are variables of the thread, because a value gives its memory back where it is dropped, and a
//! destructor has no argument. [`Meter::start`] sets them for one evaluation, which never leaves its thread.
//!
//! Memory is the live size of what the evaluation has built: each container adds its size when it is made and
//! takes it off when it is dropped. An operation whose size data can choose asks [`reserve`] before it allocates.

use std::cell::Cell;
use std::hint::black_box;

use crate::evaluate::Exit;

/// How much one evaluation may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps: one for each part of the query that is evaluated, and one for each element that a built-in visits.
    pub steps: u64,
    /// Bytes of values that are alive at the same time, beside the input.
    pub memory: usize,
    /// How deep arrays and objects may be nested in a value that the query builds.
    pub depth: u32,
    /// Bytes of native stack.
    pub stack: usize,
}

impl Default for Limits {
    /// Enough for any reasonable query on a thread with 2 MiB of stack.
    fn default() -> Self {
        Self { steps: 5_000_000, memory: 256 << 20, depth: 1000, stack: 512 << 10 }
    }
}

/// The limit that an evaluation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::steps`]
    Steps,
    /// [`Limits::memory`]
    Memory,
    /// [`Limits::depth`]
    Depth,
    /// [`Limits::stack`]
    Stack,
}

struct State {
    steps: Cell<u64>,
    /// The limit that a constructor exceeded; it cannot fail, so the next step does.
    reached: Cell<Limit>,
    live: Cell<isize>,
    /// The largest value that `live` may have.
    most: Cell<isize>,
    depth: Cell<u32>,
    /// The address where the stack was when the evaluation began.
    base: Cell<usize>,
    stack: Cell<usize>,
}

thread_local! {
    static STATE: State = const { State {
        steps: Cell::new(u64::MAX),
        reached: Cell::new(Limit::Steps),
        live: Cell::new(0),
        most: Cell::new(isize::MAX),
        depth: Cell::new(u32::MAX),
        base: Cell::new(0),
        stack: Cell::new(usize::MAX),
    } };
}

/// The limits of the evaluation that runs on this thread. Dropping it restores those from before.
pub(crate) struct Meter {
    before: (u64, Limit, isize, u32, usize, usize),
}

impl Meter {
    pub(crate) fn start(limits: &Limits) -> Self {
        STATE.with(|state| {
            let before = (
                state.steps.get(),
                state.reached.get(),
                state.most.get(),
                state.depth.get(),
                state.base.get(),
                state.stack.get(),
            );
            state.steps.set(limits.steps);
            state.reached.set(Limit::Steps);
            let memory = isize::try_from(limits.memory).unwrap_or(isize::MAX);
            state.most.set(state.live.get().saturating_add(memory));
            state.depth.set(limits.depth);
            state.base.set(stack_pointer());
            state.stack.set(limits.stack);
            Self { before }
        })
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        STATE.with(|state| {
            let (steps, reached, most, depth, base, stack) = self.before;
            state.steps.set(steps);
            state.reached.set(reached);
            state.most.set(most);
            state.depth.set(depth);
            state.base.set(base);
            state.stack.set(stack);
        });
    }
}

/// Counts one step, and looks at the other limits.
#[inline]
pub(crate) fn step() -> Result<(), Exit> {
    STATE.with(|state| {
        let left = state.steps.get();
        if left == 0 {
            return Err(Exit::Limit(state.reached.get()));
        }
        state.steps.set(left - 1);
        if state.base.get().abs_diff(stack_pointer()) > state.stack.get() {
            return Err(Exit::Limit(Limit::Stack));
        }
        Ok(())
    })
}

/// Counts the steps of an operation that visits `count` elements.
pub(crate) fn steps(count: usize) -> Result<(), Exit> {
    step()?;
    STATE.with(|state| {
        let left = state.steps.get();
        let count = count as u64;
        if left < count {
            state.steps.set(0);
            return Err(Exit::Limit(state.reached.get()));
        }
        state.steps.set(left - count);
        Ok(())
    })
}

/// Fails if there is no room for `bytes` more. Nothing is counted: the value that is made counts itself.
pub(crate) fn reserve(bytes: usize) -> Result<(), Exit> {
    STATE.with(|state| {
        let bytes = isize::try_from(bytes).unwrap_or(isize::MAX);
        if state.live.get().saturating_add(bytes) > state.most.get() {
            return Err(Exit::Limit(Limit::Memory));
        }
        Ok(())
    })
}

/// How many bytes there is room for.
pub(crate) fn remaining() -> usize {
    STATE.with(|state| usize::try_from(state.most.get().saturating_sub(state.live.get())).unwrap_or(0))
}

/// Counts `bytes` that a value takes.
#[inline]
pub(crate) fn hold(bytes: usize) {
    STATE.with(|state| {
        let live = state.live.get().wrapping_add_unsigned(bytes);
        state.live.set(live);
        if live > state.most.get() {
            exceed(state, Limit::Memory);
        }
    });
}

/// Takes off `bytes` of a value that is gone.
#[inline]
pub(crate) fn release(bytes: usize) {
    STATE.with(|state| state.live.set(state.live.get().wrapping_sub_unsigned(bytes)));
}

/// How deep a value may be nested now.
pub(crate) fn depth() -> u32 {
    STATE.with(|state| state.depth.get())
}

/// Notes that a value is nested `depth` deep.
#[inline]
pub(crate) fn nested(depth: u32) {
    STATE.with(|state| {
        if depth > state.depth.get() {
            exceed(state, Limit::Depth);
        }
    });
}

#[cold]
fn exceed(state: &State, limit: Limit) {
    if state.steps.get() > 0 {
        state.steps.set(0);
        state.reached.set(limit);
    }
}

/// The address of a local variable, which is about where the stack is.
#[inline]
fn stack_pointer() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(black_box(&here)).addr()
}
