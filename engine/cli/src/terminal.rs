//! Standard output, standard error, and whether a person looks at them.

pub(crate) mod console;
pub(crate) mod hexdump;
pub(crate) mod log;
pub(crate) mod quantity;
pub(crate) mod table;
pub(crate) mod wrap;

use std::io::{self, ErrorKind, IsTerminal, Write};

use crate::exit::Failure;

/// The widest that prose is laid out, in columns: longer lines are hard to read.
const WIDEST_PROSE: usize = 100;

/// Writes to standard output. A reader that has gone (`tidegate plugins | head`) is no failure.
pub(crate) fn out(text: &str) -> Result<(), Failure> {
    let mut stream = io::stdout().lock();
    match stream.write_all(text.as_bytes()).and_then(|()| stream.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes to standard error. A reader that has gone is no failure.
pub(crate) fn err(text: &str) {
    console::print(text.as_bytes());
}

/// Writes `error: message` to standard error.
pub(crate) fn problem(message: &str) {
    let paint = Paint::for_stderr();
    err(&format!("{}: {message}\n", paint.red(&paint.bold("error"))));
}

/// Whether a person looks at standard output.
pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether a person looks at standard error.
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Columns and rows of the terminal behind standard error, as it is now.
pub(crate) fn stderr_size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok();
    size.filter(|size| size.ws_col > 0 && size.ws_row > 0)
        .map_or((80, 24), |size| (size.ws_col.into(), size.ws_row.into()))
}

/// How wide a line on standard error may be, and its colours. A log file takes any width.
pub(crate) fn stderr_limit() -> (usize, Paint) {
    let columns = if stderr_is_terminal() { stderr_size().0 } else { usize::MAX };
    (columns, Paint::for_stderr())
}

/// How wide prose on standard output may be.
pub(crate) fn prose_width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok().filter(|size| size.ws_col > 0);
    size.map_or(80, |size| usize::from(size.ws_col)).clamp(40, WIDEST_PROSE)
}

/// Colours, if they are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// Never any colour: for log lines, and for tests, which compare text.
    pub(crate) const PLAIN: Paint = Paint { on: false };

    /// For standard output: coloured on a terminal, unless `NO_COLOR` is set.
    pub(crate) fn for_stdout() -> Self {
        Self { on: stdout_is_terminal() && colors_wanted() }
    }

    /// For standard error: coloured on a terminal, unless `NO_COLOR` is set.
    pub(crate) fn for_stderr() -> Self {
        Self { on: stderr_is_terminal() && colors_wanted() }
    }

    /// Whether there are colours.
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
        match self.on && !text.is_empty() {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

fn colors_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
}

/// `text` without control characters, so that what comes out of data or from a server cannot steer the
/// terminal or break a line.
pub(crate) fn harmless(text: &str) -> String {
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
        assert_eq!(harmless("a\x1b[31mb\nc\u{9b}d"), "a [31mb c d");
    }
}
