//! Standard output and standard error.

pub(crate) mod console;
pub(crate) mod hexdump;
pub(crate) mod log;
pub(crate) mod markdown;
pub(crate) mod quantity;
pub(crate) mod table;
pub(crate) mod wrap;

use std::io::{self, ErrorKind, IsTerminal, Write};

use crate::exit::Failure;

/// Widest prose in columns. Longer lines are hard to read.
const WIDEST_PROSE: usize = 100;

/// Writes to standard output. A closed pipe (`tidegate plugins | head`) is no failure.
pub(crate) fn out(text: &str) -> Result<(), Failure> {
    let mut stream = io::stdout().lock();
    match stream.write_all(text.as_bytes()).and_then(|()| stream.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes to standard error. A closed pipe is no failure.
pub(crate) fn err(text: &str) {
    console::print(text.as_bytes());
}

/// Writes `error: message` to standard error.
pub(crate) fn problem(message: &str) {
    let paint = Paint::for_stderr();
    err(&format!("{}: {message}\n", paint.red(&paint.bold("error"))));
}

/// Returns true if standard output is a terminal.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Returns true if standard error is a terminal.
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Returns the current columns and rows of the terminal on standard error.
pub(crate) fn stderr_size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok();
    size.filter(|size| size.ws_col > 0 && size.ws_row > 0)
        .map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into()))
}

/// Returns the width limit of a line on standard error, and its colours. A log file has no limit.
pub(crate) fn stderr_limit() -> (usize, Paint) {
    let columns = if stderr_is_terminal() { stderr_size().0 } else { usize::MAX };
    (columns, Paint::for_stderr())
}

/// Returns the width of prose on standard output.
pub(crate) fn prose_width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_col > 0);
    size.map_or(80, |size| usize::from(size.ws_col)).clamp(40, WIDEST_PROSE)
}

/// Colours, if enabled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// No colours: for log lines and tests.
    pub(crate) const PLAIN: Paint = Paint { on: false };

    /// Colours in any case, for tests.
    #[cfg(test)]
    pub(crate) const ALWAYS: Paint = Paint { on: true };

    /// For standard output: coloured on a terminal, unless `NO_COLOR` is set.
    pub(crate) fn for_stdout() -> Self {
        Self { on: stdout_is_terminal() && colors_wanted() }
    }

    /// For standard error: coloured on a terminal, unless `NO_COLOR` is set.
    pub(crate) fn for_stderr() -> Self {
        Self { on: stderr_is_terminal() && colors_wanted() }
    }

    /// Returns true if there are colours.
    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    pub(crate) fn cyan(self, text: &str) -> String {
        self.wrap("36", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

fn colors_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
}

/// Replaces control characters by spaces, so that text from data or servers cannot control the terminal or break a line.
pub(crate) fn escape_control(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paints_only_if_asked() {
        assert_eq!(Paint::PLAIN.red("x"), "x");
        assert_eq!(Paint { on: true }.red("x"), "\x1b[31mx\x1b[0m");
        assert_eq!(Paint { on: true }.red(""), "");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(escape_control("a\x1b[31mb\nc\u{9b}d"), "a [31mb c d");
    }
}
