//! Requests of the operating system to the process.

use std::fs::File;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal as Number};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::exit::Failure;

/// How often a process that has a terminal looks whether it still does.
const LOOK: Duration = Duration::from_secs(1);

/// A request by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Ctrl-C, SIGTERM, or SIGHUP because the terminal was closed.
    Stop,
    /// Any other SIGHUP.
    Reload,
}

/// Keeps three signals away from the process that would stop or end all its pipelines because of one write or read.
/// To be called before threads are started, which inherit it; child processes do not.
///
/// A write to the terminal from the background goes through instead of stopping the process (SIGTTOU), a read fails
/// instead (SIGTTIN), and a file beyond `ulimit -f` is an error of its write (SIGXFSZ).
pub(crate) fn shield() {
    let mut shielded = SigSet::empty();
    [Number::SIGTTOU, Number::SIGTTIN, Number::SIGXFSZ].into_iter().for_each(|one| shielded.add(one));
    // It fails only for an unknown signal.
    let _ = shielded.thread_block();
}

/// The signals that the process listens to. From when this is made, they do not end it by themselves.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    terminal: Terminal,
    looks: Interval,
}

impl Signals {
    /// Starts to listen. To be called within a tokio runtime.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let terminal = Terminal::at_start(has_terminal(), ignores_hangup());
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::failed(format!("signals cannot be listened to: {error}")))
        };
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
            terminal,
            looks,
        })
    }

    /// The next request. May be dropped at any time.
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
                _ = self.looks.tick(), if self.terminal.is_there() => self.terminal.look(has_terminal()),
            }
        }
    }
}

/// The terminal that the process was started in, which decides what SIGHUP means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Terminal {
    /// There is none, or none any more: the process is a daemon.
    None,
    /// It was there at the last look, or was missing at that many looks in a row.
    There { missing: u32 },
    /// It is there, and its end is not to end the process (`nohup`).
    Ignored,
}

impl Terminal {
    fn at_start(has_terminal: bool, ignores_hangup: bool) -> Self {
        match (has_terminal, ignores_hangup) {
            (false, _) => Self::None,
            (true, true) => Self::Ignored,
            (true, false) => Self::There { missing: 0 },
        }
    }

    fn is_there(self) -> bool {
        matches!(self, Self::There { .. })
    }

    /// The request that SIGHUP stands for.
    fn hangup(&mut self, has_terminal: bool) -> Option<Request> {
        match (*self, has_terminal) {
            (Self::None, _) | (_, true) => Some(Request::Reload),
            (Self::There { .. }, false) => {
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

    /// A terminal that goes without SIGHUP (`disown`) leaves a daemon behind, whose next SIGHUP is a reload.
    fn look(&mut self, has_terminal: bool) {
        if let Self::There { missing } = self {
            *self = match (has_terminal, *missing) {
                (true, _) => Self::There { missing: 0 },
                (false, 0) => Self::There { missing: 1 },
                (false, _) => Self::None,
            };
        }
    }
}

fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// Whether the process was started with SIGHUP ignored. Known on Linux only.
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
        disowned.look(false);
        assert_eq!(disowned.hangup(false), Some(Request::Stop), "the signal may come a moment later");
        let mut disowned = Terminal::at_start(true, false);
        [false, true, false, false].into_iter().for_each(|there| disowned.look(there));
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
