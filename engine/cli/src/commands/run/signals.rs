//! Signals: requests of users and service managers to the process.

use std::fs::File;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal as Number};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::exit::Failure;

/// Interval between checks that the terminal still exists.
const TERMINAL_CHECK: Duration = Duration::from_secs(1);

/// A request by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Ctrl-C, SIGTERM, or SIGHUP because the terminal was closed.
    Stop,
    /// Any other SIGHUP.
    Reload,
}

/// Blocks three signals that would stop or end the whole process because of one read or write.
///
/// Must be called before the first thread starts: threads inherit the mask, child processes do not.
/// A write to the terminal from the background succeeds instead of stopping the process (SIGTTOU). A read fails instead
/// (SIGTTIN). A file beyond `ulimit -f` fails the write (SIGXFSZ).
pub(crate) fn block_terminal_signals() {
    let mut blocked = SigSet::empty();
    [Number::SIGTTOU, Number::SIGTTIN, Number::SIGXFSZ].into_iter().for_each(|one| blocked.add(one));
    // It fails only for an unknown signal.
    let _ = blocked.thread_block();
}

/// Handled signals. They no longer end the process on their own.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    terminal: Terminal,
    checks: Interval,
}

impl Signals {
    /// Installs the handlers. Must be called within a tokio runtime.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let terminal = Terminal::at_start(has_terminal(), ignores_hangup());
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::failed(format!("signals cannot be listened to: {error}")))
        };
        let mut checks = interval(TERMINAL_CHECK);
        checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
            terminal,
            checks,
        })
    }

    /// Returns the next request. May be dropped at any time.
    pub(crate) async fn next(&mut self) -> Request {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return Request::Stop,
                _ = self.terminate.recv() => return Request::Stop,
                _ = self.hangup.recv() => {
                    if let Some(request) = self.terminal.hangup(has_terminal()) {
                        return request;
                    }
                }
                _ = self.checks.tick(), if self.terminal.is_present() => self.terminal.check(has_terminal()),
            }
        }
    }
}

/// Terminal that the process was started in. It decides the meaning of SIGHUP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Terminal {
    /// Absent, or gone: the process is a daemon.
    None,
    /// Present at the last check, or missing for this many checks in a row.
    Present { missing: u32 },
    /// Present, but its end does not end the process (`nohup`).
    Ignored,
}

impl Terminal {
    fn at_start(has_terminal: bool, ignores_hangup: bool) -> Self {
        match (has_terminal, ignores_hangup) {
            (false, _) => Self::None,
            (true, true) => Self::Ignored,
            (true, false) => Self::Present { missing: 0 },
        }
    }

    fn is_present(self) -> bool {
        matches!(self, Self::Present { .. })
    }

    /// Returns the request that SIGHUP means now.
    fn hangup(&mut self, has_terminal: bool) -> Option<Request> {
        match (*self, has_terminal) {
            (Self::None, _) | (_, true) => Some(Request::Reload),
            (Self::Present { .. }, false) => {
                tracing::info!("the terminal was closed");
                *self = Self::None;
                Some(Request::Stop)
            }
            (Self::Ignored, false) => {
                tracing::info!(
                    "the terminal was closed; running on, because SIGHUP was ignored at the start"
                );
                *self = Self::None;
                None
            }
        }
    }

    /// Turns a process whose terminal ends without SIGHUP (`disown`) into a daemon. Its next SIGHUP is a reload.
    fn check(&mut self, has_terminal: bool) {
        if let Self::Present { missing } = self {
            *self = match (has_terminal, *missing) {
                (true, _) => Self::Present { missing: 0 },
                (false, 0) => Self::Present { missing: 1 },
                (false, _) => Self::None,
            };
        }
    }
}

fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Returns true if the process was started with SIGHUP ignored. Known on Linux only.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask & (1 << (Number::SIGHUP as u32 - 1)) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_terminal_drains_once_and_then_the_process_is_a_daemon() {
        let mut terminal = Terminal::at_start(true, false);
        assert_eq!(terminal.hangup(true), Some(Request::Reload), "somebody sent it");
        assert_eq!(terminal.hangup(false), Some(Request::Stop));
        assert_eq!(terminal.hangup(false), Some(Request::Reload), "a second one does not abort the drain");
    }

    #[test]
    fn a_daemon_reloads() {
        assert_eq!(Terminal::at_start(false, false).hangup(false), Some(Request::Reload));
        let mut disowned = Terminal::at_start(true, false);
        disowned.check(false);
        assert_eq!(disowned.hangup(false), Some(Request::Stop), "the signal may come a moment later");
        let mut disowned = Terminal::at_start(true, false);
        [false, true, false, false].into_iter().for_each(|there| disowned.check(there));
        assert_eq!(disowned, Terminal::None);
        assert_eq!(disowned.hangup(false), Some(Request::Reload));
    }

    #[test]
    fn nohup_outlives_its_terminal() {
        let mut terminal = Terminal::at_start(true, true);
        assert_eq!(terminal.hangup(true), Some(Request::Reload));
        assert_eq!(terminal.hangup(false), None);
        assert_eq!(terminal.hangup(false), Some(Request::Reload), "a daemon by now");
    }
}
