//! Instances in child processes, one process each.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tidegate_sdk::{Component, ConfigError, Kind};

use crate::exit_status;
use crate::factory::{Capabilities, InstanceContext, InstanceFactory};
use crate::library::file::Library;
use crate::process::connection::log;
use crate::process::frame::{Frame, Inbox, Topic};
use crate::process::message::{CapabilitiesMessage, ConfigErrorMessage, CreateMessage};
use crate::process::region::{self, Writer};
use crate::process::remote::{ChildGuard, Remote};
use crate::process::spawner::Spawner;
use crate::process::supervisor::ChildHandle;

/// Time limit from the spawn of a child to the creation of its instance.
const PATIENCE: Duration = Duration::from_secs(20);
/// Time for a child with a closed socket to end.
const GRACE: Duration = Duration::from_secs(1);

/// The interval of checks whether a child that does not answer has ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A plugin whose instances run in child processes.
pub(crate) struct ChildProcess {
    pub(crate) library: Library,
    pub(crate) kind: Kind,
    pub(crate) plugin: String,
    pub(crate) spawner: Arc<Spawner>,
    pub(crate) call_time: Duration,
}

/// The reason why there is no instance.
enum SpawnError {
    Config(ConfigError),
    Broken(String),
    System(io::Error),
}

impl From<io::Error> for SpawnError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl InstanceFactory for ChildProcess {
    fn create(
        &self,
        options: &Value,
        context: &InstanceContext,
    ) -> Result<(Component, Capabilities), ConfigError> {
        let (remote, capabilities) = self.start(options, context).map_err(|error| match error {
            SpawnError::Config(error) => error,
            SpawnError::Broken(why) => ConfigError::at("", format!("the plugin {why} before it was ready")),
            SpawnError::System(error) => {
                ConfigError::at("", format!("a child process cannot be started for it: {error}"))
            }
        })?;
        let component = match self.kind {
            Kind::Source => Component::Source(Box::new(remote)),
            Kind::Filter => Component::AsyncFilter(Box::new(remote)),
            Kind::Sink => Component::Sink(Box::new(remote)),
        };
        Ok((component, capabilities))
    }

    fn is_quick(&self) -> bool {
        false
    }
}

impl ChildProcess {
    fn start(
        &self,
        options: &Value,
        context: &InstanceContext,
    ) -> Result<(Remote, Capabilities), SpawnError> {
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
        let (child, output) = self.spawner.start(&arguments, &inherited)?;
        let child = ChildHandle::new(child, output, &context.component, &self.spawner)?;
        drop(theirs);
        let create = CreateMessage {
            kind: self.kind.name().to_owned(),
            plugin: self.plugin.clone(),
            component: context.component.clone(),
            event_size: context.event_size,
            options: options.clone(),
            call_time: self.call_time,
            level: tracing::level_filters::LevelFilter::current().to_string(),
        };
        let answer = handshake(&mut socket, &create, &child)?;
        let capabilities = match answer.topic {
            Topic::Done => {
                answer.read::<CapabilitiesMessage>().map(Capabilities::from).map_err(SpawnError::Broken)?
            }
            Topic::Failed => {
                let error = answer.read::<ConfigErrorMessage>().map_err(SpawnError::Broken)?;
                return Err(SpawnError::Config(error.into()));
            }
            _ => return Err(SpawnError::Broken(answer.text())),
        };
        let guard = ChildGuard::new(child, socket.try_clone()?);
        let remote =
            Remote::new(guard, socket, given, made, self.call_time, context.event_size, capabilities.clone());
        Ok((remote, capabilities))
    }
}

/// Requests the instance and waits for the answer.
fn handshake(
    socket: &mut UnixStream,
    create: &CreateMessage,
    child: &ChildHandle,
) -> Result<Frame, SpawnError> {
    let until = Instant::now() + PATIENCE;
    socket.set_write_timeout(Some(PATIENCE))?;
    // If the child has ended already, the read of the answer fails.
    let _ = socket.write_all(&Frame::new(Topic::Create).with(create).encode());
    let (mut inbox, mut piece) = (Inbox::default(), [0; 4096]);
    loop {
        let rest = until.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            child.wait(Duration::ZERO);
            return Err(SpawnError::Broken(format!("did not return from `create` within {PATIENCE:?}")));
        }
        // A process that the child forked may hold the socket open, so the end of the child is looked for as well.
        let has_ended = child.has_ended();
        socket.set_read_timeout(Some(rest.min(LOOK_EVERY)))?;
        match socket.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && has_ended => {
                return Err(SpawnError::Broken(exit_status::past(child.wait(GRACE))));
            }
            Ok(0) => return Err(SpawnError::Broken(exit_status::past(child.wait(GRACE)))),
            Ok(length) => inbox.feed(&piece[..length]),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(SpawnError::Broken(exit_status::past(child.wait(GRACE))));
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
