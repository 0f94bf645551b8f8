//! Standard error while pipelines run. A thread of its own writes it, so that a closed terminal or a stalled reader blocks
//! neither a pipeline nor the signals.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Limit of bytes that wait to be written. Text beyond that is dropped and counted.
const WAITING: usize = 1 << 20;

/// Time that the end of the process waits for the last lines to be written.
const LAST_LINES: Duration = Duration::from_secs(2);

static CONSOLE: OnceLock<Arc<Console>> = OnceLock::new();

/// Text on its way to standard error, and the lines of the live display below it.
#[derive(Default)]
struct Console {
    state: Mutex<State>,
    changed: Condvar,
    written: Condvar,
}

#[derive(Default)]
struct State {
    text: Vec<u8>,
    /// The next content of the live display.
    display: Option<Vec<String>>,
    /// Dropped writes.
    lost: u64,
    is_writing: bool,
}

/// Starts the thread. After that, [`print()`] does not block.
pub(crate) fn start() -> io::Result<()> {
    let console = Arc::clone(CONSOLE.get_or_init(Arc::default));
    std::thread::Builder::new().name("console".into()).spawn(move || console.run(&mut write_stderr))?;
    Ok(())
}

/// Writes text to standard error, above the live display. Blocks until it is written if [`start`] was not called.
pub(crate) fn print(text: &[u8]) {
    match CONSOLE.get() {
        Some(console) => console.print(text),
        // A closed pipe is no failure.
        None => drop(io::stderr().lock().write_all(text)),
    }
}

/// Replaces the lines of the live display.
pub(crate) fn display(lines: Vec<String>) {
    if let Some(console) = CONSOLE.get() {
        console.state().display = Some(lines);
        console.changed.notify_one();
    }
}

/// Waits for a short time until everything is written.
pub(crate) fn flush() {
    if let Some(console) = CONSOLE.get() {
        console.flush(LAST_LINES);
    }
}

impl Console {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    fn print(&self, text: &[u8]) {
        let mut state = self.state();
        if state.text.len() + text.len() > WAITING {
            state.lost += 1;
            return;
        }
        state.text.extend_from_slice(text);
        self.changed.notify_one();
    }

    fn flush(&self, limit: Duration) {
        let busy = |state: &mut State| state.is_writing || !state.text.is_empty() || state.display.is_some();
        self.written.wait_while_for(&mut self.state(), busy, limit);
    }

    /// Writes until the process ends.
    fn run(&self, write: &mut dyn FnMut(&[u8])) {
        let mut shown: Vec<String> = Vec::new();
        loop {
            let mut state = self.state();
            while state.text.is_empty() && state.display.is_none() {
                self.changed.wait(&mut state);
            }
            let (text, lost) = (std::mem::take(&mut state.text), std::mem::take(&mut state.lost));
            let next = state.display.take().unwrap_or_else(|| shown.clone());
            state.is_writing = true;
            drop(state);
            write(&frame(&shown, &text, &next));
            shown = next;
            if lost > 0 {
                tracing::warn!("standard error was not read fast enough: {lost} writes to it were dropped");
            }
            self.state().is_writing = false;
            self.written.notify_all();
        }
    }
}

/// Returns the bytes that print `text` above the display and change the display from `shown` to `next`.
fn frame(shown: &[String], text: &[u8], next: &[String]) -> Vec<u8> {
    let mut bytes = Vec::new();
    if !shown.is_empty() {
        // Moves to the first line of the display and clears everything below.
        bytes.extend(format!("\x1b[{}A\r\x1b[J", shown.len()).bytes());
    }
    bytes.extend_from_slice(text);
    for line in next {
        bytes.extend(line.bytes());
        bytes.push(b'\n');
    }
    bytes
}

/// Writes to standard error until everything is written or cannot be. The lock of the standard library is not taken,
/// because a blocked write would hold it.
fn write_stderr(mut bytes: &[u8]) {
    let stderr = io::stderr();
    while !bytes.is_empty() {
        match rustix::io::write(stderr.as_fd(), bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            // Another process that shares the descriptor has made it non-blocking.
            Err(Errno::AGAIN) => drop(poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], None)),
            // The reader or the terminal is gone, or the disk is full. There is no place to report it.
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn a_stalled_writer_blocks_no_caller_and_memory_is_bounded() {
        let console = Arc::<Console>::default();
        let (written, reader) = sync_channel(1024);
        let (entered, entries) = sync_channel(1024);
        let (permit, permits) = sync_channel::<()>(0);
        let of_thread = Arc::clone(&console);
        std::thread::spawn(move || {
            of_thread.run(&mut |bytes: &[u8]| {
                let _ = entered.send(());
                // Blocks until the test lets go of the other end.
                let _ = permits.recv();
                let _ = written.send(bytes.len());
            });
        });
        console.print(b"first\n");
        // From here on the writer is stalled, so that it takes nothing of the rest.
        entries.recv().unwrap();
        for _ in 0..3 * (WAITING >> 10) {
            console.print(&[b'x'; 1024]);
        }
        assert!(console.state().text.len() <= WAITING && console.state().lost > 0);
        console.flush(Duration::from_millis(1));
        drop(permit);
        console.flush(Duration::from_secs(60));
        assert!(console.state().text.is_empty() && console.state().lost == 0);
        assert!(reader.try_iter().sum::<usize>() > WAITING / 2);
    }

    #[test]
    fn text_is_printed_above_the_display() {
        let lines = |all: &[&str]| all.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let bytes = |shown: &[&str], text: &str, next: &[&str]| {
            String::from_utf8(frame(&lines(shown), text.as_bytes(), &lines(next))).unwrap()
        };
        assert_eq!(bytes(&[], "log\n", &[]), "log\n");
        assert_eq!(bytes(&[], "", &["a", "b"]), "a\nb\n");
        assert_eq!(bytes(&["a", "b"], "log\n", &["c"]), "\x1b[2A\r\x1b[Jlog\nc\n");
        assert_eq!(bytes(&["c"], "", &[]), "\x1b[1A\r\x1b[J", "the display is cleared");
    }
}
