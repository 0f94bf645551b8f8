//! Errors of system calls as errors of the engine.

use std::fmt::Display;
use std::io;

use rustix::io::Errno;
use tidegate_sdk::{Class, Error};

/// Errors that last until the user changes something: rights, space, a name.
const MISCONFIGURED: [Errno; 11] = [
    Errno::ACCESS,
    Errno::PERM,
    Errno::ROFS,
    Errno::NOSPC,
    Errno::DQUOT,
    Errno::FBIG,
    Errno::NOTDIR,
    Errno::ISDIR,
    Errno::NOENT,
    Errno::NAMETOOLONG,
    Errno::LOOP,
];

/// Returns an error that says `what` failed, and why.
pub(crate) fn failed(what: impl Display, error: &io::Error) -> Error {
    let known = Errno::from_io_error(error).is_some_and(|errno| MISCONFIGURED.contains(&errno))
        || error.kind() == io::ErrorKind::InvalidData;
    let class = if known { Class::Misconfigured } else { Class::Retry };
    Error::new(class, format!("{what}: {}", reason(error)))
}

/// Returns the message of an error in lower case, without Rust's `(os error 13)`.
pub(crate) fn reason(error: &io::Error) -> String {
    if Errno::from_io_error(error) == Some(Errno::FBIG) {
        return "file too large: it is as large as `ulimit -f` or its file system allows".to_owned();
    }
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    let mut rest = text[..end].chars();
    rest.next().map(|first| first.to_lowercase().chain(rest).collect()).unwrap_or_default()
}
