//! What the engine does about a failed system call.

use std::fmt::Display;
use std::io;

use rustix::io::Errno;
use tidegate_sdk::{Class, Error};

/// What somebody must change outside before another try can end differently: rights, space, a name.
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

/// `what` failed with `error`.
pub(crate) fn failed(what: impl Display, error: &io::Error) -> Error {
    let known = Errno::from_io_error(error).is_some_and(|errno| MISCONFIGURED.contains(&errno))
        || error.kind() == io::ErrorKind::InvalidData;
    let class = if known { Class::Misconfigured } else { Class::Retry };
    Error::new(class, format!("{what}: {}", reason(error)))
}

/// The error without Rust's `(os error 13)`, beginning in lower case.
pub(crate) fn reason(error: &io::Error) -> String {
    if Errno::from_io_error(error) == Some(Errno::FBIG) {
        return "file too large: it is as large as `ulimit -f` or its file system allows".to_owned();
    }
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    let mut letters = text[..end].chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}
