//! InstanceContext is with a child from its first to its last moment: passes on what it writes, and knows how it ended.

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

/// How long a child that was let go may take to end by itself.
const GRACE: Duration = Duration::from_secs(1);
/// No line of what a child writes is longer, in bytes; what is, becomes several.
const LINE: usize = 8 << 10;

/// Nothing until it has ended; then how, if that could be found out.
pub(crate) type Ended = Option<Option<ExitStatus>>;

/// A child that is being kept. Dropping it lets the child go: it ends soon, by itself or not.
pub(crate) struct ChildHandle {
    process: Arc<OwnedFd>,
    ended: watch::Receiver<Ended>,
    ended_once: Mutex<mpsc::Receiver<Option<ExitStatus>>>,
    /// Closed when this is dropped, which the keeper sees.
    _leash: io::PipeWriter,
}

impl ChildHandle {
    /// Begins to keep it. `said` takes all that it writes, for the log of `component`.
    pub(crate) fn new(
        mut child: Child,
        said: io::PipeReader,
        component: &str,
        nursery: &Arc<Spawner>,
    ) -> io::Result<Self> {
        let pid = Pid::from_child(&child);
        let process = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) => Arc::new(process),
            Err(error) => {
                let _it_may_be_over = child.kill();
                let _it_was_killed = child.wait();
                return Err(error.into());
            }
        };
        let (released, leash) = io::pipe()?;
        let (tell, ended) = watch::channel(None);
        let (tell_once, ended_once) = sync_channel(1);
        let keeper = ChildSupervisor {
            child,
            process: Arc::clone(&process),
            said: Some(said),
            released: Some(released),
            lines: Lines { component: component.to_owned(), bytes: Vec::new() },
            kill_at: None,
            _nursery: Arc::clone(nursery),
        };
        std::thread::Builder::new().name("plugin-keeper".into()).spawn(move || {
            let status = keeper.keep();
            let _there_is_room_for_one = tell_once.try_send(status);
            tell.send_replace(Some(status));
        })?;
        Ok(Self { process, ended, ended_once: Mutex::new(ended_once), _leash: leash })
    }

    /// A view of it for somebody who does not keep it.
    pub(crate) fn watch(&self) -> ChildWatch {
        ChildWatch { process: Arc::clone(&self.process), ended: self.ended.clone() }
    }

    /// Whether the child has ended, as far as its supervisor knows.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }

    /// Waits for its end where that may block, and then ends it.
    pub(crate) fn wait(&self, limit: Duration) -> Option<ExitStatus> {
        let once = self.ended_once.lock();
        once.recv_timeout(limit).ok().or_else(|| {
            kill(&self.process);
            once.recv_timeout(limit).ok()
        })?
    }
}

/// A child as somebody sees it who does not keep it.
#[derive(Clone)]
pub(crate) struct ChildWatch {
    process: Arc<OwnedFd>,
    ended: watch::Receiver<Ended>,
}

impl ChildWatch {
    /// Ends it at once.
    pub(crate) fn kill(&self) {
        kill(&self.process);
    }

    /// Waits until it is over.
    pub(crate) async fn ended(&mut self) -> Option<ExitStatus> {
        self.ended.wait_for(Option::is_some).await.ok().and_then(|ended| ended.flatten())
    }
}

fn kill(process: &OwnedFd) {
    // An error says that it is over already.
    let _ = rustix::process::pidfd_send_signal(process, Signal::KILL);
}

struct ChildSupervisor {
    child: Child,
    process: Arc<OwnedFd>,
    said: Option<io::PipeReader>,
    released: Option<io::PipeReader>,
    lines: Lines,
    kill_at: Option<Instant>,
    /// A child dies with the thread that has started it, so that one stays until the child has ended.
    _nursery: Arc<Spawner>,
}

impl ChildSupervisor {
    /// Until it is over.
    fn keep(mut self) -> Option<ExitStatus> {
        loop {
            if self.kill_at.is_some_and(|at| at <= Instant::now()) {
                kill(&self.process);
                self.kill_at = None;
            }
            let Ok([over, said, released]) = self.wait() else { break };
            if said {
                self.listen();
            }
            if over {
                self.kill_group();
                break;
            }
            if released {
                self.released = None;
                self.kill_at = Some(Instant::now() + GRACE);
            }
        }
        self.listen_to_the_rest();
        self.child.wait().ok()
    }

    /// Kills what the child has left running: it leads a session and a process group of its own. The child is not reaped
    /// yet, so no other group has its number.
    fn kill_group(&self) {
        // An error says that there is nobody left.
        let _ = rustix::process::kill_process_group(Pid::from_child(&self.child), Signal::KILL);
    }

    /// Waits for its end, for what it writes, and for being let go.
    fn wait(&self) -> io::Result<[bool; 3]> {
        let rest = self.kill_at.map(|at| at.saturating_duration_since(Instant::now()));
        let rest =
            rest.map(|rest| Timespec { tv_sec: rest.as_secs() as i64, tv_nsec: rest.subsec_nanos().into() });
        let mut all = vec![PollFd::new(&self.process, PollFlags::IN)];
        let places = [self.said.as_ref(), self.released.as_ref()].map(|pipe| {
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

    /// Reads what is there.
    fn listen(&mut self) -> bool {
        let mut piece = [0; 4096];
        let read = self.said.as_mut().map_or(Ok(0), |said| said.read(&mut piece));
        match read {
            Ok(length) if length > 0 => {
                self.lines.add(&piece[..length]);
                true
            }
            _ => {
                self.said = None;
                false
            }
        }
    }

    /// Reads what is there still, and no more: a process that it has started may keep the pipe for ever.
    fn listen_to_the_rest(&mut self) {
        const PIECES: usize = 64;
        for _ in 0..PIECES {
            let Some(said) = &self.said else { break };
            let mut all = [PollFd::from_borrowed_fd(said.as_fd(), PollFlags::IN)];
            let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
            if !matches!(poll(&mut all, Some(&at_once)), Ok(1)) || !self.listen() {
                break;
            }
        }
        self.lines.end();
    }
}

/// What a child writes, line by line into the log.
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
