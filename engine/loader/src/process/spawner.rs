//! Where children are started: a thread that lives as long as any of them may.
//!
//! Linux ends a child with its parent only if the *thread* that started it ends, so it must not be one that comes and goes.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};

use rustix::process::{Resource, Rlimit, Signal};

/// Children that wait to be started.
const QUEUE: usize = 16;

/// What a child may see of the environment: where things are, what language and time it is, how to reach the network.
/// Nothing that may hold a secret of somebody else's.
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

type Started = SyncSender<io::Result<Child>>;

/// Starts children.
pub(crate) struct Spawner {
    program: PathBuf,
    orders: SyncSender<(Command, Started)>,
}

impl Spawner {
    /// Of children that are this program.
    pub(crate) fn new(program: PathBuf) -> io::Result<Self> {
        let (orders, queue) = sync_channel::<(Command, Started)>(QUEUE);
        std::thread::Builder::new().name("plugin-nursery".into()).spawn(move || {
            for (mut command, started) in queue {
                let _whoever_asked_may_be_gone = started.send(command.spawn());
            }
        })?;
        Ok(Self { program, orders })
    }

    /// Starts one with these arguments, which inherits these descriptors under their numbers. Returns it, and the end of
    /// the pipe that takes all that it writes.
    pub(crate) fn start(
        &self,
        arguments: &[String],
        inherited: &[BorrowedFd<'_>],
    ) -> io::Result<(Child, io::PipeReader)> {
        let (said, pipe) = io::pipe()?;
        let mut command = Command::new(&self.program);
        command.args(arguments).env_clear();
        command.envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.stdin(Stdio::null()).stdout(pipe.try_clone()?).stderr(pipe);
        let numbers: Vec<RawFd> = inherited.iter().map(AsRawFd::as_raw_fd).collect();
        let us = rustix::process::getpid();
        // SAFETY: what runs between fork and exec makes system calls and nothing else: no memory is taken, no lock.
        unsafe { command.pre_exec(move || prepare(us, &numbers)) };
        let (started, answer) = sync_channel(1);
        let gone = |_| io::Error::other("the thread that starts processes is gone");
        self.orders.send((command, started)).map_err(|_| io::Error::other("no process can be started"))?;
        Ok((answer.recv().map_err(gone)??, said))
    }
}

/// In the child, before it becomes the program.
fn prepare(parent: rustix::process::Pid, inherited: &[RawFd]) -> io::Result<()> {
    // A Ctrl-C in the terminal is for the engine: it drains, and the child with it.
    rustix::process::setsid()?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if rustix::process::getppid() != Some(parent) {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    let nothing = Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(Resource::Core, nothing)?;
    for number in inherited {
        // SAFETY: whoever starts the child holds on to these until it is started.
        let descriptor = unsafe { BorrowedFd::borrow_raw(*number) };
        rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::empty())?;
    }
    Ok(())
}
