//! The end of a process, in words.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// The end of a process in the present tense, as the end of a sentence: `crashes (SIGSEGV)`, `calls exit(3)`.
pub fn death(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("crashes ({})", signal_name(signal)),
        (None, Some(code)) => format!("calls exit({code})"),
        (None, None) => "ends".into(),
    }
}

/// The same in the past tense: `crashed (SIGSEGV)`, `called exit(3)`.
pub(crate) fn past(status: Option<ExitStatus>) -> String {
    match status.map(|status| (status.signal(), status.code())) {
        Some((Some(signal), _)) => format!("crashed ({})", signal_name(signal)),
        Some((None, Some(code))) => format!("called exit({code})"),
        _ => "ended".into(),
    }
}

/// The name of a signal that ends processes.
fn signal_name(signal: i32) -> String {
    const NAMES: [(i32, &str); 11] = [
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (3, "SIGQUIT"),
        (4, "SIGILL"),
        (5, "SIGTRAP"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (11, "SIGSEGV"),
        (15, "SIGTERM"),
    ];
    let name = NAMES.iter().find(|(number, _)| *number == signal);
    name.map_or_else(|| format!("signal {signal}"), |(_, name)| (*name).to_owned())
}
