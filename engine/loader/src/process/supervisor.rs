//! Supervises one child process: logs its output and collects its exit status.

use parking_lot::Mutex;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::sync::mpsc::{self, sync_channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::sync::watch;

use crate::process::spawner::Spawner;

/// Time for a released child to end without a signal.
const GRACE: Duration = Duration::from_secs(1);
/// The limit for a line of output, in bytes. A longer line is split.
const LINE: usize = 8 << 10;

/// `None` until the child has ended, then its exit status if that is known.
pub(crate) type Ended = Option<Option<ExitStatus>>;

/// A handle of a supervised child. Dropping it releases the child, which is killed if it does not end soon.
pub(crate) struct ChildHandle {
    process: Arc<OwnedFd>,
    ended: watch::Receiver<Ended>,
    ended_once: Mutex<mpsc::Receiver<Option<ExitStatus>>>,
    /// Closed on drop, which the supervisor notices.
    _release: io::PipeWriter,
}

impl ChildHandle {
    /// Starts the supervision. `output` is the read end of its output, which goes to the log of `component`.
    pub(crate) fn new(
        mut child: Child,
        output: io::PipeReader,
        component: &str,
        spawner: &Arc<Spawner>,
    ) -> io::Result<Self> {
        let pid = Pid::from_child(&child);
        let process = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => Arc::new(process),
            Err(error) => {
                // The child may have ended already.
                let _ = child.kill();
                let _ = child.wait();
                return Err(error.into());
            }
        };
        let (released, release) = io::pipe()?;
        let (report, ended) = watch::channel(None);
        let (report_once, ended_once) = sync_channel(1);
        let supervisor = ChildSupervisor {
            child,
            process: Arc::clone(&process),
            output: Some(output),
            released: Some(released),
            lines: Lines { component: component.to_owned(), bytes: Vec::new() },
            kill_at: None,
            _nursery: Arc::clone(spawner),
        };
        std::thread::Builder::new().name("plugin-supervisor".into()).spawn(move || {
            let status = supervisor.run();
            // The channel has room for the only status.
            let _ = report_once.try_send(status);
            report.send_replace(Some(status));
        })?;
        Ok(Self { process, ended, ended_once: Mutex::new(ended_once), _release: release })
    }

    /// A watch that does not keep the child.
    pub(crate) fn watch(&self) -> ChildWatch {
        ChildWatch { process: Arc::clone(&self.process), ended: self.ended.clone() }
    }

    /// True if the child has ended, as far as its supervisor knows.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// Blocks until the child ends, and kills it after `limit`.
    pub(crate) fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        let once = self.ended_once.lock();
        once.recv_timeout(limit).ok().or_else(|| {
            kill(&self.process);
            once.recv_timeout(limit).ok()
        })?
    }
}

/// Observes a child without keeping it.
#[derive(Clone)]
pub(crate) struct ChildWatch {
    process: Arc<OwnedFd>,
    ended: watch::Receiver<Ended>,
}

impl ChildWatch {
    /// Kills it.
    pub(crate) fn kill(&self) {
        kill(&self.process);
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> Option<ExitStatus> {
        self.ended.wait_for(Option::is_some).await.ok().and_then(|ended| ended.flatten())
    }
}

fn kill(process: &OwnedFd) {
    // After an error, the child has ended already.
    let _ = rustix::process::pidfd_send_signal(process, Signal::KILL);
}

struct ChildSupervisor {
    child: Child,
    process: Arc<OwnedFd>,
    output: Option<io::PipeReader>,
    released: Option<io::PipeReader>,
    lines: Lines,
    kill_at: Option<Instant>,
    /// Keeps the spawning thread alive: a child dies with the thread that has spawned it.
    _nursery: Arc<Spawner>,
}

impl ChildSupervisor {
    /// Runs until the child has ended.
    fn run(mut self) -> Option<ExitStatus> {
        loop {
            if self.kill_at.is_some_and(|at| at <= Instant::now()) {
                kill(&self.process);
                self.kill_at = None;
            }
            let Ok([ended, output, released]) = self.wait() else { break };
            if output {
                self.read_output();
            }
            if ended {
                self.kill_group();
                break;
            }
            if released {
                self.released = None;
                self.kill_at = Some(Instant::now() + GRACE);
            }
        }
        self.read_rest();
        self.child.wait().ok()
    }

    /// Kills what the child has left running: it leads a session and a process group of its own. The child is not reaped
    /// yet, so no other group has its number.
    fn kill_group(&self) {
        // An error means that no process is left.
        let _ = rustix::process::kill_process_group(Pid::from_child(&self.child), Signal::KILL);
    }

    /// Waits for its end, its output, or the drop of its handle.
    fn wait(&self) -> io::Result<[bool; 3]> {
        let rest = self.kill_at.map(|at| at.saturating_duration_since(Instant::now()));
        let rest =
            rest.map(|rest| Timespec { tv_sec: rest.as_secs() as i64, tv_nsec: rest.subsec_nanos().into() });
        let mut all = vec![PollFd::new(&self.process, PollFlags::IN)];
        let places = [self.output.as_ref(), self.released.as_ref()].map(|pipe| {
            pipe.map(|pipe| {
                all.push(PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN));
                all.len() - 1
            })
        });
        match poll(&mut all, rest.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let seen = |place: usize| !all[place].revents().is_empty();
        Ok([seen(0), places[0].is_some_and(seen), places[1].is_some_and(seen)])
    }

    /// Reads available output.
    fn read_output(&mut self) -> bool {
        let mut piece = [0; 4096];
        let read = self.output.as_mut().map_or(Ok(0), |output| output.read(&mut piece));
        match read {
            Ok(length) if length > 0 => {
                self.lines.add(&piece[..length]);
                true
            }
            _ => {
                self.output = None;
                false
            }
        }
    }

    /// Reads the rest of the output without waiting: a process that the child has started may keep the pipe open.
    fn read_rest(&mut self) {
        const PIECES: usize = 64;
        for _ in 0..PIECES {
            let Some(output) = &self.output else { break };
            let mut all = [PollFd::from_borrowed_fd(output.as_fd(), PollFlags::IN)];
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            if !matches!(poll(&mut all, Some(&at_once)), Ok(1)) || !self.read_output() {
                break;
            }
        }
        self.lines.end();
    }
}

/// Logs the output of a child line by line.
struct Lines {
    component: String,
    bytes: Vec<u8>,
}

impl Lines {
    fn add(&mut self, piece: &[u8]) {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.bytes.extend_from_slice(part);
            if part.ends_with(b"\n") || self.bytes.len() >= LINE {
                self.end();
            }
        }
    }

    fn end(&mut self) {
        let line = String::from_utf8_lossy(&self.bytes);
        let (component, line) = (&self.component, line.trim_end());
        if !line.is_empty() {
            tracing::info!(component, "{line}");
        }
        self.bytes.clear();
    }
}
