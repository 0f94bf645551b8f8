//! Instances in processes of their own, one each.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tidegate_sdk::{ConfigError, Kind};

use crate::exit_status;
use crate::library::file::Library;
use crate::link::{Capabilities, InstanceContext, InstanceFactory, Link};
use crate::process::connection::log;
use crate::process::frame::{Frame, Inbox, Topic};
use crate::process::message::{CapabilitiesMessage, ConfigErrorMessage, CreateMessage};
use crate::process::remote::{ChildGuard, Remote};
use crate::process::shared::region::{self, Writer};
use crate::process::spawner::Spawner;
use crate::process::supervisor::ChildHandle;

/// How long a child may take from its start until its instance is made.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long one may take to end whose socket is closed.
const GRACE: Duration = Duration::from_secs(1);

/// How often it is looked whether a child that does not answer has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A plugin whose instances run apart.
pub(crate) struct ChildProcess {
    pub(crate) library: Library,
    pub(crate) kind: Kind,
    pub(crate) plugin: String,
    pub(crate) nursery: Arc<Spawner>,
    pub(crate) call_time: Duration,
}

/// Why there is no instance.
enum SpawnError {
    ConfigErrorMessage(ConfigError),
    Broken(String),
    System(io::Error),
}

impl From<io::Error> for SpawnError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl InstanceFactory for ChildProcess {
    fn create(&self, options: &Value, who: &InstanceContext) -> Result<(Link, Capabilities), ConfigError> {
        let (remote, facts) = self.start(options, who).map_err(|unborn| match unborn {
            SpawnError::ConfigErrorMessage(error) => error,
            SpawnError::Broken(why) => ConfigError::at("", format!("the plugin {why} before it was ready")),
            SpawnError::System(error) => {
                ConfigError::at("", format!("no process can be started for it: {error}"))
            }
        })?;
        let link = match self.kind {
            Kind::Source => Link::Source(Box::new(remote)),
            Kind::Filter => Link::Filter(Box::new(remote)),
            Kind::Sink => Link::Sink(Box::new(remote)),
        };
        Ok((link, facts))
    }

    fn is_quick(&self) -> bool {
        false
    }
}

impl ChildProcess {
    fn start(&self, options: &Value, who: &InstanceContext) -> Result<(Remote, Capabilities), SpawnError> {
        let (mut socket, theirs) = UnixStream::pair()?;
        let given = Writer::new(region::create("tidegate-given")?);
        let made = region::create("tidegate-made")?;
        let inherited = [self.library.descriptor(), theirs.as_fd(), given.descriptor(), made.as_fd()];
        let numbers: Vec<String> = inherited.iter().map(|one| one.as_raw_fd().to_string()).collect();
        let arguments = [
            "plugin-host".to_owned(),
            "--serve".to_owned(),
            self.library.path.display().to_string(),
            "--sha256".to_owned(),
            self.library.sha256.clone(),
            "--descriptors".to_owned(),
            numbers.join(","),
        ];
        let (child, said) = self.nursery.start(&arguments, &inherited)?;
        let kept = ChildHandle::new(child, said, &who.component, &self.nursery)?;
        drop(theirs);
        let create = CreateMessage {
            kind: self.kind.name().to_owned(),
            plugin: self.plugin.clone(),
            component: who.component.clone(),
            event_size: who.event_size,
            options: options.clone(),
            call_time: self.call_time,
            level: tracing::level_filters::LevelFilter::current().to_string(),
        };
        let answer = hand_shake(&mut socket, &create, &kept)?;
        let facts = match answer.topic {
            Topic::Done => {
                answer.read::<CapabilitiesMessage>().map(Capabilities::from).map_err(SpawnError::Broken)?
            }
            Topic::Failed => {
                let misfit = answer.read::<ConfigErrorMessage>().map_err(SpawnError::Broken)?;
                return Err(SpawnError::ConfigErrorMessage(misfit.into()));
            }
            _ => return Err(SpawnError::Broken(answer.text())),
        };
        let tether = ChildGuard::new(kept, socket.try_clone()?);
        let remote = Remote::new(tether, socket, given, made, self.call_time, who.event_size);
        Ok((remote, facts))
    }
}

/// Has the instance made, and waits for the answer.
fn hand_shake(
    socket: &mut UnixStream,
    create: &CreateMessage,
    kept: &ChildHandle,
) -> Result<Frame, SpawnError> {
    let until = Instant::now() + PATIENCE;
    socket.set_write_timeout(Some(PATIENCE))?;
    // If it is dead already, that is seen when the answer is read.
    let _ = socket.write_all(&Frame::new(Topic::Create).with(create).encode());
    let (mut inbox, mut piece) = (Inbox::default(), [0; 4096]);
    loop {
        let rest = until.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            kept.wait(Duration::ZERO);
            return Err(SpawnError::Broken(format!("did not return from `create` within {PATIENCE:?}")));
        }
        // A process that the child forked may hold the socket open, so the end of the child is looked for as well.
        let has_ended = kept.has_ended();
        socket.set_read_timeout(Some(rest.min(LOOK_EVERY)))?;
        match socket.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && has_ended => {
                return Err(SpawnError::Broken(exit_status::past(kept.wait(GRACE))));
            }
            Ok(0) => return Err(SpawnError::Broken(exit_status::past(kept.wait(GRACE)))),
            Ok(length) => inbox.feed(&piece[..length]),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(SpawnError::Broken(exit_status::past(kept.wait(GRACE))));
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(error) => return Err(error.into()),
        }
        while let Some(frame) = inbox.next()? {
            match frame.topic {
                Topic::Log => log(&create.component, &frame),
                Topic::Done | Topic::Failed | Topic::Broken => return Ok(frame),
                _ => {}
            }
        }
    }
}
