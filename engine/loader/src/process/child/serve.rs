//! The child: loads the library that it has inherited, makes one instance, and does what the engine asks of it.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream as Blocking;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use tidegate_sdk::erased::Promise;
use tidegate_sdk::{Cx, Size};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::answer::answer;
use super::dispatcher::{Dispatcher, PendingBatches};
use super::frame_writer::{FrameWriter, Logger};
use crate::host_table::HostTable;
use crate::instance::CallMode;
use crate::instance::in_process::InProcess;
use crate::library::file::{Library, Refusal};
use crate::library::handshake::Module;
use crate::link::{Capabilities, CommitLink, Fault, InstanceContext, InstanceFactory, Link};
use crate::process::frame::{BESIDE, Frame, Inbox, Topic};
use crate::process::message::{
    CapabilitiesMessage, CommitMessage, ConfigErrorMessage, CreateMessage, ProgressMessage,
};
use crate::process::shared::region::{Reader, Writer};

/// Read at once, in bytes.
const PIECE: usize = 16 << 10;

/// Serves one instance of a plugin of the library to the engine that has started this process, until that lets go.
/// `descriptors` are those that the engine has left open: the library, the socket, and the two regions, with commas in
/// between. `path` and `sha256` are what the library is called.
///
/// # Errors
/// This process was not started by an engine.
pub fn serve(path: &Path, sha256: &str, descriptors: &str) -> Result<(), Refusal> {
    let refuse = || Refusal("this is for the engine, which says in which files it wants to be served".into());
    let numbers: Vec<RawFd> = descriptors.split(',').map_while(|number| number.parse().ok()).collect();
    let &[library, socket, given, made] = numbers.as_slice() else { return Err(refuse()) };
    let inherited = [library, socket, given, made].map(inherit);
    let [Some(library), Some(socket), Some(given), Some(made)] = inherited else { return Err(refuse()) };
    let mut socket = Blocking::from(socket);
    let mut inbox = Inbox::default();
    let create = match first(&mut socket, &mut inbox) {
        Ok(Some(create)) => create,
        Ok(None) => return Ok(()),
        Err(error) => return Err(Refusal(format!("the engine does not say what to make: {error}"))),
    };
    let Ok(speaking) = socket.try_clone() else { return Err(refuse()) };
    let voice = FrameWriter::new(speaking);
    let level = create.level.parse().unwrap_or(tracing::level_filters::LevelFilter::INFO);
    // It is the first and only one of this process.
    let _ = tracing::subscriber::set_global_default(Logger { voice: voice.clone(), level });
    let library = Library::inherited(path, sha256, File::from(library));
    let (link, facts) = match make(library, &create) {
        Ok(made) => made,
        Err(answer) => {
            let _the_engine_may_be_gone = voice.say(&answer);
            return Ok(());
        }
    };
    let desk = Dispatcher::new(link, Reader::new(given.into()), Writer::new(made.into()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Refusal(format!("a process cannot begin its work: {error}")))?;
    let stopping = CancellationToken::new();
    let cx = Cx::new(&create.component, stopping.clone()).with_event_size(Size(create.event_size as u64));
    let served = runtime.block_on(async {
        ignore_signals();
        let host = ChildLoop::new(socket, inbox, voice, stopping, cx, desk)?;
        host.voice.say(&Frame::new(Topic::Done).with(&CapabilitiesMessage::from(facts)))?;
        host.run().await
    });
    // The engine is gone, so there is nobody left to tell.
    let _ = served;
    Ok(())
}

/// Takes over a descriptor that was left open. It does not go on to processes that a plugin starts.
fn inherit(number: RawFd) -> Option<OwnedFd> {
    let there = number > 2 && Path::new(&format!("/proc/self/fd/{number}")).exists();
    // SAFETY: it is open, and nothing of this process has opened it: it was inherited, to be used here.
    let descriptor = there.then(|| unsafe { OwnedFd::from_raw_fd(number) })?;
    rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC).ok()?;
    Some(descriptor)
}

/// What to make; `None` if the engine has let go already.
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

/// The instance, in this process like any other; or what to answer.
fn make(library: Library, create: &CreateMessage) -> Result<(Link, Capabilities), Frame> {
    let broken = |why: String| Frame::new(Topic::Broken).saying(&why);
    let hub = HostTable::leaked();
    let module = Module::load(library, hub).map_err(|refusal| broken(format!("is refused: {refusal}")))?;
    let kind = create.kind();
    let found =
        module.plugins.iter().find(|(manual, _)| Some(manual.kind) == kind && manual.name == create.plugin);
    let Some((_, tables)) = found else { return Err(broken("is not in its library any more".into())) };
    let manner = CallMode { thread: false, call_time: create.call_time };
    let home = InProcess { tables: *tables, hub, manner };
    let who = InstanceContext { component: create.component.clone(), event_size: create.event_size };
    home.create(&create.options, &who)
        .map_err(|error| Frame::new(Topic::Failed).with(&ConfigErrorMessage::from(error)))
}

/// What ends a whole group of processes is for the engine to answer: it drains, and needs its children for that.
fn ignore_signals() {
    for kind in [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup()] {
        // Once it is listened for, a signal does nothing else. If it cannot be, it ends this process, which is survived.
        let _ = signal(kind);
    }
}

type Work = Pin<Box<dyn Future<Output = (Dispatcher, Frame)>>>;

/// What serves.
struct ChildLoop {
    stream: UnixStream,
    inbox: Inbox,
    voice: FrameWriter,
    stopping: CancellationToken,
    cx: Cx,
    desk: Option<Dispatcher>,
    committing: Option<Arc<dyn CommitLink>>,
    settling: PendingBatches,
    told: Option<(u64, u64)>,
}

impl ChildLoop {
    fn new(
        socket: Blocking,
        inbox: Inbox,
        voice: FrameWriter,
        stopping: CancellationToken,
        cx: Cx,
        desk: Dispatcher,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let committing = desk.committing();
        let settling = desk.settling();
        let stream = UnixStream::from_std(socket)?;
        Ok(Self { stream, inbox, voice, stopping, cx, desk: Some(desk), committing, settling, told: None })
    }

    /// Until the engine lets go.
    async fn run(mut self) -> io::Result<()> {
        let mut work: Option<Work> = None;
        let mut beside: Option<Promise<'static, Frame>> = None;
        loop {
            let (working, committing) = (work.is_some(), beside.is_some());
            tokio::select! {
                biased;
                (desk, answer) = finished(&mut work), if working => {
                    work = None;
                    self.desk = Some(desk);
                    self.tell_progress()?;
                    self.voice.say(&answer)?;
                }
                answer = finished(&mut beside), if committing => {
                    beside = None;
                    self.voice.say(&answer)?;
                }
                ready = self.stream.readable() => {
                    ready?;
                    if !self.read()? {
                        return Ok(());
                    }
                    while let Some(frame) = self.inbox.next()? {
                        match frame.topic {
                            Topic::CommitPosition => beside = Some(self.commit(&frame)),
                            Topic::BatchDone => self.settled(&frame),
                            Topic::Drain => self.stopping.cancel(),
                            Topic::Ping => {
                                self.tell_progress()?;
                                self.voice.say(&Frame::new(Topic::Pong))?;
                            }
                            _ => work = self.begin(frame),
                        }
                    }
                }
            }
        }
    }

    /// Reads what is there. False if the engine has let go.
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
        let mut desk = self.desk.take()?;
        let cx = self.cx.clone();
        Some(Box::pin(async move {
            let answer = desk.perform(frame, &cx).await;
            (desk, answer)
        }))
    }

    fn commit(&self, frame: &Frame) -> Promise<'static, Frame> {
        let (link, safe) = (self.committing.clone(), frame.read::<CommitMessage>());
        Box::pin(async move {
            let committed = async {
                let CommitMessage { partition, position } = safe.map_err(Fault::Broken)?;
                match (link, position.position().map_err(Fault::Broken)?) {
                    (Some(link), Some(position)) => link.commit(&partition, &position).await,
                    _ => Ok(()),
                }
            };
            let answer = answer(committed.await.map(|()| Frame::new(Topic::Done)));
            Frame { slot: BESIDE, ..answer }
        })
    }

    fn settled(&self, frame: &Frame) {
        let outcome = match frame.number {
            0 => tidegate_sdk::Outcome::Delivered,
            1 => tidegate_sdk::Outcome::Rejected(frame.text()),
            _ => tidegate_sdk::Outcome::Failed,
        };
        self.settling.settle(frame.area.start, outcome);
    }

    /// Says how far the source is, if that is news.
    fn tell_progress(&mut self) -> io::Result<()> {
        let now = self.cx.progress().get();
        let Some((done, total)) = now.filter(|_| now != self.told) else { return Ok(()) };
        self.told = now;
        self.voice.say(&Frame::new(Topic::Progress).with(&ProgressMessage { done, total }))
    }
}

/// What becomes of something that is under way; waits for ever if nothing is.
async fn finished<T>(under_way: &mut Option<impl Future<Output = T> + Unpin>) -> T {
    match under_way {
        Some(under_way) => under_way.await,
        None => std::future::pending().await,
    }
}
