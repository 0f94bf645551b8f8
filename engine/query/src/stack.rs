//! Threads with a stack of a chosen size.

use std::io;

/// The stack that compiling a query takes, at most, in bytes: its parts may be nested a thousand deep.
pub const COMPILE_STACK: usize = 64 << 20;

/// Runs `work` on a thread with a stack of `bytes` bytes, and waits for it. Only a thread of its own has a stack of a
/// chosen size; it never outlives the call. A panic of `work` goes on here.
///
/// # Errors
/// The system has no thread with such a stack.
pub fn on_stack<T: Send>(bytes: usize, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("jq".to_owned()).stack_size(bytes);
        let thread = thread.spawn_scoped(scope, work)?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}
