//! Where a query is evaluated: on the stack at hand, or, for events that turn out to be much work, on a
//! large one.
//!
//! jaq evaluates by recursion, and values are dropped by recursion, so a deep enough query or value would
//! overflow any stack, and that ends the process. So the stack at hand is for evaluations of few steps, which
//! cannot build anything deep; the few others start again on a thread with a stack of their own.

use tidegate_sdk::{Error, Size};

use crate::limit::Limit;

/// The stack for the evaluation itself, on the thread for larger evaluations.
const LARGE_EVALUATION: usize = 128 << 20;

/// What each step may add to the stack that is needed to drop or print what the steps have built. Nesting a
/// value or a closure by one takes two steps at least. Only what is used of a stack is ever memory.
const STACK_A_STEP: usize = 256;

/// Where the system refuses that much address space, less will do for all but the deepest values.
const LEAST_STACK: usize = 2 * LARGE_EVALUATION;

/// How far one evaluation may go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Steps.
    pub(crate) steps: u64,
    /// Bytes of stack.
    pub(crate) stack: usize,
    /// Whether there is no larger room.
    pub(crate) last: bool,
}

impl Room {
    /// On the stack at hand. An evaluation that needs more than this is started again in the large room.
    fn small(limit: &Limit) -> Self {
        Self { steps: limit.steps.min(4096), stack: 512 << 10, last: false }
    }

    fn large(limit: &Limit) -> Self {
        Self { steps: limit.steps, stack: LARGE_EVALUATION, last: true }
    }
}

/// The evaluation needs a larger room than it was given.
#[derive(Debug)]
pub(crate) struct TooSmall;

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
        mut work: impl FnMut(usize, Room) -> Result<(), TooSmall> + Send,
    ) -> Result<(), Error> {
        let mut next = 0;
        if !self.large {
            while next < count && work(next, Room::small(&self.limit)).is_ok() {
                next += 1;
            }
        }
        if next == count {
            return Ok(());
        }
        self.large = true;
        let room = Room::large(&self.limit);
        let built = usize::try_from(self.limit.steps).unwrap_or(usize::MAX).saturating_mul(STACK_A_STEP);
        let mut stack = built.saturating_add(LEAST_STACK);
        loop {
            let done = on_stack(stack, || {
                for number in next..count {
                    work(number, room).expect("there is no larger room to ask for");
                }
            });
            match done {
                Err(_) if stack / 2 >= LEAST_STACK => stack /= 2,
                done => return done,
            }
        }
    }
}

/// Runs `work` on a thread with a stack of so many bytes and waits for it. It is a thread of its own rather than
/// a task because only there the size of the stack can be chosen; it never outlives the call.
pub(crate) fn on_stack<T: Send>(bytes: usize, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("jq".to_owned()).stack_size(bytes);
        match thread.spawn_scoped(scope, work) {
            Ok(thread) => Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))),
            Err(error) => {
                let size = Size(bytes as u64);
                Err(Error::fatal(format!(
                    "no thread with a stack of {size} for a query could start: {error}"
                )))
            }
        }
    })
}
