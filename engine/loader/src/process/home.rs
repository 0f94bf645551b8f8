//! Instances in processes of their own, one each.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tidegate_sdk::{ConfigError, Kind};

use super::connection::log;
use super::frame::{Frame, Inbox, Topic};
use super::keeper::{Kept, death};
use super::message::{Create, Created, Misfit};
use super::nursery::Nursery;
use super::region::{self, Writer};
use super::remote::{Remote, Tether};
use crate::file::Library;
use crate::link::{Facts, Home, Link, Who};

/// How long a child may take from its start until its instance is made.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long one may take to end whose socket is closed.
const GRACE: Duration = Duration::from_secs(1);

/// A plugin whose instances run apart.
pub(crate) struct Apart {
    pub(crate) library: Library,
    pub(crate) kind: Kind,
    pub(crate) plugin: String,
    pub(crate) nursery: Arc<Nursery>,
    pub(crate) call_time: Duration,
}

/// Why there is no instance.
enum Unborn {
    Misfit(ConfigError),
    Broken(String),
    System(io::Error),
}

impl From<io::Error> for Unborn {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

impl Home for Apart {
    fn create(&self, options: &Value, who: &Who) -> Result<(Link, Facts), ConfigError> {
        let (remote, facts) = self.start(options, who).map_err(|unborn| match unborn {
            Unborn::Misfit(error) => error,
            Unborn::Broken(why) => ConfigError::at("", format!("the plugin {why} before it was ready")),
            Unborn::System(error) => {
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

impl Apart {
    fn start(&self, options: &Value, who: &Who) -> Result<(Remote, Facts), Unborn> {
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
        let kept = Kept::new(child, said, &who.component, &self.nursery)?;
        drop(theirs);
        let create = Create {
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
            Topic::Done => answer.read::<Created>().map(Facts::from).map_err(Unborn::Broken)?,
            Topic::Failed => {
                let misfit = answer.read::<Misfit>().map_err(Unborn::Broken)?;
                return Err(Unborn::Misfit(misfit.into()));
            }
            _ => return Err(Unborn::Broken(answer.text())),
        };
        let tether = Tether::new(kept, socket.try_clone()?);
        let remote = Remote::new(tether, socket, given, made, self.call_time, who.event_size);
        Ok((remote, facts))
    }
}

/// Has the instance made, and waits for the answer.
fn hand_shake(socket: &mut UnixStream, create: &Create, kept: &Kept) -> Result<Frame, Unborn> {
    let until = Instant::now() + PATIENCE;
    socket.set_write_timeout(Some(PATIENCE))?;
    // If it is dead already, that is seen when the answer is read.
    let _ = socket.write_all(&Frame::new(Topic::Create).with(create).encode());
    let (mut inbox, mut piece) = (Inbox::default(), [0; 4096]);
    loop {
        let rest = until.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            kept.wait(Duration::ZERO);
            return Err(Unborn::Broken(format!("did not return from `create` within {PATIENCE:?}")));
        }
        socket.set_read_timeout(Some(rest))?;
        match socket.read(&mut piece) {
            Ok(0) => return Err(Unborn::Broken(death(kept.wait(GRACE)))),
            Ok(length) => inbox.feed(&piece[..length]),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(Unborn::Broken(death(kept.wait(GRACE))));
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
