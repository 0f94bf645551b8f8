//! Spawns children on one thread that outlives them.
//!
//! Linux kills a child when the *thread* that spawned it ends (`PR_SET_PDEATHSIG`), so it must not be a short-lived one.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};

use rustix::process::{Resource, Rlimit, Signal};

/// The limit for queued requests.
const QUEUE: usize = 16;

/// The variables of the environment that a child sees: paths, language, time zone, certificates and proxies. No variable
/// that may hold a secret.
const ENVIRONMENT: [&str; 17] = [
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
];

type Spawned = SyncSender<io::Result<Child>>;

/// Spawns children.
pub(crate) struct Spawner {
    program: PathBuf,
    orders: SyncSender<(Command, Spawned)>,
}

impl Spawner {
    /// Starts the thread. Children run `program`, which is this program.
    pub(crate) fn new(program: PathBuf) -> io::Result<Self> {
        let (orders, queue) = sync_channel::<(Command, Spawned)>(QUEUE);
        std::thread::Builder::new().name("plugin-spawner".into()).spawn(move || {
            for (mut command, started) in queue {
                // The requester may be gone.
                let _ = started.send(command.spawn());
            }
        })?;
        Ok(Self { program, orders })
    }

    /// Spawns a child with these arguments, which inherits these descriptors under their numbers. Returns the child and the
    /// read end of its output.
    pub(crate) fn start(
        &self,
        arguments: &[String],
        inherited: &[BorrowedFd<'_>],
    ) -> io::Result<(Child, io::PipeReader)> {
        let (output, pipe) = io::pipe()?;
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear();
        command.envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.stdin(Stdio::null()).stdout(pipe.try_clone()?).stderr(pipe);
        let numbers: Vec<RawFd> = inherited.iter().map(AsRawFd::as_raw_fd).collect();
        let us = rustix::process::getpid();
        // SAFETY: between fork and exec only system calls are made: no allocation, no lock.
        unsafe { command.pre_exec(move || prepare(us, &numbers)) };
        let (started, answer) = sync_channel(1);
        let gone = |_| io::Error::other("the thread that spawns processes has ended");
        self.orders.send((command, started)).map_err(|_| io::Error::other("no process can be spawned"))?;
        Ok((answer.recv().map_err(gone)??, output))
    }
}

/// Runs in the child between fork and exec.
fn prepare(parent: rustix::process::Pid, inherited: &[RawFd]) -> io::Result<()> {
    // Ctrl-C in the terminal is for the engine, which drains together with the child.
    rustix::process::setsid()?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid() != Some(parent) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    let nothing = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(Resource::Core, nothing)?;
    for number in inherited {
        // SAFETY: the requester keeps these open until the child is spawned.
        let descriptor = unsafe { BorrowedFd::borrow_raw(*number) };
        rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty())?;
    }
    Ok(())
}
