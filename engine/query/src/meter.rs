//! Limits of one evaluation: steps, memory, nesting of values, native stack, and an interruption from outside.
//!
//! The counters are variables of the thread, because a value gives its memory back where it is dropped, and a
//! destructor has no argument. [`Meter::start`] sets them for one evaluation, which never leaves its thread.
//!
//! Memory is the size of the live values that the evaluation has built: each container adds its size when it is made
//! and subtracts it when it is dropped. An operation whose size data can choose calls [`reserve`] before it allocates.
//! An operation whose time data can choose calls [`steps`], or [`charge`] where it cannot fail.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::hint::black_box;
use std::sync::Arc;

/// Limits of one evaluation.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Steps: one for each part of the query that is evaluated, and one for each element that a built-in visits.
    pub steps: u64,
    /// Bytes of the values that are alive at the same time, beside the input.
    pub memory: usize,
    /// The depth to which arrays and objects may be nested in a value that the query builds.
    pub depth: u32,
    /// Bytes of native stack.
    pub stack: usize,
    /// Ends the evaluation from outside.
    pub interrupt: Option<Interrupt>,
}

impl Default for Limits {
    /// Enough for any reasonable query on a thread with 2 MiB of stack.
    fn default() -> Self {
        Self { steps: 5_000_000, memory: 256 << 20, depth: 1000, stack: 512 << 10, interrupt: None }
    }
}

/// A condition that ends an evaluation. The start of an evaluation and each 1,024 steps check it.
#[derive(Clone)]
pub struct Interrupt(Arc<dyn Fn() -> bool + Send + Sync>);

impl Interrupt {
    /// Interrupts an evaluation as soon as `is_over` is true.
    pub fn when(is_over: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_over))
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Interrupt")
    }
}

/// The number of steps between two checks for an interruption.
const STEPS_BETWEEN_CHECKS: u64 = 1024;

/// The limit that an evaluation exceeded.
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
    /// [`Limits::interrupt`]
    Interrupt,
}

struct State {
    /// The steps that are left until the next check for an interruption.
    steps: Cell<u64>,
    /// The steps that are left after that.
    more_steps: Cell<u64>,
    /// The limit that is reported once no step is left. A constructor that exceeds one cannot fail, so the next step
    /// does.
    reached: Cell<Limit>,
    live: Cell<isize>,
    /// The largest value that `live` may have.
    most: Cell<isize>,
    depth: Cell<u32>,
    /// The address of the stack at the start of the evaluation.
    base: Cell<usize>,
    stack: Cell<usize>,
}

thread_local! {
    /// Apart from the counters, because it has a destructor, which makes each access slower.
    static INTERRUPT: RefCell<Option<Interrupt>> = const { RefCell::new(None) };

    static STATE: State = const { State {
        steps: Cell::new(u64::MAX),
        more_steps: Cell::new(0),
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
    steps: (u64, u64),
    reached: Limit,
    most: isize,
    depth: u32,
    stack: (usize, usize),
    interrupt: Option<Interrupt>,
}

impl Meter {
    pub(crate) fn start(limits: &Limits) -> Self {
        STATE.with(|state| {
            let memory = isize::try_from(limits.memory).unwrap_or(isize::MAX);
            // The first step checks for an interruption.
            let (steps, more_steps) =
                if limits.interrupt.is_some() { (0, limits.steps) } else { (limits.steps, 0) };
            Self {
                steps: (state.steps.replace(steps), state.more_steps.replace(more_steps)),
                reached: state.reached.replace(Limit::Steps),
                most: state.most.replace(state.live.get().saturating_add(memory)),
                depth: state.depth.replace(limits.depth),
                stack: (state.base.replace(stack_pointer()), state.stack.replace(limits.stack)),
                interrupt: INTERRUPT.replace(limits.interrupt.clone()),
            }
        })
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        INTERRUPT.replace(self.interrupt.take());
        STATE.with(|state| {
            state.steps.set(self.steps.0);
            state.more_steps.set(self.steps.1);
            state.reached.set(self.reached);
            state.most.set(self.most);
            state.depth.set(self.depth);
            state.base.set(self.stack.0);
            state.stack.set(self.stack.1);
        });
    }
}

impl State {
    /// Makes steps available up to the next check, at least `count` of them.
    #[cold]
    fn refill(&self, count: u64) -> Result<(), Limit> {
        let all = self.steps.get().saturating_add(self.more_steps.get());
        if all < count {
            self.spend();
            return Err(self.reached.get());
        }
        if INTERRUPT.with_borrow(|interrupt| interrupt.as_ref().is_some_and(|interrupt| interrupt.0())) {
            self.reached.set(Limit::Interrupt);
            self.spend();
            return Err(Limit::Interrupt);
        }
        let steps = all.min(count.saturating_add(STEPS_BETWEEN_CHECKS));
        self.steps.set(steps);
        self.more_steps.set(all - steps);
        Ok(())
    }

    fn spend(&self) {
        self.steps.set(0);
        self.more_steps.set(0);
    }
}

/// Counts one step, and checks the other limits.
#[inline]
pub(crate) fn step() -> Result<(), Limit> {
    STATE.with(|state| {
        if state.steps.get() == 0 {
            state.refill(1)?;
        }
        state.steps.set(state.steps.get() - 1);
        if state.base.get().abs_diff(stack_pointer()) > state.stack.get() {
            return Err(Limit::Stack);
        }
        Ok(())
    })
}

/// Fails if no step is left.
#[inline]
pub(crate) fn check() -> Result<(), Limit> {
    STATE.with(|state| {
        let is_spent = state.steps.get() == 0 && state.more_steps.get() == 0;
        if is_spent { Err(state.reached.get()) } else { Ok(()) }
    })
}

/// Counts the steps of an operation that visits `count` elements.
pub(crate) fn steps(count: usize) -> Result<(), Limit> {
    step()?;
    STATE.with(|state| {
        let count = count as u64;
        if state.steps.get() < count {
            state.refill(count)?;
        }
        state.steps.set(state.steps.get() - count);
        Ok(())
    })
}

/// Counts the steps of an operation that cannot fail. If there are too few, the next step or the next result fails. True if it does.
pub(crate) fn charge(count: usize) -> bool {
    STATE.with(|state| {
        let left = state.steps.get().saturating_add(state.more_steps.get());
        if left <= count as u64 {
            state.spend();
            return true;
        }
        match state.steps.get().checked_sub(count as u64) {
            Some(steps) => state.steps.set(steps),
            None => {
                state.steps.set(0);
                state.more_steps.set(left - count as u64);
            }
        }
        false
    })
}

/// Counts the steps of an operation that reads `bytes` bytes of text.
pub(crate) fn bytes(bytes: usize) -> Result<(), Limit> {
    if bytes < BYTES_PER_STEP { Ok(()) } else { steps(bytes / BYTES_PER_STEP) }
}

/// The bytes of text that are read in one step.
const BYTES_PER_STEP: usize = 64;

/// Fails if there is no room for `bytes` more. It counts nothing: the value that is made counts itself.
pub(crate) fn reserve(bytes: usize) -> Result<(), Limit> {
    STATE.with(|state| {
        let bytes = isize::try_from(bytes).unwrap_or(isize::MAX);
        if state.live.get().saturating_add(bytes) > state.most.get() {
            return Err(Limit::Memory);
        }
        Ok(())
    })
}

/// The number of bytes that there is room for.
pub(crate) fn remaining() -> usize {
    STATE.with(|state| usize::try_from(state.most.get().saturating_sub(state.live.get())).unwrap_or(0))
}

/// Adds `bytes` that a value takes.
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

/// Subtracts `bytes` of a value that is dropped.
#[inline]
pub(crate) fn release(bytes: usize) {
    STATE.with(|state| state.live.set(state.live.get().wrapping_sub_unsigned(bytes)));
}

/// The depth to which a value may be nested.
pub(crate) fn depth() -> u32 {
    STATE.with(|state| state.depth.get())
}

/// Checks a value that is nested `depth` deep.
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
    if state.steps.get() > 0 || state.more_steps.get() > 0 {
        state.spend();
        state.reached.set(limit);
    }
}

/// The address of a local variable, which is about where the stack is.
#[inline]
fn stack_pointer() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(black_box(&here)).addr()
}
