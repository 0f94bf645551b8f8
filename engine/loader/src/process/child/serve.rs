//! The main loop of the child: loads the inherited library, creates one instance, and serves it.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream as Blocking;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use tidegate_sdk::{BoxFuture, Commit, Component, Cx, Error, Size};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::answer::answer;
use super::dispatcher::{Dispatcher, PendingBatches};
use super::frame_writer::{FrameWriter, Logger};
use crate::factory::{Capabilities, InstanceContext, InstanceFactory};
use crate::host_table::HostTable;
use crate::instance::CallMode;
use crate::instance::in_process::InProcess;
use crate::library::file::{Library, Refusal};
use crate::library::handshake::Module;
use crate::process::frame::{BESIDE, Frame, Inbox, Topic};
use crate::process::message::{
    CapabilitiesMessage, CommitMessage, ConfigErrorMessage, CreateMessage, ProgressMessage,
};
use crate::process::region::{Reader, Writer};

/// The size of a read, in bytes.
const PIECE: usize = 16 << 10;

/// Serves one instance of a plugin to the engine that has spawned this process, until the engine closes the socket.
/// `descriptors` are the inherited descriptors, separated by commas: the library, the socket, and the two regions. `path`
/// and `sha256` name the library.
///
/// # Errors
/// This process was not spawned by an engine.
pub fn serve(path: &Path, sha256: &str, descriptors: &str) -> Result<(), Refusal> {
    let refuse = || Refusal("this command is only for the engine, which passes open descriptors".into());
    let numbers: Vec<RawFd> = descriptors.split(',').map_while(|number| number.parse().ok()).collect();
    let &[library, socket, given, made] = numbers.as_slice() else { return Err(refuse()) };
    let inherited = [library, socket, given, made].map(inherit);
    let [Some(library), Some(socket), Some(given), Some(made)] = inherited else { return Err(refuse()) };
    let mut socket = Blocking::from(socket);
    let mut inbox = Inbox::default();
    let create = match first(&mut socket, &mut inbox) {
        Ok(Some(create)) => create,
        Ok(None) => return Ok(()),
        Err(error) => return Err(Refusal(format!("the engine did not request an instance: {error}"))),
    };
    let Ok(speaking) = socket.try_clone() else { return Err(refuse()) };
    let writer = FrameWriter::new(speaking);
    let level = create.level.parse().unwrap_or(tracing::level_filters::LevelFilter::INFO);
    // It is the only subscriber of this process.
    let _ = tracing::subscriber::set_global_default(Logger { writer: writer.clone(), level });
    let library = Library::inherited(path, sha256, File::from(library));
    let (component, capabilities) = match make(library, &create) {
        Ok(made) => made,
        Err(answer) => {
            // The engine may be gone.
            let _ = writer.write(&answer);
            return Ok(());
        }
    };
    let dispatcher = Dispatcher::new(component, Reader::new(given.into()), Writer::new(made.into()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Refusal(format!("the child process cannot start: {error}")))?;
    let stopping = CancellationToken::new();
    let cx = Cx::new(&create.component, stopping.clone()).with_event_size(Size(create.event_size as u64));
    let served = runtime.block_on(async {
        ignore_signals();
        let host = ChildLoop::new(socket, inbox, writer, stopping, cx, dispatcher)?;
        host.writer.write(&Frame::new(Topic::Done).with(&CapabilitiesMessage::from(capabilities)))?;
        host.run().await
    });
    // An error means that the engine is gone.
    let _ = served;
    Ok(())
}

/// Takes over an inherited descriptor, and keeps it from processes that a plugin starts.
fn inherit(number: RawFd) -> Option<OwnedFd> {
    let there = number > 2 && Path::new(&format!("/proc/self/fd/{number}")).exists();
    // SAFETY: it is open and was inherited for this purpose; nothing in this process has opened it.
    let descriptor = there.then(|| unsafe { OwnedFd::from_raw_fd(number) })?;
    rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC).ok()?;
    Some(descriptor)
}

/// The request for the instance; `None` if the engine has closed the socket.
fn first(socket: &mut Blocking, inbox: &mut Inbox) -> io::Result<Option<CreateMessage>> {
    let mut piece = [0; PIECE];
    loop {
        if let Some(frame) = inbox.next()? {
            return frame.read().map(Some).map_err(io::Error::other);
        }
        match socket.read(&mut piece)? {
            0 => return Ok(None),
            length => inbox.feed(&piece[..length]),
        }
    }
}

/// Creates the instance in this process, or the answer if that fails.
fn make(library: Library, create: &CreateMessage) -> Result<(Component, Capabilities), Frame> {
    let broken = |why: String| Frame::new(Topic::Broken).with_text(&why);
    let host = HostTable::leaked();
    let module = Module::load(library, host).map_err(|refusal| broken(format!("is refused: {refusal}")))?;
    let kind = create.kind();
    let found =
        module.plugins.iter().find(|(manual, _)| Some(manual.kind) == kind && manual.name == create.plugin);
    let Some((_, tables)) = found else { return Err(broken("is no longer in its library".into())) };
    let mode = CallMode { thread: false, call_time: create.call_time };
    let home = InProcess { tables: *tables, host, mode };
    let context = InstanceContext { component: create.component.clone(), event_size: create.event_size };
    home.create(&create.options, &context)
        .map_err(|error| Frame::new(Topic::Failed).with(&ConfigErrorMessage::from(error)))
}

/// Ignores signals to the whole process group: the engine drains, and needs its children for that.
fn ignore_signals() {
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
        // A signal with a listener has no other effect. Without a listener it ends this process, which the engine survives.
        let _ = signal(kind);
    }
}

type Work = Pin<Box<dyn Future<Output = (Dispatcher, Frame)>>>;

/// The loop and its state.
struct ChildLoop {
    stream: UnixStream,
    inbox: Inbox,
    writer: FrameWriter,
    stopping: CancellationToken,
    cx: Cx,
    dispatcher: Option<Dispatcher>,
    committer: Option<Arc<Mutex<Box<dyn Commit>>>>,
    pending: PendingBatches,
    reported: Option<(u64, u64)>,
}

impl ChildLoop {
    fn new(
        socket: Blocking,
        inbox: Inbox,
        writer: FrameWriter,
        stopping: CancellationToken,
        cx: Cx,
        mut dispatcher: Dispatcher,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let committer = dispatcher.committer().map(|committer| Arc::new(Mutex::new(committer)));
        let pending = dispatcher.pending();
        let stream = UnixStream::from_std(socket)?;
        Ok(Self {
            stream,
            inbox,
            writer,
            stopping,
            cx,
            dispatcher: Some(dispatcher),
            committer,
            pending,
            reported: None,
        })
    }

    /// Runs until the engine closes the socket.
    async fn run(mut self) -> io::Result<()> {
        let mut work: Option<Work> = None;
        let mut beside: Option<BoxFuture<'static, Frame>> = None;
        loop {
            let (working, committing) = (work.is_some(), beside.is_some());
            tokio::select! {
                biased;
                (dispatcher, answer) = finished(&mut work), if working => {
                    work = None;
                    self.dispatcher = Some(dispatcher);
                    self.report_progress()?;
                    self.writer.write(&answer)?;
                }
                answer = finished(&mut beside), if committing => {
                    beside = None;
                    self.writer.write(&answer)?;
                }
                ready = self.stream.readable() => {
                    ready?;
                    if !self.read()? {
                        return Ok(());
                    }
                    while let Some(frame) = self.inbox.next()? {
                        match frame.topic {
                            Topic::CommitPosition => beside = Some(self.commit(&frame)),
                            Topic::BatchDone => self.batch_done(&frame),
                            Topic::Drain => self.stopping.cancel(),
                            Topic::Ping => {
                                self.report_progress()?;
                                self.writer.write(&Frame::new(Topic::Pong))?;
                            }
                            _ => work = self.begin(frame),
                        }
                    }
                }
            }
        }
    }

    /// Reads the available bytes. False if the engine has closed the socket.
    fn read(&mut self) -> io::Result<bool> {
        let mut piece = [0; PIECE];
        match self.stream.try_read(&mut piece) {
            Ok(0) => Ok(false),
            Ok(length) => {
                self.inbox.feed(&piece[..length]);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn begin(&mut self, frame: Frame) -> Option<Work> {
        let mut dispatcher = self.dispatcher.take()?;
        let cx = self.cx.clone();
        Some(Box::pin(async move {
            let answer = dispatcher.perform(frame, &cx).await;
            (dispatcher, answer)
        }))
    }

    fn commit(&self, frame: &Frame) -> BoxFuture<'static, Frame> {
        let (committer, safe) = (self.committer.clone(), frame.read::<CommitMessage>());
        Box::pin(async move {
            let committed = async {
                let CommitMessage { partition, position } = safe.map_err(Error::broken)?;
                match (committer, position.position().map_err(Error::broken)?) {
                    (Some(committer), Some(position)) => {
                        committer.lock().await.commit(&partition, &position).await
                    }
                    _ => Ok(()),
                }
            };
            let answer = answer(committed.await.map(|()| Frame::new(Topic::Done)));
            Frame { slot: BESIDE, ..answer }
        })
    }

    fn batch_done(&self, frame: &Frame) {
        let outcome = match frame.number {
            0 => tidegate_sdk::Outcome::Delivered,
            1 => tidegate_sdk::Outcome::Rejected(frame.text()),
            _ => tidegate_sdk::Outcome::Failed,
        };
        self.pending.finish(frame.area.start, outcome);
    }

    /// Reports the progress of the source, if it has changed.
    fn report_progress(&mut self) -> io::Result<()> {
        let now = self.cx.progress().get();
        let Some((done, total)) = now.filter(|_| now != self.reported) else { return Ok(()) };
        self.reported = now;
        self.writer.write(&Frame::new(Topic::Progress).with(&ProgressMessage { done, total }))
    }
}

/// Waits for an operation in progress; for ever if there is none.
async fn finished<T>(under_way: &mut Option<impl Future<Output = T> + Unpin>) -> T {
    match under_way {
        Some(under_way) => under_way.await,
        None => std::future::pending().await,
    }
}
