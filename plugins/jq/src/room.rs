//! The limits and the stack with which a query is evaluated: those of the thread that calls, or, for events that turn
//! out to be much work, larger ones.
//!
//! Queries are evaluated, and values dropped, by recursion. So an evaluation on the caller's stack may take few steps
//! and nest little; the few that are more start again on a thread with a stack of their own.

use tidegate_query::{Interrupt, Limits};
use tidegate_sdk::{Batch, Error, Size};

use crate::limit::Limit;

/// The stack of the thread for larger evaluations. Only what is used of it is ever memory.
const LARGE_STACK: usize = 256 << 20;

/// The stack where the system refuses that much address space: enough for all but the deepest recursion.
const LEAST_STACK: usize = 32 << 20;

/// The part of a stack that remains for the deepest calls of an evaluation: printing and dropping values that are nested
/// as deep as they may be.
const RESERVE: usize = 16 << 20;

/// The depth to which a value may be nested that a query builds.
const DEPTH: u32 = 10_000;

/// The limits of one evaluation.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    pub(crate) limits: Limits,
    /// True if there is no larger room.
    pub(crate) last: bool,
}

impl Room {
    /// On the stack of the caller. An evaluation that needs more than this is started again in the large room.
    fn small(limit: &Limit, interrupt: Option<Interrupt>) -> Self {
        let memory = limit.memory.as_usize();
        let steps = limit.steps.min(16_384);
        Self { limits: Limits { steps, memory, depth: 600, stack: 512 << 10, interrupt }, last: false }
    }

    fn large(limit: &Limit, stack: usize, interrupt: Option<Interrupt>) -> Self {
        let memory = limit.memory.as_usize();
        let stack = stack - RESERVE;
        Self { limits: Limits { steps: limit.steps, memory, depth: DEPTH, stack, interrupt }, last: true }
    }
}

/// Interrupts evaluations once the clients that wait for `batch` are gone. `None` if no client waits for it.
pub(crate) fn interrupt(batch: &Batch) -> Option<Interrupt> {
    if !batch.is_awaited() {
        return None;
    }
    let batch = batch.clone();
    Some(Interrupt::when(move || batch.is_cancelled()))
}

/// The reason why an evaluation was not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfinished {
    /// The evaluation needs a larger room.
    NeedsMoreRoom,
    /// The clients that wait for its results are gone.
    Interrupted,
}

impl Unfinished {
    /// The error of a batch that is cancelled. The engine drops such a batch in place of another try.
    fn error() -> Error {
        Error::retry("the clients that waited for these events are gone")
    }
}

/// Remembers which room the events need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rooms {
    limit: Limit,
    large: bool,
}

impl Rooms {
    pub(crate) fn new(limit: Limit) -> Self {
        Self { limit, large: false }
    }

    /// Calls `work` with each number below `count`, in order. Once one of them needs the large room, it and
    /// all that follow are done there, in this call and in later ones.
    ///
    /// # Errors
    /// If there is no address space for a large room.
    pub(crate) fn each(
        &mut self,
        count: usize,
        interrupt: Option<&Interrupt>,
        mut work: impl FnMut(usize, &Room) -> Result<(), Unfinished> + Send,
    ) -> Result<(), Error> {
        let mut next = 0;
        if !self.large {
            let room = Room::small(&self.limit, interrupt.cloned());
            while next < count {
                match work(next, &room) {
                    Ok(()) => next += 1,
                    Err(Unfinished::NeedsMoreRoom) => break,
                    Err(Unfinished::Interrupted) => return Err(Unfinished::error()),
                }
            }
        }
        if next == count {
            return Ok(());
        }
        self.large = true;
        let mut stack = LARGE_STACK;
        loop {
            let room = Room::large(&self.limit, stack, interrupt.cloned());
            // There is no larger room to ask for, so that only an interruption ends the loop early.
            let done = on_stack(stack, || (next..count).try_for_each(|number| work(number, &room)));
            match done {
                Err(_) if stack / 2 >= LEAST_STACK => stack /= 2,
                done => return done?.map_err(|_| Unfinished::error()),
            }
        }
    }
}

/// Runs `work` on a thread with a stack of `bytes` bytes and waits for it.
///
/// # Errors
/// The system has no such thread.
pub(crate) fn on_stack<T: Send>(bytes: usize, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    tidegate_query::on_stack(bytes, work).map_err(|error| {
        let size = Size(bytes as u64);
        Error::fatal(format!("no thread with a stack of {size} for a query could start: {error}"))
    })
}
